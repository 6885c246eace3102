"""What runs and when: configuration, the pipeline, Prefect flows and the command line."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.flows.configuration import CurationConfig as CurationConfig
    from assay.flows.configuration import FeatureConfig as FeatureConfig
    from assay.flows.runner import curate as curate
    from assay.flows.runner import rank_features as rank_features

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CurationConfig": ".configuration",
        "FeatureConfig": ".configuration",
        "curate": ".runner",
        "rank_features": ".runner",
    },
)
