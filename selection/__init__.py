"""What to keep: scorers, selectors, feature rankers, steps and the plan around a selector."""

from typing import TYPE_CHECKING

from assay.selection.registry import classes
from assay.storage.lazy import lazy_face

if TYPE_CHECKING:
    from assay.selection.algorithms.composition import Composition as Composition
    from assay.selection.algorithms.composition import (
        estimate_composition as estimate_composition,
    )
    from assay.selection.algorithms.contamination import (
        estimate_contamination as estimate_contamination,
    )
    from assay.selection.algorithms.influence_network import InfluenceNetwork as InfluenceNetwork
    from assay.selection.algorithms.representation import propagate as propagate
    from assay.selection.algorithms.representation import (
        representation_weights as representation_weights,
    )
    from assay.selection.base import Scorer as Scorer
    from assay.selection.base import Selector as Selector
    from assay.selection.evaluation.label_noise import noise_transition as noise_transition
    from assay.selection.evaluation.ledger import evaluate_selection as evaluate_selection
    from assay.selection.plan.blending import blend_scores as blend_scores
    from assay.selection.plan.plan import SelectionPlan as SelectionPlan
    from assay.selection.plan.splitting import split_leaks as split_leaks
    from assay.selection.plan.splitting import split_pool as split_pool
    from assay.selection.rankers.stability import bootstrap_stability as bootstrap_stability
    from assay.selection.rankers.stability import consensus_ranking as consensus_ranking
    from assay.selection.steps.leakage import leak_neighbors as leak_neighbors

# the classes of methods come from the registry
_OTHERS = {
    "Composition": ".algorithms.composition",
    "InfluenceNetwork": ".algorithms.influence_network",
    "Scorer": ".base",
    "SelectionPlan": ".plan.plan",
    "Selector": ".base",
    "blend_scores": ".plan.blending",
    "bootstrap_stability": ".rankers.stability",
    "consensus_ranking": ".rankers.stability",
    "estimate_composition": ".algorithms.composition",
    "estimate_contamination": ".algorithms.contamination",
    "evaluate_selection": ".evaluation.ledger",
    "leak_neighbors": ".steps.leakage",
    "noise_transition": ".evaluation.label_noise",
    "propagate": ".algorithms.representation",
    "representation_weights": ".algorithms.representation",
    "split_leaks": ".plan.splitting",
    "split_pool": ".plan.splitting",
}

__getattr__, __dir__, __all__ = lazy_face(__name__, {**classes(), **_OTHERS})
