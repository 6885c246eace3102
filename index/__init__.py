"""What is near what: embedders, the FAISS vector index, the similarity graph."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.index.embedding.embedders import Embedder as Embedder
    from assay.index.embedding.embedders import embed as embed
    from assay.index.embedding.image import ImageEmbedder as ImageEmbedder
    from assay.index.embedding.onnx import OnnxEmbedder as OnnxEmbedder
    from assay.index.embedding.openai import OpenAIEmbedder as OpenAIEmbedder
    from assay.index.embedding.sentence_transformers import (
        SentenceTransformerEmbedder as SentenceTransformerEmbedder,
    )
    from assay.index.embedding.table import TableEmbedder as TableEmbedder
    from assay.index.embedding.text import HashedTextEmbedder as HashedTextEmbedder
    from assay.index.graph.similarity_graph import SimilarityGraph as SimilarityGraph
    from assay.index.ngrams.hasher import NGramHasher as NGramHasher
    from assay.index.search.sparse_index import SparseIndex as SparseIndex
    from assay.index.search.vector_index import VectorIndex as VectorIndex

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "Embedder": ".embedding.embedders",
        "HashedTextEmbedder": ".embedding.text",
        "ImageEmbedder": ".embedding.image",
        "NGramHasher": ".ngrams.hasher",
        "OnnxEmbedder": ".embedding.onnx",
        "OpenAIEmbedder": ".embedding.openai",
        "SentenceTransformerEmbedder": ".embedding.sentence_transformers",
        "SimilarityGraph": ".graph.similarity_graph",
        "SparseIndex": ".search.sparse_index",
        "TableEmbedder": ".embedding.table",
        "VectorIndex": ".search.vector_index",
        "embed": ".embedding.embedders",
    },
)
