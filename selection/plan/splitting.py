"""Splits that don't leak: parts of a pool that no group of duplicates straddles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from assay.index.search.vector_index import VectorIndex
from assay.selection.algorithms.close_pairs import close_neighbors, near_pairs
from assay.selection.algorithms.equal_content import content_codes, first_of_each, normalized
from assay.selection.algorithms.minhash import shingles
from assay.selection.algorithms.near_copies import Similarities, copy_threshold
from assay.selection.contract.inputs import Floats, Inputs, Rows, derived_seed, text_series
from assay.selection.steps.near_duplicates import banding, bucketed, set_codes
from assay.storage.errors import ConfigError, InputError, MissingInputError
from assay.storage.hashing.rows import hash_rows, uniform

SCHEMA = {"sample_id": pl.String, "part": pl.String, "group_id": pl.String}
LEAKS = {
    "sample_id": pl.String,
    "part": pl.String,
    "other_id": pl.String,
    "other_part": pl.String,
    "similarity": pl.Float64,
    "kind": pl.String,
}
_PERMUTATIONS, _NGRAMS = 128, 5


@dataclass(frozen=True, eq=False)
class Split:
    """A pool cut into parts.

    Attributes
    ----------
    frame : pl.DataFrame
        sample_id, part, group_id (the least id of the group), one row per row of the pool.
    report : dict
        `rows`, `groups`, `largest_group`, `parts` (for each its wanted `share`, its `rows` and the
        share that they are), `deviation` (the largest difference of the two), and with `stratify`
        `label_deviation`, the same within the labels.
    """

    frame: pl.DataFrame
    report: dict[str, Any]


def split_pool(
    parts: Mapping[str, float],
    X: Any = None,
    *,
    vectors: Any = None,
    graph: Any = None,
    ids: Any = None,
    stratify: Any = None,
    by: Any = None,
    time: Any = None,
    previous: Any = None,
    near: float | None = 0.75,
    semantic: float | Literal["auto"] | None = "auto",
    random_state: int = 0,
) -> Split:
    """Cut a pool into parts, so that no group of duplicates has rows in two of them.

    Groups are the components of the pairs that are exactly, nearly or semantically the same, and of
    rows with the same value of `by`. The part of a group follows from a hash of its least id: rows
    keep their part when the pool grows, unless a new row joins two groups. Shares are then those
    wanted but for chance, and the report says how far off they are. With `stratify` groups are
    dealt out label by label, by the same hash, so that shares are exact up to the size of a group;
    `previous` then keeps rows in their part as the pool grows.

    Parameters
    ----------
    parts : mapping of name to share
        They are brought to the sum 1.
    X : n texts, or array of shape (n, d), optional
    vectors : array of shape (n, d), optional
        Those of the texts.
    graph : SimilarityGraph of the n rows, optional
        Without it no row is semantically the same as another.
    ids : n unique texts or whole numbers, optional
    stratify : n labels, optional
        A group has the label that most of its rows have.
    by : n values, optional
        Rows of one value stay together; rows without one are free.
    time : n values that can be sorted, optional
        The earliest groups (by their first row) go to the first part, and so on, so that no part has
        a row that is earlier than those before it but for duplicates.
    previous : frame with sample_id and part, optional
        Groups that hold one of its rows stay in the part of the one with the least id.
    near : float in (0, 1] or None, default 0.75
        Least Jaccard similarity of texts that are nearly the same; see `NearDuplicates`.
    semantic : float, "auto" or None, default "auto"
        Least similarity on the graph; see `SemanticDuplicates`.
    random_state : int, default 0

    Raises
    ------
    ConfigError, InputError
        Shares that can't be used, or inputs of other lengths.

    Examples
    --------
    >>> texts = [f"text number {i // 2} of some" for i in range(400)]
    >>> split = split_pool({"train": 0.8, "test": 0.2}, texts)
    >>> split.frame.group_by("group_id").agg(pl.col("part").n_unique())["part"].max()
    1
    >>> split.report["deviation"] < 0.05
    True
    """
    names, shares = _parts(parts)
    if time is not None and stratify is not None:
        raise ConfigError("Parts are cut by time or within labels; leave time or stratify out.")
    inputs = Inputs(X=X, y=stratify, graph=graph, ids=ids, groups=by, method="split_pool")
    group = _components(inputs, X, vectors, graph, near, semantic)
    least = np.full(int(group.max()) + 1, inputs.n)
    np.minimum.at(least, group, np.arange(inputs.n))
    sizes = np.bincount(group)
    seed = derived_seed(random_state, "split")
    noise = uniform(inputs.ids.gather(least), seed)
    kept = _previous(previous, inputs.ids, group, least, names)
    if time is not None:
        part = _by_time(time, inputs, group, sizes, noise, shares)
    elif stratify is not None:
        labels = _majority(inputs, group)
        part = np.empty(len(sizes), dtype=np.int64)
        for label in np.unique(labels):
            mine = np.flatnonzero(labels == label)
            part[mine] = _dealt(sizes[mine], noise[mine], shares, kept[mine])
    else:
        drawn = np.searchsorted(np.cumsum(shares)[:-1], noise, side="right")
        part = np.where(kept >= 0, kept, drawn)
    of_row = part[group]
    frame = pl.DataFrame(
        {
            "sample_id": inputs.ids,
            "part": pl.Series(names).gather(of_row),
            "group_id": inputs.ids.gather(least[group]),
        },
        schema=SCHEMA,
    )
    report = _report(names, shares, of_row, sizes, inputs)
    order = inputs.as_given(np.arange(inputs.n))
    return Split(frame[order], report)


def split_leaks(
    part: Any,
    X: Any = None,
    *,
    vectors: Any = None,
    graph: Any = None,
    y: Any = None,
    ids: Any = None,
    near: float | None = 0.75,
    semantic: float | Literal["auto"] | None = "auto",
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Find pairs of rows that are the same, or nearly, and lie in different parts of a split.

    Parameters
    ----------
    part : n values
        The part of each row; rows without one are passed over.
    X, vectors, graph, ids, near, semantic
        As of `split_pool`.
    y : n labels, optional
        With vectors, the share of each part's rows whose nearest row of the largest part has their
        label: of all, and of those that don't leak.

    Returns
    -------
    leaks : pl.DataFrame
        sample_id, part, other_id, other_part, similarity, kind ("exact", "near", "semantic"): for
        each row the pairs found, those of the larger part as `other_id`.
    report : dict
        `pairs`, `rows` that leak by part, and `nearest`: for each part `accuracy` and `without`.
    """
    inputs = Inputs(X=X, y=y, graph=graph, ids=ids, groups=part, method="split_leaks")
    assert inputs.groups is not None
    codes, names = inputs.groups.codes.astype(np.int64), inputs.groups.classes
    size = np.bincount(codes[codes >= 0], minlength=len(names))
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.lexsort((np.arange(len(names)), -size))] = np.arange(len(names))
    pairs = _across(inputs, X, _pairs(inputs, X, vectors, graph, near, semantic), codes, rank)
    smaller, larger = pairs["row"].to_numpy(), pairs["other"].to_numpy()
    leaks = pl.DataFrame(
        {
            "sample_id": inputs.ids.gather(smaller),
            "part": pl.Series(names).gather(codes[smaller]),
            "other_id": inputs.ids.gather(larger),
            "other_part": pl.Series(names).gather(codes[larger]),
            "similarity": pairs["similarity"],
            "kind": pl.Series(["exact", "near", "semantic"]).gather(pairs["kind"]),
        },
        schema=LEAKS,
    ).sort("part", "sample_id", "other_id")
    counts = leaks.group_by("part").agg(pl.col("sample_id").n_unique())
    report: dict[str, Any] = {
        "pairs": leaks.height,
        "rows": dict.fromkeys(names, 0) | dict(counts.iter_rows()),
        "sizes": dict(zip(names, size.tolist(), strict=True)),
    }
    rows = _rows(inputs, X, vectors)
    if inputs.labels is not None and rows is not None and len(names) > 1:
        leaking = np.zeros(inputs.n, dtype=bool)
        leaking[smaller] = True
        largest = int(np.argmin(rank))
        report["nearest"] = _nearest(rows, inputs.labels.codes, codes, names, largest, leaking)
    return leaks, report


