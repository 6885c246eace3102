"""What to keep: scorers, selectors, feature rankers and how they are registered."""

from assay.storage.lazy import lazy_face

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "CoverageCentricSelector": ".coverage_centric",
        "ECFS": ".eigenvector_centrality",
        "FacilityLocationSelector": ".facility_location",
        "ImportanceResampler": ".importance_resampling",
        "RandomSelector": ".random_subset",
        "Selector": ".base",
        "Scorer": ".base",
    },
)
