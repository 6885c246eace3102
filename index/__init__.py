"""What is near what: embedders, the FAISS vector index, the similarity graph."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.index.embedders import Embedder as Embedder
    from assay.index.embedders import embed as embed
    from assay.index.image_embedder import ImageEmbedder as ImageEmbedder
    from assay.index.ngrams import NGramHasher as NGramHasher
    from assay.index.onnx_embedder import OnnxEmbedder as OnnxEmbedder
    from assay.index.openai_embedder import OpenAIEmbedder as OpenAIEmbedder
    from assay.index.sentence_transformer import (
        SentenceTransformerEmbedder as SentenceTransformerEmbedder,
    )
    from assay.index.similarity_graph import SimilarityGraph as SimilarityGraph
    from assay.index.table_embedder import TableEmbedder as TableEmbedder
    from assay.index.text_embedder import HashedTextEmbedder as HashedTextEmbedder
    from assay.index.vector_index import VectorIndex as VectorIndex

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "Embedder": ".embedders",
        "HashedTextEmbedder": ".text_embedder",
        "ImageEmbedder": ".image_embedder",
        "NGramHasher": ".ngrams",
        "OnnxEmbedder": ".onnx_embedder",
        "OpenAIEmbedder": ".openai_embedder",
        "SentenceTransformerEmbedder": ".sentence_transformer",
        "SimilarityGraph": ".similarity_graph",
        "TableEmbedder": ".table_embedder",
        "VectorIndex": ".vector_index",
        "embed": ".embedders",
    },
)
