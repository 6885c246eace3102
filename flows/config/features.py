"""Configuration of a run that ranks the columns of a table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assay.flows.config.fields import Location, Names, Options
from assay.flows.config.form import Form
from assay.storage.reading.source import Reading


class FeatureConfig(Form):
    """One feature-ranking run over the columns of a table.

    Parameters
    ----------
    table : str
        File of the table (None where a frame is handed to `rank_features`).
    name : str, optional
        The table's name in the store; the stem of its path by default.
    label : str
        The column to be explained.
    methods : tuple of str, default ("ecfs",)
        Names of rankers in the registry.
    k : int, "auto" or "shadow", default 50
        How many features each method selects (all, where there are fewer); "auto": each as many as
        its cross-validation, or without labels the split of its scores, says.
    options : mapping
        Method -> further parameters of its ranker: ``{"ecfs": {"alpha": "cv"}}``.
    delimiter : str, optional
        Separator of the fields of CSV files.
    encoding : str, optional
        Encoding of text files: ``"utf-16"``, ``"latin-1"``.
    missing : {"median", "indicator", "raise"}
        What is done about missing values of numbers (see `assay.selection.tables.matrix.to_matrix`). The
        share of each column is stored as the metric ``missing:<column>``.
    stability : int, default 0
        How many bootstrap resamples each method ranks anew; 0: none. Stored as the metrics
        ``stability:<method>`` with ``stability_low`` and ``stability_high``, its interval, and
        ``frequency:<method>:<feature>``, how often a selected feature is among the best k.
    consensus : {"rra", "borda", "median", "merge"}, optional
        Store what the methods agree on as a method more, named ``consensus``.
    consensus_of : tuple of str, optional
        The methods that the consensus counts; by default all but those whose scores are not
        corrected for chance (``mutual_info_classif``).
    seats : int, optional
        Seats that the importance of each method's columns is shared out in, by D'Hondt; stored as the
        metrics ``seats:<method>:<alliance>``, beside the exact number.
    seats_by : str, optional
        A separator: columns with the same name up to it share their seats (``"_"``). Default: none do.
    seats_threshold : float, default 0
        Share of all importance below which columns get no seat.
    memory_mb : int, default 1024
        A table that takes more as 64-bit floats is ranked by blocks of columns or rows, where the
        method allows.
    store : str, default "assay-store"
        The store's folder.
    seed : int, default 0
        The one seed of everything random.
    keep_runs : int, default 90
        How many finished runs of the table are kept at hand; older ones go to the store's archive.
    """

    table: Location | None = None
    name: str | None = None
    label: str
    methods: Names = ("ecfs",)
    k: Annotated[int, Field(ge=1)] | Literal["auto", "shadow"] = 50
    options: dict[str, Options] = Field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    missing: Literal["median", "indicator", "raise"] = "median"
    stability: int = Field(default=0, ge=0)
    consensus: Literal["rra", "borda", "median", "merge"] | None = None
    consensus_of: Names | None = None
    seats: int | None = Field(default=None, ge=1, le=1_000_000)
    seats_by: str | None = None
    seats_threshold: float = Field(default=0.0, ge=0, lt=1)
    memory_mb: int = Field(default=1024, ge=1)
    store: str = "assay-store"
    seed: int = Field(default=0, ge=0, lt=2**63)
    keep_runs: int = Field(default=90, ge=1)

    @property
    def reading(self) -> Reading:
        """How text files are read."""
        return Reading(self.delimiter, self.encoding)