def _across(
    inputs: Inputs,
    X: Any,
    pairs_and_kinds: tuple[Rows, Rows, Floats, Rows],
    codes: Rows,
    rank: Rows,
) -> pl.DataFrame:
    """Return the pairs in different parts: row, other (of the larger part), similarity, kind.

    Pairs were found among one row of each set of copies; every copy has its pairs, with the first
    row of each part that the other set has rows in.
    """
    rows = np.arange(inputs.n)
    exact = _content_codes(inputs) if X is not None else np.full(inputs.n, -1)
    alike = first_of_each(exact, rows)
    if X is not None and not inputs.holds_vectors:
        by_shingles = first_of_each(set_codes(shingles(inputs.texts(), _NGRAMS)), rows)
        alike = by_shingles[alike]
    first, second, similarity, kind = pairs_and_kinds
    of_first, of_second = alike[first], alike[second]
    apart = of_first != of_second
    links = pl.DataFrame(
        {
            "class": np.concatenate([of_first[apart], of_second[apart], alike]),
            "to": np.concatenate([of_second[apart], of_first[apart], alike]),
            "similarity": np.concatenate(
                [similarity[apart], similarity[apart], np.ones(len(rows))]
            ),
            "kind": np.concatenate([kind[apart], kind[apart], np.ones(len(rows), dtype=np.int64)]),
        }
    ).unique(["class", "to"], keep="first", maintain_order=True)
    each = pl.DataFrame({"row": rows, "class": alike, "part": codes}).filter(pl.col("part") >= 0)
    firsts = each.group_by("class", "part").agg(pl.col("row").min().alias("other"))
    pairs = (
        each.join(links, on="class")
        .join(firsts.rename({"class": "to", "part": "other_part"}), on="to")
        .filter(pl.col("part") != pl.col("other_part"))
    )
    row, other = pairs["row"].to_numpy(), pairs["other"].to_numpy()
    same = (exact[row] >= 0) & (exact[row] == exact[other])
    pairs = pairs.with_columns(kind=pl.when(pl.Series(same)).then(0).otherwise("kind"))
    smaller = rank[codes[row]] > rank[codes[other]]
    return pairs.filter(pl.Series(smaller))


