"""Fits the model of languages that comes with the package, and measures it on other texts.

    python benchmarks/language_model.py --udhr UDHR --xquad XQUAD

UDHR is a checkout of "UDHR in XML" (github.com/eric-muller/udhr): the Universal Declaration of Human
Rights, which the United Nations let anyone reproduce. XQUAD is a checkout of
github.com/google-deepmind/xquad: the same 240 paragraphs of Wikipedia in twelve languages, which
nothing is fitted on. Of each article of the declaration one in five is kept for the temperature; the
model that is written has seen all of them.
"""

from __future__ import annotations

import argparse
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
from common.report import table, write

from assay.selection.algorithms.language_model import (
    LanguageModel,
    language_posteriors,
    letter_runs,
)

BUCKETS = 1 << 14
UNIT = 1 / 4
# how many runs are kept for each language, how often one must occur, the least log ratio
KEPT, LEAST, SMALLEST = 150, 2, 1.8
# what a run never seen is as likely as, as a share of the runs of a declaration
FLOOR = 0.25
LANGUAGES = {
    "af": "afr", "am": "amh", "ar": "arb", "az": "azj_latn", "be": "bel", "bg": "bul", "bn": "ben",
    "ca": "cat", "cs": "ces", "cy": "cym", "da": "dan", "de": "deu_1996", "el": "ell_monotonic",
    "en": "eng", "es": "spa", "et": "est", "eu": "eus", "fa": "pes_1", "fi": "fin",
    "fr": "fra", "gu": "guj", "he": "heb", "hi": "hin", "hr": "hrv",
    "hu": "hun", "hy": "hye", "id": "ind", "is": "isl", "it": "ita", "ja": "jpn", "ka": "kat",
    "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "lt": "lit", "lv": "lav",
    "mk": "mkd", "ml": "mal", "mr": "mar", "my": "mya", "nb": "nob", "ne": "nep", "nl": "nld",
    "pa": "pan", "pl": "pol", "pt": "por_BR", "ro": "ron_2006", "ru": "rus", "sk": "slk",
    "sl": "slv", "sq": "als", "sr": "srp_cyrl", "sv": "swe", "sw": "swh", "ta": "tam", "te": "tel",
    "th": "tha", "tl": "tgl", "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "cmn_hans",
}  # fmt: skip
# further declarations in the same language
ALSO = {"pt": ["por_PT"], "zh": ["cmn_hant"], "fa": ["pes_2"], "ur": ["urd_2"], "ro": ["ron_1993"]}


def declaration(folder: Path, key: str) -> list[str]:
    """Return the paragraphs of one declaration."""
    root = ET.parse(folder / "data" / "udhr" / f"udhr_{key}.xml").getroot()
    paragraphs = ("".join(e.itertext()) for e in root.iter() if e.tag.endswith("}para"))
    return [re.sub(r"\s+", " ", text).strip() for text in paragraphs]


def fit(texts: dict[str, list[str]], temperature: float) -> LanguageModel:
    """Return the model of these texts: the weights of the runs that tell most of each language."""
    languages = tuple(sorted(texts))
    counts = np.zeros((BUCKETS, len(languages)))
    for column, language in enumerate(languages):
        runs = letter_runs("\n".join(texts[language]), BUCKETS)
        counts[:, column] = np.bincount(runs, minlength=BUCKETS)
    floor = FLOOR / np.median(counts.sum(axis=0))
    shares = counts / counts.sum(axis=0)
    # terms of the Kullback-Leibler divergence from the mean language
    telling = shares * np.log((shares + floor) / (shares.mean(axis=1, keepdims=True) + floor))
    telling[counts < LEAST] = -np.inf
    kept = ((telling >= np.sort(telling, axis=0)[-KEPT]) & (counts >= LEAST)).any(axis=1)
    logs = np.log((shares + floor) / floor)
    logs[~kept] = 0
    logs[logs < SMALLEST] = 0
    weights = np.rint(logs / UNIT).astype(np.uint8)
    return LanguageModel(languages, weights, UNIT, temperature)


