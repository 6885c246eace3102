"""What runs and when: configuration, the pipeline, Prefect flows and the command line."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.flows.config.curation import CurationConfig as CurationConfig
    from assay.flows.config.curation import FeatureConfig as FeatureConfig
    from assay.flows.running.runner import curate as curate
    from assay.flows.running.runner import rank_features as rank_features

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CurationConfig": ".config.curation",
        "FeatureConfig": ".config.curation",
        "curate": ".running.runner",
        "rank_features": ".running.runner",
    },
)
