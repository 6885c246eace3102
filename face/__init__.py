"""Graph-based data curation: scores, a budgeted subset and a reason for every row.

The names below come from the layers and are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.flows import CurationConfig as CurationConfig
    from assay.flows import FeatureConfig as FeatureConfig
    from assay.flows import curate as curate
    from assay.flows import rank_features as rank_features
    from assay.index import SimilarityGraph as SimilarityGraph
    from assay.index import VectorIndex as VectorIndex
    from assay.index import embed as embed
    from assay.selection import SelectionPlan as SelectionPlan
    from assay.storage import ScoreStore as ScoreStore
    from assay.storage import read_pool as read_pool

    __version__: str

_LAYERS = {
    "CurationConfig": "flows",
    "FeatureConfig": "flows",
    "ScoreStore": "storage",
    "SelectionPlan": "selection",
    "SimilarityGraph": "index",
    "VectorIndex": "index",
    "curate": "flows",
    "embed": "index",
    "rank_features": "flows",
    "read_pool": "storage",
}
__all__ = [*sorted(_LAYERS), "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("assay-curation")
    if name not in _LAYERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"assay.{_LAYERS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
