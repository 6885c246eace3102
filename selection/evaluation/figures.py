"""The figures of the ledger in words, and those that matter for a selector."""

from __future__ import annotations

from typing import Any

from assay.selection import registry

# figure -> what it measures, in a few words
WORDS = {
    "coverage.auc": "area under the coverage curve",
    "coverage.mean_distance": "mean distance of a row to the nearest chosen one",
    "coverage.max_distance": "distance of the farthest row to the nearest chosen one",
    "coverage.radius_50": "radius that covers half of the rows",
    "coverage.radius_90": "radius that covers 90% of the rows",
    "coverage.radius_95": "radius that covers 95% of the rows",
    "coverage.radius_99": "radius that covers 99% of the rows",
    "facility_location_ratio": "how well the chosen rows represent all others",
    "kl_target": "distance from the target (KL divergence)",
    "kl_target_reduction": "how much nearer to the target than the pool",
    "cmmd_pool": "distance from the pool (mean discrepancy)",
    "cmmd_target": "distance from the target (mean discrepancy)",
    "spread.early_enrichment": "how few rows hold most of the variance",
    "spread.vasicek_ratio_error": "unevenness of the spread",
    "spread.vendi": "diversity: how many different rows they are worth",
    "class.entropy": "evenness of the labels",
    "class.smallest_share": "share of the rarest label",
    "class.largest_share": "share of the most frequent label",
    "group.entropy": "evenness of the groups",
    "group.smallest_share": "share of the smallest group",
    "group.largest_share": "share of the largest group",
    "negative_flips": "share of rows that a model got right before, and gets wrong now",
    "words_covered": "share of the pool's words that they hold",
    "duplicates_left": "share of chosen rows with a chosen copy",
    "effective_sample_size": "rows that the weights are worth",
    "score_mean": "mean of the score that it ranks by",
}
# those of a selector that declares none, or whose own are not measured in a run
GENERAL = ("coverage.mean_distance", "facility_location_ratio", "duplicates_left", "kl_target")
SHOWN = 3


def figures_that_matter(select: str, ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of a ledger that say how well a selector did what it is for, three at most.

    Parameters
    ----------
    select : str
        The selector's name; one that is not registered here is judged by what is general.
    ledger : list of mapping
        Rows of `evaluate_selection`.

    Examples
    --------
    >>> ledger = [{"name": name} for name in ("kl_target", "duplicates_left", "spread.vendi")]
    >>> [row["name"] for row in figures_that_matter("importance", ledger)]
    ['kl_target', 'spread.vendi', 'duplicates_left']
    """
    by_name = {row["name"]: row for row in ledger if row.get("value", 0) is not None}
    # a run may have been made with a plug-in that is not installed here
    declared = (entry.judged_by for entry in registry.entries("selector") if entry.name == select)
    names = dict.fromkeys(name for name in (*next(declared, ()), *GENERAL) if name in by_name)
    return [by_name[name] for name in list(names)[:SHOWN]]
