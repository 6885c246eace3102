"""Importance resampling against the package `data-selection`: equality, speed, memory.

    python benchmarks/importance.py [--languages FILE.parquet] [--kept FOLDER] [--only SECTION ...]

Data: `text_pool.parquet` in the folder `ASSAY_TEST_DATA`, else in `shared/data` beside the
repository. `--languages` names a table with the columns `text` and `language`; without it the texts
in other languages than English are words that the package dateparser carries, in random order.
What is chosen, and how good it is, is measured by `importance_quality.py`. With `--kept` a section
that was measured before is taken from that folder; `--only` measures no others, and writes no
report.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from common.data import documents
from common.process import run_alone
from common.report import machine, save, table, verdict, write
from data_selection import HashedNgramDSIR
from data_selection.hashed_ngram_dsir import get_ngram_counts
from matplotlib import pyplot
from numpy.typing import NDArray

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.algorithms.density_ratio import (
    DensityRatio,
    Mode,
    fit_ratio,
    weigh,
    weigh_shard,
)
from assay.selection.algorithms.presence_classifier import PresenceClassifier
from assay.selection.importance.resampler import ImportanceResampler
from assay.storage import read_pool

LANGUAGES = (
    "ar", "bn", "de", "el", "es", "fa", "fr", "he", "hi", "ja", "ka", "ko", "ru", "ta", "th", "tr",
    "vi", "zh",
)  # fmt: skip
ENGLISH_ROWS, LANGUAGE_ROWS, PARITY_CHOSEN = 12_000, 600, 2_000
TARGET_DOMAIN, TARGET_ROWS = "medical_abstracts", 200
SLICE_BYTES, CHOSEN_SHARE = 3_000_000, 0.1
# both of the engines that nltk's tokenizer has run on
INSTALLED_ENGINE = "regex" if tuple(map(int, version("nltk").split(".")[:2])) >= (3, 10) else "re"
PATTERN = re.compile(r"\w+|[^\w\s]+", re.UNICODE | re.MULTILINE | re.DOTALL)
MEMORY_BYTES, SENTENCES_EACH = 850_000_000, 8
# MB of text per CPU second
AGAIN = {
    "second target, weights, mode dsir": 500,
    "second target, whole fit, mode dsir": 500,
    "second target, weights, default": 500,
    "second target, whole fit, default": 150,
}
MEMORY_GOAL, MEMORY_PER_ROW = 600e6, 32
# private writable memory that the measured process may ask for
MEMORY_LIMIT = 1_000_000_000


class Goal(NamedTuple):
    """What was aimed at, what was found, and whether that will do."""

    name: str
    aim: str
    found: str
    met: bool


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds, of all threads, that `work` takes."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(
    *works: Callable[[], Any],
    rounds: int = 3,
    clock: Callable[[Callable[[], Any]], float] = cpu_seconds,
) -> NDArray[np.float64]:
    """Return seconds[round, work]: every round does each work once; a first round is left out."""
    return np.array([[clock(work) for work in works] for _ in range(rounds + 1)])[1:]


def megabytes(texts: pl.Series) -> float:
    """Return the UTF-8 megabytes of some texts."""
    return float(texts.str.len_bytes().sum()) / 1e6


def slice_of(pool: pl.DataFrame) -> pl.Series:
    """Return random documents of 3 MB in all."""
    shuffled = pool["text"].sample(fraction=1.0, shuffle=True, seed=0)
    return shuffled.filter(shuffled.str.len_bytes().cum_sum() <= SLICE_BYTES)


def write_lines(path: Path, texts: pl.Series) -> Path:
    """Write JSON lines with the row number as `id`."""
    pl.DataFrame({"id": np.arange(len(texts)), "text": texts}).write_ndjson(path)
    return path


def run_package(
    pool: Path, target: Path, chosen: int, seed: int = 0, engine: str = INSTALLED_ENGINE
) -> tuple[HashedNgramDSIR, NDArray[np.float64], list[int]]:
    """Run the package from JSON lines to JSON lines; return it, the weights and the ids chosen."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        cache, out = Path(name, "cache"), Path(name, "out")
        package = HashedNgramDSIR(
            [str(pool)], [str(target)], str(cache), num_proc=1, min_example_length=0
        )
        if engine != INSTALLED_ENGINE:
            package.tokenizer = PATTERN.findall
        package.fit_importance_estimator(num_tokens_to_fit="all")
        package.compute_importance_weights()
        np.random.seed(seed)  # noqa: NPY002
        package.resample(str(out), chosen, str(Path(name, "written")))
        log_weights = np.load(cache / "log_importance_weights" / "0.npy")
        lines = [line for file in out.rglob("*.jsonl") for line in file.open(encoding="utf-8")]
    return package, log_weights, [json.loads(line)["id"] for line in lines]


