"""The inputs of a selector or scorer: checked, and with rows in one canonical order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import issparse

from assay.index.embedding.likeness import Likenesses
from assay.index.vectors.checks import finite_rows
from assay.index.vectors.exact import unit_rows
from assay.index.vectors.mapped import column_ranges, ordered_rows
from assay.selection.contract.columns import repeats_an_id, series_of, text_ids
from assay.selection.contract.covered import covered_mask
from assay.selection.contract.images import Images, holds_images, images_of
from assay.selection.contract.reordered import ReorderedGraph
from assay.storage.errors import IdError, InputError, NonFiniteError
from assay.storage.hashing.rows import uniform
from assay.storage.limits import SEED, check_parameters

# sparse vectors are made dense up to this size
_DENSE_BYTES = 2**31
# a column this many times further from 0 than it is wide is moved there
_FAR = 64.0
# squares of values inside these bounds, and sums of such, are held by float32
_SMALL, _LARGE = 2.0**-40, 2.0**40

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


class Graph(Protocol):
    """What selection reads of a similarity graph (CSR without self loops, and directed kNN)."""

    @property
    def indptr(self) -> NDArray[Any]: ...
    @property
    def indices(self) -> NDArray[Any]: ...
    @property
    def weights(self) -> NDArray[Any]: ...
    @property
    def neighbors(self) -> NDArray[Any]: ...
    @property
    def similarities(self) -> NDArray[Any]: ...
    @property
    def metric(self) -> str: ...
    @property
    def ids(self) -> Any: ...
    @property
    def sample_ids(self) -> Any: ...
    @property
    def vectors(self) -> NDArray[Any] | None: ...
    @property
    def robust(self) -> str | None: ...
    def distances(self) -> NDArray[np.float32]: ...
    def lists_of(self, rows: slice | Rows) -> tuple[NDArray[Any], NDArray[Any]]: ...


@dataclass(frozen=True, eq=False)
class GraphView:
    """A similarity graph of some rows, or of rows in another order; it holds no vectors."""

    indptr: NDArray[Any]
    indices: NDArray[Any]
    weights: NDArray[Any]
    neighbors: NDArray[Any]
    similarities: NDArray[Any]
    metric: str = "cosine"
    ids: Any = None
    vectors: NDArray[Any] | None = None
    robust: str | None = None

    @property
    def sample_ids(self) -> Any:
        """The ids, as they are."""
        return self.ids

    def distances(self) -> NDArray[np.float32]:
        """Return float32[n, k]: how unlike each of `neighbors` is."""
        return np.asarray(1 - self.similarities, dtype=np.float32)

    def lists_of(self, rows: slice | Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the neighbors and similarities of some rows."""
        return self.neighbors[rows], self.similarities[rows]


class Labels(NamedTuple):
    """Labels as codes into the sorted `classes`; -1 where there is none."""

    codes: NDArray[np.int32]
    classes: list[str]

    @property
    def without(self) -> str:
        """What reports call the rows without a label: "(none)", unless a class is called so."""
        name, n = "(none)", 1
        while name in self.classes:
            n += 1
            name = f"(none {n})"
        return name


