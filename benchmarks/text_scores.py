"""Scores of the text alone: speed for each core, and datatrove's filters on the same texts.

    python benchmarks/text_scores.py --datatrove PYTHON

PYTHON is an interpreter that has datatrove (and nltk, spacy), which is no dependency; without it that
part is left out. Data: `text_pool.parquet` in the folder named by `ASSAY_TEST_DATA`, else in
`../shared/data` beside the repository.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common.data import documents
from common.report import machine, table, write

from assay.selection import (
    C4Quality,
    CompressionRatio,
    DigitShare,
    GopherQuality,
    GopherRepetition,
    Language,
    StopWordShare,
    Tokens,
)

ROWS, COMPARED = 20_000, 4_000
SCORERS = {
    "gopher_repetition": GopherRepetition(),
    "compression_ratio": CompressionRatio(),
    "digit_share": DigitShare(),
    "stop_word_share": StopWordShare(),
    "tokens": Tokens(),
    "language": Language(),
    "gopher_quality": GopherQuality(),
    "c4_quality": C4Quality(),
}
# rules of ours in the order of datatrove's, with its names
REASONS = {
    "duplicate_paragraphs": "dup_para_frac",
    "duplicate_paragraph_characters": "dup_para_char_frac",
    "duplicate_lines": "dup_line_frac",
    "duplicate_line_characters": "dup_line_char_frac",
    **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicate_{n}_grams": f"duplicated_{n}_n_grams" for n in range(5, 11)},
}
THEIRS = r"""
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters import gopher_quality_filter, gopher_repetition_filter

texts = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
found = {}
for words in ("its own", "white space"):
    if words == "white space":
        for module in (gopher_quality_filter, gopher_repetition_filter):
            module.split_into_words = lambda text, language: text.split()
    for made in (GopherRepetitionFilter(), GopherQualityFilter()):
        started = time.process_time()
        verdicts = []
        for text in texts:
            try:
                result = made.filter(Document(text=text, id="0"))
            except ZeroDivisionError:
                result = (False, "empty")
            verdicts.append("" if result is True else result[1])
        seconds = time.process_time() - started
        found[f"{type(made).__name__}, {words}"] = {"verdicts": verdicts, "seconds": seconds}
json.dump(found, open(sys.argv[2], "w", encoding="utf-8"))
"""


def cpu_seconds(call: Any) -> float:
    """Return the CPU seconds of a call, over all threads."""
    began = time.process_time()
    call()
    return time.process_time() - began


def theirs(python: str, texts: pl.Series) -> dict[str, Any]:
    """Return datatrove's verdicts on each text, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "texts.jsonl", Path(folder) / "verdicts.json"
        given.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        subprocess.run([python, "-c", THEIRS, str(given), str(made)], check=True)
        return dict(json.loads(made.read_text(encoding="utf-8")))


def first_reasons(scorer: GopherRepetition) -> list[str]:
    """Return the first rule that each text breaks, by datatrove's order and name."""
    columns = [scorer.rules_[name].to_numpy() for name in REASONS]
    names = np.array([*REASONS.values(), ""])
    broken = np.column_stack([*columns, np.ones(len(columns[0]), bool)])
    return list(names[broken.argmax(axis=1)])


def compared(texts: pl.Series, found: dict[str, Any]) -> str:
    """Return the part of the report about datatrove."""
    repetition, quality = GopherRepetition().fit(texts), GopherQuality().fit(texts)
    ours = {"GopherRepetitionFilter": repetition, "GopherQualityFilter": quality}
    reasons = first_reasons(repetition)
    rows = []
    for name, result in found.items():
        theirs_drop = np.array(result["verdicts"]) != ""
        drop = ours[name.split(",")[0]].scores_ > 0
        same = (
            "" if "Quality" in name else f"{np.mean(np.array(result['verdicts']) == reasons):.4f}"
        )
        rate = texts.str.len_bytes().sum() / 1e6 / result["seconds"]
        cells = [
            (drop & theirs_drop),
            (~drop & ~theirs_drop),
            (drop & ~theirs_drop),
            (~drop & theirs_drop),
        ]
        rows.append([name, *(f"{cell.sum():,}" for cell in cells), same, f"{rate:.1f}"])
    words = texts.str.count_matches(r"\S+")
    name = "GopherRepetitionFilter, white space"
    verdicts = pl.Series(found[name]["verdicts"])
    differ = pl.DataFrame(
        {"theirs": verdicts, "ours": reasons, "words": words, "text": texts}
    ).filter(pl.col("theirs") != pl.col("ours"))
    once = differ.filter(pl.col("theirs").str.starts_with("top_"))
    fewest = once["words"].median() or 0
    head = (
        "filter, words",
        "both drop",
        "both keep",
        "only ours",
        "only theirs",
        "same reason",
        "theirs, MB/s",
    )
    return f"""{table(head, rows)}

`same reason` is the share of the texts for which the first rule broken, in datatrove's order, is the
same (or none is). With words parted by white space, as ours are, {differ.height:,} of the {len(texts):,}
texts differ. In {once.height:,} of these datatrove counts a "most frequent" run of words that occurs
once, which ours does not: every short text has one ({fewest:.0f} words at the median). With datatrove's
own words punctuation marks count as words.
"""


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datatrove", help="an interpreter that has datatrove")
    given = parser.parse_args()
    short = documents()["text"].sample(ROWS, seed=0)
    long = pl.Series(["\n".join(short[i : i + 10]) for i in range(0, ROWS, 10)])
    lengths = {name: texts.str.len_bytes() for name, texts in (("short", short), ("long", long))}
    rows = []
    for name, scorer in SCORERS.items():
        scorer.fit(short[:100])
        rates = [
            lengths[of].sum()
            / 1e6
            / min(cpu_seconds(lambda t=texts, s=scorer: s.fit(t)) for _ in range(3))
            for of, texts in (("short", short), ("long", long))
        ]
        rows.append([f"`{name}`", *(f"{rate:.0f}" for rate in rates)])
    head = [f"{name}, {sizes.mean():,.0f} bytes each" for name, sizes in lengths.items()]
    text = f"""# Scores of the text alone

`python benchmarks/text_scores.py --datatrove PYTHON`: {machine()}, beside other work. {ROWS:,} documents
of 21 domains; the long ones are ten of them joined.

## Speed: MB of text for each second of one core, the best of three

{table(("scorer", *head), rows)}

The other shares of characters are as fast as `digit_share`. The goal is 20 MB/s for each core.

"""
    if given.datatrove:
        texts = short[:COMPARED]
        text += f"## datatrove 0.10.1 on {COMPARED:,} of the documents\n\n"
        text += compared(texts, theirs(given.datatrove, texts))
    write("text_scores.md", text)


if __name__ == "__main__":
    main()
