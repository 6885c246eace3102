"""What runs and when: configuration, the pipeline, Prefect flows and the command line."""

from assay.storage.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CurationConfig": ".configuration",
        "FeatureConfig": ".configuration",
        "curate": ".runner",
        "rank_features": ".runner",
    },
)
