"""What scorers of vectors share whose neighbors have a metric."""

from __future__ import annotations

from typing import ClassVar

from assay.selection.base import Scorer
from assay.storage.limits import Limits


class MetricScorer(Scorer):
    """Base of the scorers that compare vectors under a metric.

    Parameters
    ----------
    metric : {"auto", "cosine", "l2"}, default "auto"
        "auto": that of the graph, and l2 without one. Rows of length 1, which embedders give, have
        the same neighbors under both; for other arrays, such as tables, length tells something.
    """

    limits: ClassVar[Limits] = {"metric": ("auto", "cosine", "l2")}
