"""What every selector and scorer shares: one way in, one order of rows, a reason per row."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.budgets import Budget, ShortfallWarning, resolve_budget
from assay.selection.contract.covered import check_some_left
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.contract.outcomes import Choice, Decision, Outcome, explained
from assay.selection.contract.parameters import Parameters, check_is_fitted
from assay.selection.contract.subsets import rows_of
from assay.selection.registry import Method
from assay.storage.errors import BudgetError, ConfigError, MissingInputError
from assay.storage.limits import SEED, Flag, Limits
from assay.storage.notebook import short_numbers

# input that a method needs -> (argument of fit, what to pass)
_NEEDS = {
    "texts": ("X", "the texts of the pool as X"),
    "vectors": ("X", "the vectors of the pool as X, a float array of shape (n, d)"),
    "labels": ("y", "one label per row as y"),
    "graph": ("graph", "graph=SimilarityGraph.from_vectors(X, ids=ids)"),
    "scores": ("scores", "one finite number per row as scores"),
    "target": ("target", "a sample of the distribution wanted as target"),
}
# groups listed one by one in a report; the smaller ones are summed up
_GROUPS_TOLD = 100


class PoolMethod(Method, Parameters):
    """Base of what is fitted on a pool: selectors, scorers and steps."""

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
    ) -> Self:
        """Look at every row. Takes the inputs of `Selector.fit`, uses those that the method needs."""
        self.check_parameters()
        self._fit(X=X, y=y, graph=graph, scores=scores, target=target, ids=ids, groups=groups)
        return self

    def _fit(self, **arguments: Any) -> None:
        """Set the attributes, from the arguments of `fit`."""
        raise NotImplementedError(f"{type(self).__name__} defines no _fit.")

    def _notebook_rows(self) -> Iterable[tuple[str, Any]]:
        yield from self.get_params(deep=False).items()
        report = vars(self).get("report_")
        if report is not None:
            yield from short_numbers(report)

    def _inputs(self, **arguments: Any) -> Inputs:
        """Check what was given against `needs` and put rows in canonical order."""
        # a log and seeds are parameters, which the method checks
        for need in (need for need in self.needs if need in _NEEDS):
            argument, what = _NEEDS[need]
            if arguments[argument] is None:
                raise MissingInputError(
                    f"{type(self).__name__} needs {need}, and {argument} was not given; pass {what}."
                )
        return Inputs(**arguments, method=type(self).__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class Selector(PoolMethod):
    """Base of every sample selector: choose rows of a pool under a budget.

    A subclass implements `_select`, which sees inputs in canonical order (by id, bytewise, where
    ids are given; else as given), so that results do not depend on the order of the rows.

    Parameters
    ----------
    budget : int, float or str
        A count, or a share of all rows: see `assay.selection.contract.budgets.resolve_budget`.
    random_state : int, default 0
        Seed of everything random.
    strict : bool, default False
        Whether fewer usable rows than the budget are an error rather than a warning. No effect where
        every row is usable.

    Attributes
    ----------
    indices_ : int64[min(budget, usable)]
        Rows chosen, as given, in order of preference.
    ranking_ : int64[usable]
        Nested selectors only: all usable rows in order of preference; every budget is a prefix.
    weights_ : float64, aligned with `indices_`
        1.0 where the method gives no weights; see `represent`.
    scores_ : float64[n]
        What the method ranks by, higher = preferred (or as the selector says).
    report_ : dict
        `rows`, `budget`, `selected`, `shortfall`, `groups` (where groups are given: the share of
        the 100 largest in the pool and in the selection), and what the method adds.
    """

    limits: ClassVar[Limits] = {
        "budget": (Budget(),),
        "random_state": SEED,
        "strict": (Flag(),),
    }

    budget: int | float | str
    random_state: int = 0
    strict: bool = False

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        """Choose `budget` rows, or all usable ones where they are fewer.

        None of `inputs.covered` may be among them; what is said about covered rows in the outcomes
        of the choice is replaced.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no _select.")

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        covered: Any = None,
    ) -> Self:
        """Choose rows. Takes every input, uses those that the method needs.

        Parameters
        ----------
        X : sequence of str, column of text, or array of shape (n, d), optional
        y : n labels, optional
        graph : SimilarityGraph of the n rows, optional
        scores : n finite numbers, optional
        target : sample of the distribution wanted, of the kind of X, optional
        ids : n unique texts or whole numbers, optional
            Where None, those of the graph; else the positions.
        groups : n values, optional
            Counted before and after in `report_["groups"]`.
        covered : n booleans, or ids, optional
            Rows that are had already: they count as chosen for what the method optimizes, cost
            nothing of the budget, and are not handed out. Their reason is "covered".

        Raises
        ------
        MissingInputError
            An input that the method needs was not given.
        BudgetError
            The budget is malformed, more than the pool, or (strict) more than the usable rows.
        InputError
            Lengths differ, ids are null or repeated, values can't be used, or all rows are covered.
        ConfigError
            Rows are covered, and the method can't honor that.
        """
        self.check_parameters()
        if covered is not None and not self.honors_covered:
            raise ConfigError(
                f"{type(self).__name__} does not honor covered rows; leave covered out, or use a "
                "selector that declares honors_covered."
            )
        decision = self._decide(
            X=X, y=y, graph=graph, scores=scores, target=target, ids=ids, groups=groups,
            covered=covered,
        )  # fmt: skip
        chosen, times = decision.chosen, decision.times
        selected = len(chosen) if times is None else int(times.sum())
        shortfall = decision.budget - selected
        if shortfall:
            message = (
                f"The budget is {decision.budget} rows but only {len(chosen)} of {decision.n} rows "
                f"are usable: {shortfall} are missing"
            )
            if self.strict:
                raise BudgetError(f"{message}; lower the budget, or set strict=False.")
            warnings.warn(f"{message}.", ShortfallWarning, stacklevel=2)
        self.indices_ = chosen
        if decision.ranking is not None:
            self.ranking_ = decision.ranking
        self.scores_ = decision.scores
        self.weights_ = np.ones(len(chosen)) if times is None else times.astype(np.float64)
        if decision.weights is not None:
            self.weights_ = decision.weights
        self.__dict__.pop("nearest_", None)
        self._ids_of_rows = decision.ids
        self.report_: dict[str, Any] = {
            "rows": decision.n,
            "budget": decision.budget,
            "selected": selected,
            "shortfall": shortfall,
            **decision.report,
        }
        if decision.groups is not None:
            self.report_["groups"] = decision.groups
        self._outcomes = decision.outcomes
        return self

    def fit_resample(self, X: Any, y: Any = None, **inputs: Any) -> tuple[Any, Any]:
        """Choose rows, and return those of `X` and `y` in order of preference, as imbalanced-learn does.

        So a selector stands in ``imblearn.pipeline.Pipeline``: it is used where the pipeline is
        fitted, and passed over where it predicts.

        Parameters
        ----------
        X, y
            As in `fit`.
        **inputs
            The other inputs of `fit`.

        Returns
        -------
        X, y
            The chosen rows, in the form that was given; `y` is None where it was. The attribute
            `sample_indices_` holds their numbers.
        """
        self.fit(X, y, **inputs)
        self.sample_indices_ = self.indices_
        return rows_of(X, self.indices_), rows_of(y, self.indices_)

    def _decide(self, **arguments: Any) -> Decision:
        """Choose rows of what was given to `fit`; by default `_select` does, in canonical order."""
        inputs = self._inputs(**arguments)
        if self.covers_labeled:
            inputs.cover_labeled()
        budget = resolve_budget(self.budget, inputs.n)
        check_some_left(inputs.covered)
        covered = inputs.covered_rows
        choice = self._select(inputs, min(budget, inputs.n - len(covered)))
        position = np.arange(1, len(choice.chosen) + 1)
        detail = {"position": position, "score": choice.scores[choice.chosen], **choice.detail}
        ids = arguments["ids"]
        if ids is None and arguments["graph"] is not None:
            ids = arguments["graph"].ids
        return Decision(
            n=inputs.n,
            budget=budget,
            chosen=inputs.given_rows(choice.chosen),
            scores=inputs.as_given(choice.scores),
            outcomes=[
                outcome._replace(rows=inputs.given_rows(outcome.rows))
                for outcome in (
                    Outcome(choice.chosen, "select", "selected", detail),
                    *_without(choice.outcomes, inputs.covered),
                    *([Outcome(covered, "select", "covered", {})] if len(covered) else []),
                )
            ],
            ids=partial(_given_ids, ids),
            ranking=None if choice.ranking is None else inputs.given_rows(choice.ranking),
            weights=choice.weights,
            report={**choice.report, **({"covered": len(covered)} if len(covered) else {})},
            groups=None if inputs.groups is None else _shares(inputs, choice.chosen),
        )

    def weights_of(self, rows: Rows) -> Floats:
        """Return the weights of rows that a plan takes: 1.0 for those that the selector did not choose.

        Parameters
        ----------
        rows : int64[m]
            Rows of the pool, as given.
        """
        check_is_fitted(self)
        weights = np.ones(len(self.scores_))
        weights[self.indices_] = self.weights_
        return np.asarray(weights[rows])

    def represent(self, X: Any = None, graph: Any = None, *, metric: str = "cosine") -> Self:
        """Set `weights_` to how many rows of the pool each chosen row stands for.

        Also sets `nearest_`, int64[n]: the chosen row (a row of the pool) nearest to each row. So a
        model can be trained on the subset with weights. See
        `assay.selection.algorithms.representation.representation_weights`.

        Parameters
        ----------
        X : array of shape (n, d), optional
            Vectors; used where they are given.
        graph : SimilarityGraph of the n rows, optional
        metric : {"cosine", "l2"}, default "cosine"
            Of the vectors.
        """
        from assay.selection.algorithms.representation import representation_weights

        check_is_fitted(self)
        self.weights_, self.nearest_, _ = representation_weights(
            self.indices_, X, graph, self._ids_of_rows(), metric=metric
        )
        return self

    def propagate(self, values: Any) -> NDArray[Any]:
        """Return for every row of the pool the value of the chosen row nearest to it.

        Parameters
        ----------
        values : array of shape (len(indices_), ...)
            In the order of `indices_`. `represent` comes first.
        """
        from assay.selection.algorithms.representation import propagate

        check_is_fitted(self, "nearest_", msg="Call represent() before propagate().")
        return propagate(values, self.indices_, self.nearest_)

    def outcomes(self) -> list[Outcome]:
        """Return why rows are in or out, by reason: the rows as given and a detail of each."""
        check_is_fitted(self)
        return list(self._outcomes)

    def decisions(self) -> pl.DataFrame:
        """Return one row per row of the pool, in its order: why it is in or out.

        Returns
        -------
        pl.DataFrame
            `selected` (bool), `stage`, `reason`, `detail` (text: a JSON object).
        """
        frames = [explained(outcome) for outcome in self.outcomes()]
        return pl.concat(frames).sort("row").drop("row")


