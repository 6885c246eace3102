"""Which documents does importance resampling choose? Prints tables, writes them and plots.

    python benchmarks/importance_quality.py [--jobs 2] [--kept FOLDER]

From `text_pool.parquet` (in the folder `ASSAY_TEST_DATA`, else `shared/data` beside the
repository) a seed draws a pool of at most 1,200 documents of each domain, and of one domain 50, 200
or 600 documents more as the target and 2,000 more that nothing else sees. A method chooses half as
many documents as the pool has of that domain, or as many.

Precision is the share of the chosen that is of the domain. KL reduction is KL(d || pool) - KL(d ||
chosen) in nats, over 10,000 SHA-256 buckets of word 1- and 2-grams and with 1e-8 added to every
probability, where d are the documents that nothing else sees, or those of the domain in the pool.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from common.data import documents
from common.report import machine, save, table, verdict, write
from joblib import Parallel, delayed
from matplotlib import pyplot
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.importance import texts as importance_texts
from assay.selection.importance.resampler import ImportanceResampler

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

TUNING = (
    "code_java",
    "factoid_questions",
    "health_qa",
    "movie_snippets",
    "news",
    "newsgroups",
    "paper_titles",
    "sci_citations",
    "tech_specs",
)
EVALUATION = (
    "ai_sentences",
    "assistant_queries",
    "biochem_sentences",
    "code_csharp",
    "medical_abstracts",
    "movie_reviews",
    "product_reviews",
    "programming_questions",
    "wiki_sentences",
)
LONG = ("health_qa", "medical_abstracts", "movie_reviews", "newsgroups", "tech_specs")
LONG_WORDS = 90
TUNING_SEEDS = (100, 101)
EVALUATION_SEEDS = (0, 1, 2, 3, 4)
TARGETS = (50, 200, 600)
BUDGETS = (0.5, 1.0)
IN_POOL, HELD_OUT = 1_200, 2_000
KL_TICKS = (-3, -2, -1, -0.5, -0.25, 0, 0.25, 0.5)
MEASURES = {
    "precision": "Precision",
    "kl_unseen": "KL reduction, to documents that nothing else sees",
    "kl_in_pool": "KL reduction, to the domain's documents in the pool",
}

OURS, PACKAGE, TOP = "calibrated (default)", "package (mode dsir)", "package, top-k"
CLASSIFIER, BEST, RANDOM = "classifier + Pareto noise", "classifier, top-k", "random"
# what was compared on the tuning domains
CANDIDATES: dict[str, dict[str, Any]] = {
    OURS: {},
    "draws backed off by .25": {"backing": 0.25},
    "draws backed off by 1": {"backing": 1.0},
    "draws backed off by 10": {"backing": 10.0},
    "joint, temperature 0": {"temperature": 0},
    "joint, smoothing .25": {"temperature": 0, "smoothing": 0.25},
    "joint, shrinkage 30": {"temperature": 0, "shrinkage": 30},
    "logistic, automatic temperature": {"weighting": "logistic"},
    "logistic, temperature 0": {"weighting": "logistic", "temperature": 0},
    "backoff, temperature 0": {"weighting": "backoff", "temperature": 0},
    "backoff, smoothing .25": {"weighting": "backoff", "temperature": 0, "smoothing": 0.25},
    "backoff, shrinkage 30": {"weighting": "backoff", "temperature": 0, "shrinkage": 30},
}


@dataclass(frozen=True, eq=False)
class Draw:
    """One pool with the documents of each domain that are left over, in random order.

    `streams` are the hashed n-grams that the modes start from, `exact` the counts of the 10,000
    SHA-256 buckets, `features` counts of 2^17 buckets with rows of Euclidean length 1.
    """

    seed: int
    pool: pl.DataFrame
    rest: pl.DataFrame
    domains: NDArray[Any]
    streams: dict[str, BucketStream]
    exact: csr_array
    features: csr_array


def counts(texts: pl.Series, hasher: NGramHasher) -> csr_array:
    """Return the bucket counts of each text."""
    found = hasher.transform(texts)
    ones = np.ones(len(found.buckets))
    # scikit-learn takes 32-bit indices only
    parts = (ones, found.buckets, found.indptr.astype(np.int32))
    matrix = csr_array(parts, shape=(len(texts), hasher.buckets))
    matrix.sum_duplicates()
    return matrix


def features(texts: pl.Series) -> csr_array:
    """Return the bucket counts of each text, of Euclidean length 1."""
    return normalize(counts(texts, NGramHasher(2, 1 << 17)))


def draw(seed: int, in_pool: int, least_words: int = 0) -> Draw:
    """Return a pool of at most `in_pool` documents of each domain."""
    usable = documents().select("text", "domain")
    usable = usable.filter(pl.col("text").str.count_matches(r"\S+") >= least_words)
    shuffled = usable.sample(fraction=1.0, shuffle=True, seed=seed)
    first = pl.int_range(pl.len()).over("domain") < in_pool
    pool, rest = shuffled.filter(first), shuffled.filter(~first)
    texts = pool["text"]
    streams = {
        mode: BucketStream.of(texts, ImportanceResampler(budget=1, mode=mode).hasher())
        for mode in ("calibrated", "dsir")
    }
    exact = counts(texts, NGramHasher(2, 10_000, hash="sha256"))
    return Draw(seed, pool, rest, pool["domain"].to_numpy(), streams, exact, features(texts))


def ours(
    given: Draw,
    target: pl.Series,
    budgets: Mapping[float, int],
    backing: float | None = None,
    **options: Any,
) -> list[Rows]:
    """Return the rows that `ImportanceResampler` chooses, with another constant where given."""
    usual = importance_texts._TRIAL_BACKING

    def chosen(budget: int) -> Rows:
        selector = ImportanceResampler(budget=budget, random_state=given.seed, **options)
        with patch.object(importance_texts, "_TRIAL_BACKING", backing or usual):
            return selector.fit(given.streams["calibrated"], target=target).indices_

    if "temperature" in options:
        # then smaller budgets are prefixes
        most = chosen(max(budgets.values()))
        return [most[:budget] for budget in budgets.values()]
    return [chosen(budget) for budget in budgets.values()]


def package(given: Draw, target: pl.Series, budgets: Mapping[float, int]) -> dict[str, list[Rows]]:
    """Return the rows that the package chooses, with its noise and without."""
    most = max(budgets.values())
    selector = ImportanceResampler(budget=most, mode="dsir", random_state=given.seed)
    selector.fit(given.streams["dsir"], target=target)
    best = np.argsort(-np.nan_to_num(selector.log_weights_, nan=-np.inf), kind="stable")
    return {
        PACKAGE: [selector.indices_[:budget] for budget in budgets.values()],
        TOP: [best[:budget] for budget in budgets.values()],
    }


def classifier(
    given: Draw, target: pl.Series, budgets: Mapping[float, int]
) -> dict[str, list[Rows]]:
    """Return what a linear classifier of target against as many rows of the pool chooses.

    Noisy: rows with pareto(9) > 1 - probability in random order, then those that miss it least.
    """
    rng = np.random.default_rng(given.seed)
    positives = features(target)
    n = positives.shape[0]
    negatives = given.features[rng.choice(len(given.pool), n, replace=False)]
    model = LogisticRegression(C=10.0, solver="liblinear")
    model.fit(vstack([positives, negatives]), np.repeat([1, 0], n))
    scores = model.predict_proba(given.features)[:, 1]
    margin = rng.pareto(9, len(scores)) - (1 - scores)
    noisy = np.argsort(-np.where(margin > 0, 1 + rng.random(len(scores)), margin), kind="stable")
    best = np.argsort(-scores, kind="stable")
    return {
        CLASSIFIER: [noisy[:budget] for budget in budgets.values()],
        BEST: [best[:budget] for budget in budgets.values()],
    }


def everything(
    given: Draw, target: pl.Series, budgets: Mapping[float, int]
) -> dict[str, list[Rows]]:
    """Return the choices of all methods."""
    shuffled = np.random.default_rng(given.seed).permutation(len(given.pool))
    return {
        OURS: ours(given, target, budgets),
        **package(given, target, budgets),
        **classifier(given, target, budgets),
        RANDOM: [shuffled[:budget] for budget in budgets.values()],
    }


def candidates(
    given: Draw, target: pl.Series, budgets: Mapping[float, int]
) -> dict[str, list[Rows]]:
    """Return the choices of what the default was chosen from."""
    return {name: ours(given, target, budgets, **options) for name, options in CANDIDATES.items()}


def divergence(p: Floats, q: Floats) -> float:
    """Return KL(p || q) of counts, as distributions with 1e-8 added."""
    p, q = p / p.sum(), q / q.sum()
    return float(p @ (np.log(p + 1e-8) - np.log(q + 1e-8)))


def measure(
    seed: int,
    domains: tuple[str, ...],
    targets: tuple[int, ...],
    methods: Callable[[Draw, pl.Series, Mapping[float, int]], dict[str, list[Rows]]],
    in_pool: int = IN_POOL,
    least_words: int = 0,
    kept: Path | None = None,
) -> pl.DataFrame:
    """Return one row per domain, target size, budget and method, of the pool of one seed.

    What is found for a domain is kept in a folder, if one is given, and not done again.
    """
    started, found = process_time(), []
    names = {d: f"{methods.__name__}-{seed}-{in_pool}-{least_words}-{d}.parquet" for d in domains}
    if kept is not None:
        found = [pl.read_parquet(kept / n) for n in names.values() if (kept / n).exists()]
        domains = tuple(domain for domain in domains if not (kept / names[domain]).exists())
        if not domains:
            return pl.concat(found)
    given = draw(seed, in_pool, least_words)
    exact = NGramHasher(2, 10_000, hash="sha256")
    of_pool = given.exact.sum(axis=0)
    for domain in domains:
        rows_found = []
        inside = given.domains == domain
        rest = given.rest.filter(pl.col("domain") == domain)["text"]
        unseen = rest[max(targets) :][:HELD_OUT]
        truths = {
            "kl_unseen": exact.counts(unseen).astype(np.float64),
            "kl_in_pool": given.exact[inside].sum(axis=0),
        }
        before = {name: divergence(truth, of_pool) for name, truth in truths.items()}
        budgets = {share: round(share * int(inside.sum())) for share in BUDGETS}
        for size in targets:
            for method, choices in methods(given, rest[:size], budgets).items():
                for share, rows in zip(budgets, choices, strict=True):
                    chosen = given.exact[rows].sum(axis=0)
                    rows_found.append(
                        {
                            "seed": given.seed,
                            "domain": domain,
                            "target": size,
                            "budget": share,
                            "method": method,
                            "precision": float(inside[rows].mean()),
                            **{
                                name: before[name] - divergence(truth, chosen)
                                for name, truth in truths.items()
                            },
                        }
                    )
        found.append(pl.DataFrame(rows_found))
        if kept is not None:
            found[-1].write_parquet(kept / names[domain])
    print(f"seed {given.seed}: {process_time() - started:.0f} s", file=sys.stderr, flush=True)
    return pl.concat(found)


def means(results: pl.DataFrame, measure: str, *by: str) -> pl.DataFrame:
    """Return the mean over domains and seeds, its standard error that of domain means."""
    return (
        results.group_by("domain", *by, maintain_order=True)
        .agg(pl.col(measure).mean())
        .group_by(by, maintain_order=True)
        .agg(
            mean=pl.col(measure).mean(),
            error=pl.col(measure).std() / pl.len().sqrt(),
        )
    )


def method_table(results: pl.DataFrame, measure: str) -> str:
    """Return a table of methods by target size and budget."""
    found = means(results, measure, "method", "target", "budget")
    cells = {row[:3]: f"{row[3]:.3f} ± {row[4]:.3f}" for row in found.iter_rows()}
    columns = [(size, share) for size in results["target"].unique().sort() for share in BUDGETS]
    head = ["method", *(f"{size} docs, {share:g}x" for size, share in columns)]
    names = results["method"].unique(maintain_order=True)
    return table(head, [[m, *(cells[m, *column] for column in columns)] for m in names])


def gaps(results: pl.DataFrame, measure: str, size: int) -> pl.DataFrame:
    """Return ours less the package per domain, mean over seeds and its standard error."""
    wide = results.filter(pl.col("target") == size, pl.col("method").is_in([OURS, PACKAGE])).pivot(
        "method", index=["domain", "seed", "budget"], values=measure
    )
    gap = pl.col(OURS) - pl.col(PACKAGE)
    return wide.group_by("domain", "budget").agg(
        ours=pl.col(OURS).mean(),
        package=pl.col(PACKAGE).mean(),
        gap=gap.mean(),
        error=gap.std() / pl.len().sqrt(),
    ).sort("budget", "domain")  # fmt: skip


def domain_table(results: pl.DataFrame) -> str:
    """Return ours and the package per domain, 200 target documents."""
    rows = []
    precision, kl = (gaps(results, name, 200) for name in ("precision", "kl_unseen"))
    for p, k in zip(precision.to_dicts(), kl.to_dicts(), strict=True):
        told = [f"{p[x]:.3f}" for x in ("ours", "package")]
        told.append(f"{p['gap']:+.3f} ± {p['error']:.3f}")
        told += [f"{k[x]:.2f}" for x in ("ours", "package")]
        rows.append(
            [p["domain"], f"{p['budget']:g}x", *told, f"{k['gap']:+.2f} ± {k['error']:.2f}"]
        )
    head = ["domain", "budget", "precision", "package", "gap", "KL reduction", "package", "gap"]
    return table(head, rows)


def goals(mixed: pl.DataFrame, long: pl.DataFrame) -> str:
    """Return what was aimed at beside what was found."""
    rows = []
    for name, least in (("precision", 0.15), ("kl_unseen", 0.05), ("kl_in_pool", 0.05)):
        for share in BUDGETS:
            gap = gaps(mixed, name, 200).filter(pl.col("budget") == share)
            mean, worst = gap["gap"].mean(), gap.sort("gap").row(0, named=True)
            told = f"{MEASURES[name]}, 200 docs, {share:g}x: default less package"
            rows.append([told, f">= {least:.2f}", f"{mean:+.3f}", verdict(mean >= least)])
            told = f"the same in its worst domain ({worst['domain']})"
            rows.append([told, ">= -0.02", f"{worst['gap']:+.3f}", verdict(worst["gap"] >= -0.02)])
    for name in ("precision", "kl_unseen", "kl_in_pool"):
        for share in BUDGETS:
            gap = gaps(long, name, 200).filter(pl.col("budget") == share)
            # each domain's standard error, of the mean over domains
            mean = gap["gap"].mean()
            error = float(np.sqrt((gap["error"].to_numpy() ** 2).sum()) / len(gap))
            rows.append(
                [
                    f"{MEASURES[name]}, long documents, {share:g}x: default less package",
                    ">= 0 within 2 s.e.",
                    f"{mean:+.3f} ± {error:.3f}",
                    verdict(mean >= -2 * error),
                ]
            )
    return table(["goal", "aim", "found", ""], rows)


def worse(*results: tuple[str, pl.DataFrame]) -> str:
    """Return a paragraph on where another method has the higher mean."""
    told = []
    for name, result in results:
        for measure_, title in MEASURES.items():
            found = means(result, measure_, "method", "target", "budget")
            own = found.filter(pl.col("method") == OURS)
            better = found.join(own, on=["target", "budget"], suffix="_own").filter(
                pl.col("mean") > pl.col("mean_own") + 0.005
            )
            for method in better["method"].unique(maintain_order=True):
                cells = ", ".join(
                    f"{r['target']} docs {r['budget']:g}x {r['mean']:.3f} against {r['mean_own']:.3f}"
                    for r in better.filter(pl.col("method") == method).iter_rows(named=True)
                )
                told.append(f"- {name}, {title}: {method} is better ({cells}).")
    return "\n".join(told) if told else "No method has a higher mean anywhere in these tables."


def plot_methods(results: pl.DataFrame) -> str:
    """Draw precision and KL reduction over the number of target documents."""
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7.5), sharex=True, layout="constrained")
    shown = {"precision": "precision", "kl_unseen": "KL reduction (nats)"}
    for line, (name, title) in zip(axes, shown.items(), strict=True):
        found = means(results, name, "method", "target", "budget")
        for axis, share in zip(line, BUDGETS, strict=True):
            for place, method in enumerate(results["method"].unique(maintain_order=True)):
                part = found.filter(pl.col("method") == method, pl.col("budget") == share)
                x = np.arange(len(TARGETS)) + (place - 2.5) * 0.03
                style = {"color": f"C{place}", "lw": 2.5 if method == OURS else 1.3, "capsize": 3}
                axis.errorbar(x, part["mean"], part["error"], marker="o", label=method, **style)
            axis.set_xticks(range(len(TARGETS)), [str(size) for size in TARGETS])
            axis.set_title(f"{title}, budget {share:g}x", fontsize=10)
            axis.grid(alpha=0.3)
            if name == "precision":
                axis.set_ylim(0, 1)
            else:
                # far below zero only the order matters
                axis.set_yscale("symlog", linthresh=0.5)
                axis.set_yticks(KL_TICKS, [f"{tick:g}" for tick in KL_TICKS])
                axis.minorticks_off()
    for axis in axes[-1]:
        axis.set_xlabel("target documents")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return save(figure, "importance_methods.png")


def plot_domains(results: pl.DataFrame) -> str:
    """Draw the precision of each domain, ours beside the package."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
    found = gaps(results, "precision", 200)
    names = found.filter(pl.col("budget") == BUDGETS[-1]).sort("ours")["domain"].to_list()
    y = np.arange(len(names))
    for axis, share in zip(axes, BUDGETS, strict=True):
        part = found.filter(pl.col("budget") == share)
        for side, method, offset in (("ours", OURS, 0.2), ("package", PACKAGE, -0.2)):
            values = dict(zip(part["domain"], part[side], strict=True))
            axis.barh(y + offset, [values[name] for name in names], 0.4, label=method)
        axis.set_title(f"precision, 200 target documents, budget {share:g}x", fontsize=10)
        axis.set_xlim(0, 1)
        axis.grid(alpha=0.3, axis="x")
    axes[0].set_yticks(y, names)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return save(figure, "importance_domains.png")


