"""Training logs: a model's predictions for every sample in every epoch, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.algorithms.cross_fitting import class_columns
from assay.selection.contract.inputs import Floats, Labels
from assay.selection.scorers.epoch_order import epoch_places, natural_order
from assay.storage.errors import ColumnError, IdError, InputError, MissingInputError, NonFiniteError

_ID, _EPOCH = "sample_id", "epoch"


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """A log with samples in one order.

    Attributes
    ----------
    kind : {"probabilities", "margin", "correct"}
    shape : {"long", "wide"}
    values : float64[n, epochs, columns]
        Of margins and correctness one column.
    names : list of str or None
        What the columns of a long log are called.
    """

    kind: str
    shape: str
    values: Floats
    names: list[str] | None = None

    @property
    def epochs(self) -> int:
        """How many epochs were logged."""
        return int(self.values.shape[1])

    def describe(self) -> str:
        """Say what the log was taken for.

        Examples
        --------
        >>> TrainingLog("probabilities", "long", np.zeros((5, 3, 2))).describe()
        'long, probabilities of 2 classes in 3 epochs'
        """
        of = f" of {self.values.shape[2]} classes" if self.kind == "probabilities" else ""
        return f"{self.shape}, {self.kind}{of} in {self.epochs} epochs"

    def probabilities(self, asked_by: str) -> Floats:
        """Return float64[n, epochs, classes].

        Raises
        ------
        MissingInputError
            The log holds something else.
        """
        if self.kind != "probabilities":
            raise MissingInputError(
                f"{asked_by} needs probabilities, and the log holds {self.kind}; log one column of "
                "probabilities per class."
            )
        return self.values

    def of_labels(self, labels: Labels | None, asked_by: str) -> tuple[Floats, NDArray[Any]]:
        """Return the probabilities and each row's column of them; rows without a label have -1.

        Raises
        ------
        MissingInputError
            The log holds something else, or there are no labels.
        """
        P = self.probabilities(asked_by)
        if labels is None:
            raise MissingInputError(
                f"{asked_by} needs labels to read a log of probabilities, and y was not given; "
                "pass one label per row as y."
            )
        columns = np.array(class_columns(labels.classes, P.shape[2], self.names))
        return P, np.where(labels.codes < 0, -1, columns[np.maximum(labels.codes, 0)])

    def losses(self, labels: Labels | None) -> Floats:
        """Return each row's loss in the last epoch.

        Of probabilities the negative logarithm of the label's, at most that of 1e-12; of margins
        (1 - margin) / 2; of correctness 1 where the row was wrong.

        Examples
        --------
        >>> TrainingLog("margin", "wide", np.array([[[0.0], [0.5]]])).losses(None).tolist()
        [0.25]
        """
        last = self.values[:, -1]
        if self.kind == "margin":
            return np.asarray((1 - last[:, 0]) / 2)
        if self.kind == "correct":
            return np.asarray(1 - last[:, 0])
        _, columns = self.of_labels(labels, "A loss")
        if (columns < 0).any():
            raise MissingInputError(
                f"{(columns < 0).sum():,} rows have no label, so that the log gives no loss for "
                "them; leave them out, or label them."
            )
        return np.asarray(-np.log(np.maximum(last[np.arange(len(last)), columns], 1e-12)))


def log_ids(log: Any) -> pl.Series:
    """Return the samples of a log in the order in which they first occur."""
    return _frame(log)[_ID].unique(maintain_order=True)


def read_log(log: Any, ids: pl.Series) -> TrainingLog:
    """Read a long or wide log for the samples `ids`, in their order.

    The log's shape says what it holds, not the names of its columns:

    =====  =====================================  ===============================================
    shape  columns                                kind
    =====  =====================================  ===============================================
    long   sample_id, epoch, two or more numbers  probabilities, each column named after its class
    long   sample_id, epoch, a list               probabilities
    long   sample_id, epoch, a boolean or 0 / 1   correct: whether the likeliest class was the label
    long   sample_id, epoch, one other number     margin: probability of the label less that of the
                                                  likeliest other class
    wide   sample_id, one list per epoch          probabilities
    wide   sample_id, one boolean per epoch       correct
    wide   sample_id, one number per epoch        margin
    =====  =====================================  ===============================================

    A log is long if it has a column `epoch`. Epochs are in order of their numbers, also as text
    ("epoch 9" before "epoch 10"; see `assay.selection.scorers.epoch_order`); columns of a wide log
    whose names hold no such numbers in the order in which they stand.

    Raises
    ------
    ColumnError
        `sample_id` is missing.
    IdError
        A sample has no log, or twice the same epoch.
    InputError
        Samples differ in their epochs, or a value can't be used.
    NonFiniteError
        A value is null, NaN or infinite.
    """
    frame = _frame(log)
    missing = ids.filter(~ids.is_in(frame[_ID].unique().implode()))
    if len(missing):
        raise IdError(f"The log has no row of {len(missing)} samples, one of them {missing[0]!r}.")
    frame = frame.filter(pl.col(_ID).is_in(ids.implode()))
    place = frame[_ID].replace_strict(ids, np.arange(len(ids)), return_dtype=pl.Int64)
    read = _read_long if _EPOCH in frame.columns else _read_wide
    values = read(frame, place, len(ids))
    if not np.isfinite(values.values).all():
        raise NonFiniteError("The log holds null, NaN or infinite values; leave no epoch out.")
    if values.kind == "probabilities" and (
        (values.values < 0).any() or (np.abs(values.values.sum(axis=2) - 1) > 1e-3).any()
    ):
        listed = (
            f" Its columns {', '.join(map(repr, values.names[:10]))}" if values.names else " It"
        )
        raise InputError(
            f"The probabilities of the log must be >= 0 and sum to 1 in every epoch.{listed} were "
            "read as probabilities of classes; a long log of margins or of correctness has one "
            "column besides sample_id and epoch."
        )
    return values


def _read_long(frame: pl.DataFrame, place: pl.Series, n: int) -> TrainingLog:
    order = epoch_places(frame[_EPOCH])
    epochs = int(order.max()) + 1  # type: ignore[arg-type]
    if pl.DataFrame([place.alias("place"), order.alias("order")]).is_duplicated().any():
        raise IdError("The log has two rows of the same sample and epoch; keep one.")
    if frame.height != n * epochs:
        raise InputError(
            f"The log has {frame.height} rows for {n} samples and {epochs} epochs; log every "
            "sample in every epoch."
        )
    names = [name for name in frame.columns if name not in (_ID, _EPOCH)]
    if not names:
        raise InputError("The log has no column besides sample_id and epoch; log probabilities.")
    rows = np.lexsort((order.to_numpy(), place.to_numpy()))
    table = pl.DataFrame([frame.get_column(name) for name in names])[rows]
    kind = "probabilities" if len(names) > 1 else _kind_of_one(table.to_series())
    if kind == "probabilities" and len(names) == 1:
        lists = _lists([table.to_series()])
        return TrainingLog(kind, "long", lists.reshape(n, epochs, -1))
    values = _numbers(table).reshape(n, epochs, len(names))
    return TrainingLog(kind, "long", values, names if kind == "probabilities" else None)


def _kind_of_one(column: pl.Series) -> str:
    """Return what a long log's only column holds."""
    if column.dtype.is_nested():
        return "probabilities"
    if column.dtype == pl.Boolean:
        return "correct"
    zero_or_one = column.dtype.is_numeric() and ((column == 0) | (column == 1)).all()
    if column.name == "correct" and column.dtype.is_numeric() and not zero_or_one:
        raise InputError(
            "The log's column 'correct' holds other numbers than 0 and 1; rename it if they are "
            "margins, and log one column per class if they are probabilities."
        )
    whole = zero_or_one and (column.dtype.is_integer() or column.name == "correct")
    return "correct" if whole else "margin"


