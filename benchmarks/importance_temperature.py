"""Is the automatic temperature of importance resampling steady? Prints tables and writes them.

    python benchmarks/importance_temperature.py [--in-pool 400] [--target 200] [--seeds 10]

From `text_pool.parquet` (in the folder `ASSAY_TEST_DATA`, else `shared/data` beside the
repository) a pool of at most `--in-pool` documents of each domain is drawn, and of each domain in
turn `--target` documents more as the target. As many documents as the pool has of the domain are
chosen, or half as many, with each of `--seeds` seeds. Precision is the share of the
chosen that is of the domain. The package is mode "dsir", which repeats it, at the same seeds and
without its filter of short documents.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import numpy as np
import polars as pl
from common.report import machine, table, verdict, write
from importance_quality import Draw, draw

from assay.selection.algorithms.density_ratio import Moments
from assay.selection.importance.fit import Fitted, fit_evidence
from assay.selection.importance.resampler import ImportanceResampler
from assay.selection.importance.targets import Chosen, choose, choose_as_published

BUDGETS = (0.5, 1.0)
MULTIPLES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
WIDEST, LEAST_GAP = 0.02, -0.02


def fitted(given: Draw, target: pl.Series, mode: Any) -> Fitted:
    """Return the weights of the pool under a target."""
    settings = ImportanceResampler(budget=1, mode=mode)._settings()
    return fit_evidence(given.streams[mode], target, settings, embedding=False, ids=None)


def measure(given: Draw, size: int, seeds: int) -> list[dict[str, Any]]:
    """Return one record per domain and budget."""
    records = []
    for domain in sorted(set(given.domains)):
        inside = given.domains == domain
        target = given.rest.filter(pl.col("domain") == domain)["text"][:size]
        if not len(target):
            continue
        ours, package = (fitted(given, target, mode) for mode in ("calibrated", "dsir"))
        spread = Moments.of(ours.evidence.log_weights[0]).spread

        def drawn(budget: int, temperature: Any, seed: int, ours: Fitted = ours) -> Chosen:
            return choose(
                ours, budget, proportions=None, temperature=temperature, replace=False,
                random_state=seed,
            )  # fmt: skip

        for share in BUDGETS:
            budget = round(share * int(inside.sum()))
            first = drawn(budget, "auto", 0)
            temperature = next(iter(first.by_target.values())).temperature
            chosen = [first, *(drawn(budget, temperature, seed) for seed in range(1, seeds))]
            precision = [float(inside[each.rows].mean()) for each in chosen]
            theirs = [
                choose_as_published(package, budget, proportions=None, random_state=seed)
                for seed in range(seeds)
            ]
            at = {
                multiple: float(inside[drawn(budget, multiple * spread, 0).rows].mean())
                for multiple in MULTIPLES
            }
            records.append(
                {
                    "domain": domain,
                    "target": len(target),
                    "share": share,
                    "budget": budget,
                    "multiple": temperature / spread,
                    "mean": float(np.mean(precision)),
                    "least": min(precision),
                    "range": max(precision) - min(precision),
                    "package": float(np.mean([inside[each.rows].mean() for each in theirs])),
                    "at": at,
                }
            )
            print(records[-1], file=sys.stderr, flush=True)
    return records


def report(records: list[dict[str, Any]], given: Draw, arguments: str, seeds: int) -> str:
    """Return the report."""
    goals = []
    for share in BUDGETS:
        part = [record for record in records if record["share"] == share]
        widest = max(part, key=lambda record: record["range"])
        gap = min(part, key=lambda record: record["least"] - record["package"])
        less = gap["least"] - gap["package"]
        goals += [
            [
                f"{share:g}x: precision of {seeds} seeds, greatest less least, widest domain "
                f"({widest['domain']}, {widest['budget']} rows)",
                f"< {WIDEST}",
                f"{widest['range']:.3f}",
                verdict(widest["range"] < WIDEST),
            ],
            [
                f"{share:g}x: precision of the worst seed less the package's mean, worst domain "
                f"({gap['domain']}, {gap['budget']} rows)",
                f">= {LEAST_GAP}",
                f"{less:+.3f}",
                verdict(less >= LEAST_GAP),
            ],
        ]
    rows = [
        [
            record["domain"],
            str(record["target"]),
            f"{record['share']:g}x",
            str(record["budget"]),
            f"{record['multiple']:.4g}",
            *(f"{record[name]:.3f}" for name in ("mean", "least", "range", "package")),
            *(f"{value:.3f}" for value in record["at"].values()),
        ]
        for record in records
    ]
    head = [
        "domain",
        "target",
        "budget",
        "rows",
        "temperature",
        "mean",
        "least",
        "range",
        "package",
    ]
    head += [f"at {multiple:g}" for multiple in MULTIPLES]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    parts = [
        "# Importance resampling: the automatic temperature over seeds\n",
        f"`python benchmarks/importance_temperature.py {arguments}` on {machine()}; load {load}\n",
        __doc__.split("\n\n", 2)[2].strip() + "\n",
        f"Pool: {len(given.pool):,} documents, {given.pool['domain'].n_unique()} domains. The "
        "temperature does not depend on the seed (tests/selection/importance/test_temperature.py), "
        "so it is fitted with the first seed and kept for the others. It is given as a multiple of "
        'the spread of the log weights; "at" are precisions at fixed temperatures, first seed.\n',
        table(["goal", "aim", "found", ""], goals) + "\n",
        table(head, rows) + "\n",
    ]
    return "\n".join(parts)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-pool", type=int, default=400)
    parser.add_argument("--target", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    given = draw(0, options.in_pool)
    arguments = f"--in-pool {options.in_pool} --target {options.target} --seeds {options.seeds}"
    records = measure(given, options.target, options.seeds)
    write("importance_temperature.md", report(records, given, arguments, options.seeds))


if __name__ == "__main__":
    main()