def run_ours(pool: Path, target: pl.Series, chosen: int, **options: Any) -> None:
    """Choose from a file, and write what was chosen to a file of its kind."""
    source = read_pool(pool, text="text")
    selector = ImportanceResampler(budget=chosen, threads=1, **options).fit(source, target=target)
    rows = source.take(selector.indices_)
    with tempfile.TemporaryDirectory() as name:
        if pool.suffix == ".parquet":
            rows.write_parquet(Path(name, "chosen.parquet"))
        else:
            rows.write_ndjson(Path(name, "chosen.jsonl"))


def other_languages(path: str | None) -> tuple[pl.DataFrame, str]:
    """Return texts in other languages than English (`text`, `language`), and what they are."""
    if path is not None:
        found = pl.read_parquet(path, columns=["text", "language"])
        found = found.filter(pl.col("language") != "en").unique("text", maintain_order=True)
        return found, f"real texts, {Path(path).name}"
    rng = np.random.default_rng(0)
    rows = []
    for language in LANGUAGES:
        module = importlib.import_module(f"dateparser.data.date_translation_data.{language}")
        words = [*sorted(strings(module.info)), *map(str, range(1, 40))]
        for _ in range(LANGUAGE_ROWS):
            picked = rng.integers(0, len(words), rng.integers(3, 60))
            ends = rng.choice([" ", " ", " ", ", ", ". ", "! ", "\n", "... "], len(picked))
            text = "".join(words[i] + end for i, end in zip(picked, ends, strict=True))
            rows.append({"text": text, "language": language})
    return pl.DataFrame(rows), "words of dateparser in random order"


def strings(value: Any) -> set[str]:
    """Return all strings in nested lists and mappings."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for part in parts for text in strings(part)}


def parity(folder: Path, pool: pl.DataFrame, languages: str | None) -> tuple[str, list[Goal]]:
    """Compare mode "dsir" with the package, document by document, under both engines."""
    foreign, told = other_languages(languages)
    english = pool.sample(ENGLISH_ROWS, seed=1).select("text", language=pl.lit("en"))
    mixed = pl.concat([english, foreign.select("text", "language")])
    mixed = mixed.sample(fraction=1.0, shuffle=True, seed=2)
    first = pl.int_range(pl.len()).over("language") < 20
    target, texts = mixed.filter(first)["text"], mixed.filter(~first)["text"]
    languages_met = mixed["language"].n_unique()
    goals = [
        Goal("documents compared", ">= 20,000", f"{len(texts):,}", len(texts) >= 20_000),
        Goal("languages among them", ">= 12", str(languages_met), languages_met >= 12),
    ]
    paths = write_lines(folder / "mixed.jsonl", texts), write_lines(folder / "some.jsonl", target)
    for engine in ("regex", "re"):
        package, log_weights, chosen = run_package(*paths, PARITY_CHOSEN, seed=7, engine=engine)
        selector = ImportanceResampler(
            budget=PARITY_CHOSEN, mode="dsir", tokenizer=engine, random_state=7
        ).fit(texts, target=target)
        same = int((selector.log_ratio_ == package.log_diff).sum())
        # the package gives a text without any token the weight 0
        apart = float(np.abs(np.nan_to_num(selector.log_weights_) - log_weights).max())
        common = len(set(chosen) & set(selector.indices_.tolist()))
        goals += [
            Goal(f"log ratios equal to the bit ({engine})", "10,000", f"{same:,}", same == 10_000),
            Goal(f"largest difference of log weights ({engine})", "<= 1e-6", f"{apart:.1e}", apart <= 1e-6),
            Goal(f"documents chosen by both ({engine})", f"{PARITY_CHOSEN:,}", f"{common:,}", common == PARITY_CHOSEN),
        ]  # fmt: skip
    note = (
        f"{len(english):,} documents in English, {len(foreign):,} in other languages ({told}: "
        f"{', '.join(sorted(foreign['language'].unique()))}). Log weights reach "
        f"{np.abs(log_weights).max():,.0f}. The package runs with nltk's tokenizer as installed "
        f"(engine `{INSTALLED_ENGINE}`) and with the other engine put in its place, without a "
        "lower limit of length; both sides draw with NumPy seed 7."
    )
    return note, goals


def ratio_of(stream: BucketStream, target: pl.Series, mode: Mode, weighting: str) -> DensityRatio:
    """Return what is estimated from a pool's stream and a target."""
    wanted = BucketStream.of(target, stream.hasher)
    presence = None
    if weighting == "joint":
        grams, negatives = (s.take(np.arange(min(10_000, len(s)))) for s in (wanted, stream))
        presence = PresenceClassifier(negatives, stream.hasher.buckets).weights(grams)[None]
    defaults = ImportanceResampler(budget=1)
    return fit_ratio(
        stream.counts,
        wanted.counts[None],
        mode=mode,
        smoothing=defaults.smoothing,
        shrinkage=defaults.shrinkage,
        presence=presence,
    )


