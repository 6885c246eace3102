"""What a plan is given: one pool in several forms, and some rows of it in the same forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection import registry
from assay.selection.contract.inputs import Floats, Inputs, Rows, labeled, text_series
from assay.selection.contract.subsets import induced, rows_of
from assay.selection.scorers.text_rules import TextRules
from assay.storage.errors import ColumnError, ConfigError, IdError, InputError, MissingInputError
from assay.storage.names import find_or_raise, fold
from assay.storage.sql.expressions import compared, holds, names_in, numbers, places


class PlanInputs:
    """A pool's rows in the order given.

    Parameters
    ----------
    X, y, graph, target, ids, groups
        As for a selector. X is what selectors and steps take that need vectors, or texts where
        `texts` is None.
    texts : sequence of str, optional
        What they take that need texts.
    images : Images, optional
        What they take instead of texts that can.
    stream : stored stream of n-grams, optional
        What the selector takes instead of texts.
    scores : mapping of name to float[n], or float[n], optional
        One array is known as "scores".
    table : frame of n rows, optional
        The pool's own columns, for rules, costs, groups and orders.
    wanted : array of shape (m, d), optional
        The target's vectors, where `target` is texts but X is vectors.
    samples : frame of n rows, optional
        What else is known of the rows: `source`, `row`, `content_hash`.

    Attributes
    ----------
    n : int
    ids : pl.Series of String
    own, ours : pl.DataFrame
        The columns of `table`; and sample_id, label and group_id (where given), those of `samples`,
        the scores. A rule's names mean `own` first; ``assay.NAME`` means `ours`.
    """

    def __init__(
        self,
        *,
        X: Any = None,
        texts: Any = None,
        images: Any = None,
        stream: Any = None,
        y: Any = None,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        table: Any = None,
        samples: Any = None,
        wanted: Any = None,
    ) -> None:
        frame = pl.DataFrame() if table is None else pl.DataFrame(table)
        named = _named(scores)
        first = next(iter(named.values()), None)
        if ids is None and not frame.is_empty() and "sample_id" in frame.columns:
            ids = frame["sample_id"]
        contents = next((c for c in (X, texts, images, stream) if c is not None), None)
        if ids is None and graph is None and contents is None and frame.height:
            ids = np.arange(frame.height)
        checked = Inputs(X=contents, y=y, graph=graph, scores=first, ids=ids, groups=groups)
        self.n = checked.n
        self.ids = checked.given_ids.alias("sample_id")
        self._X, self._y, self._graph = X, y, graph
        self._texts, self._images, self._stream = texts, images, stream
        self._groups, self._target, self.scores = groups, target, named
        self._wanted = target if wanted is None else wanted
        by_name: dict[str, Any] = {"label": y, "group_id": groups, **named}
        for name, values in by_name.items():
            if values is not None and len(values) != self.n:
                raise InputError(f"{name} has {len(values)} values for {self.n} rows of the pool.")
        if frame.width and frame.height != self.n:
            raise InputError(f"table has {frame.height} rows for {self.n} of the pool.")
        self._by_name = {name: values for name, values in by_name.items() if values is not None}
        self._facts = pl.DataFrame() if samples is None else pl.DataFrame(samples)
        self.own = frame

    @cached_property
    def ours(self) -> pl.DataFrame:
        """What is known of the rows besides the pool's own columns."""
        columns = [pl.Series(name, values) for name, values in self._by_name.items()]
        known = {"sample_id", *self._by_name}
        more = [c for c in self._facts.get_columns() if c.name not in known]
        return pl.DataFrame([self.ids, *columns, *more])

    def column(self, name: str, what: str) -> pl.Series:
        """Return the column that a name means.

        Raises
        ------
        ColumnError, ConfigError
            There is none of that name, or several that differ in case only.
        """
        column = find_or_raise(name, self.own.columns, self.ours.columns, what=what)
        return (self.ours if column.ours else self.own).get_column(column.name)

    def holds(self, condition: str) -> NDArray[np.bool_]:
        """Return where an SQL condition holds."""
        return holds(self.own, condition, ours=self.ours, what="filter")

    def compared(self, condition: str, rows: Rows) -> tuple[pl.Series, float] | None:
        """Return what a condition compares with a number, in some rows, and the number."""
        return compared(self.own, condition, rows, ours=self.ours, what="filter")

    def broken(self, condition: str, rows: Rows) -> dict[str, pl.Series]:
        """Return, by score that counts broken rules and that a condition names, the rules of some rows."""
        if self._texts is None:
            return {}
        named = names_in(condition, self.own.columns, self.ours.columns, what="filter").ours
        counters = {name: counter for name in named if (counter := rule_counter(name)) is not None}
        if not counters:
            return {}
        texts = text_series(self._texts).gather(rows)
        return {name: counter.broken(texts) for name, counter in counters.items()}

    def places(self, order: str) -> NDArray[np.int64]:
        """Return the place of every row under an SQL order, ties by id."""
        return places(self.own, order, ours=self.ours, what="keeper order")

    def score(self, name: str) -> Floats:
        """Return a score by name.

        Raises
        ------
        ColumnError
            There is none of that name.
        """
        if name not in self.scores:
            raise ColumnError.missing(name, self.scores, what="score")
        return np.asarray(self.scores[name], dtype=np.float64)

    def add_scores(self, expressions: Mapping[str, Any]) -> None:
        """Add scores that are SQL or Polars expressions over the table.

        Raises
        ------
        ConfigError
            An expression can't be evaluated, or its name is taken.
        """
        for name, expression in expressions.items():
            taken = {fold(c) for c in (*self.own.columns, *self.ours.columns)}
            if fold(name) in taken:
                raise ConfigError(
                    f"The score {name!r} has the name of a column (case does not count); choose "
                    "another."
                )
            if isinstance(expression, pl.Expr):
                more = [c for c in self.ours.get_columns() if c.name not in self.own.columns]
                table = pl.DataFrame([*self.own.get_columns(), *more])
                values = table.select(expression.cast(pl.Float64)).to_series().to_numpy()
            else:
                values = numbers(self.own, expression, ours=self.ours, what=f"score {name}")
            if len(values) != self.n:
                raise ConfigError(
                    f"The score {name!r} gives {len(values)} values for {self.n} rows."
                )
            self.scores[name] = values
            self.ours = pl.DataFrame([*self.ours.get_columns(), pl.Series(name, values)])

    def given(
        self,
        needs: Collection[str],
        rows: Rows,
        *,
        selector: bool = False,
        images_for_texts: bool = False,
    ) -> dict[str, Any]:
        """Return the arguments of `fit` for a method that declares `needs`, over some rows."""
        texts = self._stream if selector and self._stream is not None else self._texts
        if images_for_texts and self._images is not None:
            texts = self._images
        X = texts if "texts" in needs and texts is not None else self._X
        whole = len(rows) == self.n
        ids = self.ids if whole else self.ids.gather(rows)
        if whole:
            parts = {"X": X, "y": self._y, "groups": self._groups, "graph": self._graph}
        else:
            graph = None if self._graph is None else induced(self._graph, rows)
            parts = {"X": rows_of(X, rows), "y": rows_of(self._y, rows), "graph": graph}
            parts["groups"] = rows_of(self._groups, rows)
        return {**parts, "ids": ids, "target": self._target}

    def target_and_rows(self, rows: Rows) -> tuple[Any, Any]:
        """Return the target and some rows of the pool, both as vectors or both as texts.

        Raises
        ------
        MissingInputError
            No target was given.
        """
        if self._wanted is None:
            raise MissingInputError(
                "mixture='target' needs a target; pass a sample of the distribution wanted as target."
            )
        X = self._X if self._X is not None else self._texts
        return self._wanted, rows_of(X, rows)

    def vectors(self, rows: Rows) -> NDArray[Any] | None:
        """Return the vectors of some rows, None if the pool has no vectors."""
        if not isinstance(self._X, np.ndarray) or self._X.ndim != 2:
            return None
        return self._X if len(rows) == self.n else self._X[rows]

    def covered(self, covered: Sequence[Any] | str) -> NDArray[np.bool_]:
        """Return where rows are covered: by an SQL condition, or by ids."""
        if isinstance(covered, str):
            return holds(self.own, covered, ours=self.ours, what="covered condition")
        return self.marked(covered, "covered")

    def labeled(self) -> NDArray[np.bool_]:
        """Return where rows have a label."""
        return np.zeros(self.n, dtype=bool) if self._y is None else labeled(self._y)

    def marked(self, ids: Sequence[Any], what: str) -> NDArray[np.bool_]:
        """Return where the pool's ids are among `ids`.

        Raises
        ------
        IdError
            One of them is not in the pool.
        """
        wanted = pl.Series(what, list(ids)).cast(pl.String).unique()
        if wanted.is_empty():
            return np.zeros(self.n, dtype=bool)
        unknown = wanted.filter(~wanted.is_in(self.ids.implode()))
        if len(unknown):
            raise IdError(
                f"{what} names {len(unknown)} ids that the pool does not have, such as "
                f"{unknown.sort()[0]!r}; leave them out."
            )
        return self.ids.is_in(wanted.implode()).to_numpy()


def rule_counter(score: str) -> type[TextRules] | None:
    """Return the scorer of a score that counts broken rules, None for any other."""
    entry = next((e for e in registry.entries("scorer") if e.name == score), None)
    scorer = None if entry is None else entry.load()
    return scorer if isinstance(scorer, type) and issubclass(scorer, TextRules) else None


def _named(scores: Any) -> dict[str, Any]:
    if scores is None:
        return {}
    if isinstance(scores, pl.DataFrame):
        return {c.name: c.to_numpy() for c in scores.get_columns()}
    return dict(scores) if isinstance(scores, Mapping) else {"scores": scores}