def accuracy(model: LanguageModel, texts: list[str], truth: list[str]) -> tuple[float, float]:
    """Return the share of texts that the likeliest language is right for, and the log loss."""
    _, p = language_posteriors(pl.Series(texts), model=model)
    columns = np.array([model.languages.index(name) for name in truth])
    own = np.maximum(p[np.arange(len(p)), columns], 1e-12)
    return float((p.argmax(axis=1) == columns).mean()), float(-np.log(own).mean())


def xquad(folder: Path) -> dict[str, list[str]]:
    """Return the paragraphs of XQuAD by language."""
    found = {}
    for path in sorted(folder.glob("xquad.*.json")):
        data = json.loads(path.read_text())["data"]
        found[path.name.split(".")[1]] = [p["context"] for a in data for p in a["paragraphs"]]
    return found


def pieces(texts: dict[str, list[str]], length: int) -> tuple[list[str], list[str]]:
    """Return the first `length` characters of each text, with its language."""
    cut = [(text[:length], name) for name, every in texts.items() for text in every]
    return [text for text, _ in cut], [name for _, name in cut]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--udhr", type=Path, required=True)
    parser.add_argument("--xquad", type=Path, required=True)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1] / "selection/algorithms/language_weights.npz",
    )
    given = parser.parse_args()
    texts = {
        language: [t for k in (key, *ALSO.get(language, [])) for t in declaration(given.udhr, k)]
        for language, key in LANGUAGES.items()
    }
    seen = {name: [t for i, t in enumerate(every) if i % 5] for name, every in texts.items()}
    kept = {name: every[::5] for name, every in texts.items()}
    part = fit(seen, 1.0)
    held = [pieces(kept, length) for length in (30, 100, 400)]
    losses = {
        t: sum(accuracy(part._replace(temperature=t), *each)[1] for each in held)
        for t in (2.0, 4.0, 6.0, 8.0, 12.0, 16.0)
    }
    temperature = min(losses, key=losses.__getitem__)
    model = fit(texts, temperature)
    rows, columns = np.nonzero(model.weights)
    np.savez_compressed(
        given.out,
        languages=np.array(model.languages),
        counts=np.count_nonzero(model.weights, axis=1).astype(np.uint8),
        columns=columns.astype(np.uint8),
        weights=model.weights[rows, columns],
        unit=UNIT,
        temperature=temperature,
    )
    size = given.out.stat().st_size
    rows_of = [
        [f"declarations held back, {length} characters", f"{accuracy(part, *each)[0]:.4f}"]
        for length, each in zip((30, 100, 400), held, strict=True)
    ]
    others = xquad(given.xquad)
    for length in (20, 50, 100, 200, 1_000):
        right = accuracy(model, *pieces(others, length))[0]
        rows_of.append([f"XQuAD, {length:,} characters", f"{right:.4f}"])
    cut, truth = pieces(others, 50)
    _, p = language_posteriors(pl.Series(cut), model=model)
    named = [model.languages[column] for column in p.argmax(axis=1)]
    wrong = Counter((t, n) for t, n in zip(truth, named, strict=True) if t != n)
    pairs = ", ".join(f"{t} as {n} ({count})" for (t, n), count in wrong.most_common(8))
    write(
        "language_model.md",
        f"""# The model of languages

`python benchmarks/language_model.py --udhr UDHR --xquad XQUAD`: {len(model.languages)} languages,
{len(rows):,} weights in {size:,} bytes, temperature {temperature:g}. Fitted on the Universal
Declaration of Human Rights; XQuAD, the same 240 paragraphs in twelve languages, is seen by nothing.

{table(("texts", "right of all"), rows_of)}

Of the {len(truth):,} pieces of 50 characters, most often taken for another: {pairs}.
""",
    )


if __name__ == "__main__":
    main()