class Speeds(NamedTuple):
    """MB of text per CPU second of each thing timed, in order, and the goals."""

    told: dict[str, float]
    goals: list[Goal]


def passes(pool: pl.DataFrame, target: pl.Series) -> Speeds:
    """Time one pass over the text - tokenize, hash, weigh - and weights from a stored stream."""
    part, whole = slice_of(pool), pool["text"].rechunk()
    exact = ImportanceResampler(budget=1, mode="dsir", tokenizer=INSTALLED_ENGINE).hasher()
    fast = ImportanceResampler(budget=1).hasher()
    streams = {hasher: BucketStream.of(whole, hasher) for hasher in (exact, fast)}
    ratios = {
        exact: ratio_of(streams[exact], target, "dsir", "backoff"),
        fast: ratio_of(streams[fast], target, "calibrated", "backoff"),
    }
    log_ratio = ratios[exact].log_ratio[0]
    lines = part.to_list()

    def package() -> None:
        for text in lines:
            np.dot(log_ratio, get_ngram_counts(text))

    def ours(texts: pl.Series, hasher: NGramHasher) -> None:
        for grams in hasher.stream(texts):
            weigh(grams, ratios[hasher])

    sliced = megabytes(part) / interleaved(
        package, lambda: ours(part, exact), lambda: ours(part, fast), rounds=5
    )
    size = megabytes(whole)
    wholes = np.median(
        size / interleaved(lambda: ours(whole, exact), lambda: ours(whole, fast)), axis=0
    )
    again = {}
    for name, hasher, ratio, options in (
        ("mode dsir", exact, ratios[exact], {"mode": "dsir", "tokenizer": INSTALLED_ENGINE}),
        ("default", fast, ratio_of(streams[fast], target, "calibrated", "joint"), {}),
    ):
        selector = ImportanceResampler(budget=CHOSEN_SHARE, threads=1, **options)
        seconds = interleaved(
            partial(weigh_shard, streams[hasher], ratio),
            partial(selector.fit, streams[hasher], target=target),
            rounds=5,
        )
        weights, fit = np.median(seconds, axis=0)
        again[f"second target, weights, {name}"] = size / float(weights)
        again[f"second target, whole fit, {name}"] = size / float(fit)
    speed = np.median(sliced, axis=0)
    times = np.median(sliced[:, 1:] / sliced[:, :1], axis=0)
    goals = [
        Goal("pass, exact, equal slices", ">= 18x", f"{times[0]:.1f}x", times[0] >= 18),
        Goal(f"pass, exact, ours on {size:.0f} MB", ">= 18x", f"{wholes[0] / speed[0]:.1f}x", wholes[0] / speed[0] >= 18),
        Goal("pass, fast hash, equal slices", ">= 60x", f"{times[1]:.1f}x", times[1] >= 60),
        Goal(f"pass, fast hash, ours on {size:.0f} MB", ">= 60x", f"{wholes[1] / speed[0]:.1f}x", wholes[1] / speed[0] >= 60),
        *(Goal(name, f">= {AGAIN[name]} MB/s", f"{found:,.0f} MB/s", found >= AGAIN[name]) for name, found in again.items()),
    ]  # fmt: skip
    told = {
        "pass: package, slice": speed[0],
        "pass: exact, slice": speed[1],
        f"pass: exact, {size:.0f} MB": wholes[0],
        "pass: fast hash, slice": speed[2],
        f"pass: fast hash, {size:.0f} MB": wholes[1],
        **again,
    }
    return Speeds(told, goals)


