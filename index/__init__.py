"""What is near what: embedders, the FAISS vector index, the similarity graph."""

from assay.storage.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "Embedder": ".embedders",
        "HashedTextEmbedder": ".text_embedder",
        "NGramHasher": ".ngrams",
        "SimilarityGraph": ".similarity_graph",
        "VectorIndex": ".vector_index",
        "embed": ".embedders",
    },
)
