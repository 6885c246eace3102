"""Whether it tells about the label that a value is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.stats import chi2, false_discovery_control

from assay.selection.contract.inputs import Rows
from assay.selection.tables.gaps import nan_as_null
from assay.storage.errors import InputError
from assay.storage.reading.frames import as_table

# classes that numeric labels are cut into
BINS = 5
_SCHEMA: dict[str, Any] = {
    "feature": pl.String,
    "missing": pl.Int64,
    "cramers_v": pl.Float64,
    "p": pl.Float64,
    "p_adjusted": pl.Float64,
    "label": pl.String,
    "rate_missing": pl.Float64,
    "rate_present": pl.Float64,
}


def missing_relevance(frame: Any, y: Any) -> pl.DataFrame:
    r"""Test for every column with missing values whether they are missing at random of the label.

    With :math:`O_{mc}` the rows of class c whose value is missing (m = 1) or not,

    .. math::
        \chi^2 = \sum_{m, c} \frac{(O_{mc} - E_{mc})^2}{E_{mc}}, \qquad
        E_{mc} = \frac{O_{m \cdot} O_{\cdot c}}{n}, \qquad V = \sqrt{\chi^2 / n}

    and p under the chi-square distribution of C - 1 degrees of freedom, corrected for the number of
    columns after Benjamini and Hochberg. What is filled in for such values throws that away, and a model
    that sees where they were may learn how the table was made.

    Parameters
    ----------
    frame : table of n rows
        As of `column_quality`; null and NaN are missing.
    y : n labels
        Classes; floats are cut into 5 of equal frequency. Rows without a label are left out.

    Returns
    -------
    polars.DataFrame
        One row for each column with some, but not all values missing: feature, missing (rows), cramers_v
        (V, 0 to 1), p, p_adjusted, and of the class whose share differs most: label, rate_missing
        (its share of the rows where the value is missing) and rate_present (of the others).

    Raises
    ------
    InputError
        There are not as many labels as rows.

    Notes
    -----
    O(n d) time, O(n) memory beside the table. Few expected rows make p unreliable: look at `missing`.

    References
    ----------
    Benjamini, Hochberg, "Controlling the false discovery rate", 1995.

    Examples
    --------
    >>> frame = {"asked": [None] * 10 + [1] * 10, "full": [1] * 20}
    >>> found = missing_relevance(frame, ["no"] * 10 + ["yes"] * 10)
    >>> found.select("feature", "missing", "cramers_v", "label", "rate_missing").row(0)
    ('asked', 10, 1.0, 'no', 1.0)
    """
    table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))
    codes, names = _classes(y)
    if len(codes) != table.height:
        raise InputError(
            f"There are {len(codes)} labels for {table.height} rows; pass one for each row."
        )
    labeled = codes >= 0
    size, n = max(1, len(names)), int(labeled.sum())
    of_class = np.bincount(codes[labeled], minlength=size)
    rows = []
    for column in table:
        marked = nan_as_null(column)
        if not marked.null_count():
            continue
        gone = marked.is_null().to_numpy()
        gone_of = np.bincount(codes[labeled & gone], minlength=size)
        missing = int(gone_of.sum())
        if not 0 < missing < n:
            continue
        expected = of_class * (missing / n)
        possible = expected > 0
        squares = np.square(gone_of - expected)[possible] / expected[possible]
        # both rows of the table are as far from what is expected
        statistic = float(squares.sum()) * (1 + missing / (n - missing))
        rates = gone_of / missing, (of_class - gone_of) / (n - missing)
        most = int(np.abs(rates[0] - rates[1]).argmax())
        rows.append(
            {
                "feature": column.name,
                "missing": missing,
                "cramers_v": min(1.0, float(np.sqrt(statistic / n))),
                "p": float(chi2.sf(statistic, len(names) - 1)) if len(names) > 1 else 1.0,
                "p_adjusted": 1.0,
                "label": names[most],
                "rate_missing": float(rates[0][most]),
                "rate_present": float(rates[1][most]),
            }
        )
    return adjusted(pl.DataFrame(rows, schema=_SCHEMA))


def adjusted(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with `p_adjusted` of all its columns together."""
    if table.is_empty():
        return table
    corrected = false_discovery_control(table["p"].to_numpy())
    return table.with_columns(p_adjusted=pl.Series(corrected, dtype=pl.Float64))


def _classes(y: Any) -> tuple[Rows, list[str]]:
    """Return the class of each row (-1: none) and their names."""
    series = y if isinstance(y, pl.Series) else pl.Series(y, strict=False)
    if series.dtype.is_float() or series.dtype.is_decimal():
        values = series.cast(pl.Float64).fill_nan(None)
        edges = np.unique(np.quantile(values.drop_nulls().to_numpy(), np.arange(1, BINS) / BINS))
        codes = np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="left")
        names = _between(edges)
        used = np.unique(codes[values.is_not_null().to_numpy()])
        place = np.full(len(names), -1)
        place[used] = np.arange(len(used))
        codes = np.where(values.is_null().to_numpy(), -1, place[codes])
        return codes.astype(np.int64), [names[at] for at in used]
    words = series.cast(pl.String)
    kinds = words.drop_nulls().unique().sort()
    coded = words.replace_strict(kinds, range(len(kinds)), default=-1, return_dtype=pl.Int64)
    return coded.fill_null(-1).to_numpy(), kinds.to_list()


def _between(edges: Any) -> list[str]:
    low, high = ["", *(f"{edge:g}" for edge in edges)], [*(f"{edge:g}" for edge in edges), ""]
    return [
        f"<= {b}" if not a else f"> {a}" if not b else f"> {a}, <= {b}"
        for a, b in zip(low, high, strict=True)
    ]
