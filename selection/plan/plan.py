"""One plan: filters, deduplication, cutoff, a blend of scores, and a selector under constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection import registry
from assay.selection.contract.outcomes import Explained, Outcome, explained
from assay.selection.contract.parameters import Parameters, check_is_fitted
from assay.selection.plan.choice import choose
from assay.selection.plan.churn import Bound
from assay.selection.plan.constraints import checked_cost, total_budget
from assay.selection.plan.inputs import PlanInputs
from assay.selection.plan.mixtures import check_learned, check_mixture
from assay.selection.plan.noise import unreliable
from assay.selection.plan.stages import cut, deduplicated, filtered, leaked, referenced
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import check_parameters
from assay.storage.notebook import Shown, short_numbers

# what a plan does, in this order
_PARTS = ("filters", "reference", "leakage", "deduplicate", "cutoff", "choice")
# parameters that hold tables
_TABLES = ("mixture_from_runs", "mixture_from_models")


@dataclass(kw_only=True, eq=False, repr=False)
class SelectionPlan(Shown, Parameters):
    """Filters -> references -> leakage -> deduplication -> cutoff -> blend of scores -> a selector under constraints.

    Every row of the pool gets exactly one decision: selected, or the first thing that left it out.

    Parameters
    ----------
    budget : int, float or str
        A count, or a share of the whole pool; in units of `cost` where that is given.
    selector : str, default "facility_location"
        A selector's name in the registry. It sees the rows that are left, and of the graph the
        edges between them.
    options : mapping, optional
        Parameters of the selector.
    filters : sequence of str, default ()
        SQL conditions that a row must meet: ``"length(text) > 20"``. In all rules a name means a
        column of `table`, exactly or without regard to case; ``assay.NAME``, and a name that the
        table does not have, means one of ours (`sample_id`, `label`, `group_id`, a score). NaN acts
        as null does: it meets no condition and comes last in an order.
    expressions : mapping of name to str or polars.Expr, optional
        Further scores: SQL or Polars expressions over the same columns.
    reference : mapping of name to texts, vectors or ReferenceSet, optional
        Data sets that are had elsewhere: rows that are exactly, nearly or semantically in one are
        left out; see `InReference`, and for its parameters `reference_options`.
    reference_covers : bool, default False
        Whether those rows count as chosen, as covered rows do.
    leakage : mapping of name to texts, optional
        Evaluation sets whose items must not be chosen; see `Leakage`, and for its parameters
        `leakage_options`.
    deduplicate : sequence of str or (str, mapping), default ()
        Names of deduplication steps in the registry, with their parameters.
    keeper : str, optional
        The row of a group of duplicates that stays: the first in this SQL order
        (``"length(text) desc"``), ties by id. Must-include rows come first in any case.
    cutoff : float in [0, 1), "auto" or "contamination", optional
        Share of the rows left to drop as too hard, by `difficulty`; a selector with a cutoff of its
        own then cuts nothing more. "auto" needs a budget in rows. "contamination": the outliers are
        dropped, as many as `estimate_contamination` says (the mean of its posterior), by the scores
        outlierness, lof and mahalanobis where there are any, else computed from the vectors.
    difficulty : str, optional
        Name of the score (higher = harder) of the cutoff, and of the selector where there is no
        blend; where None, the only score there is.
    blend : mapping of name to weight, optional
        Scores to blend for the selector; see `blend_scores`.
    blend_method : {"rank", "z", "none", "rra", "median"}, default "rank"
    cost : str, optional
        Column with the cost of a row (tokens, seconds, ...).
    by : str, optional
        Column of the groups of `quotas` and `minima`; where None, the groups given, else the labels.
    quotas, minima : mapping of group to int or float, optional
        Most and least of a group in the selection: a number (rows, or cost), or a share of the
        budget. ``"*"`` is for every group not named. A minimum above what the group has means all
        of it.
    mixture : mapping of source to weight, or {"even", "proportional", "sqrt", "target"}, optional
        The share of each source in the selection, in rows or in `cost`; `by` names the column of
        sources (by default `source`, else the groups or labels given). Shares are exact, by largest
        remainder in rows; no source stands in for one that has too little. "target" takes the shares
        that `estimate_composition` finds in the target, of cells of similar rows where there is
        neither `by` nor a column `source`.
    mixture_from_runs, mixture_from_models : frame, optional
        In place of `mixture`: what its shares are learned from, by the functions of those names, within
        what the pool has of each source. One row for each run or model, one column for each source.
    mixture_options : mapping, optional
        Further parameters of those functions; `metric`, the column to go by, must be among them.
    repeat : int, default 1
        How often a row of such a source may count (epochs), as its weight says; in rows only. What
        is still missing is the shortfall.
    rounding : {"largest_remainder", "dhondt"}, default "largest_remainder"
        How parts of a mixture become whole rows: within a row of the exact part, or so that no part falls
        when the budget grows; see `assay.selection.algorithms.allocation.allocate`.
    must_include, must_exclude : sequence of ids, default ()
        Rows that are taken first, whatever filters say; rows that never are.
    covered : sequence of ids, or str, default ()
        Rows that are had already, by id or by an SQL condition (``"label is not null"``). They count
        as chosen for what the selector optimizes, cost nothing of the budget, and are not handed
        out; no stage leaves them out, and of a group of duplicates they are the ones that stay.
        Quotas, minima and `churn` are about the rows that are handed out.
    churn : int, float or str, optional
        How many of the `previous` rows may be replaced: a count (int >= 0), or a share of the budget
        (0.0 to 1.0, "10%"; where there is a cost, of the previous rows). None: no bound. See
        `assay.selection.plan.churn.bounded`.
    previous : sequence of ids, default ()
        Rows of an earlier selection. Those that are gone, or that a stage before the selector leaves
        out, don't count.
    weigh : bool or "noise", default False
        Whether `weights_` say how much of the pool each chosen row stands for (the rows, of those
        that the selector saw, that are nearest to it) instead of the selector's own weights.
        "noise": how much likelier each row's label is as its class than as a label, the score
        `noise_weight` (computed where it is not among `scores`; see `NoiseWeight`), with which a
        model learns as if labels were clean. Rows below a thousandth, and those without a label,
        are left out after the cutoff.
    random_state : int, default 0
    strict : bool, default False
        Whether fewer usable rows than the budget are an error rather than a warning.

    Attributes
    ----------
    indices_ : int64[m]
        Must-include rows first, by id, then the others in the selector's order of preference, last
        those that only `churn` keeps.
    weights_ : float64[m]
    scores_ : float64[n]
        The selector's, NaN for rows that it did not see.
    kept_ : bool[n]
        Rows that the selector saw.
    leaks_ : pl.DataFrame
        Rows found in evaluation sets: sample_id, evaluation_set, item, span, kind.
    duplicates_ : pl.DataFrame
        Groups found: group_id, sample_id, keeper (bool), similarity, kind.
    report_ : dict
        The selector's; `stages` (rows left out at each), `spent` and `budget` (in cost where there
        is one), `shortfall`; with `churn` what `assay.selection.plan.churn.bounded` reports.

    Raises
    ------
    BudgetError
        Budget, must-include rows, quotas and minima contradict each other.
    ConfigError, ColumnError, IdError, InputError, MissingInputError
        Something named is not there or can't be used.

    Notes
    -----
    A selector that gives one nested ranking is asked once, and the ranking walked under the
    constraints; another is asked again for twice as many rows until the constraints can be met. The
    budget is met exactly in rows; in cost it is not exceeded, and no row that was passed over would
    still fit.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> table = pl.DataFrame({"tokens": [5, 80, 10, 20, 30], "source": list("aabbb")})
    >>> plan = SelectionPlan(
    ...     budget=3, selector="top", filters=["tokens < 50"], by="source", quotas={"b": 2}
    ... )
    >>> plan.fit(scores=np.arange(5.0), table=table).indices_.tolist()
    [4, 3, 0]
    >>> plan.decisions()["reason"].to_list()
    ['selected', 'filter', 'quota', 'selected', 'selected']
    """

    budget: int | float | str
    selector: str = "facility_location"
    options: Mapping[str, Any] | None = None
    filters: Sequence[str] = ()
    expressions: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None
    reference_options: Mapping[str, Any] | None = None
    reference_covers: bool = False
    leakage: Mapping[str, Any] | None = None
    leakage_options: Mapping[str, Any] | None = None
    deduplicate: Sequence[Any] = ()
    keeper: str | None = None
    cutoff: float | Literal["auto", "contamination"] | None = None
    difficulty: str | None = None
    blend: Mapping[str, float] | None = None
    blend_method: Literal["rank", "z", "none", "rra", "median"] = "rank"
    cost: str | None = None
    by: str | None = None
    quotas: Mapping[str, int | float] | None = None
    minima: Mapping[str, int | float] | None = None
    mixture: Mapping[str, float] | Literal["even", "proportional", "sqrt", "target"] | None = None
    mixture_from_runs: Any = None
    mixture_from_models: Any = None
    mixture_options: Mapping[str, Any] | None = None
    repeat: int = 1
    rounding: Literal["largest_remainder", "dhondt"] = "largest_remainder"
    must_include: Sequence[Any] = ()
    must_exclude: Sequence[Any] = ()
    covered: Sequence[Any] | str = ()
    churn: int | float | str | None = None
    previous: Sequence[Any] = ()
    weigh: bool | Literal["noise"] = False
    random_state: int = 0
    strict: bool = False

    def _notebook_rows(self) -> Iterable[tuple[str, Any]]:
        parameters = self.get_params(deep=False)
        parameters |= {name: "a table" for name in _TABLES if parameters[name] is not None}
        yield from ((k, v) for k, v in parameters.items() if v)
        report = vars(self).get("report_")
        if report is not None:
            yield from short_numbers(report)
            yield from report["stages"].items()

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        texts: Any = None,
        images: Any = None,
        stream: Any = None,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        table: Any = None,
        samples: Any = None,
        wanted: Any = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Self:
        """Choose rows; the inputs are those of `PlanInputs`.

        `progress(part, number, total)` is called as each part of the plan begins.
        """

        def begin(part: str) -> None:
            if progress is not None:
                progress(part, _PARTS.index(part) + 1, len(_PARTS))

        pool = PlanInputs(
            X=X, texts=texts, images=images, stream=stream, y=y, graph=graph, scores=scores,
            target=target, ids=ids, groups=groups, table=table, samples=samples, wanted=wanted,
        )  # fmt: skip
        pool.add_scores(self.expressions or {})
        check_parameters(rounding=(self.rounding, "largest_remainder", "dhondt"))
        if self.mixture is not None:
            check_mixture(self.mixture, self.repeat)
        check_learned(
            self.mixture, self.mixture_from_runs, self.mixture_from_models, self.mixture_options
        )
        if not (isinstance(self.weigh, bool) or self.weigh == "noise"):
            raise ConfigError(f"weigh is {self.weigh!r}; it may be: True, False, 'noise'.")
        must = pool.marked(self.must_include, "must_include")
        banned = pool.marked(self.must_exclude, "must_exclude")
        if (must & banned).any():
            both = pool.ids.filter(must & banned)[0]
            raise ConfigError(f"{both!r} is in must_include and in must_exclude; choose one.")
        covered = pool.covered(self.covered)
        if registry.entry(self.selector, "selector").covers_labeled:
            covered |= pool.labeled()
        if (must & covered).any():
            both = pool.ids.filter(must & covered)[0]
            raise ConfigError(
                f"{both!r} is in must_include and is covered; leave it out of one, as covered rows "
                "are not handed out."
            )
        banned &= ~covered
        stays = must | covered
        cost = None
        if self.cost is not None:
            cost = checked_cost(pool.column(self.cost, "cost").to_numpy(), self.cost)
        budget = total_budget(self.budget, pool.n, cost)
        bound = None
        if self.churn is not None:
            bound = Bound.of(
                self.churn, self.previous, pool.ids, int(budget) if cost is None else None
            )
        alive = ~banned
        begin("filters")
        outcomes = [
            Outcome(np.flatnonzero(banned), "filter", "must_exclude", {}),
            *filtered(pool, self.filters, stays, alive),
        ]
        begin("reference")
        outcomes += referenced(
            pool, self.reference or {}, self.reference_options or {}, stays, alive
        )
        had = covered.copy()
        if self.reference_covers:
            for outcome in outcomes:
                if outcome.reason == "in_reference":
                    had[outcome.rows] = True
        begin("leakage")
        left_out, self.leaks_ = leaked(
            pool, self.leakage or {}, self.leakage_options or {}, stays, alive
        )
        outcomes += left_out
        begin("deduplicate")
        left_out, self.duplicates_ = deduplicated(pool, self.deduplicate, self.keeper, stays, alive)
        outcomes += left_out
        begin("cutoff")
        cutoff_report: dict[str, Any] = {}
        if self.cutoff is not None:
            share = None if cost is not None else int(budget) + int(covered.sum())
            outcome, cutoff_report = cut(pool, self.cutoff, self.difficulty, share, stays, alive)
            outcomes.append(outcome)
        noise = None
        if self.weigh == "noise":
            outcome, noise, noise_report = unreliable(pool, self.random_state, stays, alive)
            outcomes.append(outcome)
            cutoff_report |= noise_report
        if not (alive & ~covered).any():
            counts = [(len(o.rows), o.reason) for o in outcomes]
            counts.append((int(covered.sum()), "covered"))
            counted = ", ".join(f"{count} by {reason}" for count, reason in counts if count)
            raise InputError(f"The plan leaves no row to select from ({counted}); loosen it.")
        seen = np.flatnonzero(alive | had)
        begin("choice")
        choice = choose(self, pool, seen, must, had, cost, budget, bound, noise)
        self.indices_ = choice.chosen
        self.weights_ = choice.weights
        self.scores_ = choice.scores
        self.kept_ = alive
        stages: dict[str, int] = {}
        for outcome in outcomes:
            stages[outcome.reason] = stages.get(outcome.reason, 0) + len(outcome.rows)
        self.report_ = {**choice.report, **cutoff_report, "stages": stages}
        self._outcomes = [*outcomes, *(_of_covered(o, covered) for o in choice.outcomes)]
        return self

    def decisions(self) -> pl.DataFrame:
        """Return one row per row of the pool, in its order; see `Selector.decisions`.

        Stages and reasons: filter (must_exclude, filter), reference (in_reference), leakage, deduplicate (the step's name),
        cutoff (hard_cutoff, contamination, label_noise), select (quota: its group had its most; cost: it did not fit; displaced:
        others had to be taken; budget: used up before it; covered: had already; else the selector's own), churn (churn:
        chosen, because of the bound on replaced rows).
        """
        check_is_fitted(self)
        frames = [explained(outcome) for outcome in self._outcomes if len(outcome.rows)]
        return pl.concat(frames).sort("row").drop("row")

    def explained(self) -> Explained:
        """Return what explains the rows of the pool as `decisions` does, a part at a time."""
        check_is_fitted(self)
        return Explained(self._outcomes, len(self.kept_))


def _of_covered(outcome: Outcome, covered: NDArray[np.bool_]) -> Outcome:
    """Return an outcome without rows that a reference covers, whose reason is that."""
    if outcome.reason != "covered":
        return outcome
    return outcome._replace(rows=outcome.rows[covered[outcome.rows]])
