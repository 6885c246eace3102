"""What to keep: scorers, selectors, feature rankers and how they are registered."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.selection.bandit import BanditSelector as BanditSelector
    from assay.selection.base import Scorer as Scorer
    from assay.selection.base import Selector as Selector
    from assay.selection.blending import blend_scores as blend_scores
    from assay.selection.classic_filters import ChiSquared as ChiSquared
    from assay.selection.classic_filters import FTest as FTest
    from assay.selection.classic_filters import NeighborInformation as NeighborInformation
    from assay.selection.contamination import estimate_contamination as estimate_contamination
    from assay.selection.coverage_centric import CoverageCentricSelector as CoverageCentricSelector
    from assay.selection.d2 import D2Selector as D2Selector
    from assay.selection.distance_correlation import DistanceCorrelation as DistanceCorrelation
    from assay.selection.eigenvector_centrality import ECFS as ECFS
    from assay.selection.evaluation import evaluate_selection as evaluate_selection
    from assay.selection.exact_duplicates import ExactDuplicates as ExactDuplicates
    from assay.selection.facility_location import (
        FacilityLocationSelector as FacilityLocationSelector,
    )
    from assay.selection.fisher import FisherScore as FisherScore
    from assay.selection.graph_cut import GraphCutSelector as GraphCutSelector
    from assay.selection.graph_scores import CoreNumber as CoreNumber
    from assay.selection.graph_scores import Hubness as Hubness
    from assay.selection.graph_scores import KNNDensity as KNNDensity
    from assay.selection.graph_scores import PageRank as PageRank
    from assay.selection.hard_cutoff import HardCutoff as HardCutoff
    from assay.selection.herding import HerdingSelector as HerdingSelector
    from assay.selection.hierarchical import (
        HierarchicalBalancedSelector as HierarchicalBalancedSelector,
    )
    from assay.selection.importance_resampling import ImportanceResampler as ImportanceResampler
    from assay.selection.infinite_selection import InfFS as InfFS
    from assay.selection.influence_network import InfluenceNetwork as InfluenceNetwork
    from assay.selection.isolation import Isolation as Isolation
    from assay.selection.k_center import KCenterSelector as KCenterSelector
    from assay.selection.label_agreement import LabelAgreement as LabelAgreement
    from assay.selection.label_noise import noise_transition as noise_transition
    from assay.selection.laplacian import LaplacianScore as LaplacianScore
    from assay.selection.leakage import Leakage as Leakage
    from assay.selection.leakage_neighbors import leak_neighbors as leak_neighbors
    from assay.selection.local_outlier_factor import LocalOutlierFactor as LocalOutlierFactor
    from assay.selection.mahalanobis import Mahalanobis as Mahalanobis
    from assay.selection.minimum_redundancy import MRMR as MRMR
    from assay.selection.moderate import ModerateSelector as ModerateSelector
    from assay.selection.near_duplicates import NearDuplicates as NearDuplicates
    from assay.selection.outlierness import Outlierness as Outlierness
    from assay.selection.outrank import OutRank as OutRank
    from assay.selection.pivot_duplicates import PivotDeduplicator as PivotDeduplicator
    from assay.selection.planning import SelectionPlan as SelectionPlan
    from assay.selection.prototypicality import Prototypicality as Prototypicality
    from assay.selection.pvi import PVI as PVI
    from assay.selection.quick_selection import QuickSelection as QuickSelection
    from assay.selection.random_subset import RandomSelector as RandomSelector
    from assay.selection.relief import ReliefF as ReliefF
    from assay.selection.representation import propagate as propagate
    from assay.selection.representation import representation_weights as representation_weights
    from assay.selection.saturated_coverage import (
        SaturatedCoverageSelector as SaturatedCoverageSelector,
    )
    from assay.selection.self_confidence import Margin as Margin
    from assay.selection.self_confidence import SelfConfidence as SelfConfidence
    from assay.selection.semantic_duplicates import SemanticDuplicates as SemanticDuplicates
    from assay.selection.sequential_attention import SequentialAttention as SequentialAttention
    from assay.selection.stability import bootstrap_stability as bootstrap_stability
    from assay.selection.stability import consensus_ranking as consensus_ranking
    from assay.selection.top_scores import TopSelector as TopSelector
    from assay.selection.training_dynamics import AUM as AUM
    from assay.selection.training_dynamics import EL2N as EL2N
    from assay.selection.training_dynamics import Entropy as Entropy
    from assay.selection.training_dynamics import Forgetting as Forgetting
    from assay.selection.transport import TransportSelector as TransportSelector
    from assay.selection.two_stage import TwoStageSelector as TwoStageSelector
    from assay.selection.weighting_vector import Weighting as Weighting

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "AUM": ".training_dynamics",
        "BanditSelector": ".bandit",
        "ChiSquared": ".classic_filters",
        "CoreNumber": ".graph_scores",
        "CoverageCentricSelector": ".coverage_centric",
        "D2Selector": ".d2",
        "DistanceCorrelation": ".distance_correlation",
        "ECFS": ".eigenvector_centrality",
        "EL2N": ".training_dynamics",
        "Entropy": ".training_dynamics",
        "ExactDuplicates": ".exact_duplicates",
        "FTest": ".classic_filters",
        "FacilityLocationSelector": ".facility_location",
        "FisherScore": ".fisher",
        "Forgetting": ".training_dynamics",
        "GraphCutSelector": ".graph_cut",
        "HardCutoff": ".hard_cutoff",
        "HerdingSelector": ".herding",
        "HierarchicalBalancedSelector": ".hierarchical",
        "Hubness": ".graph_scores",
        "ImportanceResampler": ".importance_resampling",
        "InfFS": ".infinite_selection",
        "InfluenceNetwork": ".influence_network",
        "Isolation": ".isolation",
        "KCenterSelector": ".k_center",
        "KNNDensity": ".graph_scores",
        "LabelAgreement": ".label_agreement",
        "LaplacianScore": ".laplacian",
        "Leakage": ".leakage",
        "LocalOutlierFactor": ".local_outlier_factor",
        "MRMR": ".minimum_redundancy",
        "Mahalanobis": ".mahalanobis",
        "Margin": ".self_confidence",
        "ModerateSelector": ".moderate",
        "NearDuplicates": ".near_duplicates",
        "NeighborInformation": ".classic_filters",
        "OutRank": ".outrank",
        "Outlierness": ".outlierness",
        "PVI": ".pvi",
        "PageRank": ".graph_scores",
        "PivotDeduplicator": ".pivot_duplicates",
        "Prototypicality": ".prototypicality",
        "QuickSelection": ".quick_selection",
        "RandomSelector": ".random_subset",
        "ReliefF": ".relief",
        "SaturatedCoverageSelector": ".saturated_coverage",
        "Scorer": ".base",
        "SelectionPlan": ".planning",
        "Selector": ".base",
        "SelfConfidence": ".self_confidence",
        "SemanticDuplicates": ".semantic_duplicates",
        "SequentialAttention": ".sequential_attention",
        "TopSelector": ".top_scores",
        "TransportSelector": ".transport",
        "TwoStageSelector": ".two_stage",
        "Weighting": ".weighting_vector",
        "blend_scores": ".blending",
        "bootstrap_stability": ".stability",
        "consensus_ranking": ".stability",
        "estimate_contamination": ".contamination",
        "evaluate_selection": ".evaluation",
        "leak_neighbors": ".leakage_neighbors",
        "noise_transition": ".label_noise",
        "propagate": ".representation",
        "representation_weights": ".representation",
    },
)