def _content_codes(inputs: Inputs) -> Rows:
    """Return one number per row, equal where the content is; -1 where there is none."""
    if inputs.holds_vectors:
        return content_codes(hash_rows(inputs.vectors()))
    texts = normalized(inputs.texts())
    filled = (texts.is_not_null() & (texts != "")).fill_null(False).to_numpy()
    return np.where(filled, content_codes(hash_rows(texts)), -1)


def _nearest(
    rows: NDArray[np.float32],
    y: NDArray[Any],
    codes: Rows,
    names: list[str],
    largest: int,
    leaking: NDArray[np.bool_],
) -> dict[str, dict[str, float | None]]:
    """Return how often the nearest row of the largest part tells the label, by part."""
    train = np.flatnonzero((codes == largest) & (y >= 0))
    if not len(train):
        return {}
    index = VectorIndex("cosine").build(np.ascontiguousarray(rows[train]))
    shares = {}
    for code, name in enumerate(names):
        mine = np.flatnonzero((codes == code) & (y >= 0))
        if code == largest or not len(mine):
            continue
        _, neighbors = index.search(rows[mine], 1)
        right = y[train[neighbors[:, 0]]] == y[mine]
        clean = right[~leaking[mine]]
        shares[name] = {
            "accuracy": float(right.mean()),
            "without": float(clean.mean()) if len(clean) else None,
        }
    return shares


