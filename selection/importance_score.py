"""How much likelier a text is under a target than in the pool."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from assay.selection.base import Scorer
from assay.selection.density_ratio import Mode, estimate
from assay.selection.inputs import Floats, Inputs


class ImportanceScorer(Scorer):
    """Log importance weight of every text: the scores of `ImportanceResampler`, without a draw.

    Parameters
    ----------
    mode : {"calibrated", "dsir"}, default "calibrated"
    ngrams : int, default 2
    buckets : int, optional
    smoothing : float > 0, default 0.25
    shrinkage : float >= 0, default 10
        All as in `ImportanceResampler`.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = more like the target; NaN for a text without content.
    log_ratio_ : float64[buckets]
    report_ : dict
        `kl_pool`, `log_weight_quantiles`, `dropped`, `target_rows`, `target_dropped`,
        `target_unseen`.

    Raises
    ------
    MissingInputError
        `X` or `target` was not given.
    ConfigError
        A parameter is not what it may be.
    InputError
        No text of the pool, or none of the target, has any content.

    Notes
    -----
    Time linear in the text, memory as `ImportanceResampler`.

    References
    ----------
    Xie, Santurkar, Ma, Liang, "Data selection for language models via importance resampling",
    2023.

    Examples
    --------
    >>> pool = ["the cat sat", "stocks fell again", "shares rose"]
    >>> scorer = ImportanceScorer().fit(pool, target=["stocks rose"])
    >>> pool[scorer.scores_.argmax()]
    'shares rose'
    """

    needs: ClassVar[tuple[str, ...]] = ("texts", "target")
    points: ClassVar[Literal["easier", "harder"]] = "easier"

    def __init__(
        self,
        *,
        mode: Mode = "calibrated",
        ngrams: int = 2,
        buckets: int | None = None,
        smoothing: float = 0.25,
        shrinkage: float = 10.0,
    ) -> None:
        self.mode = mode
        self.ngrams = ngrams
        self.buckets = buckets
        self.smoothing = smoothing
        self.shrinkage = shrinkage

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        ratio = estimate(
            inputs.texts(),
            inputs.target,
            mode=self.mode,
            ngrams=self.ngrams,
            buckets=self.buckets,
            smoothing=self.smoothing,
            shrinkage=self.shrinkage,
        )
        self.log_ratio_ = ratio.log_ratio
        return ratio.log_weights, ratio.report()
