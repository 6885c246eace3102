"""What is kept: data sets in, artifacts on disk, the DuckDB score store."""

from assay.storage.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "ArtifactStore": ".artifacts",
        "AssayError": ".errors",
        "Pool": ".pools",
        "ScoreStore": ".stores",
        "read_pool": ".pools",
    },
)