def report(tuning: pl.DataFrame, mixed: pl.DataFrame, long: pl.DataFrame) -> str:
    """Return the report, and draw its plots."""
    example = draw(EVALUATION_SEEDS[0], IN_POOL).pool
    size = f"{len(example):,} documents, {example['text'].str.len_bytes().sum() / 1e6:.0f} MB"
    parts = [
        "# Importance resampling: which documents are chosen\n",
        f"`python benchmarks/importance_quality.py` on {machine()}\n",
        __doc__.split("\n\n", 2)[2].strip() + "\n",
        f"Each pool: {size}, {example['domain'].n_unique()} domains. After ± stands the standard "
        f"error over domains. Seeds {EVALUATION_SEEDS}.\n",
        f"## Goals\n\n{goals(mixed, long)}\n",
        f"## Evaluation: {len(EVALUATION)} domains that had no part in choosing the default\n",
        *(f"{title}\n\n{method_table(mixed, name)}\n" for name, title in MEASURES.items()),
        plot_methods(mixed) + "\n",
        f"## Per domain, 200 target documents\n\n{domain_table(mixed)}\n",
        plot_domains(mixed) + "\n",
        f"## Documents of at least {LONG_WORDS} words only, {', '.join(LONG)}\n",
        *(f"{title}\n\n{method_table(long, name)}\n" for name, title in MEASURES.items()),
        "## Where another method is better than the default\n",
        worse(("mixed pool", mixed), ("long documents", long)) + "\n",
        f"## Tuning: {', '.join(TUNING)}, seeds {TUNING_SEEDS}\n",
        *(f"{title}\n\n{method_table(tuning, name)}\n" for name, title in MEASURES.items()),
    ]
    return "\n".join(parts)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kept", type=Path, help="folder of what was found, to go on from")
    options = parser.parse_args()
    if options.kept is not None:
        options.kept.mkdir(parents=True, exist_ok=True)
    keep = {"kept": options.kept}
    few = (200,)
    tasks = [
        *(delayed(measure)(s, TUNING, few, candidates, **keep) for s in TUNING_SEEDS),
        *(delayed(measure)(s, EVALUATION, TARGETS, everything, **keep) for s in EVALUATION_SEEDS),
        *(
            delayed(measure)(s, LONG, few, everything, 2_000, LONG_WORDS, **keep)
            for s in EVALUATION_SEEDS
        ),
    ]
    found = Parallel(n_jobs=options.jobs, pre_dispatch=options.jobs)(tasks)
    ends = np.cumsum([len(TUNING_SEEDS), len(EVALUATION_SEEDS), len(EVALUATION_SEEDS)])
    tuning, mixed, long = (
        pl.concat(found[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    write("importance_quality.md", report(tuning, mixed, long))


if __name__ == "__main__":
    main()