def end_to_end(folder: Path, pool: pl.DataFrame, target: pl.Series) -> Speeds:
    """Time fit, weights and resampling, from file to file."""
    parts = {"slice": slice_of(pool), "whole": pool["text"].rechunk()}
    size = {name: megabytes(texts) for name, texts in parts.items()}
    chosen = {name: round(CHOSEN_SHARE * len(texts)) for name, texts in parts.items()}
    files = {}
    for name, texts in parts.items():
        files[name, "JSON lines"] = write_lines(folder / f"{name}.jsonl", texts)
        files[name, "Parquet"] = folder / f"{name}.parquet"
        pl.DataFrame({"id": np.arange(len(texts)), "text": texts}).write_parquet(
            files[name, "Parquet"], row_group_size=16_384
        )
    wanted = write_lines(folder / "target.jsonl", target)
    modes: dict[str, dict[str, Any]] = {
        "exact": {"mode": "dsir", "tokenizer": INSTALLED_ENGINE},
        "fast hash": {"weighting": "backoff", "temperature": 0},
        "default": {},
    }
    runs = [("slice", kind, "exact") for kind in ("Parquet", "JSON lines")]
    runs += [("whole", kind, mode) for mode in modes for kind in ("Parquet", "JSON lines")]
    seconds = interleaved(
        partial(run_package, files["slice", "JSON lines"], wanted, chosen["slice"]),
        *(
            partial(run_ours, files[name, kind], target, chosen[name], **modes[mode])
            for name, kind, mode in runs
        ),
    )
    speed = np.array([size["slice"], *(size[name] for name, *_ in runs)]) / seconds
    ratios = np.median(speed[:, 1:] / speed[:, :1], axis=0)
    told = {"end to end: package, slice": float(np.median(speed[:, 0]))}
    goals = []
    least = {
        ("exact", "Parquet"): 25,
        ("exact", "JSON lines"): 15,
        ("fast hash", "Parquet"): 60,
    }
    speeds = np.median(speed[:, 1:], axis=0)
    for (name, kind, mode), ratio, found in zip(runs, ratios, speeds, strict=True):
        where = "slice" if name == "slice" else f"{size[name]:.0f} MB"
        told[f"end to end: {mode}, {kind}, {where}"] = float(found)
        if name == "whole" and (aim := least.get((mode, kind))):
            met = bool(ratio >= aim)
            goals.append(
                Goal(f"end to end, {mode}, {kind}, {where}", f">= {aim}x", f"{ratio:.1f}x", met)
            )
    return Speeds(told, goals)


def threads(pool: pl.DataFrame) -> tuple[str, list[Goal]]:
    """Time one pass with one thread and with two."""
    whole = pool["text"].rechunk()
    goals = []
    before = os.getloadavg()[0]
    for name, hasher in (
        ("exact", NGramHasher(2, 10_000, hash="sha256")),
        ("fast hash", NGramHasher()),
    ):
        works = [partial(BucketStream.of, whole, hasher, threads=n) for n in (1, 2)]
        seconds = interleaved(*works, clock=wall_seconds)
        gain = float(np.median(seconds[:, 0] / seconds[:, 1]))
        goals.append(Goal(f"2 threads against 1, {name}", ">= 1.7x", f"{gain:.2f}x", gain >= 1.7))
    note = (
        f"Wall time, meaningful on an idle machine only: of {os.cpu_count()} cores, the load average "
        f"of the last minute was {before:.1f} before and {os.getloadavg()[0]:.1f} after."
    )
    return note, goals


