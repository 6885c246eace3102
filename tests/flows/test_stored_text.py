"""Texts are compared in one form of Unicode, and kept, exported and explained as they were given."""

from __future__ import annotations

from pathlib import Path
from unicodedata import is_normalized, normalize

import polars as pl
import pytest

from assay.flows.export.write import export
from assay.flows.printing.explaining import explanation
from assay.flows.running.runner import curate
from assay.storage import read_pool
from assay.storage.errors import IdError

WORDS = [
    "früh",
    "über",
    "schöne",
    "Bäume",
    "인간은",
    "태어날",
    "때부터",
    "tất",
    "cả",
    "mọi",
    "người",
    "đều",
]
N = 12
TEXTS = [" ".join(WORDS[i % 7 :] + WORDS[: i % 5] + [f"né{i}"]) for i in range(N)]
# every second one decomposed; the last two are one text in two forms
GIVEN = [
    normalize("NFD" if i % 2 else "NFC", text) for i, text in enumerate([*TEXTS, "Prüfung äöü"])
]
GIVEN.append(normalize("NFD", GIVEN[-1]))
IDS = [normalize("NFD" if i % 2 else "NFC", f"é{i}") for i in range(len(GIVEN))]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_what_is_stored_is_what_was_given(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"id": IDS, "text": GIVEN, "note": GIVEN, "größe": GIVEN})
    path = tmp_path / f"p.{suffix}"
    write = {"parquet": frame.write_parquet, "jsonl": frame.write_ndjson, "csv": frame.write_csv}
    write[suffix](path)
    assert not all(is_normalized("NFC", text) for text in GIVEN)
    result = curate(
        pool=str(path), id="id", text="text", label="note", keep=["größe"], select="random",
        scores=["knn_density"], budget=1.0,
        plan={"deduplicate": ["exact_duplicates", "near_duplicates"]}, store=str(tmp_path / "s"),
    )  # fmt: skip
    rows = result.sql("SELECT sample_id, label, größe FROM latest_samples ORDER BY row")
    assert rows.rows() == list(zip(IDS, GIVEN, GIVEN, strict=True))
    assert read_pool(path, id="id", text="text").take([1, 3])["text"].to_list() == [
        GIVEN[1],
        GIVEN[3],
    ]
    # one of the two forms of the last text is a copy of the other
    kept = result.sql("SELECT sample_id FROM latest_selection")["sample_id"].to_list()
    assert len(set(IDS[-2:]) & set(kept)) == 1
    for format in ("parquet", "jsonl", "csv"):
        out = tmp_path / f"out.{format}"
        export(result.store, out, run=result.run_id)
        read = {"parquet": pl.read_parquet, "jsonl": pl.read_ndjson, "csv": pl.read_csv}[format]
        given = dict(zip(IDS, GIVEN, strict=True))
        written = read(out)
        assert set(written["id"]) == set(kept)
        for column in ("text", "note", "größe"):
            assert written[column].to_list() == [given[row] for row in written["id"]]
    # ids as they were given too: the other form of one is another id
    for row in IDS:
        assert explanation(result.store, row)[0]["selected"] == (row in kept)
        with pytest.raises(IdError):
            explanation(result.store, normalize("NFC" if row in IDS[1::2] else "NFD", row))
    keeper, removed = sorted(IDS[-2:], key=lambda row: row not in kept)
    (told,) = explanation(result.store, removed)
    assert told["detail"]["keeper"] == keeper
