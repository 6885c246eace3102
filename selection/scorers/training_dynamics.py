"""Difficulty from training logs: area under the margin, EL2N, forgetting, entropy."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs, Labels
from assay.selection.scorers.training_logs import TrainingLog, log_ids, read_log
from assay.storage.errors import MissingInputError
from assay.storage.limits import Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class FromTrainingLog(Scorer):
    """Base of the scores that are read from a training log; a subclass implements `_of`.

    Parameters
    ----------
    log : polars.DataFrame
        A long or wide log of probabilities or margins: `assay.selection.scorers.training_logs.read_log`.
        The default, None, is there only because every scorer can be made without parameters.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = harder.
    report_ : dict
        `log` (what it was taken for), `epochs`, `mean`.

    Raises
    ------
    MissingInputError
        `log` was not given, or what the score takes: labels, a log of probabilities, a column for
        each class.
    IdError
        A sample is not in the log.
    InputError
        The log can't be used: see `read_log`.
    """

    log: Any = None

    @abstractmethod
    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        """Return one score per row, and a report."""

    def _inputs(self, **arguments: Any) -> Inputs:
        if self.log is not None and all(value is None for value in arguments.values()):
            arguments["ids"] = log_ids(self.log)
        inputs = Inputs(**arguments, method=type(self).__name__)
        if self.log is None:
            raise MissingInputError(
                f"{type(self).__name__} needs log, and log was not given; pass log=frame with the "
                "columns sample_id, epoch and one of probabilities per class."
            )
        return inputs

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        log = read_log(self.log, inputs.ids)
        scores, report = self._of(log, inputs.labels)
        of_log = {"log": log.describe(), "epochs": log.epochs, "mean": float(scores.mean())}
        return scores, {**of_log, **report}


class AUM(FromTrainingLog):
    r"""Area under the margin: how far, over all epochs, the label was ahead of the other classes.

    .. math:: \mathrm{AUM}_i = \sum_t \Big(p_t(y_i \mid x_i) - \max_{c \ne y_i} p_t(c \mid x_i)\Big)

    A wrong label stays behind the class that like rows pull towards: it has a low, often negative,
    sum. The mean over epochs gives the same order.

    Attributes
    ----------
    scores_ : float64[n], from -epochs to epochs
        Higher = easier. A row without a label gets the margin of its likeliest class.

    Notes
    -----
    Samples are matched by id; without any argument of `fit`, rows are those of the log in the
    order in which they first occur. Time and memory O(n epochs classes).

    Claims
    ------
    paper
        A low area under the margin finds mislabeled rows; removing them improves test error.
    here
        Sum of the margins of a log.
    deviates
        Probabilities as CCS has it, not logits; no threshold rows of an extra class.
    measured
        The difficulty of CCS in `quality.md`; hardest-first by it loses 38 points at 90 %.

    References
    ----------
    Pleiss, Zhang, Elenberg, Weinberger, "Identifying mislabeled data using the area under the
    margin ranking", 2020, with logits. Zheng, Liu, Lai, Prakash, "Coverage-centric coreset
    selection for high pruning rates", 2023, with probabilities and the sum.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [0.2, -0.1], "2": [0.6, 0.3]})
    >>> AUM(log=log).fit().scores_.round(6).tolist()
    [0.8, 0.2]
    """

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        if log.kind == "margin":
            return log.values[:, :, 0].sum(axis=1), {}
        return log_margins(log, labels, "AUM").sum(axis=1), {}


@dataclass(kw_only=True, eq=False, repr=False)
class EL2N(FromTrainingLog):
    r"""Distance of the predicted probabilities from the label, summed over the first epochs.

    .. math:: \mathrm{EL2N}_i = \sum_{t \le T} \lVert p_t(\cdot \mid x_i) - e_{y_i} \rVert_2

    Parameters
    ----------
    epochs : int, default 10
        T: later, most rows have been learnt and the distance says less.

    Attributes
    ----------
    scores_ : float64[n], from 0 to T sqrt(2)
        Higher = harder. A row without a label gets the distance from its likeliest class.
    report_ : dict
        `log` (what it was taken for), `epochs`, `mean`, `epochs_used`.

    Notes
    -----
    Time and memory O(n epochs classes).

    Claims
    ------
    paper
        Half of CIFAR-10 can go by scores from early epochs without loss of accuracy.
    here
        Distance of probabilities from the label, first 10 epochs.
    deviates
        One model's log, no mean over ten.
    measured
        In CCS level with AUM (58.7 and 58.8); hardest-first 15.4 against random's 57.0 at 90 %
        (`quality.md`).

    References
    ----------
    Paul, Ganguli, Dziugaite, "Deep learning on a data diet: finding important examples early in
    training", 2021.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.4, 0.6], [0.0, 1.0]]})
    >>> EL2N(log=log).fit(ids=["a", "b"], y=[0, 1]).scores_.round(4).tolist()
    [0.8485, 0.0]
    """

    limits: ClassVar[Limits] = {
        "epochs": (Whole(1),),
    }

    epochs: int = 10

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        P, columns = log.of_labels(labels, "EL2N")
        P = P[:, : self.epochs]
        own = _own(P, columns)
        squares = np.maximum(np.square(P).sum(axis=2) - np.square(own) + np.square(1 - own), 0)
        return np.sqrt(squares).sum(axis=1), {"epochs_used": P.shape[1]}


class Forgetting(FromTrainingLog):
    r"""How often a row was classified rightly in one epoch and wrongly in the next.

    .. math:: F_i = \sum_{t > 1} [\hat y_{t-1} = y_i]\,[\hat y_t \ne y_i]

    A row that was never right has nothing to forget and would count as easy: it gets the number of
    epochs, more than any other can have.

    Parameters
    ----------
    log : polars.DataFrame
        A log of probabilities, margins (right where above 0) or correctness; as in `AUM`.

    Attributes
    ----------
    scores_ : float64[n]
        Whole numbers. Higher = harder. A row without a label counts as never forgotten: 0.
    report_ : dict
        `log` (what it was taken for), `epochs`, `mean`, `never_learnt`, `unforgettable` (learnt and never forgotten).

    Notes
    -----
    Time and memory O(n epochs classes).

    Claims
    ------
    paper
        Rows that are never forgotten can go: a large part of the data, with accuracy kept.
    here
        The count of forgetting events.
    deviates
        Epochs instead of batches; never learned = hardest.
    measured
        Equal to its definition by hand (test).

    References
    ----------
    Toneva et al., "An empirical study of example forgetting during deep neural network learning",
    2019.

    Examples
    --------
    >>> import polars as pl
    >>> right = {"1": [True, False], "2": [False, False], "3": [True, False]}
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], **right})
    >>> Forgetting(log=log).fit().scores_.tolist()
    [1.0, 3.0]
    """

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        from_probabilities = log.kind == "probabilities"
        margins = (
            log_margins(log, labels, "Forgetting") if from_probabilities else log.values[:, :, 0]
        )
        right = margins > 0
        unlearnt = ~right.any(axis=1)
        forgotten = (right[:, :-1] & ~right[:, 1:]).sum(axis=1).astype(np.float64)
        forgotten[unlearnt] = log.epochs
        if from_probabilities and labels is not None:
            unlearnt &= labels.codes >= 0
            forgotten[labels.codes < 0] = 0
        return forgotten, {
            "never_learnt": int(unlearnt.sum()),
            "unforgettable": int((forgotten == 0).sum()),
        }


class Entropy(FromTrainingLog):
    r"""Entropy of the prediction of the last epoch, in nats.

    .. math:: H_i = -\sum_c p_T(c \mid x_i) \log p_T(c \mid x_i)

    High where the model can't decide, whatever the label is.

    Attributes
    ----------
    scores_ : float64[n], from 0 to log(classes)
        Higher = harder.

    Notes
    -----
    Labels are not needed. Time and memory O(n epochs classes).

    Claims
    ------
    paper
        CCS: entropy of the prediction is one of the difficulties that its strata take.
    here
        Entropy of the last epoch, in nats.
    deviates
        Nothing.
    measured
        Equal to its definition by hand (test).

    References
    ----------
    Shannon, "A mathematical theory of communication", 1948. Zheng, Liu, Lai, Prakash,
    "Coverage-centric coreset selection for high pruning rates", 2023.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.5, 0.5], [0.0, 1.0]]})
    >>> Entropy(log=log).fit().scores_.round(4).tolist()
    [0.6931, 0.0]
    """

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        P = log.probabilities("Entropy")[:, -1]
        return np.abs((P * np.log(np.where(P > 0, P, 1))).sum(axis=1)), {}


def log_margins(log: TrainingLog, labels: Labels | None, asked_by: str) -> Floats:
    """Return float64[n, epochs]: probability of the label less that of the likeliest other class."""
    P, columns = log.of_labels(labels, asked_by)
    own = _own(P, columns)
    likeliest = P.argmax(axis=2)
    rest = np.sort(P, axis=2)[:, :, -2] if P.shape[2] > 1 else np.zeros(own.shape)
    at = np.where(columns[:, None] < 0, likeliest, columns[:, None])
    return np.asarray(np.where(likeliest == at, own - rest, own - P.max(axis=2)), dtype=np.float64)


def label_probabilities(log: TrainingLog, labels: Labels | None, asked_by: str) -> Floats:
    """Return float64[n, epochs]: probability of the label, of the likeliest class without one."""
    return _own(*log.of_labels(labels, asked_by))


def _own(P: Floats, columns: Any) -> Floats:
    """Return each row's probability of its label, of its likeliest class where it has none."""
    own = np.take_along_axis(P, np.maximum(columns, 0)[:, None, None], axis=2)[:, :, 0]
    return np.asarray(np.where(columns[:, None] < 0, P.max(axis=2), own), dtype=np.float64)
