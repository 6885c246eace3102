"""What is kept: data sets in, artifacts on disk, the DuckDB score store."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.storage.disk.artifacts import ArtifactStore as ArtifactStore
    from assay.storage.errors import AssayError as AssayError
    from assay.storage.reading.pools import Pool as Pool
    from assay.storage.reading.pools import read_pool as read_pool
    from assay.storage.store import ScoreStore as ScoreStore

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "ArtifactStore": ".disk.artifacts",
        "AssayError": ".errors",
        "Pool": ".reading.pools",
        "ScoreStore": ".store",
        "read_pool": ".reading.pools",
    },
)