def _read_wide(frame: pl.DataFrame, place: pl.Series, n: int) -> TrainingLog:
    if frame.height != n:
        raise IdError("The log has two rows of the same sample; a long log needs a column epoch.")
    names = [name for name in frame.columns if name != _ID]
    if not names:
        raise InputError("The log has no column besides sample_id; log one column per epoch.")
    order = natural_order(names) or range(len(names))
    columns = [frame.get_column(names[at]) for at in order]
    table = pl.DataFrame(columns)[place.arg_sort()]
    kinds = {_kind(dtype) for dtype in table.dtypes}
    if len(kinds) > 1:
        raise InputError(f"The epochs of the log differ in what they hold: {sorted(kinds)}.")
    kind = kinds.pop()
    if kind != "probabilities":
        return TrainingLog(kind, "wide", _numbers(table)[:, :, None])
    return TrainingLog(kind, "wide", _lists(table.get_columns()))


def _lists(columns: Sequence[pl.Series]) -> Floats:
    """Return columns of lists of equal length as float64[rows, columns, length]."""
    lists = [column.cast(pl.List(pl.Float64)) for column in columns]
    widths = np.stack([column.list.len().to_numpy() for column in lists])
    if widths.min() != widths.max():
        raise InputError("The lists of probabilities differ in length; log every class each time.")
    parts = [column.explode(empty_as_null=False).to_numpy() for column in lists]
    return np.stack(parts, axis=1).reshape(len(columns[0]), -1, len(parts)).swapaxes(1, 2)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_nested():
        return "probabilities"
    return "correct" if dtype == pl.Boolean else "margin"


def _numbers(frame: pl.DataFrame) -> Floats:
    wrong = [
        name
        for name, dtype in frame.schema.items()
        if not (dtype.is_numeric() or dtype == pl.Boolean)
    ]
    if wrong:
        raise InputError(
            f"Column {wrong[0]!r} of the log holds {frame[wrong[0]].dtype}, not numbers."
        )
    numbers: Floats = frame.select(pl.all().cast(pl.Float64)).to_numpy()
    return numbers


def _frame(log: Any) -> pl.DataFrame:
    try:
        frame = pl.DataFrame(log)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"log is no table: {error}; pass a polars.DataFrame.") from error
    if _ID not in frame.columns:
        raise ColumnError.missing(_ID, frame.columns, what="column of the log")
    if not frame.height:
        raise InputError("The log has no rows.")
    return frame.with_columns(pl.col(_ID).cast(pl.String))
