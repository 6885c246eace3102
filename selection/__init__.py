"""What to keep: scorers, selectors, feature rankers and how they are registered."""

from typing import TYPE_CHECKING

from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.selection.algorithms.influence_network import InfluenceNetwork as InfluenceNetwork
    from assay.selection.algorithms.representation import propagate as propagate
    from assay.selection.algorithms.representation import (
        representation_weights as representation_weights,
    )
    from assay.selection.base import Scorer as Scorer
    from assay.selection.base import Selector as Selector
    from assay.selection.evaluation.contamination import (
        estimate_contamination as estimate_contamination,
    )
    from assay.selection.evaluation.label_noise import noise_transition as noise_transition
    from assay.selection.evaluation.ledger import evaluate_selection as evaluate_selection
    from assay.selection.importance.resampler import ImportanceResampler as ImportanceResampler
    from assay.selection.plan.blending import blend_scores as blend_scores
    from assay.selection.plan.plan import SelectionPlan as SelectionPlan
    from assay.selection.rankers.distance_correlation import (
        DistanceCorrelation as DistanceCorrelation,
    )
    from assay.selection.rankers.ecfs import ECFS as ECFS
    from assay.selection.rankers.fisher import FisherScore as FisherScore
    from assay.selection.rankers.inf_fs import InfFS as InfFS
    from assay.selection.rankers.laplacian import LaplacianScore as LaplacianScore
    from assay.selection.rankers.mrmr import MRMR as MRMR
    from assay.selection.rankers.outrank import OutRank as OutRank
    from assay.selection.rankers.quick_selection import QuickSelection as QuickSelection
    from assay.selection.rankers.relieff import ReliefF as ReliefF
    from assay.selection.rankers.sequential_attention import (
        SequentialAttention as SequentialAttention,
    )
    from assay.selection.rankers.stability import bootstrap_stability as bootstrap_stability
    from assay.selection.rankers.stability import consensus_ranking as consensus_ranking
    from assay.selection.rankers.univariate import ChiSquared as ChiSquared
    from assay.selection.rankers.univariate import FTest as FTest
    from assay.selection.rankers.univariate import NeighborInformation as NeighborInformation
    from assay.selection.scorers.graph import CoreNumber as CoreNumber
    from assay.selection.scorers.graph import Hubness as Hubness
    from assay.selection.scorers.graph import KNNDensity as KNNDensity
    from assay.selection.scorers.graph import PageRank as PageRank
    from assay.selection.scorers.isolation import Isolation as Isolation
    from assay.selection.scorers.label_agreement import LabelAgreement as LabelAgreement
    from assay.selection.scorers.local_outlier_factor import (
        LocalOutlierFactor as LocalOutlierFactor,
    )
    from assay.selection.scorers.mahalanobis import Mahalanobis as Mahalanobis
    from assay.selection.scorers.outlierness import Outlierness as Outlierness
    from assay.selection.scorers.prototypicality import Prototypicality as Prototypicality
    from assay.selection.scorers.self_confidence import PVI as PVI
    from assay.selection.scorers.self_confidence import Margin as Margin
    from assay.selection.scorers.self_confidence import SelfConfidence as SelfConfidence
    from assay.selection.scorers.training_dynamics import AUM as AUM
    from assay.selection.scorers.training_dynamics import EL2N as EL2N
    from assay.selection.scorers.training_dynamics import Entropy as Entropy
    from assay.selection.scorers.training_dynamics import Forgetting as Forgetting
    from assay.selection.scorers.weighting import Weighting as Weighting
    from assay.selection.selectors.bandit import BanditSelector as BanditSelector
    from assay.selection.selectors.coverage_centric import (
        CoverageCentricSelector as CoverageCentricSelector,
    )
    from assay.selection.selectors.d2 import D2Selector as D2Selector
    from assay.selection.selectors.facility_location import (
        FacilityLocationSelector as FacilityLocationSelector,
    )
    from assay.selection.selectors.graph_cut import GraphCutSelector as GraphCutSelector
    from assay.selection.selectors.herding import HerdingSelector as HerdingSelector
    from assay.selection.selectors.hierarchical import (
        HierarchicalBalancedSelector as HierarchicalBalancedSelector,
    )
    from assay.selection.selectors.k_center import KCenterSelector as KCenterSelector
    from assay.selection.selectors.moderate import ModerateSelector as ModerateSelector
    from assay.selection.selectors.random import RandomSelector as RandomSelector
    from assay.selection.selectors.saturated_coverage import (
        SaturatedCoverageSelector as SaturatedCoverageSelector,
    )
    from assay.selection.selectors.top import TopSelector as TopSelector
    from assay.selection.selectors.transport import TransportSelector as TransportSelector
    from assay.selection.selectors.two_stage import TwoStageSelector as TwoStageSelector
    from assay.selection.steps.exact_duplicates import ExactDuplicates as ExactDuplicates
    from assay.selection.steps.hard_cutoff import HardCutoff as HardCutoff
    from assay.selection.steps.leakage import Leakage as Leakage
    from assay.selection.steps.leakage import leak_neighbors as leak_neighbors
    from assay.selection.steps.near_duplicates import NearDuplicates as NearDuplicates
    from assay.selection.steps.pivot_duplicates import PivotDeduplicator as PivotDeduplicator
    from assay.selection.steps.semantic_duplicates import SemanticDuplicates as SemanticDuplicates

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    {
        "AUM": ".scorers.training_dynamics",
        "BanditSelector": ".selectors.bandit",
        "ChiSquared": ".rankers.univariate",
        "CoreNumber": ".scorers.graph",
        "CoverageCentricSelector": ".selectors.coverage_centric",
        "D2Selector": ".selectors.d2",
        "DistanceCorrelation": ".rankers.distance_correlation",
        "ECFS": ".rankers.ecfs",
        "EL2N": ".scorers.training_dynamics",
        "Entropy": ".scorers.training_dynamics",
        "ExactDuplicates": ".steps.exact_duplicates",
        "FTest": ".rankers.univariate",
        "FacilityLocationSelector": ".selectors.facility_location",
        "FisherScore": ".rankers.fisher",
        "Forgetting": ".scorers.training_dynamics",
        "GraphCutSelector": ".selectors.graph_cut",
        "HardCutoff": ".steps.hard_cutoff",
        "HerdingSelector": ".selectors.herding",
        "HierarchicalBalancedSelector": ".selectors.hierarchical",
        "Hubness": ".scorers.graph",
        "ImportanceResampler": ".importance.resampler",
        "InfFS": ".rankers.inf_fs",
        "InfluenceNetwork": ".algorithms.influence_network",
        "Isolation": ".scorers.isolation",
        "KCenterSelector": ".selectors.k_center",
        "KNNDensity": ".scorers.graph",
        "LabelAgreement": ".scorers.label_agreement",
        "LaplacianScore": ".rankers.laplacian",
        "Leakage": ".steps.leakage",
        "LocalOutlierFactor": ".scorers.local_outlier_factor",
        "MRMR": ".rankers.mrmr",
        "Mahalanobis": ".scorers.mahalanobis",
        "Margin": ".scorers.self_confidence",
        "ModerateSelector": ".selectors.moderate",
        "NearDuplicates": ".steps.near_duplicates",
        "NeighborInformation": ".rankers.univariate",
        "OutRank": ".rankers.outrank",
        "Outlierness": ".scorers.outlierness",
        "PVI": ".scorers.self_confidence",
        "PageRank": ".scorers.graph",
        "PivotDeduplicator": ".steps.pivot_duplicates",
        "Prototypicality": ".scorers.prototypicality",
        "QuickSelection": ".rankers.quick_selection",
        "RandomSelector": ".selectors.random",
        "ReliefF": ".rankers.relieff",
        "SaturatedCoverageSelector": ".selectors.saturated_coverage",
        "Scorer": ".base",
        "SelectionPlan": ".plan.plan",
        "Selector": ".base",
        "SelfConfidence": ".scorers.self_confidence",
        "SemanticDuplicates": ".steps.semantic_duplicates",
        "SequentialAttention": ".rankers.sequential_attention",
        "TopSelector": ".selectors.top",
        "TransportSelector": ".selectors.transport",
        "TwoStageSelector": ".selectors.two_stage",
        "Weighting": ".scorers.weighting",
        "blend_scores": ".plan.blending",
        "bootstrap_stability": ".rankers.stability",
        "consensus_ranking": ".rankers.stability",
        "estimate_contamination": ".evaluation.contamination",
        "evaluate_selection": ".evaluation.ledger",
        "leak_neighbors": ".steps.leakage",
        "noise_transition": ".evaluation.label_noise",
        "propagate": ".algorithms.representation",
        "representation_weights": ".algorithms.representation",
    },
)
