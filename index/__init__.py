"""What is near what: embedders, the FAISS vector index, the similarity graph."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.index.embedders import Embedder as Embedder
    from assay.index.embedders import embed as embed
    from assay.index.ngrams import NGramHasher as NGramHasher
    from assay.index.similarity_graph import SimilarityGraph as SimilarityGraph
    from assay.index.text_embedder import HashedTextEmbedder as HashedTextEmbedder
    from assay.index.vector_index import VectorIndex as VectorIndex

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
