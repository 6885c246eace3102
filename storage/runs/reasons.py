"""The reasons of decisions: what each means, for people and for queries."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """A reason that a decision may have.

    Attributes
    ----------
    reason : str
    stage : str
        Where the row was decided.
    selected : bool
        Whether a row with this reason is chosen.
    meaning : str
        One sentence.
    """

    reason: str
    stage: str
    selected: bool
    meaning: str


REASONS = (
    Reason("selected", "select", True, "The selector chose the row."),
    Reason("churn", "churn", True, "The row stays from the last selection: no more may change."),
    Reason("empty", "read", False, "The content is null or empty."),
    Reason("undecodable", "read", False, "The image is broken, or none that can be opened."),
    Reason("not_finite", "read", False, "The vector holds NaN or infinity."),
    Reason("filter", "filter", False, "The row does not meet a condition of the plan."),
    Reason("must_exclude", "filter", False, "The row was named as one never to choose."),
    Reason("in_reference", "reference", False, "A data set that is had already holds the row."),
    Reason("leakage", "leakage", False, "The row holds an item of an evaluation set."),
    Reason("exact_duplicates", "deduplicate", False, "Another row has the same content."),
    Reason("near_duplicates", "deduplicate", False, "Another row has nearly the same content."),
    Reason("semantic_duplicates", "deduplicate", False, "Another row means nearly the same."),
    Reason("pivot_duplicates", "deduplicate", False, "The row is very similar to a pivot."),
    Reason("hard_cutoff", "cutoff", False, "The row is among the hardest, which are cut off."),
    Reason("contamination", "cutoff", False, "The row is among the estimated outliers."),
    Reason("label_noise", "cutoff", False, "The row's label is most likely wrong, or missing."),
    Reason("quota", "select", False, "The row's group had its most already."),
    Reason("cost", "select", False, "The row costs more than was left of the budget."),
    Reason("displaced", "select", False, "Rows that had to be chosen took the row's place."),
    Reason("budget", "select", False, "The budget was spent on rows that come before."),
    Reason("not_drawn", "select", False, "Other rows were drawn."),
    Reason("harder_than_window", "select", False, "The row is harder than all that were chosen."),
    Reason("easier_than_window", "select", False, "The row is easier than all that were chosen."),
    Reason("lower_score", "select", False, "Other rows have higher scores."),
    Reason("lower_gain", "select", False, "Other rows add more to what is chosen."),
    Reason("lower_gain_in_shard", "select", False, "Other rows of the shard add more."),
    Reason("lower_density", "select", False, "Other rows are harder, or stand for more rows."),
    Reason("covered", "select", False, "The row is had already; it counts as chosen."),
    Reason("near_chosen", "select", False, "A chosen row is near enough."),
    Reason("not_in_the_middle", "select", False, "The row is not at the middle distance."),
    Reason("farther_from_mean", "select", False, "Other rows keep the mean of the pool better."),
    Reason("farther_from_target", "select", False, "Other rows are nearer to the target."),
    Reason("less_use_to_transport", "select", False, "The target is served better by other rows."),
)
