"""Embedding of tables: standardized numbers and hashed categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from assay.index.embedding.fitted import FittedEmbedder, fixed_sample
from assay.storage.errors import ColumnError, InputError, NonFiniteError
from assay.storage.hashing.rows import hash_rows
from assay.storage.limits import Flag, Instance, Limits, Whole, check_limits
from assay.storage.reading.frames import as_table

_BLOCK = 65_536
# a value further out counts as if it were here
_FARTHEST = 5.0
_FEW_LEVELS = 10
_NAMES = (pl.String, pl.Categorical, pl.Enum)


class TableEmbedder(FittedEmbedder):
    r"""Embed the rows of a table, so that columns count alike whatever their units.

    - Numbers, booleans, dates and times: :math:`(x - \mu) / \sigma`, at most 5 either way, with the
      mean and standard deviation of a fixed sample. A column that is constant there counts for
      nothing. Missing values (null or NaN) take the mean; where the sample misses some, there is
      one more entry, 1 for missing and 0 for there.
    - Strings and categories: every level adds 1 or -1 to one of `buckets` entries, both by the hash
      of column and level; missing is a level. Two rows that differ in a category are as far apart
      (squared distance 2) as they are on average in a number. Levels need not be known beforehand.
    - Left out: lists, structs and bytes, columns without a value, and strings nearly all different
      (more than 10 levels, and more than half as many as rows), which are identifiers or text.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns to use; by default all. The order does not matter for categories.
    buckets : int, default 64
        Entries for all categories together. On census rows with 100 levels, neighbors are no
        better with more, since collisions cancel by their signs.
    normalize : bool, default True
        Scale rows to length 1, as the other embedders do. Without, Euclidean distances count.
    fit_rows : int, default 10,000
        Size of the sample: the rows whose ids have the smallest hash.
    random_state : int, default 0
        Which sample is taken.

    Attributes
    ----------
    means_, scales_ : float64[m]
        Of the numeric columns; scale 0 for a constant one.
    numeric_, indicators_, categorical_ : tuple of str
        The columns of each kind, in their order in the vectors: numbers, indicators of missing
        values, then the buckets.
    left_out_ : dict of str to str
        Column -> why it is not used.

    Raises
    ------
    ConfigError
        A parameter is out of its range.
    ColumnError
        A column is not there.
    InputError
        No frame, no column that can be used, or not as many ids as rows.
    NonFiniteError
        A column holds infinite values.
    MissingInputError
        `encode`, `save` or `fingerprint` before `fit`.

    Notes
    -----
    Time and memory grow with rows times columns; a row's vector does not depend on its batch, so a
    large table can be encoded in parts. On 20,000 census rows the majority of the 10 nearest tells
    the income class in .83 of the cases.

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg: Feature Hashing for Large Scale Multitask
    Learning. ICML 2009.

    Examples
    --------
    >>> frame = {"age": [30.0, 31.0, None, 70.0], "job": ["cook", "cook", "clerk", None]}
    >>> embedder = TableEmbedder(buckets=8).fit(frame)
    >>> embedder.numeric_, embedder.indicators_, embedder.categorical_
    (('age',), ('age',), ('job',))
    >>> vectors = embedder.encode(frame)
    >>> vectors.shape, bool(vectors[0] @ vectors[1] > 0.99 > vectors[0] @ vectors[3])
    ((4, 10), True)
    """

    REVISION = 1
    ARRAYS = ("means", "scales")
    PARAMETERS = ("columns", "buckets", "normalize", "fit_rows", "random_state")

    means_: np.ndarray
    scales_: np.ndarray
    numeric_: tuple[str, ...]
    indicators_: tuple[str, ...]
    categorical_: tuple[str, ...]
    left_out_: dict[str, str]

    limits: ClassVar[Limits] = {
        "columns": (Instance((list, tuple), "a list of names"), None),
        "buckets": (Whole(1, 2**24),),
        "normalize": (Flag(),),
        "fit_rows": (Whole(1),),
        "random_state": (Whole(0, 2**63 - 1),),
    }

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        buckets: int = 64,
        normalize: bool = True,
        fit_rows: int = 10_000,
        random_state: int = 0,
    ) -> None:
        check_limits(self.limits, locals())
        self.columns = None if columns is None else list(columns)
        self.buckets = int(buckets)
        self.normalize = bool(normalize)
        self.fit_rows = int(fit_rows)
        self.random_state = int(random_state)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        self._check_fitted()
        buckets = self.buckets if self.categorical_ else 0
        return len(self.numeric_) + len(self.indicators_) + buckets

    def fit(self, frame: Any, ids: Any = None) -> Self:
        """Choose the columns, and fit means and standard deviations on the fixed sample.

        Parameters
        ----------
        frame : table
            Anything with ``__arrow_c_stream__`` (Polars, pandas, Arrow, DuckDB relation), a Polars
            LazyFrame, a mapping of columns.
        ids : sequence of str, optional
            One distinct id per row; without them the position, as a decimal number.
        """
        table = as_frame(frame)
        names = table.columns if self.columns is None else self.columns
        for name in names:
            if name not in table.columns:
                raise ColumnError.missing(name, table.columns)
        picked = fixed_sample(ids, table.height, self.fit_rows, self.random_state)
        sample = table.select(names)[picked]
        left_out = {name: why for name in names if (why := _useless(sample[name]))}
        used = [name for name in names if name not in left_out]
        if not used:
            reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            raise InputError(f"There is no column to embed rows by ({reasons or 'no columns'}).")
        categorical = sorted(name for name in used if sample.schema[name] in _NAMES)
        numeric = [name for name in used if name not in categorical]
        values = [_numbers(sample[name]) for name in numeric]
        means = [float(np.nanmean(column)) for column in values]
        scales = [float(np.nanstd(column)) for column in values]
        self.means_ = np.array(means, dtype=np.float64)
        # the deviation of equal values may be a rounding error instead of 0
        constant = np.array([np.nanmin(c) == np.nanmax(c) for c in values], dtype=bool)
        self.scales_ = np.where(constant, 0.0, np.array(scales, dtype=np.float64))
        missing = [name for name, c in zip(numeric, values, strict=True) if np.isnan(c).any()]
        self._finish(
            {
                "numeric": numeric,
                "indicators": missing,
                "categorical": categorical,
                "left_out": left_out,
            }
        )
        return self

    def encode(self, frame: Any) -> np.ndarray:
        """Return float32[n, dimensions].

        Parameters
        ----------
        frame : table with the columns that `fit` chose
        """
        self._check_fitted()
        table = as_frame(frame)
        for name in (*self.numeric_, *self.categorical_):
            if name not in table.columns:
                raise ColumnError.missing(name, table.columns)
        out = np.zeros((table.height, self.dimensions), np.float32)
        for start in range(0, table.height, _BLOCK):
            self._fill(table[start : start + _BLOCK], out[start : start + _BLOCK])
        return out

    def _fill(self, block: pl.DataFrame, out: np.ndarray) -> None:
        place = len(self.numeric_)
        for i, name in enumerate(self.numeric_):
            values = _numbers(block[name])
            missing = np.isnan(values)
            if self.scales_[i] > 0:
                with np.errstate(over="ignore"):
                    scaled = (values - self.means_[i]) / self.scales_[i]
                out[:, i] = np.where(missing, 0.0, np.clip(scaled, -_FARTHEST, _FARTHEST))
            if name in self.indicators_:
                out[:, place] = missing
                place += 1
        rows = np.arange(block.height)
        for name in self.categorical_:
            coded = block[name].cast(pl.String).to_arrow().dictionary_encode()
            hashes = hash_rows(
                [f"{name}\0{level}" for level in coded.dictionary.to_pylist()] + [name]
            )
            # null has no code; it is the last
            codes = coded.indices.fill_null(len(hashes) - 1).to_numpy()
            bucket = (hashes[:, 0] % np.uint64(self.buckets)).astype(np.int64)[codes]
            sign = np.where(hashes[:, 1] & np.uint64(1), 1, -1)[codes]
            out[rows, place + bucket] += sign
        if self.normalize:
            lengths = np.sqrt(np.square(out, dtype=np.float64).sum(axis=1, keepdims=True))
            out /= np.where(lengths > 0, lengths, 1)

    def _finish(self, notes: dict[str, Any]) -> None:
        super()._finish(notes)
        self.numeric_ = tuple(notes["numeric"])
        self.indicators_ = tuple(notes["indicators"])
        self.categorical_ = tuple(notes["categorical"])
        self.left_out_ = dict(notes["left_out"])


def as_frame(frame: Any) -> pl.DataFrame:
    """Return a table as a Polars frame."""
    return frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))


def _useless(column: pl.Series) -> str | None:
    kind = column.dtype
    if not (kind in _NAMES or kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean):
        return f"values of type {kind}"
    if column.null_count() == len(column) or (
        kind.is_float() and column.fill_nan(None).is_null().all()
    ):
        return "no value in the sample"
    if kind in _NAMES and (levels := column.n_unique()) > max(_FEW_LEVELS, len(column) / 2):
        return f"{levels} different strings in {len(column)} rows"
    return None


def _numbers(column: pl.Series) -> np.ndarray:
    """Return float64[n], missing values as NaN."""
    kind = column.dtype
    if kind in (pl.Date, pl.Datetime):
        column = column.dt.epoch("us")
    elif kind == pl.Duration:
        column = column.dt.total_microseconds()
    elif kind == pl.Time:
        column = column.cast(pl.Int64)
    try:
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"Column {column.name!r} held numbers when the embedder was fitted, and is of type "
            f"{kind} now: {str(error).splitlines()[0]}."
        ) from None
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise NonFiniteError(
            f"Column {column.name!r} holds an infinite value in row {row}; drop or repair it."
        )
    return values
