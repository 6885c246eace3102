"""How much a model gains from the items of a benchmark that its training data held."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from assay.storage.errors import ColumnError, InputError
from assay.storage.limits import SEED, Whole, check_parameters

_COLUMNS = ("span", "correct")
_GROUPS = ("benchmark", "model")
# thresholds tried at most: quantiles of the spans above 0
_THRESHOLDS = 32
_LEAST = 5


def contamination_effect(
    results: Any, *, permutations: int = 1_000, random_state: int = 0
) -> pl.DataFrame:
    r"""Return, for each benchmark and model, from which run of shared words on items help, and how much.

    An item counts as contaminated from a threshold t of its longest run of words on. The estimated
    performance gain is what accuracy over all items has over that of the items below t,

    .. math:: EPG(t) = acc(all) - acc(span < t),

    and its z is against the gains of permuted results. The t of the greatest z is taken: benchmarks and
    models differ in it.

    Parameters
    ----------
    results : table
        A row for each item (and model): `span`, words of the longest run that the training data shares
        with it, 0 or null where none; `correct`, 0 to 1; and, where there are several, `benchmark` and
        `model`.
    permutations : int, default 1,000
    random_state : int, default 0

    Returns
    -------
    pl.DataFrame
        `benchmark`, `model` (where given), `items`, `threshold` (words), `marked` (share of the items from it
        on), `accuracy`, `accuracy_below`, `gain` (EPG), `z` and `p`, the share of permutations whose best z is
        as great: choosing the best threshold is accounted for. Null where no threshold leaves 5 items
        on either side.

    Raises
    ------
    ColumnError, InputError
        A column is missing, or holds something else.

    Notes
    -----
    O(items log items + permutations thresholds items / 8) for each benchmark and model. What is correlated is
    not caused: items that are easy may also be quoted more.

    References
    ----------
    Singh et al., "Evaluation data contamination in LLMs: how do we measure it and (when) does it
    matter?", 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> span = rng.integers(0, 40, 400)
    >>> correct = rng.random(400) < np.where(span >= 20, 0.9, 0.5)
    >>> found = contamination_effect({"span": span, "correct": correct})
    >>> abs(found["threshold"][0] - 20) <= 3, found["gain"][0] > 0.15
    (True, True)
    """
    check_parameters(permutations=(permutations, Whole(10)), random_state=(random_state, *SEED))
    frame = pl.DataFrame(results)
    if frame.schema.get("correct") == pl.String:  # booleans of a file of text
        words = frame["correct"].str.to_lowercase()
        if bool(words.is_in(["true", "false"]).all()):
            frame = frame.with_columns(correct=words == "true")
    for name in _COLUMNS:
        if name not in frame.columns:
            raise ColumnError.missing(name, frame.columns, what="column of the results")
        if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean):
            raise InputError(f"The column {name} holds {frame[name].dtype}; give numbers.")
    frame = frame.with_columns(pl.col("span").fill_null(0), pl.col("correct").cast(pl.Float64))
    right = frame["correct"]
    if right.null_count() or not bool(right.is_between(0, 1).all()):
        raise InputError("The column correct holds values that are not from 0 to 1, or none.")
    groups = [name for name in _GROUPS if name in frame.columns]
    parts = frame.partition_by(groups, maintain_order=True) if groups else [frame]
    rows = []
    for part in parts:
        # by content, so that the order of the rows does not matter
        part = part.sort("span", "correct")
        named = {name: part[name][0] for name in groups}
        span, correct = part["span"].to_numpy(), part["correct"].to_numpy()
        rows.append(named | _effect(span, correct, permutations, random_state))
    effects = pl.DataFrame(rows, infer_schema_length=None)
    return effects.sort(groups) if groups else effects


def _effect(
    span: np.ndarray, correct: np.ndarray, permutations: int, random_state: int
) -> dict[str, Any]:
    """Return the threshold of the greatest z, and what it says. Rows are in order of span."""
    n = len(span)
    levels = np.unique(span[span > 0])
    if len(levels) > _THRESHOLDS:
        levels = np.unique(np.quantile(levels, np.linspace(0, 1, _THRESHOLDS), method="nearest"))
    below = np.searchsorted(span, levels, side="left")
    usable = (below >= _LEAST) & (n - below >= _LEAST)
    levels, below = levels[usable], below[usable]
    accuracy = float(correct.mean())
    effect: dict[str, Any] = {"items": n, "threshold": None, "marked": None, "accuracy": accuracy}
    effect |= dict.fromkeys(("accuracy_below", "gain", "z", "p"))
    spread = correct.std()
    if not len(levels) or spread == 0:
        return effect
    # the mean of m of n values drawn without replacement
    error = spread * np.sqrt((n - below) / (below * max(n - 1, 1)))

    def best(values: np.ndarray) -> tuple[int, float]:
        z = (accuracy - np.cumsum(values)[below - 1] / below) / error
        return int(z.argmax()), float(z.max())

    at, z = best(correct)
    draw = np.random.default_rng(random_state)
    drawn = np.array([best(draw.permutation(correct))[1] for _ in range(permutations)])
    mean_below = float(correct[: below[at]].mean())
    return effect | {
        "threshold": int(levels[at]),
        "marked": float(1 - below[at] / n),
        "accuracy_below": mean_below,
        "gain": accuracy - mean_below,
        "z": z,
        "p": float((1 + (drawn >= z).sum()) / (1 + permutations)),
    }