def write_large_pool(path: Path, pool: pl.DataFrame) -> tuple[int, int]:
    """Write unique documents of random sentences of the pool; return their number and bytes."""
    sentences = pool["text"].str.extract_all(r"[^.!?\n]+[.!?\n]*\s*").explode().drop_nulls()
    rows = total = turn = 0
    writer = None
    while total < MEMORY_BYTES:
        order = np.random.default_rng(turn).permutation(len(sentences))
        for start in range(0, len(order), 40_000 * SENTENCES_EACH):
            part = sentences.gather(order[start : start + 40_000 * SENTENCES_EACH])
            group = np.arange(len(part)) // SENTENCES_EACH
            made = pl.DataFrame({"group": group, "text": part}).group_by(
                "group", maintain_order=True
            )
            texts = made.agg(pl.col("text").str.join("")).select("text").to_arrow()
            writer = writer or pq.ParquetWriter(path, texts.schema, compression="zstd")
            writer.write_table(texts)
            rows += len(texts)
            total += int(part.str.len_bytes().sum())
            if total >= MEMORY_BYTES:
                break
        turn += 1
    assert writer is not None
    writer.close()
    return rows, total


def memory(folder: Path, pool: pl.DataFrame, target: pl.Series) -> tuple[str, list[Goal]]:
    """Measure the peak memory of a process of its own on a large pool, under a limit."""
    rows, total = write_large_pool(folder / "large.parquet", pool)
    target.to_frame("text").write_parquet(folder / "target.parquet")
    allowed = MEMORY_GOAL + MEMORY_PER_ROW * rows
    goals = []
    for mode in ("calibrated", "dsir"):
        files = (folder / "large.parquet", folder / "target.parquet")
        done = run_alone("subsets.importance_memory", *files, mode, MEMORY_LIMIT)
        name = f"peak resident memory, mode {mode}, {rows:,} documents, {total / 1e6:.0f} MB"
        aim = f"<= {allowed / 1e6:.0f} MB"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            goals.append(Goal(name, aim, f"failed under the limit: {last[:80]}", False))
            continue
        told = json.loads(done.stdout)
        found = f"{told['peak'] / 1e6:.0f} MB ({told['imports'] / 1e6:.0f} of them after imports)"
        goals.append(Goal(name, aim, found, told["rows"] == rows and told["peak"] <= allowed))
    note = (
        f"Documents of {SENTENCES_EACH} random sentences of the text pool, a new permutation each "
        f"time through, in a Parquet file. The process may hold at most {MEMORY_LIMIT / 1e6:.0f} MB "
        "of private writable memory (RLIMIT_DATA). Aim: 600 MB and 32 bytes per document."
    )
    return note, goals


def speed_told(speed: float) -> str:
    """Return a speed with about three digits."""
    return f"{speed:,.2f}" if speed < 10 else f"{speed:,.1f}" if speed < 100 else f"{speed:,.0f}"


def plot(told: dict[str, float]) -> str:
    """Draw all speeds."""
    figure, axis = pyplot.subplots(figsize=(9, 0.3 * len(told) + 1.2), layout="constrained")
    names = list(told)[::-1]
    colors = ["C1" if "package" in name else "C0" for name in names]
    bars = axis.barh(names, [told[name] for name in names], color=colors)
    axis.bar_label(bars, [speed_told(told[name]) for name in names], padding=3, fontsize=8)
    axis.set_xscale("log")
    axis.set_xlabel("MB of text per CPU second")
    axis.set_xlim(0.3, 3 * max(told.values()))
    axis.grid(alpha=0.3, axis="x")
    return save(figure, "importance_speed.png")


