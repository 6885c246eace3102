"""What a draw changed: distances, overlaps, groups and weights, each beside a random subset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress
from typing import Any

import numpy as np

from assay.selection.algorithms.top_k import top_k
from assay.selection.contract.inputs import Floats, Labels, Rows
from assay.selection.contract.outcomes import Outcome, rank_of
from assay.selection.importance.draws import Drawn, Evidence, effective_sample_size
from assay.selection.importance.fit import Fitted
from assay.selection.importance.targets import Chosen

_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
# groups listed one by one; the smaller ones are summed up
_GROUPS_TOLD = 100


def quantiles(log_weights: Floats, rows: Rows | None = None) -> dict[str, float]:
    """Return quantiles of the log weights that are not NaN, of all rows or of some."""
    held = log_weights[~np.isnan(log_weights)] if rows is None else log_weights[rows]
    values = np.quantile(held, list(_QUANTILES.values()), overwrite_input=True)
    return dict(zip(_QUANTILES, values.tolist(), strict=True))


def random_rows(fitted: Fitted, random_state: int, k: int) -> Rows:
    """Return as many usable rows at random."""
    noise = fitted.rows.noise(random_state, "random")
    noise[~fitted.open] = np.nan
    return top_k(noise, k, fitted.rows.in_order)


def target_reports(fitted: Fitted, chosen: Chosen, random: Rows) -> dict[str, dict[str, Any]]:
    """Return what became of each target's share of the budget; `random` are rows at random."""
    reports = {}
    for target, (name, drawn) in enumerate(chosen.by_target.items()):
        report = fitted.evidence.report_of(target)
        if len(drawn.rows):
            log_weights = fitted.evidence.log_weights[target]
            top = top_k(log_weights, len(drawn.rows), fitted.rows.in_order)
            report |= _drawn_report(fitted.evidence, target, drawn, top, random[: len(drawn.rows)])
            for measure in ("kl_selected", "kl_selected_random"):
                less = report["kl_pool"] - report[measure]
                report[measure.replace("selected", "reduction")] = less
        reports[name] = {
            "quota": chosen.quota[name], "selected": int(drawn.times.sum()), **report
        }  # fmt: skip
    return reports


def _drawn_report(
    evidence: Evidence, target: int, drawn: Drawn, top: Rows, random: Rows
) -> dict[str, Any]:
    log_weights = evidence.log_weights[target]
    once = np.ones(len(random), dtype=np.int64)
    kl, by_chance = evidence.divergences(target, [(drawn.rows, drawn.times), (random, once)])
    return {
        "temperature": drawn.temperature,
        "kl_selected": kl,
        "kl_selected_random": by_chance,
        "effective_sample_size": effective_sample_size(log_weights, drawn.temperature),
        "effective_sample_size_random": float(np.count_nonzero(evidence.usable)),
        "topk_overlap": float(np.isin(drawn.rows, top).mean()),
        "topk_overlap_random": float(np.isin(random, top).mean()),
        "log_weight_quantiles": quantiles(log_weights),
        "log_weight_quantiles_selected": quantiles(log_weights, drawn.rows),
        "log_weight_quantiles_random": quantiles(log_weights, random),
    }


def summary(
    reports: dict[str, dict[str, Any]], quota: dict[str, int], *, named: bool
) -> dict[str, Any]:
    """Return the report of the only target; of named ones, each and their means over the budget."""
    if not named:
        (report,) = reports.values()
        return {name: value for name, value in report.items() if name not in ("quota", "selected")}
    drawn = {name: report for name, report in reports.items() if report["selected"]}
    share = np.array([quota[name] for name in drawn]) / max(1, sum(quota[name] for name in drawn))
    measures = [
        name
        for name, value in next(iter(drawn.values()), {}).items()
        if name.startswith(("kl_", "topk_", "target_unseen")) and isinstance(value, float)
    ]
    # added in the order of the names, so that the order of the targets does not matter
    order = np.argsort(list(drawn))
    values = {name: np.array([report[name] for report in drawn.values()]) for name in measures}
    means = {name: float((share * figures)[order].sum()) for name, figures in values.items()}
    return {**means, "targets": reports}


def group_shares(labels: Labels, rows: Rows, times: Rows, random: Rows) -> dict[str, Any]:
    """Return each group's share of the pool, of the selection and of the random subset."""
    names = [*labels.classes, labels.without]
    codes = np.where(labels.codes < 0, len(names) - 1, labels.codes)
    counts = {
        "pool": np.bincount(codes, minlength=len(names)),
        "selected": np.bincount(np.repeat(codes[rows], times), minlength=len(names)),
        "random": np.bincount(codes[random], minlength=len(names)),
    }
    shares = {side: count / max(1, count.sum()) for side, count in counts.items()}
    order = np.argsort(-counts["pool"], kind="stable")[: np.count_nonzero(counts["pool"])]
    by_group = {
        names[group]: {side: float(share[group]) for side, share in shares.items()}
        for group in order[:_GROUPS_TOLD]
    }
    others = order[_GROUPS_TOLD:]
    if len(others):
        by_group["(other)"] = {side: float(share[others].sum()) for side, share in shares.items()}
    return by_group


class Decided:
    """The outcome of every row, worked out when asked for."""

    def __init__(
        self,
        in_order: Callable[[Rows], Rows],
        usable: Any,
        scores: Floats,
        keys: Floats | None,
        chosen: Chosen,
        replace: bool,
        covered: Any,
    ) -> None:
        self._parts = (in_order, usable, scores, keys, chosen, replace, covered)

    def __iter__(self) -> Iterator[Outcome]:
        in_order, usable, scores, keys, chosen, replace, covered = self._parts
        detail: dict[str, Any] = {
            "position": np.arange(1, len(chosen.rows) + 1),
            "score": scores[chosen.rows],
        }
        if keys is not None:
            detail["key"] = keys[chosen.rows]
        if len(chosen.by_target) > 1:
            detail["targets"] = _names(chosen)
        if replace:
            detail["times"] = chosen.times
        yield Outcome(chosen.rows, "select", "selected", detail)
        left = usable & ~covered
        left[chosen.rows] = False
        rest = np.flatnonzero(left)
        order = in_order(np.arange(len(scores)))
        rank = np.empty(len(scores), dtype=np.int64)
        rank[order] = rank_of(scores[order])
        numbers = {"score": scores[rest], "rank": rank[rest]}
        if keys is not None:
            cut = np.full(len(rest), keys[chosen.rows].min())
            numbers |= {"key": keys[rest], "threshold": cut}
        yield Outcome(rest, "select", "not_drawn", numbers)
        if covered.any():
            yield Outcome(np.flatnonzero(covered), "select", "covered", {})
        yield Outcome(np.flatnonzero(~usable & ~covered), "read", "empty", {})


def _names(chosen: Chosen) -> Any:
    """Return the names of the targets that each chosen row was drawn for, joined by commas."""
    names = sorted(chosen.by_target)
    owned = [np.isin(chosen.rows, chosen.by_target[name].rows).tolist() for name in names]
    return np.array(
        [",".join(compress(names, owners)) for owners in zip(*owned, strict=True)], dtype=object
    )
