"""Data sets of Hugging Face's `datasets` in memory, as pools."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.flows import curate
from assay.storage import read_pool
from assay.storage.errors import InputError

datasets = pytest.importorskip("datasets")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def reviews() -> Any:
    rows = {"text": [f"text {i} of {i % 5}" for i in range(40)], "y": [i % 3 for i in range(40)]}
    kinds = {
        "text": datasets.Value("string"),
        "y": datasets.ClassLabel(names=["bad", "so so", "good"]),
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))


@pytest.mark.parametrize("change", ["as it is", "shuffled", "formatted", "concatenated"])
def test_classes_have_their_names_whatever_was_done(reviews: Any, change: str) -> None:
    frame = {
        "as it is": lambda: reviews,
        "shuffled": lambda: reviews.shuffle(seed=1).select(range(30)),
        "formatted": lambda: reviews.with_format("numpy"),
        "concatenated": lambda: datasets.concatenate_datasets([reviews, reviews.select([1])]),
    }[change]()
    samples = read_pool(frame, text="text", label="y", keep=["text"]).samples()
    plain = frame.with_format(None)
    assert samples["text"].to_list() == list(plain["text"])
    names = ["bad", "so so", "good"]
    assert samples["label"].to_list() == [names[code] for code in plain["y"]]


def test_a_data_set_is_curated(reviews: Any, tmp_path: Path) -> None:
    done = curate(
        pool=reviews, text="text", label="y", budget=6, select="random", store=str(tmp_path / "s")
    )
    labels = done.sql("SELECT DISTINCT label FROM samples ORDER BY 1")["label"]
    assert labels.to_list() == ["bad", "good", "so so"]


def test_pictures_of_a_data_set(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    made = datasets.Dataset.from_dict({"image": [Image.fromarray(p) for p in pixels]})
    made = made.cast_column("image", datasets.Image())
    (column,) = read_pool(made, image="image").batches()
    for image, expected in zip(column.to_pylist(), pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), expected)


def test_what_is_no_single_data_set_is_refused(reviews: Any) -> None:
    with pytest.raises(InputError, match="choose one of train, test"):
        read_pool(datasets.DatasetDict({"train": reviews, "test": reviews}), text="text")
    with pytest.raises(InputError, match="make it a Dataset"):
        read_pool(reviews.to_iterable_dataset(), text="text")
