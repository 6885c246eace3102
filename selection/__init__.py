"""What to keep: scorers, selectors, feature rankers, steps and the plan around a selector.

Its types are in the stub beside it, which `docs/typed_face.py` writes.
"""

from assay.selection.registry import classes
from assay.storage.lazy import lazy_face

# the classes of methods come from the registry
_OTHERS = {
    "Composition": ".algorithms.composition",
    "LearnedMixture": ".algorithms.learned_mixture",
    "InfluenceNetwork": ".algorithms.influence_network",
    "PoolShift": ".evaluation.pool_shift",
    "Scorer": ".base",
    "SelectionPlan": ".plan.plan",
    "Selector": ".base",
    "blend_scores": ".plan.blending",
    "bootstrap_stability": ".rankers.stability",
    "consensus_ranking": ".rankers.stability",
    "estimate_composition": ".algorithms.composition",
    "estimate_contamination": ".algorithms.contamination",
    "Shortcuts": ".evaluation.shortcuts",
    "Slices": ".evaluation.slices",
    "evaluate_selection": ".evaluation.ledger",
    "pair_weights": ".algorithms.labeled_pairs",
    "contamination_effect": ".evaluation.contamination_effects",
    "embedder_agreement": ".evaluation.agreement",
    "explain_shift": ".evaluation.pool_shift",
    "find_shortcuts": ".evaluation.shortcuts",
    "learning_curve": ".evaluation.budget_curve",
    "leak_neighbors": ".steps.leakage",
    "mixture_from_models": ".algorithms.mixture_of_models",
    "mixture_from_runs": ".algorithms.mixture_of_runs",
    "noise_transition": ".evaluation.label_noise",
    "propagate": ".algorithms.representation",
    "representation_weights": ".algorithms.representation",
    "missing_relevance": ".tables.missing_indicators",
    "share_seats": ".algorithms.seats",
    "source_value": ".evaluation.sources",
    "split_leaks": ".plan.splitting",
    "split_pool": ".plan.splitting",
    "weak_slices": ".evaluation.slices",
}

NAMES = {**classes(), **_OTHERS}

__getattr__, __dir__, __all__ = lazy_face(__name__, NAMES)
