"""Logs of training: what a model said of every sample in every epoch, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.algorithms.cross_fitting import class_columns
from assay.selection.contract.inputs import Floats, Labels
from assay.storage.errors import ColumnError, IdError, InputError, MissingInputError, NonFiniteError

_ID, _EPOCH = "sample_id", "epoch"


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """A log with samples in one order.

    Attributes
    ----------
    kind : {"probabilities", "margin", "correct"}
    values : float64[n, epochs, columns]
        Of margins and correctness one column.
    names : list of str or None
        What the columns of a long log are called.
    """

    kind: str
    values: Floats
    names: list[str] | None = None

    @property
    def epochs(self) -> int:
        """How many epochs were logged."""
        return int(self.values.shape[1])

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


def log_ids(log: Any) -> pl.Series:
    """Return the samples of a log in the order in which they first occur."""
    return _frame(log)[_ID].unique(maintain_order=True)


def read_log(log: Any, ids: pl.Series) -> TrainingLog:
    """Read a long or wide log for the samples `ids`, in their order.

    A long log has one row per sample and epoch: `sample_id`, `epoch`, and then either one column
    of probabilities per class, named after it, or a column `margin` (probability of the label less
    that of the likeliest other class), or a column `correct` (whether the likeliest class was the
    label). A wide one has one row per sample: `sample_id`, and one column per epoch, in order: a
    list or array of probabilities, or a margin (numbers), or whether it was right (booleans).

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
    wanted = pl.DataFrame({_ID: ids, "place": np.arange(len(ids))})
    frame = frame.join(wanted, on=_ID)
    read = _read_long if _EPOCH in frame.columns else _read_wide
    found = read(frame, len(ids))
    if not np.isfinite(found.values).all():
        raise NonFiniteError("The log holds null, NaN or infinite values; leave no epoch out.")
    if found.kind == "probabilities" and (
        (found.values < 0).any() or (np.abs(found.values.sum(axis=2) - 1) > 1e-3).any()
    ):
        raise InputError("The probabilities of the log must be >= 0 and sum to 1 in every epoch.")
    return found


def _read_long(frame: pl.DataFrame, n: int) -> TrainingLog:
    if frame.select(pl.struct(_ID, _EPOCH).is_duplicated().any()).item():
        raise IdError("The log has two rows of the same sample and epoch; keep one.")
    epochs = frame[_EPOCH].n_unique()
    if frame.height != n * epochs:
        raise InputError(
            f"The log has {frame.height} rows for {n} samples and {epochs} epochs; log every "
            "sample in every epoch."
        )
    frame = frame.sort("place", _EPOCH)
    names = [name for name in frame.columns if name not in (_ID, _EPOCH, "place")]
    kind = next((name for name in ("margin", "correct") if name in names), "probabilities")
    columns = names if kind == "probabilities" else [kind]
    if not columns:
        raise InputError("The log has no column besides sample_id and epoch; log probabilities.")
    values = _numbers(frame.select(columns))
    return TrainingLog(kind, values.reshape(n, epochs, len(columns)), names)


def _read_wide(frame: pl.DataFrame, n: int) -> TrainingLog:
    frame = frame.sort("place").drop(_ID, "place")
    if frame.height != n:
        raise IdError("The log has two rows of the same sample; a long log needs a column epoch.")
    if not frame.width:
        raise InputError("The log has no column besides sample_id; log one column per epoch.")
    kinds = {_kind(dtype) for dtype in frame.dtypes}
    if len(kinds) > 1:
        raise InputError(f"The epochs of the log differ in what they hold: {sorted(kinds)}.")
    kind = kinds.pop()
    if kind != "probabilities":
        return TrainingLog(kind, _numbers(frame)[:, :, None])
    widths = frame.select(pl.all().cast(pl.List(pl.Float64)).list.len()).to_numpy()
    if widths.min() != widths.max():
        raise InputError("The lists of probabilities differ in length; log every class each time.")
    parts = [
        column.cast(pl.List(pl.Float64)).explode(empty_as_null=False).to_numpy() for column in frame
    ]
    return TrainingLog(
        "probabilities", np.stack(parts, axis=1).reshape(n, -1, len(parts)).swapaxes(1, 2)
    )


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
