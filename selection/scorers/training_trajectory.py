"""Scores from the steps between epochs of a training log: how predictions move, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from assay.selection.contract.inputs import Floats, Labels
from assay.selection.scorers.training_dynamics import FromTrainingLog, label_probabilities
from assay.selection.scorers.training_logs import TrainingLog
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import Limits, Number, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class TDDS(FromTrainingLog):
    r"""Unsteadiness of how far predictions move from epoch to epoch, late epochs counting most.

    .. math::
        d_{it} = \sum_c \Big| p_{t+1,c} \log \frac{p_{t+1,c}}{p_{t,c}} \Big|, \qquad
        \mathrm{TDDS}_i = \sum_k \beta (1 - \beta)^{K - k}
        \Big\lVert \big(d_{it} - \bar d_{ik}\big)_{t \in k} \Big\rVert_2

    over the K runs k of J epochs, each with the mean of its J - 1 steps. As a top-k such rows lose 20
    to 40 points where 90 % is pruned: use it as the difficulty of `ccs`.

    Parameters
    ----------
    window : int, default 10
        J, of which a log of fewer epochs has one run.
    decay : float, default 0.9
        beta: how much the last run counts.

    Notes
    -----
    Labels are not needed. Of a log of fewer than three epochs all scores are 0. Time O(n epochs
    (classes + window)).

    Claims
    ------
    paper
        At 10 % of CIFAR-100 its selection is 2.2 points better than the best before it.
    here
        The score of the authors' code.
    deviates
        No top-k by itself: a score for any selector.
    measured
        Equal to the authors' loops (test). As a top-k of 10 % of CIFAR-10 it lost 18 points against
        random in a study before this package.

    References
    ----------
    Zhang, Du, Li, Xie, Zhou, "Spanning training progress: temporal dual-depth scoring (TDDS) for
    enhanced dataset pruning", 2024.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.5, 0.5]] * 2,
    ...                     "2": [[0.9, 0.1], [0.5, 0.5]], "3": [[0.9, 0.1], [0.5, 0.5]]})
    >>> TDDS(log=log).fit().scores_.round(3).tolist()
    [0.439, 0.0]
    """

    limits: ClassVar[Limits] = {"window": (Whole(2),), "decay": (Number("(0, 1]"),)}

    window: int = 10
    decay: float = 0.9

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        P = log.probabilities("TDDS")
        if P.shape[1] < 2:
            return np.zeros(len(P)), {}
        logs = np.log(P + 1e-8)
        steps = np.abs(P[:, 1:] * (logs[:, 1:] - logs[:, :-1])).sum(axis=2)
        runs = sliding_window_view(steps, min(self.window, P.shape[1]) - 1, axis=1)
        unsteady = np.linalg.norm(runs - runs.mean(axis=2, keepdims=True), axis=2)
        counts = self.decay * (1 - self.decay) ** np.arange(unsteady.shape[1])[::-1]
        return unsteady @ counts, {}


@dataclass(kw_only=True, eq=False, repr=False)
class CLD(FromTrainingLog):
    r"""Correlation of the steps of a row's loss with those of the validation loss.

    .. math::
        \mathrm{CLD}_i = \operatorname{corr}_t\big(\ell_{i,t+1} - \ell_{i,t},\;
        \bar\ell^{\,\mathrm{val}}_{t+1} - \bar\ell^{\,\mathrm{val}}_t\big)

    High where learning the row goes with learning the task; low where it is learned by heart.

    Parameters
    ----------
    validation : sequence of float, optional
        The mean loss on validation rows after each epoch of the log. Where None, the median loss of
        the log's own rows stands for it, which wrong labels don't move as they do a mean.

    Attributes
    ----------
    scores_ : float64[n], from -1 to 1
        Higher = easier. 0 where a loss does not move. A row without a label is judged by its likeliest
        class.

    Raises
    ------
    InputError
        `validation` is not one finite number for each epoch.

    Notes
    -----
    Of a log of fewer than three epochs all scores are 0. Time O(n epochs classes).

    Claims
    ------
    paper
        Coresets of the rows with the highest correlation match or beat others at the cost of a log.
    here
        The correlation over all epochs of the log.
    deviates
        Without validation losses, the median of the log's own rows.
    measured
        Equal to its definition by plain loops (test).

    References
    ----------
    Nagaraj, Ravikumar, Roy, "Coresets from trajectories: selecting data via correlation of loss
    differences", 2025.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.5, 0.5]] * 2,
    ...                     "2": [[0.8, 0.2], [0.3, 0.7]], "3": [[0.9, 0.1], [0.2, 0.8]]})
    >>> cld = CLD(log=log, validation=[0.7, 0.4, 0.3]).fit(ids=["a", "b"], y=["0", "0"])
    >>> cld.scores_.round(3).tolist()
    [1.0, -1.0]
    """

    limits: ClassVar[Limits] = {}

    validation: Sequence[float] | None = None

    def check_parameters(self) -> None:
        """Refuse what is no sequence of numbers."""
        super().check_parameters()
        if self.validation is not None:
            _numbers(self.validation)

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        losses = -np.log(np.maximum(label_probabilities(log, labels, "CLD"), 1e-12))
        if self.validation is None:
            whole = np.median(losses, axis=0)
        else:
            whole = _numbers(self.validation)
            if whole.shape != (log.epochs,) or not np.isfinite(whole).all():
                raise InputError(
                    f"validation holds {len(whole)} numbers for {log.epochs} epochs; give the finite "
                    "mean validation loss after each epoch of the log."
                )
        if log.epochs < 3:
            return np.zeros(len(losses)), {}
        rows, all_of = np.diff(losses, axis=1), np.diff(whole)
        rows = rows - rows.mean(axis=1, keepdims=True)
        all_of = all_of - all_of.mean()
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(all_of)
        moving = norms > 1e-12
        together = np.einsum("ij,j->i", rows, all_of) / np.where(moving, norms, 1)
        return np.where(moving, np.clip(together, -1, 1), 0.0), {}


def _numbers(values: Any) -> Floats:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty((0, 0))
    if numbers.ndim != 1:
        raise ConfigError(
            f"validation is {values!r}; it may be a list of numbers, one for each epoch, or None."
        )
    return numbers
