"""What moved between two pools, by column and by part of the space, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.embedding.embedders import embed
from assay.index.threads import one_thread
from assay.selection.algorithms.cells import cluster, nearest, prepared
from assay.selection.algorithms.change_cost import (
    clipped,
    cost_of,
    density_ratio,
    group_costs,
    input_cost,
    input_error,
)
from assay.selection.contract.inputs import Floats, Inputs, Rows, derived_seed
from assay.selection.tables.coded_columns import CodedColumn, coded_columns
from assay.storage.errors import ColumnError, ConfigError, InputError, NonFiniteError
from assay.storage.hashing.rows import first_rows, uniform
from assay.storage.limits import SEED, Whole, check_parameters
from assay.storage.reading.frames import as_table

CONTENT = "(content)"
# bins of a column, levels that the classifier tells apart, and rows of a pool that it sees
_BINS, _LEVELS, _ROWS = 20, 200, 50_000
# mixed pools that say how far two draws of one pool differ, and the quantile taken of them
_SPLITS, _QUANTILE = 100, 0.95
# cells that are shown of each kind, and rows named for each
_SHOWN, _NEAREST = 5, 3
# principal directions of the vectors that the classifier sees
_DIRECTIONS = 32
MOST_GROUPS = 8


@dataclass(frozen=True, eq=False)
class PoolShift:
    """What moved from pool A to pool B.

    Attributes
    ----------
    columns : pl.DataFrame
        For each column, the farthest moved first: `column`, `drift` (total variation distance, 0 to
        1), `noise` (what two draws of one pool reach in 5 of 100 cases), `moved` (drift > noise),
        `value` (the bin or level whose share changed most), `share_a`, `share_b` (of that value),
        and with losses `cost` (what this column's own move alone does to the mean loss).
    cells : pl.DataFrame or None
        With vectors, the parts of the space that grew or shrank most: `cell`, `share_a`, `share_b`,
        `change`, `noise`, `near_a`, `near_b` (ids of the rows next to its center), and with losses
        `loss_a`, `loss_b`.
    cost : dict or None
        With losses: `loss_a`, `loss_b`, `change`, `inputs`, `labels`, `change_error`,
        `inputs_error` (standard errors), `effective_rows`.
    groups : pl.DataFrame or None
        With groups: `group`, `cost`; the costs sum to `cost["inputs"]`.
    report_ : dict
        `rows_a`, `rows_b`, `moved` (columns), `left_out` (column -> why it is not compared).
    """

    columns: pl.DataFrame
    cells: pl.DataFrame | None
    cost: dict[str, float] | None
    groups: pl.DataFrame | None
    report_: dict[str, Any]


def explain_shift(
    a: Any,
    b: Any,
    *,
    loss_a: Any = None,
    loss_b: Any = None,
    vectors_a: Any = None,
    vectors_b: Any = None,
    ids_a: Any = None,
    ids_b: Any = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    cells: int = 32,
    random_state: int = 0,
) -> PoolShift:
    r"""Explain how two pools differ and, where each row has a loss, what the difference cost.

    Each column becomes at most 20 bins or levels, whose shares p and q in A and B give its drift,

    .. math:: \tfrac12 \sum_v |p_v - q_v|,

    beside the 95 % quantile of the drift over 100 random splits of all rows: below it, two draws of
    one pool differ as much. Vectors are counted in k-means cells.

    With losses the change of their mean has two parts. With the density ratio w = p_B(x) / p_A(x),

    .. math:: \bar\ell_B - \bar\ell_A =
              \Big(\frac{\sum_{i \in A} w_i \ell_i}{\sum_{i \in A} w_i} - \bar\ell_A\Big) + \text{labels},

    the first of which is what other inputs cost, the rest what changed for equal inputs.

    Parameters
    ----------
    a, b : tables
        The inputs of the model: leave out labels, predictions and losses. Columns that only one of
        them has are not compared.
    loss_a, loss_b : n finite numbers, optional
        Loss of each row, by one model.
    vectors_a, vectors_b : array of shape (n, d), optional
        Give cells, and are inputs of the model where there are no comparable columns, or `groups`
        names ``"(content)"``.
    ids_a, ids_b : n unique texts or whole numbers, optional
        With ids the result does not depend on the order of the rows.
    groups : mapping of str to names of columns, optional
        Groups of columns that share the cost of inputs; columns in none are the group "others". At
        most 8 with it: a classifier is fitted for each of the 2^g - 1 coalitions.
    cells : int, default 32
    random_state : int, default 0

    Returns
    -------
    PoolShift

    Raises
    ------
    InputError
        A pool has no row, nothing can be compared, losses are given for one pool only, or their
        number is not that of the rows.
    ColumnError, ConfigError
        `groups` names a column that is not compared, one twice, or there are more than 8.

    Notes
    -----
    The ratio comes from boosted trees that tell B from A, three-fold cross-fitted, on at most 50,000
    rows of each (those whose ids hash smallest); it is clipped at its 99 % quantile and normalized by
    its mean. What lies outside A can't be weighed: see `effective_rows`. A column's own cost takes
    the ratio of its bins alone, so that columns that move together each show the whole of it;
    groups share it out (Shapley values). The random splits are drawn as counts, which have the same
    distribution; where B holds rows of A, they overstate the noise. About 1 CPU-second for 12,000
    rows of 14 columns; memory O(n d).

    References
    ----------
    Zhang, Singh, Ghassemi, Joshi, '"Why did the model fail?": attributing model performance changes
    to distribution shifts', 2023: Shapley values over mechanisms that moved. Theirs are factors of a
    causal graph; here they are inputs, groups of them, and labels given inputs. Their code's
    self-normalization scales the difference; here it scales the mean.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = {"age": rng.normal(40, 9, 2000), "job": rng.choice(["x", "y"], 2000)}
    >>> b = {"age": rng.normal(40, 9, 2000), "job": rng.choice(["x", "y"], 2000, p=[0.8, 0.2])}
    >>> loss = [np.where(pool["job"] == "x", 0.5, 0.1) for pool in (a, b)]
    >>> shift = explain_shift(a, b, loss_a=loss[0], loss_b=loss[1])
    >>> shift.columns["column", "moved"].rows()
    [('job', True), ('age', False)]
    >>> {name: round(shift.cost[name], 2) for name in ("change", "inputs", "labels")}
    {'change': 0.12, 'inputs': 0.11, 'labels': 0.0}
    """
    check_parameters(cells=(cells, Whole(2)), random_state=(random_state, *SEED))
    sides = [
        _Side.of(*side)
        for side in (("a", a, loss_a, vectors_a, ids_a), ("b", b, loss_b, vectors_b, ids_b))
    ]
    one, two = sides
    if (one.loss is None) != (two.loss is None):
        raise InputError("Losses are given for one pool only; give loss_a and loss_b, or neither.")
    if (one.vectors is None) != (two.vectors is None):
        raise InputError(
            "Vectors are given for one pool only; give vectors_a and vectors_b, or neither."
        )
    table, left_out = _common(one.table, two.table)
    coded, uncoded = coded_columns(table, _BINS)
    left_out |= uncoded
    of_b = np.repeat([False, True], [one.n, two.n])
    losses = None if one.loss is None or two.loss is None else (one.loss, two.loss)
    parts = None
    compared = list(coded)
    if one.vectors is not None and two.vectors is not None:
        content = _content(one, two, cells, random_state)
        compared.append(content.column)
        parts = _cell_table(content, one, two, of_b, losses, random_state)
    if not compared:
        raise InputError(
            "The pools have no column that can be compared: "
            + ("; ".join(f"{name}: {why}" for name, why in left_out.items()) or "they share none")
            + ". Give vectors, or tables that share a column of numbers or levels."
        )
    rows = [
        _moved(
            column, of_b, losses and losses[0], derived_seed(random_state, f"drift/{column.name}")
        )
        for column in compared
    ]
    moved = pl.DataFrame(rows, infer_schema_length=None)
    moved = moved.sort(pl.col("drift") - pl.col("noise"), descending=True, maintain_order=True)
    cost, shared = None, None
    named = _groups(groups, [column.name for column in compared])
    if losses is not None:
        cost, shared = _costs(table, coded, one, two, losses, named, random_state)
    return PoolShift(
        moved,
        parts,
        cost,
        shared,
        {
            "rows_a": one.n,
            "rows_b": two.n,
            "moved": moved.filter(pl.col("moved"))["column"].to_list(),
            "left_out": left_out,
        },
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One pool, its rows in order of id."""

    table: pl.DataFrame
    ids: pl.Series
    loss: Floats | None
    vectors: NDArray[np.float32] | None

    @property
    def n(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, name: str, table: Any, loss: Any, vectors: Any, ids: Any) -> _Side:
        frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(as_table(table))
        inputs = Inputs(y=np.zeros(frame.height), ids=ids, method="explain_shift")
        if inputs.n != frame.height or not frame.height:
            raise InputError(
                f"Pool {name} has {frame.height} rows and {inputs.n} ids; pass one id per row, and "
                "at least one row."
            )
        order = np.arange(inputs.n) if inputs.order is None else inputs.order
        numbers = None
        if loss is not None:
            numbers = np.asarray(loss, dtype=np.float64)
            if numbers.shape != (frame.height,):
                raise InputError(
                    f"loss_{name} has shape {numbers.shape} for {frame.height} rows; pass one "
                    "number per row."
                )
            if not np.isfinite(numbers).all():
                raise NonFiniteError(f"loss_{name} holds NaN or infinite values; pass finite ones.")
            numbers = numbers[order]
        rows = None
        if vectors is not None:
            rows = embed(vectors)
            if len(rows) != frame.height:
                raise InputError(
                    f"vectors_{name} has {len(rows)} rows for {frame.height}; pass one per row."
                )
            rows = rows[order]
        return cls(frame[order], inputs.ids, numbers, rows)


def _common(one: pl.DataFrame, two: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the columns that both have, A's rows before B's, and the others with the reason."""
    left_out = {name: "only A has it" for name in one.columns if name not in two.columns}
    left_out |= {name: "only B has it" for name in two.columns if name not in one.columns}
    parts = []
    for name in one.columns:
        if name in left_out:
            continue
        both = [one[name], two[name]]
        kinds = [column.dtype for column in both]
        if all(kind.is_numeric() for kind in kinds):
            both = [column.cast(pl.Float64) for column in both]
        elif kinds[0] != kinds[1] or isinstance(kinds[0], pl.Categorical | pl.Enum):
            try:
                both = [column.cast(pl.String) for column in both]
            except pl.exceptions.PolarsError:
                left_out[name] = f"A has type {kinds[0]}, B {kinds[1]}"
                continue
        parts.append(both[0].append(both[1]))
    return pl.DataFrame(parts), left_out


@dataclass(frozen=True, eq=False)
class _Content:
    column: CodedColumn
    vectors: NDArray[np.float32]
    centroids: NDArray[np.float32]


def _content(one: _Side, two: _Side, count: int, random_state: int) -> _Content:
    """Return the cells of all rows as a column."""
    assert one.vectors is not None
    assert two.vectors is not None
    if one.vectors.shape[1] != two.vectors.shape[1]:
        raise InputError(
            f"vectors_a have {one.vectors.shape[1]} numbers and vectors_b {two.vectors.shape[1]}; "
            "pass vectors of one embedder."
        )
    rows = prepared(np.concatenate([one.vectors, two.vectors]), "cosine")
    clustered = cluster(rows, count, "cosine", _noise(one, two, random_state, "cells"))
    cells = nearest(rows, clustered.centroids, "cosine")
    width = len(str(len(clustered.centroids) - 1))
    words = [f"cell-{code:0{width}d}" for code in range(len(clustered.centroids))]
    return _Content(CodedColumn(CONTENT, "levels", cells, words), rows, clustered.centroids)


def _noise(one: _Side, two: _Side, random_state: int, stream: str) -> Floats:
    seed = derived_seed(random_state, stream)
    return np.concatenate([uniform(one.ids, seed), uniform(two.ids, derived_seed(seed, "b"))])


def _mixed(counts: Rows, n_a: int, seed: int) -> Floats:
    """Return the shares in A less those in B of each code, over random splits of all rows."""
    draws = np.random.default_rng(seed).multivariate_hypergeometric(counts, n_a, _SPLITS)
    n_b = counts.sum() - n_a
    return np.asarray(draws / n_a - (counts - draws) / n_b)


def _moved(
    column: CodedColumn, of_b: NDArray[np.bool_], loss_a: Floats | None, seed: int
) -> dict[str, Any]:
    in_a, in_b = column.counts(~of_b), column.counts(of_b)
    p, q = in_a / in_a.sum(), in_b / in_b.sum()
    drift = float(np.abs(q - p).sum() / 2)
    noise = np.quantile(np.abs(_mixed(in_a + in_b, in_a.sum(), seed)).sum(axis=1) / 2, _QUANTILE)
    most = int(np.argmax(np.abs(q - p)))
    row = {
        "column": column.name,
        "drift": drift,
        "noise": float(noise),
        "moved": bool(drift > noise),
        "value": column.words[most],
        "share_a": float(p[most]),
        "share_b": float(q[most]),
    }
    if loss_a is not None:
        ratios = clipped(np.divide(q, p, out=np.zeros(len(p)), where=p > 0)[column.codes[~of_b]])
        row["cost"] = input_cost(ratios, loss_a)
    return row


def _cell_table(
    content: _Content,
    one: _Side,
    two: _Side,
    of_b: NDArray[np.bool_],
    losses: tuple[Floats, Floats] | None,
    random_state: int,
) -> pl.DataFrame:
    """Return the cells that grew and shrank most, with the rows next to their centers."""
    cells, column = content.column.codes, content.column
    in_a, in_b = column.counts(~of_b), column.counts(of_b)
    change = in_b / two.n - in_a / one.n
    seed = derived_seed(random_state, "drift/cells")
    noise = np.quantile(np.abs(_mixed(in_a + in_b, one.n, seed)), _QUANTILE, axis=0)
    order = np.argsort(-change, kind="stable")
    grew, shrank = order[:_SHOWN], order[-_SHOWN:]
    shown = [*grew[change[grew] > 0], *shrank[change[shrank] < 0]]
    similarity = np.einsum("ij,ij->i", content.vectors, content.centroids[cells])
    means = [
        np.bincount(cells[side], loss, len(column.words)) / np.maximum(counts, 1)
        for side, loss, counts in zip(
            (~of_b, of_b), losses or (), (in_a, in_b), strict=bool(losses)
        )
    ]
    rows = []
    for cell in shown:
        row = {
            "cell": column.words[cell],
            "share_a": float(in_a[cell] / one.n),
            "share_b": float(in_b[cell] / two.n),
            "change": float(change[cell]),
            "noise": float(noise[cell]),
        }
        for name, values, counts in zip(("loss_a", "loss_b"), means, (in_a, in_b), strict=False):
            row[name] = float(values[cell]) if counts[cell] else None
        for name, side, inside in (("near_a", one, ~of_b), ("near_b", two, of_b)):
            own = np.flatnonzero((cells == cell) & inside)
            near = own[np.argsort(-similarity[own], kind="stable")[:_NEAREST]]
            row[name] = side.ids.gather(near - (one.n if side is two else 0)).to_list()
        rows.append(row)
    schema = {"near_a": pl.List(pl.String), "near_b": pl.List(pl.String)}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


def _groups(
    groups: Mapping[str, Sequence[str]] | None, names: Sequence[str]
) -> dict[str, list[str]] | None:
    """Return the groups, checked, the columns in none last."""
    if groups is None:
        return None
    named = [column for columns in groups.values() for column in columns]
    for column in named:
        if column not in names:
            raise ColumnError.missing(column, names)
    if len(named) > len(set(named)):
        twice = next(column for column in named if named.count(column) > 1)
        raise ConfigError(f"Column {twice!r} is named twice in groups; name it once.")
    checked = {name: list(columns) for name, columns in groups.items() if columns}
    others = [name for name in names if name not in named and name != CONTENT]
    if others:
        checked["others"] = [*checked.get("others", []), *others]
    if len(checked) > MOST_GROUPS:
        raise ConfigError(
            f"There are {len(checked)} groups of columns, with that of the columns in none; at most "
            f"{MOST_GROUPS} can be told apart. Join some."
        )
    return checked


def _costs(
    table: pl.DataFrame,
    coded: Sequence[CodedColumn],
    one: _Side,
    two: _Side,
    losses: tuple[Floats, Floats],
    groups: dict[str, list[str]] | None,
    random_state: int,
) -> tuple[dict[str, float], pl.DataFrame | None]:
    """Return the parts of the change of the loss, and each group's part of that of the inputs."""
    noise = _noise(one, two, random_state, "folds")
    seen_a = np.sort(first_rows(noise[: one.n], _ROWS))
    seen_b = np.sort(first_rows(noise[one.n :], _ROWS)) + one.n
    seen = np.concatenate([seen_a, seen_b])
    named = {column for columns in (groups or {}).values() for column in columns}
    with_content = one.vectors is not None and (not coded or CONTENT in named)
    matrix, levels, columns = _matrix(table, coded, seen)
    if with_content:
        assert one.vectors is not None
        assert two.vectors is not None
        vectors = np.concatenate([one.vectors, two.vectors])[seen]
        directions = _principal(vectors)
        columns[CONTENT] = list(range(matrix.shape[1], matrix.shape[1] + directions.shape[1]))
        matrix = np.hstack([matrix, directions])
        levels = np.append(levels, np.zeros(directions.shape[1], dtype=bool))
    of_b = np.repeat([False, True], [len(seen_a), len(seen_b)])
    loss_a, loss_b = losses[0][seen_a], losses[1]
    ratios = density_ratio(matrix, levels, of_b, noise[seen])
    whole = cost_of(ratios, loss_a, losses[0], loss_b)
    error = np.sqrt(losses[0].var() / one.n + loss_b.var() / two.n)
    cost = {
        "loss_a": float(losses[0].mean()),
        "loss_b": float(loss_b.mean()),
        **whole._asdict(),
        "change_error": float(error),
        "inputs_error": input_error(ratios, loss_a),
    }
    if groups is None:
        return cost, None
    places = [[at for column in group for at in columns[column]] for group in groups.values()]
    shares = group_costs(matrix, levels, of_b, noise[seen], loss_a, places)
    shared = pl.DataFrame({"group": list(groups), "cost": shares})
    return cost, shared.sort(pl.col("cost").abs(), descending=True, maintain_order=True)


def _matrix(
    table: pl.DataFrame, coded: Sequence[CodedColumn], rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.bool_], dict[str, list[int]]]:
    """Return the compared columns as numbers, which of them are codes, and where each one is."""
    parts, levels = [], []
    for column in coded:
        series = table[column.name]
        if series.dtype.is_numeric() or series.dtype.is_temporal():
            numbers = series.to_physical().cast(pl.Float64)
            parts.append(numbers.to_numpy()[rows])
            levels.append(False)
        else:
            codes = coded_columns(series.to_frame(), _LEVELS)[0][0].codes
            parts.append(codes[rows].astype(np.float64))
            levels.append(True)
    places = {column.name: [at] for at, column in enumerate(coded)}
    matrix = np.stack(parts, axis=1) if parts else np.empty((len(rows), 0))
    return matrix, np.array(levels, dtype=bool), places


def _principal(vectors: NDArray[np.float32]) -> Floats:
    """Return the vectors on their first principal directions."""
    with one_thread():
        centered = vectors - vectors.mean(axis=0, dtype=np.float64)
        _, directions = np.linalg.eigh(centered.T @ centered)
        return np.asarray(centered @ directions[:, ::-1][:, :_DIRECTIONS])
