"""Labels given away: a label that is an attribute, one that is chance, and real texts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.selection import find_shortcuts
from assay.selection.evaluation.shortcuts import text_attributes
from assay.storage.errors import ConfigError, MissingInputError
from tests.data import shared


def texts(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(["ab"] * k) + "x" * extra for k, extra in rng.integers([1, 0], [9, 2], (n, 2))]


def test_the_parity_of_the_length_is_given_away_and_chance_is_not() -> None:
    rows = texts(1_200, 0)
    parity = [len(row) % 2 for row in rows]
    found = find_shortcuts(rows, parity)
    assert found.share >= 0.97
    assert found.report_["warn"]
    assert found.frame["attribute"].to_list()[:2] == ["(together)", "length"]
    assert found.report_["entropy"] == pytest.approx(1, abs=0.01)
    chance = find_shortcuts(rows, np.random.default_rng(1).integers(0, 2, 1_200))
    assert chance.share <= 0.01
    assert not chance.report_["warn"]


def test_information_is_that_of_the_closed_form() -> None:
    rng = np.random.default_rng(2)
    source = rng.choice(["web", "book"], 6_000)
    y = np.where(rng.random(6_000) < 0.9, source == "web", source != "web")
    found = find_shortcuts(y=y, attributes={"source": source})
    mutual = 1 + 0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)
    assert found.frame.filter(attribute="source")["bits"].item() == pytest.approx(mutual, abs=0.03)


def test_attributes_of_texts() -> None:
    row = text_attributes(pl.Series(["Ünder 3,5 €\nA line"])).row(0, named=True)
    assert row["length"] == 18
    assert (row["words"], row["digits"], row["punctuation"]) == (5, 2, 2)
    assert (row["capitals"], row["line_breaks"], row["non_ascii"]) == (2, 1, 3)
    assert (row["first_word"], row["last_word"]) == ("ünder", "line")


def test_images_by_their_brightness() -> None:
    from io import BytesIO

    from PIL import Image

    rng = np.random.default_rng(3)
    images, y = [], rng.integers(0, 2, 300)
    for bright in y:
        pixels = rng.integers(0, 120, (8, 8, 3)) + 120 * bright
        file = BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "png")
        images.append(file.getvalue())
    found = find_shortcuts(images, y)
    assert found.share > 0.9
    assert found.frame["attribute"][1].endswith("_mean")


def test_the_order_of_rows_does_not_matter() -> None:
    rows, ids = texts(400, 4), [f"r{i}" for i in range(400)]
    y = [str(len(row) % 3) if i % 9 else None for i, row in enumerate(rows)]
    place = np.arange(400)
    order = np.random.default_rng(4).permutation(400)
    one = find_shortcuts(rows, y, ids=ids, attributes={"place": place}, most_rows=300)
    two = find_shortcuts(
        [rows[i] for i in order], [y[i] for i in order], ids=[ids[i] for i in order],
        attributes={"place": place[order]}, most_rows=300,
    )  # fmt: skip
    assert one.frame.equals(two.frame)
    assert one.report_["rows"] == 300


def test_what_is_missing_is_said() -> None:
    with pytest.raises(MissingInputError, match="labels"):
        find_shortcuts(["a"])
    with pytest.raises(MissingInputError, match="attributes"):
        find_shortcuts(y=["a", "b"])
    with pytest.raises(ConfigError, match="most_rows"):
        find_shortcuts(["a"], ["b"], most_rows=1)


# measured shares of the labels' entropy, with 4,000 rows of each
@pytest.mark.slow
@pytest.mark.parametrize(
    ("domain", "least", "most"),
    [
        ("health_qa", 0.4, 0.8),
        ("factoid_questions", 0.3, 0.55),
        ("programming_questions", 0.25, 0.5),
        ("product_reviews", 0.0, 0.05),
    ],
)
def test_real_labels(domain: str, least: float, most: float) -> None:
    frame = pl.read_parquet(shared("text_pool.parquet")).filter(domain=domain).drop_nulls("label")
    found = find_shortcuts(frame["text"], frame["label"], ids=frame["id"], most_rows=4_000)
    print(domain, found.frame)
    assert least <= found.share <= most
