"""What to keep: scorers, selectors, feature rankers and how they are registered."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.selection.base import Scorer as Scorer
    from assay.selection.base import Selector as Selector
    from assay.selection.coverage_centric import CoverageCentricSelector as CoverageCentricSelector
    from assay.selection.eigenvector_centrality import ECFS as ECFS
    from assay.selection.facility_location import (
        FacilityLocationSelector as FacilityLocationSelector,
    )
    from assay.selection.importance_resampling import ImportanceResampler as ImportanceResampler
    from assay.selection.random_subset import RandomSelector as RandomSelector

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CoverageCentricSelector": ".coverage_centric",
        "ECFS": ".eigenvector_centrality",
        "FacilityLocationSelector": ".facility_location",
        "ImportanceResampler": ".importance_resampling",
        "RandomSelector": ".random_subset",
        "Scorer": ".base",
        "Selector": ".base",
    },
)
