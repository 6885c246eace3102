"""Which mixture of domains should a model be trained on? Learned from runs, models or the target.

    python benchmarks/mixture_learning.py

Models are n-gram language models of words (bigrams backed by unigrams, 2^15 words), trained on 300,000
words of 20 domains of `text_pool.parquet`, in the folder named by `ASSAY_TEST_DATA`, else in
`shared/data` beside the repository. 64 of them have random mixtures: the runs. A target is a mixture
of held-out words of the domains. Every way learns a mixture, a model is trained on it, and its
cross-entropy on the target is written down, in bits for each word. The strengths of the draws of
`mixture_from_runs` were chosen on other targets and other runs than these.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import polars as pl
from common.data import documents
from common.report import machine, table, write
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from assay.index.embedding.text import HashedTextEmbedder
from assay.selection import estimate_composition, mixture_from_models, mixture_from_runs
from assay.selection.algorithms.mixture_of_runs import _drawn

Floats = NDArray[np.float64]
WORD = r"\w+|[^\w\s]"
WORDS, PAIRS = 1 << 15, 1 << 20
TRAINED, JUDGED, MOST = 300_000, 20_000, 400_000
RUNS, TARGETS = 64, 6
TARGET_WORDS = 20_000
# how concentrated targets are: a Dirichlet distribution over the domains
KINDS = {"broad": 1.0, "narrow": 0.25}


class Domain:
    """The words of a domain to train on and to judge by, and its documents."""

    def __init__(self, texts: pl.Series) -> None:
        words = texts.str.to_lowercase().str.extract_all(WORD)
        ends = words.list.len().to_numpy().cumsum()
        coded = (words.explode().fill_null("").hash(0) % WORDS).cast(pl.Int64).to_numpy()
        cut = int(np.searchsorted(ends, min(2 * JUDGED, ends[-1] // 4)))
        self.held_out = coded[: ends[cut]][:JUDGED]
        self.train = coded[ends[cut] :][:MOST]
        self.texts_held_out, self.texts = texts[: cut + 1], texts[cut + 1 :]


class Model:
    """Bigrams backed by unigrams."""

    def __init__(self, domains: list[Domain], shares: Floats) -> None:
        self.ones, self.twos = np.zeros(WORDS), np.zeros(PAIRS)
        for domain, share in zip(domains, shares, strict=True):
            left = int(share * TRAINED)
            while left > 0:
                part = domain.train[:left]
                left -= len(part)
                self.ones += np.bincount(part, minlength=WORDS)
                self.twos += np.bincount(_pairs(part), minlength=PAIRS)

    def bits(self, words: NDArray[np.int64]) -> float:
        one = (self.ones[words[1:]] + 0.5) / (self.ones.sum() + 0.5 * WORDS)
        before = self.ones[words[:-1]]
        trust = before / (before + 20)
        two = np.minimum(1, self.twos[_pairs(words)] / np.maximum(before, 1))
        return float(-np.log2(trust * two + (1 - trust) * one).mean())


def _pairs(words: NDArray[np.int64]) -> NDArray[np.int64]:
    return (words[:-1] * 2_654_435_761 + words[1:] * 40_503) & (PAIRS - 1)


def bits(domains: list[Domain], shares: Floats, target: Floats) -> float:
    """Train on a mixture, and judge on a target."""
    model = Model(domains, shares)
    used = np.flatnonzero(target > 0)
    return float(sum(target[d] * model.bits(domains[d].held_out) for d in used))


def by_trees(runs: Floats, loss: Floats, rng: np.random.Generator) -> Floats:
    """RegMix's kind: boosted trees on the weights, the mean of the best 100 of 20,000 draws."""
    model = HistGradientBoostingRegressor(max_iter=300, min_samples_leaf=5, random_state=0)
    drawn = _drawn(rng, runs.mean(axis=0), 20_000)
    order = np.argsort(model.fit(runs, loss).predict(drawn), kind="stable")
    return np.asarray(drawn[order[:100]].mean(axis=0))


