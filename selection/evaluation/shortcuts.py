"""Labels that simple attributes of a row give away: its length, first word, source, place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.selection.algorithms.cross_fitting import boosted_trees
from assay.selection.contract.inputs import Floats, Inputs, Labels
from assay.selection.tables.coded_columns import coded_columns
from assay.storage.errors import MissingInputError
from assay.storage.hashing.rows import first_rows
from assay.storage.limits import SEED, Whole, check_parameters

# rows of a class that is told from the others, classes at most, levels of an attribute
_CLASSES, _LEVELS, _FOLDS = 20, 200, 3
# share of the labels' entropy from which a shortcut is worth a warning
WARN = 0.2
TOGETHER = "(together)"


@dataclass(frozen=True, eq=False)
class Shortcuts:
    """What simple attributes tell about the labels.

    Attributes
    ----------
    frame : pl.DataFrame
        `attribute`, `bits` (V-information about the label), `share` (of the labels' entropy); the
        attributes together first, then one by one, the most telling first.
    share : float
        That of all attributes together.
    report_ : dict
        `rows`, `classes`, `entropy` (bits of the labels), `warn` (share > .2).
    """

    frame: pl.DataFrame
    share: float
    report_: dict[str, Any]


def find_shortcuts(
    X: Any = None,
    y: Any = None,
    *,
    attributes: Mapping[str, Any] | pl.DataFrame | None = None,
    ids: Any = None,
    most_rows: int = 20_000,
    random_state: int = 0,
) -> Shortcuts:
    r"""Measure how much attributes that should not matter tell about the labels.

    The V-information of attributes a is what a family of models gains by seeing them,

    .. math:: I(a \to y) = \frac1n \sum_i \log_2 \frac{p(y_i \mid a_i)}{p(y_i)},

    out of fold, for boosted trees of 8 leaves. As a share of the labels' entropy it is 1 where the
    attributes settle the label, and 0 where they say nothing.

    Parameters
    ----------
    X : n texts, or images as the bytes of their files, optional
        Of texts: length, words, digits, punctuation, capitals, line breaks, other than ASCII, first and
        last word. Of images: width, height, bytes, and mean and spread of each channel.
    y : n labels
        Rows without one are left out. The 19 most frequent classes are told apart, the others are one.
    attributes : table of n rows, optional
        Others: source, group, the row's place, whether a value is missing.
    ids : n unique texts or whole numbers, optional
        With ids the result does not depend on the order of the rows.
    most_rows : int, default 20,000
        Of larger pools those whose ids hash smallest.
    random_state : int, default 0

    Returns
    -------
    Shortcuts

    Raises
    ------
    MissingInputError
        `y` is missing, or neither X nor `attributes` is given.

    Notes
    -----
    Shares below 0, of models that are worse than none, are 0. Three fits for each attribute and three
    for all: 60 trees a class.

    References
    ----------
    Ethayarajh, Choi, Swayamdipta, "Understanding dataset difficulty with V-usable information", 2022.
    Gururangan et al., "Annotation artifacts in natural language inference data", 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.choice(["long", "short"], 300)
    >>> texts = [" ".join(["word"] * (9 if label == "long" else 4)) for label in y]
    >>> found = find_shortcuts(texts, y)
    >>> found.share > 0.95, found.frame["attribute"][0]
    (True, '(together)')
    """
    check_parameters(most_rows=(most_rows, Whole(10)), random_state=(random_state, *SEED))
    if y is None:
        raise MissingInputError("find_shortcuts needs labels; pass one for each row as y.")
    others = None if attributes is None else pl.DataFrame(attributes)
    inputs = Inputs(X=X, y=y, ids=ids, method="find_shortcuts")
    labels = inputs.labels
    if labels is None:
        raise MissingInputError("find_shortcuts needs labels, and y holds none.")
    noise = inputs.noise(random_state, "shortcuts")
    rows = np.flatnonzero(labels.codes >= 0)
    if len(rows) > most_rows:
        rows = np.sort(rows[first_rows(noise[rows], most_rows)])
    parts = []
    if X is not None:
        images = inputs.holds_images
        parts.append(
            image_attributes(X, inputs.given_rows(rows))
            if images
            else text_attributes(inputs.texts().gather(rows))
        )
    if others is not None:
        parts.append(others[inputs.given_rows(rows)])
    if not parts:
        raise MissingInputError(
            "find_shortcuts needs X or attributes; pass texts, images or a table of attributes."
        )
    table = pl.concat(parts, how="horizontal")
    codes = _commonest(labels, rows)
    entropy = _entropy(codes)
    columns = {
        name: column for name in table.columns if (column := _numbers(table[name])) is not None
    }
    fold = _folds(codes, noise[rows])
    bits = {name: _information([column], codes, fold) for name, column in columns.items()}
    together = _information(list(columns.values()), codes, fold)
    frame = pl.DataFrame(
        {"attribute": list(bits), "bits": list(bits.values())},
        schema={"attribute": pl.String, "bits": pl.Float64},
    ).sort("bits", descending=True, maintain_order=True)
    frame = pl.concat([pl.DataFrame({"attribute": [TOGETHER], "bits": [together]}), frame])
    frame = frame.with_columns(
        (pl.col("bits") / entropy).clip(0, 1).alias("share")
        if entropy > 0
        else pl.lit(0.0).alias("share")
    )
    share = float(frame["share"][0])
    return Shortcuts(
        frame,
        share,
        {
            "rows": len(rows),
            "classes": int(codes.max()) + 1,
            "entropy": entropy,
            "warn": share > WARN,
        },
    )


def text_attributes(texts: pl.Series) -> pl.DataFrame:
    """Return the simple attributes of texts, a row each.

    Examples
    --------
    >>> text_attributes(pl.Series(["Is 1 + 1 two?"])).row(0)
    (13, 5, 2, 2, 1, 0, 0, 'is', 'two?')
    """
    text = pl.col("text")
    words = text.str.split(" ")
    return (
        texts.rename("text")
        .to_frame()
        .select(
            length=text.str.len_chars(),
            words=text.str.count_matches(r"\S+"),
            digits=text.str.count_matches(r"\d"),
            punctuation=text.str.count_matches(r"[^\w\s]"),
            capitals=text.str.count_matches(r"\p{Lu}"),
            line_breaks=text.str.count_matches("\n"),
            non_ascii=text.str.len_bytes() - text.str.len_chars(),
            first_word=words.list.first().str.to_lowercase(),
            last_word=words.list.last().str.to_lowercase(),
        )
    )


def image_attributes(images: Any, rows: NDArray[Any]) -> pl.DataFrame:
    """Return the simple attributes of images (the bytes of their files) of some rows.

    Of a file that can't be decoded only the number of bytes is known.
    """
    from PIL import Image

    attributes = []
    for at in rows.tolist():
        data = bytes(images[at])
        try:
            with Image.open(BytesIO(data)) as image:
                pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
        except MemoryError:
            raise
        except Exception:  # decoders of broken files raise nearly anything
            attributes.append((None, None, len(data), *[None] * 6))
            continue
        means, spreads = pixels.mean(axis=(0, 1)), pixels.std(axis=(0, 1))
        attributes.append((pixels.shape[1], pixels.shape[0], len(data), *means, *spreads))
    colors = [
        f"{color}_{what}" for what in ("mean", "spread") for color in ("red", "green", "blue")
    ]
    return pl.DataFrame(
        np.array(attributes, dtype=np.float64), schema=["width", "height", "bytes", *colors]
    )


def _numbers(series: pl.Series) -> tuple[Floats, bool] | None:
    """Return a column as numbers, and whether they are codes of levels; None where it is neither."""
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        return series.to_physical().cast(pl.Float64).to_numpy(), False
    # a level per value, also where nearly all differ: rare ones are one level
    text = series.cast(pl.String, strict=False)
    counts = text.value_counts(sort=True).filter(pl.col("count") > 1).head(_LEVELS)
    kept = text.set(~text.is_in(counts[series.name].implode()), None)
    coded, _ = coded_columns(kept.to_frame(), _LEVELS)
    return (coded[0].codes.astype(np.float64), True) if coded else None


def _commonest(labels: Labels, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    codes = labels.codes[rows].astype(np.int64)
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return np.unique(np.minimum(place, _CLASSES - 1)[codes], return_inverse=True)[1]


def _entropy(codes: NDArray[np.int64]) -> float:
    shares = np.bincount(codes) / len(codes)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _folds(codes: NDArray[np.int64], noise: Floats) -> NDArray[np.int64]:
    order = np.lexsort((noise, codes))
    fold = np.empty(len(codes), dtype=np.int64)
    fold[order] = np.arange(len(codes)) % _FOLDS
    return fold


def _information(
    columns: list[tuple[Floats, bool]], codes: NDArray[np.int64], fold: NDArray[np.int64]
) -> float:
    """Return the bits that columns tell about the codes, out of fold."""
    gain = np.zeros(len(codes))
    # what is the same for all tells nothing, and trees can't split it
    columns = [(values, coded) for values, coded in columns if len(np.unique(values)) > 1]
    if not columns:
        return 0.0
    matrix = np.stack([values for values, _ in columns], axis=1)
    levels = np.array([coded for _, coded in columns])
    with one_thread():
        for held in range(_FOLDS):
            train, test = fold != held, fold == held
            present, own = np.unique(codes[train], return_inverse=True)
            if len(present) < 2 or not test.any():
                continue
            model = boosted_trees(levels).fit(matrix[train], own)
            prior = np.bincount(own) / len(own)
            place = np.searchsorted(present, codes[test])
            known = (place < len(present)) & (
                present[np.minimum(place, len(present) - 1)] == codes[test]
            )
            at = np.minimum(place, len(present) - 1)
            seen = model.predict_proba(matrix[test])[np.arange(len(at)), at]
            gain[test] = np.where(known, np.log2(np.maximum(seen, 1e-12) / prior[at]), 0.0)
    return float(gain.mean())
