"""What each source of rows would add to what is had already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.algorithms.structure import unit_length
from assay.selection.algorithms.distance_to_known import known_distances
from assay.selection.algorithms.knn_shapley import knn_shapley
from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.evaluation.spread import vendi
from assay.storage.errors import InputError
from assay.storage.hashing.rows import first_rows, uniform
from assay.storage.limits import SEED, Whole, check_parameters

# validation rows that are looked at, and had rows that novelty is measured from
_ASKED, _HAD = 2_000, 20_000
_BLOCK = 4_096


class SourceValue(NamedTuple):
    """What sources add.

    Attributes
    ----------
    frame : pl.DataFrame
        A row for each source, the most valuable first: see `source_value`.
    report : dict
        `had` (rows), `wanted` (rows that were looked at), `accuracy` (before, with labels) and
        `coverage` (before).
    """

    frame: pl.DataFrame
    report: dict[str, Any]


def source_value(
    X: Any,
    sources: Any,
    *,
    wanted: Any,
    y: Any = None,
    wanted_y: Any = None,
    had: Any = None,
    ids: Any = None,
    k: int = 10,
    random_state: int = 0,
) -> SourceValue:
    r"""Measure what each source of rows would add to the rows that are had.

    With labels, by what a model learns: the share of validation rows that a ridge regression on
    vectors and random features gets right when it is fitted on the had rows and the source's, less the
    share before. Without, by coverage: how much nearer the wanted rows have their nearest row,

    .. math:: \frac{1}{m} \sum_j \Big( \max_{i \in had \cup s} \cos(t_j, x_i)
        - \max_{i \in had} \cos(t_j, x_i) \Big)

    Each source is measured alone, so that two copies of one source look equally good: buy one, count
    it as had, and ask again.

    Parameters
    ----------
    X : float[n, d]
        Vectors of all rows on offer, and of those that are had.
    sources : n values
        The source of each row.
    wanted : float[m, d]
        Vectors of validation rows, or of rows like those wanted; at most 2,000 are looked at.
    y : n labels, optional
    wanted_y : m labels, optional
        Give both or neither.
    had : sequence of sources, optional
        Sources that are had already. Without any, the start is a model that knows the most frequent
        class, and a coverage of 0.
    ids : n unique texts or whole numbers, optional
        With ids nothing depends on the order of the rows.
    k : int, default 10
        Neighbors of the Shapley values.
    random_state : int, default 0
        Of the random features.

    Returns
    -------
    SourceValue
        The frame's columns: `source`, `rows`; with labels `gain`, its standard error `gain_error` over the
        validation rows, and `knn_shapley` (the sum of the rows' Shapley values among all rows);
        `coverage` (gained), `novelty` (mean distance to the fifth nearest had row, unit vectors; null
        where none is had), `vendi` (how many different rows the source is worth).

    Raises
    ------
    InputError
        Lengths differ, one of y and wanted_y is missing, a source of `had` is unknown, or no source is
        on offer.

    Notes
    -----
    With labels one ridge fit a source, O(rows f^2 + f^3) for f = d + 321 features, and
    O(m n (d + log n)) for the Shapley values. They are no measure of single rows.

    References
    ----------
    Jia et al., "Efficient task-specific data valuation for nearest neighbor algorithms", 2019. Amiri,
    Berdoz, Raskar, "Fundamentals of task-agnostic data valuation", 2023 (its measures, diversity and
    relevance, agreed less with the gain).

    Examples
    --------
    >>> X = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]
    >>> offer = source_value(X, ["mine", "same", "other", "other"], wanted=[[0, 1]], had=["mine"])
    >>> offer.frame.select("source", "rows", pl.col("coverage").round(2)).rows()
    [('other', 2, 1.0), ('same', 1, 0.11)]
    """
    check_parameters(k=(k, Whole(1)), random_state=(random_state, *SEED))
    if (y is None) != (wanted_y is None):
        raise InputError("y and wanted_y go together; pass labels of both, or of neither.")
    inputs = Inputs(X=X, y=y, ids=ids, method="source_value")
    vectors, n = unit_length(inputs.vectors()), inputs.n
    named = pl.Series("source", sources).cast(pl.String)
    if len(named) != n:
        raise InputError(f"sources has {len(named)} values for {n} rows; pass one for each row.")
    if inputs.order is not None:
        named = named.gather(inputs.order)
    owned = pl.Series("had", list(had or []), dtype=pl.String)
    known = named.unique().sort().drop_nulls()
    unknown = owned.filter(~owned.is_in(known.implode()))
    if len(unknown):
        raise InputError(
            f"had names {unknown[0]!r}, which no row is of; sources are {', '.join(known.head(8))}."
        )
    offered = known.filter(~known.is_in(owned.implode()))
    if not len(offered):
        raise InputError("No source is on offer: all are had already.")
    sampled = _sample_places(len(np.asarray(wanted)), random_state)
    T = unit_length(np.asarray(wanted, dtype=np.float32)[sampled])
    if T.shape[1:] != vectors.shape[1:]:
        raise InputError(
            f"wanted has vectors of {T.shape[-1]} numbers, and the rows of {vectors.shape[1]}; make both "
            "with one embedder."
        )
    mine = np.flatnonzero(named.is_in(owned.implode()).fill_null(False).to_numpy())
    before = np.maximum(_nearest(T, vectors[mine]), 0)
    frame = pl.DataFrame({"source": offered})
    members = [np.flatnonzero((named == name).fill_null(False).to_numpy()) for name in offered]
    frame = frame.with_columns(pl.Series("rows", [len(rows) for rows in members]))
    report: dict[str, Any] = {"had": len(mine), "wanted": len(T), "coverage": float(before.mean())}
    if inputs.labels is not None:
        classes = [str(label) for label in inputs.labels.classes]
        place = {label: code for code, label in enumerate(classes)}
        goal = np.array([place.get(str(label), -1) for label in np.asarray(wanted_y)[sampled]])
        codes = np.asarray(inputs.labels.codes)
        gains = _gains(
            inputs.vectors(), codes, T, goal, mine, members, wanted, sampled, random_state
        )
        report["accuracy"] = gains.before
        labeled = np.flatnonzero(codes >= 0)
        values = np.zeros(n)
        values[labeled] = knn_shapley(vectors[labeled], codes[labeled], T, goal, k)
        frame = frame.with_columns(
            pl.Series("gain", gains.gain),
            pl.Series("gain_error", gains.error),
            pl.Series("knn_shapley", [float(values[rows].sum()) for rows in members]),
        )
    covered = [
        float((np.maximum(before, _nearest(T, vectors[r])) - before).mean()) for r in members
    ]
    frame = frame.with_columns(
        pl.Series("coverage", covered),
        _novelty(vectors, mine, members, inputs.noise(random_state, "source_value")),
        pl.Series("vendi", [vendi(vectors[rows]) for rows in members]),
    )
    best = "gain" if "gain" in frame.columns else "coverage"
    return SourceValue(frame.sort(best, "source", descending=[True, False]), report)


class _Gains(NamedTuple):
    before: float
    gain: list[float]
    error: list[float]


def _gains(
    X: NDArray[Any], codes: NDArray[Any], T: NDArray[Any], goal: NDArray[Any], mine: NDArray[Any],
    members: list[NDArray[Any]], wanted: Any, sampled: NDArray[Any], random_state: int,
) -> _Gains:  # fmt: skip
    """Return what models with each source get right more, and the standard errors."""
    n = len(X)
    both = np.concatenate([X, np.asarray(wanted, dtype=np.float32)[sampled]])
    every, judged = np.arange(n), np.arange(n, n + len(T))
    judge = RidgeJudge(lambda rows: both[rows], np.concatenate([codes, goal]), every, random_state)
    F, G = judge.features(every), judge.features(judged)

    def right(rows: NDArray[Any]) -> Floats:
        if not (codes[rows] >= 0).any():
            common = np.bincount(goal[goal >= 0], minlength=1).argmax()
            return np.asarray(goal == common, dtype=np.float64)
        model = judge.fit(rows, F[rows])
        return np.asarray(judge.right(model, judged, G), dtype=np.float64)

    start = right(mine)
    gain, error = [], []
    for rows in members:
        more = right(np.concatenate([mine, rows])) - start
        gain.append(float(more.mean()))
        error.append(float(more.std() / np.sqrt(len(more))))
    return _Gains(float(start.mean()), gain, error)


def _sample_places(m: int, random_state: int) -> NDArray[np.int64]:
    """Return at most 2,000 of the wanted rows, by their places."""
    if not m:
        raise InputError("wanted holds no row; pass the rows that a source should help with.")
    noise = uniform(pl.int_range(m, eager=True).cast(pl.String), random_state)
    return np.sort(first_rows(noise, _ASKED))


def _nearest(T: NDArray[Any], rows: NDArray[Any]) -> Floats:
    """Return the greatest cosine of each wanted row with the rows, -1 where there are none."""
    best = np.full(len(T), -1.0)
    for start in range(0, len(rows), _BLOCK):
        best = np.maximum(best, (T @ rows[start : start + _BLOCK].T).max(axis=1))
    return best


def _novelty(
    vectors: NDArray[Any], mine: NDArray[Any], members: list[NDArray[Any]], noise: Floats
) -> pl.Series:
    if len(mine) > _HAD:
        mine = mine[first_rows(noise[mine], _HAD)]
    known = np.unique(vectors[mine].astype(np.float32), axis=0)
    if not len(known):
        return pl.Series("novelty", [None] * len(members), dtype=pl.Float64)
    queries = np.concatenate(members)
    far = known_distances(vectors[queries].astype(np.float32), known, 5).asked
    ends = np.cumsum([len(rows) for rows in members])[:-1]
    return pl.Series("novelty", [float(part.mean()) for part in np.split(far, ends)])