def _parts(parts: Any) -> tuple[list[str], Floats]:
    if not isinstance(parts, Mapping) or len(parts) < 2:
        raise ConfigError(f"parts is {parts!r}; pass at least two names with their shares.")
    for name, share in parts.items():
        number = isinstance(share, int | float) and not isinstance(share, bool)
        if not number or not 0 < share < np.inf:
            raise ConfigError(f"The share of part {name!r} is {share!r}; pass a number above 0.")
    shares = np.array([float(share) for share in parts.values()])
    return [str(name) for name in parts], shares / shares.sum()


def _rows(inputs: Inputs, X: Any, vectors: Any) -> NDArray[np.float32] | None:
    """Return the vectors in canonical order, None where there are none."""
    if X is not None and inputs.holds_vectors:
        return inputs.vectors()
    if vectors is None:
        return inputs.graph_vectors()
    rows = np.asarray(vectors, dtype=np.float32)
    if len(rows) != inputs.n:
        raise InputError(f"vectors has {len(rows)} rows for {inputs.n} of the pool.")
    return rows if inputs.order is None else rows[inputs.order]


def _pairs(
    inputs: Inputs, X: Any, vectors: Any, graph: Any, near: Any, semantic: Any
) -> tuple[Rows, Rows, Floats, Rows]:
    """Return pairs of canonical rows that are the same, the similarity and the kind, best first."""
    if X is None and graph is None and inputs.groups is None:
        raise MissingInputError("Duplicates need contents: pass texts or vectors as X, or a graph.")
    parts: list[tuple[Rows, Rows, Floats, int]] = []
    order = np.arange(inputs.n)
    rows = _rows(inputs, X, vectors)
    if X is not None:
        first = first_of_each(_content_codes(inputs), order)
        copies = np.flatnonzero(first != order)
        parts.append((first[copies], copies, np.ones(len(copies)), 0))
        if not inputs.holds_vectors and near is not None:
            if not 0 < near <= 1:
                raise ConfigError(f"near is {near!r}; pass a number in (0, 1], or None.")
            held = shingles(text_series(inputs.texts()), _NGRAMS)
            same = first_of_each(set_codes(held), order)
            copies = np.flatnonzero(same != order)
            parts.append((same[copies], copies, np.ones(len(copies)), 1))
            bands, values = banding(near, _PERMUTATIONS)
            buckets = bucketed(held, same == order, bands, values, 0)
            parts.append((*near_pairs(held, buckets, near), 1))
    if inputs.graph is not None and semantic is not None:
        if semantic == "auto":
            among = None if rows is None else Similarities(rows, inputs.metric)
            semantic = copy_threshold(
                inputs.graph,
                inputs.metric,
                inputs.noise(0, "semantic_duplicates"),
                among,
            )
        view = inputs.graph
        parts.append((*close_neighbors(view.neighbors, view.similarities, float(semantic)), 2))
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0), nothing
    low, high = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    value = np.concatenate([part[2] for part in parts])
    kind = np.concatenate([np.full(len(part[0]), part[3]) for part in parts])
    low, high = np.minimum(low, high), np.maximum(low, high)
    # the first kind that holds of a pair
    _, once = np.unique(low * inputs.n + high, return_index=True)
    return low[once], high[once], value[once], kind[once]


def _components(inputs: Inputs, X: Any, vectors: Any, graph: Any, near: Any, semantic: Any) -> Rows:
    """Return the group of every canonical row."""
    first, second, _, _ = _pairs(inputs, X, vectors, graph, near, semantic)
    if inputs.groups is not None:
        same = first_of_each(inputs.groups.codes.astype(np.int64), np.arange(inputs.n))
        others = np.flatnonzero(same != np.arange(inputs.n))
        first, second = np.concatenate([first, same[others]]), np.concatenate([second, others])
    ones = np.ones(len(first), dtype=np.int8)
    edges = csr_matrix((ones, (first, second)), shape=(inputs.n, inputs.n))
    return np.asarray(connected_components(edges, directed=False)[1], dtype=np.int64)


