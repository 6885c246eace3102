"""What runs and when: configuration, the pipeline, Prefect flows and the command line."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.flows.api import curate as curate
    from assay.flows.api import next_batch as next_batch
    from assay.flows.api import rank_features as rank_features
    from assay.flows.config.curation import CurationConfig as CurationConfig
    from assay.flows.config.features import FeatureConfig as FeatureConfig
    from assay.flows.engines.blocks import PoolBlock as PoolBlock
    from assay.flows.engines.blocks import StoreBlock as StoreBlock
    from assay.flows.export.training import torch_indices as torch_indices
    from assay.flows.export.training import torch_weights as torch_weights

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CurationConfig": ".config.curation",
        "FeatureConfig": ".config.features",
        "PoolBlock": ".engines.blocks",
        "StoreBlock": ".engines.blocks",
        "curate": ".api",
        "next_batch": ".api",
        "rank_features": ".api",
        "torch_indices": ".export.training",
        "torch_weights": ".export.training",
    },
)
