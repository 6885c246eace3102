"""How much likelier a text is under a target than in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.algorithms.density_ratio import (
    Components,
    DensityRatio,
    Mode,
    Weighting,
    combine,
    moments,
)
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats
from assay.selection.importance.fit import fit_evidence, fit_stream_ratio, need
from assay.selection.importance.report import quantiles
from assay.selection.importance.targets import best
from assay.selection.importance.texts import TEXT_LIMITS, TextSettings, Tokenizer
from assay.storage.limits import Flag, Limits


@dataclass(kw_only=True, eq=False, repr=False)
class ImportanceScorer(Scorer):
    """Log importance weight of every text: the scores of `ImportanceResampler`, without a draw.

    Parameters
    ----------
    mode : {"calibrated", "dsir"}, default "calibrated"
    ngrams : int, default 2
    buckets : int, optional
    tokenizer : {"auto", "re", "regex"}, default "auto"
    weighting : {"joint", "backoff", "logistic"}, default "joint"
    smoothing : float > 0, default 1
    shrinkage : float >= 0, default 10
    embedding : bool, default False
    threads : int, optional
        All as in `ImportanceResampler`.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = more like the target (of several, the one it is most like); NaN for a text
        without content.
    log_ratio_ : float64[buckets], or [targets, buckets] with named targets
    report_ : dict
        `log_weight_quantiles`, `dropped`, `replaced`, and `kl_pool`, `target_rows`,
        `target_dropped`, `target_replaced`, `target_unseen`, with named targets in `targets`.

    Raises
    ------
    InputError
        No text of the pool, or none of the target, has any content.

    Notes
    -----
    Input, time and memory as `ImportanceResampler`.

    Claims
    ------
    paper
        DSIR's log weight: the likelihood ratio of hashed n-grams.
    here
        The weight of the selector, without a draw.
    deviates
        As the selector `importance`.
    measured
        As the selector `importance`.

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

    limits: ClassVar[Limits] = {
        **{name: may for name, may in TEXT_LIMITS.items() if name != "min_example_length"},
        "embedding": (Flag(),),
    }

    mode: Mode = "calibrated"
    ngrams: int = 2
    buckets: int | None = None
    tokenizer: Tokenizer = "auto"
    weighting: Weighting = "joint"
    smoothing: float = 1.0
    shrinkage: float = 10.0
    embedding: bool = False
    threads: int | None = None

    def hasher(self) -> NGramHasher:
        """Return what hashes the texts, to make a `BucketStream` with."""
        self.check_parameters()
        return TextSettings.of(self).hasher()

    def _fit(self, **arguments: Any) -> None:
        X, target = arguments.pop("X"), arguments.pop("target")
        need(X, target, type(self).__name__)
        fitted = fit_evidence(
            X, target, TextSettings.of(self), embedding=self.embedding, **arguments
        )
        evidence = fitted.evidence
        self.scores_ = best(evidence.log_weights)
        self.log_ratio_ = evidence.log_ratio if fitted.named else evidence.log_ratio[0]
        by_target = {name: evidence.report_of(place) for place, name in enumerate(fitted.names)}
        self.report_: dict[str, Any] = {
            "rows": fitted.rows.n,
            **evidence.report(),
            "log_weight_quantiles": quantiles(self.scores_),
            **({"targets": by_target} if fitted.named else next(iter(by_target.values()))),
        }

    def ratio(self, X: BucketStream, target: Any, ids: Any) -> DensityRatio:
        """Return what every text is weighed by; `weigh_rows` of it may run elsewhere."""
        need(X, target, type(self).__name__)
        return fit_stream_ratio(X, target, TextSettings.of(self), ids)

    def combined(self, parts: Sequence[Components]) -> Floats:
        """Return the scores of all texts, whose shards were weighed by `ratio`."""
        presence = [part.presence for part in parts if part.presence is not None]
        whole = Components(
            np.concatenate([part.backoff for part in parts], axis=1),
            np.concatenate(presence, axis=1) if presence else None,
        )
        return best(combine(whole, self.weighting, moments(whole)))