def _previous(
    previous: Any, ids: pl.Series, group: Rows, least: Rows, names: list[str]
) -> NDArray[np.int64]:
    """Return the part that each group had, -1 where it is new or its part is no more."""
    kept = np.full(len(least), -1, dtype=np.int64)
    if previous is None:
        return kept
    frame = pl.DataFrame(previous).select("sample_id", "part").unique("sample_id", keep="first")
    known = pl.DataFrame({"sample_id": ids}).join(
        frame, on="sample_id", how="left", maintain_order="left"
    )["part"]
    place = {name: at for at, name in enumerate(names)}
    code = known.replace_strict(place, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
    rows = np.flatnonzero(code >= 0)[::-1]
    # the least id comes last, and stays
    kept[group[rows]] = code[rows]
    return kept


def _dealt(sizes: Rows, noise: Floats, shares: Floats, kept: NDArray[np.int64]) -> Rows:
    """Deal groups out so that the parts' rows come to their shares, kept groups included."""
    part = kept.copy()
    new = np.flatnonzero(kept < 0)
    had = np.bincount(kept[kept >= 0], sizes[kept >= 0], len(shares))
    missing = np.maximum(0.0, shares * sizes.sum() - had)
    if not len(new):
        return part
    weights = missing if missing.sum() > 0 else shares
    order = new[np.argsort(noise[new], kind="stable")]
    upto = np.cumsum(sizes[order])
    middle = (upto - sizes[order] / 2) / upto[-1]
    edges = np.cumsum(weights / weights.sum())[:-1]
    part[order] = np.searchsorted(edges, middle, side="right")
    return part


def _majority(inputs: Inputs, group: Rows) -> NDArray[np.int64]:
    """Return the label that most rows of each group have, the first of equal ones."""
    assert inputs.labels is not None
    codes = inputs.labels.codes.astype(np.int64) + 1
    width = len(inputs.labels.classes) + 1
    pairs, counts = np.unique(group * width + codes, return_counts=True)
    owner, label = np.divmod(pairs, width)
    order = np.lexsort((label, -counts, owner))
    _, first = np.unique(owner[order], return_index=True)
    return np.asarray(label[order][first], dtype=np.int64)


def _by_time(
    time: Any, inputs: Inputs, group: Rows, sizes: Rows, noise: Floats, shares: Floats
) -> Rows:
    series = pl.Series("time", time)
    if len(series) != inputs.n:
        raise InputError(f"time has {len(series)} values for {inputs.n} rows of the pool.")
    if series.null_count():
        raise InputError(f"time is missing in {series.null_count()} rows; give every row one.")
    rank = series.rank("dense").cast(pl.Int64).to_numpy()
    rank = rank if inputs.order is None else rank[inputs.order]
    earliest = np.full(len(sizes), np.iinfo(np.int64).max)
    np.minimum.at(earliest, group, rank)
    order = np.lexsort((noise, earliest))
    upto = np.cumsum(sizes[order])
    middle = (upto - sizes[order] / 2) / upto[-1]
    part = np.empty(len(sizes), dtype=np.int64)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1], middle, side="right")
    return part


def _report(
    names: list[str], shares: Floats, of_row: Rows, sizes: Rows, inputs: Inputs
) -> dict[str, Any]:
    counts = np.bincount(of_row, minlength=len(names))
    got = counts / inputs.n
    report: dict[str, Any] = {
        "rows": inputs.n,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),
        "parts": {
            name: {"share": float(shares[at]), "rows": int(counts[at]), "got": float(got[at])}
            for at, name in enumerate(names)
        },
        "deviation": float(np.abs(got - shares).max()),
    }
    if inputs.labels is not None:
        codes = inputs.labels.codes.astype(np.int64)
        labeled = codes >= 0
        table = np.zeros((len(inputs.labels.classes), len(names)))
        np.add.at(table, (codes[labeled], of_row[labeled]), 1)
        within = table / np.maximum(1, table.sum(axis=1, keepdims=True))
        report["label_deviation"] = float(np.abs(within - shares).max())
    return report
