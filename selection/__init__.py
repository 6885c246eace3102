"""What to keep: scorers, selectors, feature rankers and how they are registered."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.selection.base import Scorer as Scorer
    from assay.selection.base import Selector as Selector
    from assay.selection.coverage_centric import CoverageCentricSelector as CoverageCentricSelector
    from assay.selection.distance_correlation import DistanceCorrelation as DistanceCorrelation
    from assay.selection.eigenvector_centrality import ECFS as ECFS
    from assay.selection.facility_location import (
        FacilityLocationSelector as FacilityLocationSelector,
    )
    from assay.selection.fisher import FisherScore as FisherScore
    from assay.selection.importance_resampling import ImportanceResampler as ImportanceResampler
    from assay.selection.infinite_selection import InfFS as InfFS
    from assay.selection.laplacian import LaplacianScore as LaplacianScore
    from assay.selection.minimum_redundancy import MRMR as MRMR
    from assay.selection.outrank import OutRank as OutRank
    from assay.selection.quick_selection import QuickSelection as QuickSelection
    from assay.selection.random_subset import RandomSelector as RandomSelector
    from assay.selection.relief import ReliefF as ReliefF
    from assay.selection.sequential_attention import SequentialAttention as SequentialAttention
    from assay.selection.stability import bootstrap_stability as bootstrap_stability
    from assay.selection.stability import consensus_ranking as consensus_ranking

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CoverageCentricSelector": ".coverage_centric",
        "DistanceCorrelation": ".distance_correlation",
        "ECFS": ".eigenvector_centrality",
        "FacilityLocationSelector": ".facility_location",
        "FisherScore": ".fisher",
        "ImportanceResampler": ".importance_resampling",
        "InfFS": ".infinite_selection",
        "LaplacianScore": ".laplacian",
        "MRMR": ".minimum_redundancy",
        "OutRank": ".outrank",
        "QuickSelection": ".quick_selection",
        "RandomSelector": ".random_subset",
        "ReliefF": ".relief",
        "Scorer": ".base",
        "Selector": ".base",
        "SequentialAttention": ".sequential_attention",
        "bootstrap_stability": ".stability",
        "consensus_ranking": ".stability",
    },
)
