"""What is kept: data sets in, artifacts on disk, the DuckDB score store."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.storage.artifacts import ArtifactStore as ArtifactStore
    from assay.storage.errors import AssayError as AssayError
    from assay.storage.pools import Pool as Pool
    from assay.storage.pools import read_pool as read_pool
    from assay.storage.stores import ScoreStore as ScoreStore

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