def goal_table(goals: list[Goal]) -> str:
    """Return goals as Markdown."""
    return table(
        ["", "aim", "found", "goal"], [[g.name, g.aim, g.found, verdict(g.met)] for g in goals]
    )


SECTIONS = ("parity", "memory", "passes", "end to end", "threads")


def section(name: str, work: Callable[[], Any], kept: Path | None) -> tuple[Any, list[Goal], float]:
    """Return what a section tells, its goals, and the load average when it was measured."""
    path = None if kept is None else kept / f"{name.replace(' ', '_')}.json"
    if path is not None and path.exists():
        told, goals, load = json.loads(path.read_text())
        return told, [Goal(*goal) for goal in goals], load
    started = time.perf_counter()
    told, goals = work()
    load = os.getloadavg()[0]
    spent = time.perf_counter() - started
    print(f"{name}: {spent:.0f} s, load average {load:.1f}", file=sys.stderr, flush=True)
    if path is not None:
        path.write_text(json.dumps([told, goals, load], default=bool))
    return told, goals, load


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", help="Parquet file with columns text and language")
    parser.add_argument("--kept", type=Path, help="folder of sections measured, to go on from")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these alone")
    options = parser.parse_args()
    if options.only and not options.kept:
        parser.error("--only needs --kept, to keep what it measures")
    if options.kept is not None:
        options.kept.mkdir(parents=True, exist_ok=True)
    everything = documents()
    target = everything.filter(pl.col("domain") == TARGET_DOMAIN).sample(TARGET_ROWS, seed=0)
    pool = everything.join(target.select("id"), on="id", how="anti", maintain_order="left")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works: dict[str, Callable[[], Any]] = {
            "parity": lambda: parity(folder, pool, options.languages),
            "memory": lambda: memory(folder, pool, target["text"]),
            "passes": lambda: passes(pool, target["text"]),
            "end to end": lambda: end_to_end(folder, pool, target["text"]),
            "threads": lambda: threads(pool),
        }
        found = {
            name: section(name, work, options.kept)
            for name, work in works.items()
            if name in (options.only or SECTIONS)
        }
    if options.only:
        return
    equal, held, one_pass, whole, spread = (found[name] for name in SECTIONS)
    told = one_pass[0] | whole[0]
    loads = ", ".join(f"{name} {load:.1f}" for name, (_, _, load) in found.items())
    command = "python benchmarks/importance.py"
    if options.languages:
        command += f" --languages {Path(options.languages).name}"
    parts = [
        "# Importance resampling against data-selection 1.0.3\n",
        f"`{command}` on {machine()}. Load average of the last minute when a section was done: "
        f"{loads}.\n",
        f"## Equality in mode dsir\n\n{equal[0]}\n\n{goal_table(equal[1])}\n",
        "## Speed\n",
        "CPU seconds of one thread, both sides in turn within one run, medians of 3 to 5 rounds "
        "after one that warms up: neither imports nor compilation count. The package gets random "
        f"documents of {SLICE_BYTES / 1e6:.0f} MB and one process; a ratio is taken within each "
        "round. A pass tokenizes, hashes and weighs, and keeps the weights alone. End to end is fit, weights and resampling of "
        "a tenth, from file to file: exact is mode dsir; fast hash is the same work in mode "
        "calibrated, without classifier and without a choice of temperature; default has both, "
        "half a second more whatever the size of the pool (its speed is in the second table). Of a second target, on a pool whose "
        "hashed n-grams are kept, `weights` is what has to be done for every document; the whole fit "
        "also fits the classifier (seven times), chooses the temperature, draws and reports.\n",
        goal_table(one_pass[1] + whole[1]) + "\n",
        table(
            ["MB of text per CPU second", ""],
            [[name, speed_told(speed)] for name, speed in told.items()],
        )
        + "\n",
        plot(told) + "\n",
        f"## Threads\n\n{spread[0]}\n\n{goal_table(spread[1])}\n",
        f"## Memory\n\n{held[0]}\n\n{goal_table(held[1])}\n",
    ]
    write("importance.md", "\n".join(parts))


if __name__ == "__main__":
    main()