def of_target(domains: list[Domain], names: list[str], target: Floats, seed: int) -> Floats:
    """The shares that `mixture="target"` finds in a sample of documents of the target."""
    rng = np.random.default_rng(seed)
    pools = [d.texts.head(500) for d in domains]
    of = np.repeat(names, [len(p) for p in pools])
    sample = []
    for domain, share in zip(domains, target, strict=True):
        docs = domain.texts_held_out.sample(fraction=1, shuffle=True, seed=seed)
        lengths = docs.str.count_matches(WORD).to_numpy()
        left = share * TARGET_WORDS - (lengths.cumsum() - lengths)
        # the last one by chance, so that no domain is left out for its long documents
        sample.append(docs.filter(pl.Series(left / np.maximum(lengths, 1) > rng.random(len(docs)))))
    texts = pl.concat(pools)
    embedder = HashedTextEmbedder().fit(texts)
    wanted = embedder.encode(pl.concat(sample))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_composition(embedder.encode(texts), of, target=wanted, bootstraps=0)
    shares = dict(found.frame.select("group", "target_share").iter_rows())
    # from documents to words
    words = [
        shares[n] * p.str.count_matches(WORD).mean() for n, p in zip(names, pools, strict=True)
    ]
    return np.asarray(words) / sum(words)


def main() -> None:
    """Learn, train and judge."""
    pool = documents().filter(pl.col("domain") != "pile_mix")
    names = sorted(pool["domain"].unique())
    domains = [
        Domain(pool.filter(domain=name).sample(fraction=1, shuffle=True, seed=0)["text"])
        for name in names
    ]
    D = len(domains)
    rng = np.random.default_rng(7)
    even = np.full(D, 1 / D)
    strengths = np.exp(rng.uniform(np.log(2), np.log(25), RUNS))
    runs = np.array([rng.dirichlet(even * strength) for strength in strengths])
    models = [Model(domains, shares) for shares in runs]
    losses = np.array([[m.bits(d.held_out) for d in domains] for m in models])
    by_source = dict(zip(names, runs.T, strict=True))
    loss_by_source = dict(zip(names, losses.T, strict=True))
    rows, seconds, closed = [], [], []
    for kind, concentration in KINDS.items():
        figures, correlations = [], []
        for number in range(TARGETS):
            target = rng.dirichlet(even * D * concentration)
            loss = losses @ target
            began = time.perf_counter()
            learned = mixture_from_runs(by_source, loss)
            seconds.append(time.perf_counter() - began)
            correlations.append(learned.report_["rank_correlation"])
            ways = {
                "even": even,
                "best run": runs[np.argmin(loss)],
                "`mixture_from_runs`": learned.frame["share"].to_numpy(),
                "trees": by_trees(runs, loss, np.random.default_rng(number)),
            }
            for cap in (0.25, 0.5):
                made = mixture_from_models(
                    loss_by_source, loss, dict.fromkeys(names, cap), budget=1, bootstraps=0
                )
                ways[f"`mixture_from_models`, cap {cap}"] = made.frame["share"].to_numpy()
            ways['`mixture = "target"`'] = of_target(domains, names, target, number)
            ways["the target's own"] = target
            figures.append([bits(domains, shares, target) for shares in ways.values()])
            print(kind, number, np.round(figures[-1], 3), flush=True)
        mean = np.mean(figures, axis=0)
        gap = (mean[0] - mean) / (mean[0] - mean[-1])
        closed.append(gap[list(ways).index("`mixture_from_runs`")])
        rows += [
            (kind, way, f"{m:.3f}", f"{g:.2f}") for way, m, g in zip(ways, mean, gap, strict=True)
        ]
        print(f"rank correlations {np.round(correlations, 2)}")
    write(
        "mixture_learning.md",
        f"""# Mixtures that are learned

`python benchmarks/mixture_learning.py`: {machine()}

Word bigram models of {TRAINED:,} words, {D} domains, {RUNS} runs with random mixtures, {TARGETS} targets of
each kind: mixtures drawn from a Dirichlet distribution of concentration 1 (broad) and 0.25 (narrow).
Cross-entropy on the target in bits for each word, mean over the targets, and which part of the way
from the even mixture to the target's own is made.

{table(("targets", "mixture", "bits", "part of the way"), rows)}

`trees` is RegMix's kind of regression. `mixture_from_models` takes the runs as models: their losses by
domain, and the loss on the target as error. `mixture = "target"` sees about {TARGET_WORDS:,} words of the
target and no run. `mixture_from_runs` took {np.mean(seconds):.1f} s, 200 bootstraps included.
""",
    )


if __name__ == "__main__":
    main()