class Inputs:
    """The inputs of one fit, checked, with rows in canonical order (by id where ids are given).

    Parameters
    ----------
    method : str
        Who asks, for the error messages.
    X, y, graph, scores, target, ids, groups, covered
        As given to `fit`. Where `ids` is None those of the graph are taken, else positions.

    Attributes
    ----------
    n : int
    given_ids : pl.Series of String, in the order given
    order : int64[n] or None
        Given row of each canonical row; None where the given order is the canonical one.
    target : as given
    covered : bool[n], in canonical order
        Rows that are had already.
    """

    def __init__(
        self,
        *,
        X: Any = None,
        y: Any = None,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        covered: Any = None,
        method: str = "The method",
    ) -> None:
        self.method = method
        lengths = {
            name: _length(name, value)
            for name, value in {
                "X": X, "y": y, "graph": graph, "scores": scores, "ids": ids, "groups": groups
            }.items()
            if value is not None
        }  # fmt: skip
        if not lengths:
            raise InputError("Nothing was given; pass X, ids or another input with one row each.")
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"The inputs differ in length ({counted}); pass one row of each.")
        self.n = next(iter(lengths.values()))
        if self.n == 0:
            raise InputError("The pool has no rows; pass at least one.")
        self._X, self._y, self._graph, self._scores, self._groups = X, y, graph, scores, groups
        self.target = target
        graph_ids = None if graph is None else graph.sample_ids
        positions = ids is None and graph_ids is None
        if positions:
            named = pl.Series("id", np.arange(self.n)).cast(pl.String)
        else:
            named = text_ids(graph_ids if ids is None else ids)
        in_order = positions or named.is_sorted()
        self.order: Rows | None = None if in_order else named.arg_sort().to_numpy().astype(np.int64)
        self.given_ids = named
        if not positions and repeats_an_id(named, self.order):
            twice = named.filter(named.is_duplicated())[0]
            raise IdError(f"id {twice!r} is given more than once; every row needs its own.")
        if ids is not None and graph_ids is not None and not named.equals(text_ids(graph_ids)):
            raise IdError("The graph's ids are not the ids given; pass both in the same order.")
        self.covered = np.zeros(self.n, dtype=bool)
        if covered is not None:
            self.covered = covered_mask(covered, self.ids, self.order)

    @cached_property
    def ids(self) -> pl.Series:
        """The ids in canonical order."""
        return self.given_ids if self.order is None else self.given_ids.gather(self.order)

    @property
    def holds_vectors(self) -> bool:
        """Whether X holds numbers rather than texts."""
        if isinstance(self._X, np.ndarray):
            return self._X.dtype.kind in "biufc"
        if issparse(self._X):
            return True
        first: Any = None if isinstance(self._X, pl.DataFrame) else next(iter(self._X), None)
        return not isinstance(first.as_py() if isinstance(first, pa.Scalar) else first, str | None)

    @property
    def holds_images(self) -> bool:
        """Whether X holds the bytes of image files."""
        return holds_images(self._X)

    @property
    def _images(self) -> Images:
        return self._X if isinstance(self._X, Images) else images_of(self._X)

    def pixel_digests(self) -> pl.Series:
        """Return a hash of the pixels of each image; null where there is none."""
        digests = self._images.digests()
        return digests if self.order is None else digests.gather(self.order)

    def likenesses(self) -> Likenesses:
        """Return what each image looks like."""
        return Likenesses(*(self.in_order(part) for part in self._images.likenesses()))

    def texts(self) -> pl.Series:
        """Return the texts (String, null where there is none)."""
        series = text_series(self._X)
        return series if self.order is None else series.gather(self.order)

    def vectors(self) -> NDArray[np.float32]:
        """Return the vectors, C-contiguous and finite."""
        return self._ordered(self.given_vectors())

    def given_vectors(self) -> NDArray[np.float32]:
        """Return the vectors in the order given, C-contiguous and finite."""
        with np.errstate(over="ignore"):
            vectors = np.ascontiguousarray(self._numbers, dtype=np.float32)
        if not finite_rows(vectors).all():
            raise NonFiniteError(
                "X holds NaN or infinite values, or values beyond float32 (3.4e38); drop, impute or "
                "rescale those rows first, or make vectors of a table by `assay.index.embed(table)`, "
                "which keeps missing values apart."
            )
        return vectors

    def moved_vectors(self) -> tuple[NDArray[np.float32], float]:
        """Return vectors for methods that go by differences of rows alone, and their unit.

        Columns that lie far from 0 beside their spread are moved there in float64, so that float32
        holds the differences; rows too large or too small to be squared in float32 are divided by a
        power of two, the unit. All other vectors stay as they are, with the unit 1.
        """
        numbers = self._numbers
        low, high = (side.astype(np.float64) for side in column_ranges(numbers))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return self.vectors(), 1.0
        middle = low / 2 + high / 2
        spread = high / 2 - low / 2
        shift = np.where(np.abs(middle) > _FAR * spread, middle, 0.0)
        largest = float(np.maximum(np.abs(low - shift), np.abs(high - shift)).max())
        unit = 1.0
        if largest > 0 and not _SMALL <= largest <= _LARGE:
            unit = float(2.0 ** np.floor(np.log2(largest)))
        if unit == 1.0 and not shift.any():
            return self.vectors(), 1.0
        order = np.arange(self.n) if self.order is None else self.order
        return ordered_rows(
            numbers, order, lambda part: ((part - shift) / unit).astype(np.float32)
        ), unit

    def compared_vectors(self, metric: str) -> tuple[NDArray[np.float32], float]:
        """Return the rows that a metric compares, and their unit: see `moved_vectors`.

        Under the cosine they are of length 1.
        """
        if metric == "cosine":
            return unit_rows(self.given_vectors(), self.order), 1.0
        return self.moved_vectors()

    @cached_property
    def _numbers(self) -> NDArray[Any]:
        """X as a two-dimensional array of real numbers, in the order given."""
        X = self._X
        if issparse(X):
            size = 4 * X.shape[0] * X.shape[1]
            if size > _DENSE_BYTES:
                raise InputError(
                    f"{self.method} takes dense vectors, and X is a sparse matrix of "
                    f"{X.shape[0]} x {X.shape[1]} values, {size / 2**30:.1f} GiB when dense; project "
                    "it on fewer columns first (sklearn.decomposition.TruncatedSVD)."
                )
            X = X.toarray()
        try:
            numbers = np.asarray(X)
            if numbers.dtype.kind == "O":
                numbers = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.method} takes real numbers, and X is not a numeric array: {error}. Make "
                "vectors of it first: `assay.index.embed(X)` does of texts, images and tables."
            ) from error
        if numbers.dtype.kind not in "biuf":
            raise InputError(
                f"{self.method} takes real numbers, and X holds {numbers.dtype}; pass a float array "
                "of shape (n, d), for complex values the real and imaginary parts as columns."
            )
        if numbers.ndim != 2 or numbers.shape[1] == 0:
            raise InputError(
                f"X has shape {numbers.shape}; {self.method} takes vectors of shape (n, d) with at "
                "least one column."
            )
        return numbers.view(np.uint8) if numbers.dtype.kind == "b" else numbers

    @cached_property
    def scores(self) -> Floats | None:
        """The scores given, finite, or None."""
        if self._scores is None:
            return None
        try:
            scores = np.asarray(self._scores, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"scores= is not numeric: {error}.") from error
        if scores.ndim != 1:
            raise InputError(f"scores= has shape {scores.shape}; pass one number per row.")
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise NonFiniteError(
                f"scores= is NaN or infinite in {len(bad)} rows, first in row {bad[0]}; "
                "drop or impute those rows first."
            )
        return scores if self.order is None else scores[self.order]

    @cached_property
    def labels(self) -> Labels | None:
        """The labels given, or None."""
        return None if self._y is None else self._encoded("y", self._y)

    @property
    def known_labels(self) -> Labels | None:
        """The labels given, None also where no row has one."""
        return self.labels if self._y is not None and labeled(self._y).any() else None

    def cover_labeled(self) -> None:
        """Count the rows with a label as covered."""
        labels = self.known_labels
        if labels is not None:
            self.covered = self.covered | (labels.codes >= 0)

    @cached_property
    def groups(self) -> Labels | None:
        """The groups given, or None."""
        return None if self._groups is None else self._encoded("groups", self._groups)

    @cached_property
    def graph(self) -> Graph | None:
        """The similarity graph given, or None."""
        if self._graph is None or self.order is None:
            return self._graph  # type: ignore[no-any-return]
        return ReorderedGraph(self._graph, self.order)

    @property
    def given_graph(self) -> Graph | None:
        """The graph with its rows as given, for what is computed row by row."""
        return self._graph  # type: ignore[no-any-return]

    def graph_vectors(self) -> NDArray[np.floating] | None:
        """Return the vectors that the graph was made of: X, or what it holds; None where neither."""
        vectors = self.given_graph_vectors()
        return None if vectors is None else self._ordered(vectors)

    def given_graph_vectors(self) -> NDArray[np.float32] | None:
        """Return the same in the order given."""
        if self._X is not None and self.holds_vectors:
            return self.given_vectors()
        return None if self._graph is None else self._graph.vectors

    def _ordered(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors if self.order is None else ordered_rows(vectors, self.order)

    def graph_distances(self) -> NDArray[np.float32]:
        """Return how far each of the graph's neighbors is, float32[n, k]."""
        return self.in_order(np.asarray(self._graph.distances(), dtype=np.float32))

    @property
    def metric(self) -> str:
        """The metric of the graph given; that of the default graph, the cosine, without one."""
        return "cosine" if self._graph is None else str(self._graph.metric)

    def metric_of(self, metric: str) -> str:
        """Return the metric that a parameter means: "cosine" or "l2".

        "auto" is that of the graph given (l2 for inner products), and l2 without a graph. Rows of
        length 1, which embedders give, have the same neighbors under both.
        """
        if metric == "auto":
            if self._graph is None:
                return "l2"
            return "cosine" if self._graph.metric == "cosine" else "l2"
        return metric

    def noise(self, random_state: int, stream: str) -> Floats:
        """Return numbers in (0, 1) that depend on (random_state, stream, id) alone.

        Each use has its own stream, so that one seed can serve several steps of a plan.
        """
        return self.in_order(self.given_noise(random_state, stream))

    def given_noise(self, random_state: int, stream: str) -> Floats:
        """Return the same numbers in the order in which the rows were given."""
        return uniform(self.given_ids, derived_seed(random_state, stream))

    @property
    def open_rows(self) -> Rows:
        """The rows that are not covered, ascending."""
        return np.flatnonzero(~self.covered)

    @property
    def covered_rows(self) -> Rows:
        """The rows that are had already, ascending."""
        return np.flatnonzero(self.covered)

    def random_rows(self, random_state: int, count: int) -> Rows:
        """Return `count` rows at random of those that are not covered, ascending."""
        noise = self.noise(random_state, "random")
        noise[self.covered] = 0.0
        return np.sort(np.argpartition(-noise, count - 1)[:count])

    def as_given(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return per-row values in the order in which the rows were given."""
        if self.order is None:
            return values
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return per-row values, which are in the order given, in canonical order."""
        return values if self.order is None else values[self.order]

    def given_rows(self, rows: Rows) -> Rows:
        """Return the given row numbers of canonical ones."""
        return rows if self.order is None else self.order[rows]

    def _encoded(self, name: str, values: Any) -> Labels:
        series = series_of(name, values)
        if series.dtype.is_float():
            series = series.fill_nan(None)
        text = series.cast(pl.String)
        classes = text.drop_nulls().unique().sort()
        if classes.is_empty():
            raise InputError(f"{name} holds no value in any row; leave it out, or pass labels.")
        codes = text.replace_strict(
            classes, np.arange(len(classes), dtype=np.int32), default=-1, return_dtype=pl.Int32
        ).to_numpy()
        return Labels(codes if self.order is None else codes[self.order], classes.to_list())


def labeled(y: Any) -> NDArray[np.bool_]:
    """Return where a label is given: neither null nor NaN.

    Examples
    --------
    >>> labeled(["a", None, "b"]).tolist(), labeled([1.0, float("nan")]).tolist()
    ([True, False, True], [True, False])
    """
    series = series_of("y", y)
    if series.dtype.is_float():
        series = series.fill_nan(None)
    return series.is_not_null().to_numpy()


def derived_seed(random_state: int, stream: str) -> int:
    """Return the 63-bit seed of one named stream of random numbers."""
    check_parameters(random_state=(random_state, *SEED))
    named = f"{stream}/{int(random_state)}".encode()
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "little") >> 1


def text_series(texts: Any, name: str = "X") -> pl.Series:
    """Return `texts` as a Polars Series of String; lone surrogates become U+FFFD."""
    if isinstance(texts, str | bytes):
        raise InputError(f"{name} is one text; pass a sequence of texts, one per row.")
    try:
        series = series_of(name, texts)
    except UnicodeEncodeError:
        series = series_of(
            name, [text if text is None else _without_surrogates(text) for text in texts]
        )
    if series.dtype in (pl.Null, pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype != pl.String:
        raise InputError(f"{name} holds {series.dtype}, not text; pass the column of texts.")
    return series


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _length(name: str, value: Any) -> int:
    if name == "graph":
        try:
            return len(value.neighbors)
        except AttributeError:
            kind = type(value).__name__
            raise InputError(f"graph is a {kind}; pass a SimilarityGraph.") from None
    try:
        # a sparse matrix has no length
        return value.shape[0] if issparse(value) else len(value)
    except TypeError as error:
        raise InputError(f"{name} has no length; pass a sequence, array or column.") from error