class Scorer(PoolMethod):
    """Base of every scorer: one number per row, higher = more of what the name says.

    A subclass implements `_score`, which sees inputs in canonical order and returns the scores
    and a report.

    Attributes
    ----------
    scores_ : float64[n]
    report_ : dict
    points : {"easier", "harder"}
        Class attribute: what a high score says of a row, so that a plan can turn the score into
        a difficulty (higher = harder).
    """

    @abstractmethod
    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        """Return one score per row, and a report."""

    def _fit(self, **arguments: Any) -> None:
        inputs = self._inputs(**arguments)
        values, report = self._score(inputs)
        self.scores_ = inputs.as_given(np.asarray(values, dtype=np.float64))
        self.report_: dict[str, Any] = {"rows": inputs.n, **report}


def _without(outcomes: Sequence[Outcome], covered: NDArray[np.bool_]) -> list[Outcome]:
    """Return the outcomes without the covered rows, whose reason is another."""
    if not covered.any():
        return list(outcomes)
    kept = []
    for outcome in outcomes:
        free = ~covered[outcome.rows]
        detail = {name: values[free] for name, values in outcome.detail.items()}
        kept.append(outcome._replace(rows=outcome.rows[free], detail=detail))
    return kept


def _given_ids(ids: Any) -> Any:
    return ids


def _shares(inputs: Inputs, chosen: Rows) -> dict[str, dict[str, float]]:
    """Return each group's share of the pool and of the selection, largest in the pool first."""
    assert inputs.groups is not None
    names = [*inputs.groups.classes, inputs.groups.without]
    codes = np.where(inputs.groups.codes < 0, len(names) - 1, inputs.groups.codes)
    pool = np.bincount(codes, minlength=len(names)) / inputs.n
    selected = np.bincount(codes[chosen], minlength=len(names)) / max(1, len(chosen))
    order = np.argsort(-pool, kind="stable")[: np.count_nonzero(pool)]
    shares = {
        names[group]: {"pool": float(pool[group]), "selected": float(selected[group])}
        for group in order[:_GROUPS_TOLD]
    }
    others = order[_GROUPS_TOLD:]
    if len(others):
        shares["(other)"] = {
            "pool": float(pool[others].sum()),
            "selected": float(selected[others].sum()),
        }
    return shares
