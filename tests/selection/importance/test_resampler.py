from __future__ import annotations

import hashlib
import math
import pickle
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assay.selection.algorithms.density_ratio import calibrated_log_ratio
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.importance.resampler import ImportanceResampler
from assay.selection.importance.scorer import ImportanceScorer
from assay.storage.errors import BudgetError, ConfigError, InputError, MissingInputError
from tests.data import shared

WORDS = (
    "the", "cat", "sat", "on", "a", "mat", "while", "stocks", "fell", "and", "shares", "rose",
    "again", ",", "don't", "panic", "!",
)  # fmt: skip


def sentences(n, seed, low=1, high=30, tilt=0.0):
    """Random sentences; `tilt` prefers words at the end of the list."""
    rng = np.random.default_rng(seed)
    p = np.exp(tilt * np.arange(len(WORDS)))
    return [" ".join(rng.choice(WORDS, rng.integers(low, high), p=p / p.sum())) for _ in range(n)]


def plain_ngrams(text):
    """1- and 2-grams by the definition."""
    tokens = re.findall(r"\w+|[^\w\s]+", text.lower())
    return tokens + [" ".join(pair) for pair in pairwise(tokens)]


def plain_calibrated(pool, target, smoothing, shrinkage):
    """Log weights by the definition, on n-grams instead of buckets."""
    in_pool = Counter(gram for text in pool for gram in plain_ngrams(text))
    in_target = Counter(gram for text in target for gram in plain_ngrams(text))
    n, n_t = in_pool.total(), in_target.total()
    mu = smoothing * n_t
    ratio = {
        gram: math.log((in_target[gram] + mu * count / n) / (n_t + mu) / (count / n))
        for gram, count in in_pool.items()
    }
    mean = sum(ratio[gram] * count for gram, count in in_pool.items()) / n
    weights = []
    for text in pool:
        values = [ratio[gram] for gram in plain_ngrams(text)]
        weights.append((sum(values) + shrinkage * mean) / (len(values) + shrinkage))
    return np.array(weights)


def plain_dsir(pool, target, k, seed, buckets=10_000):
    """The published package's rule, one n-gram at a time."""

    def counts(text):
        found = np.zeros(buckets, dtype=int)
        for gram in plain_ngrams(text):
            found[int(hashlib.sha256(gram.encode()).hexdigest(), 16) % buckets] += 1
        return found

    matrix = np.array([counts(text) for text in pool])
    of_target = sum(counts(text) for text in target)
    of_pool = matrix.sum(axis=0)
    log_ratio = np.log(of_target / of_target.sum() + 1e-8) - np.log(of_pool / of_pool.sum() + 1e-8)
    log_weights = matrix @ log_ratio
    keys = log_weights + np.random.RandomState(seed).gumbel(size=len(pool))
    return log_ratio, log_weights, np.argpartition(-keys, k)[:k]


@pytest.mark.parametrize(("smoothing", "shrinkage"), [(0.25, 10.0), (0.25, 0), (2, 3.5)])
def test_calibrated_weights_follow_the_definition(smoothing, shrinkage):
    pool, target = sentences(200, 0), sentences(20, 1, tilt=0.2)
    plain = {"weighting": "backoff", "smoothing": smoothing, "shrinkage": shrinkage}
    selector = ImportanceResampler(budget=10, buckets=1 << 20, **plain).fit(pool, target=target)
    expected = plain_calibrated(pool, target, smoothing, shrinkage)
    np.testing.assert_allclose(selector.log_weights_, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(selector.scores_, selector.log_weights_)
    scorer = ImportanceScorer(buckets=1 << 20, **plain)
    np.testing.assert_array_equal(scorer.fit(pool, target=target).scores_, selector.scores_)


def test_log_ratios_of_rare_buckets_are_finite_and_known():
    ratio = calibrated_log_ratio(np.array([3, 0, 1, 0]), np.array([5, 5, 0, 0]), 0.25)
    assert np.isfinite(ratio).all()
    # c_t + mu p over n_t + mu, with mu = 1 and p = 1/2, 1/2, 1/10, 1/10
    assert ratio == pytest.approx(np.log([3.5 / 5 * 2, 0.5 / 5 * 2, 1.1 / 5 * 10, 0.1 / 5 * 10]))


def test_temperature_zero_takes_the_largest_weights():
    pool, target = sentences(100, 8), sentences(10, 9, tilt=0.2)
    selector = ImportanceResampler(budget=15, temperature=0).fit(pool, target=target)
    best = np.argsort(-selector.log_weights_, kind="stable")[:15]
    assert selector.indices_.tolist() == best.tolist()
    assert selector.report_["topk_overlap"] == 1.0
    assert selector.report_["effective_sample_size"] is None


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_texts_are_drawn_in_proportion_to_their_tempered_weights(temperature):
    kinds = ["the cat sat", "a dog ran far", "stocks fell", "shares rose again"]
    pool = kinds * 5_000
    selector = ImportanceResampler(budget=800, temperature=temperature, random_state=1)
    selector.fit(pool, target=["stocks rose", "shares fell", "a cat"])
    p = np.exp(selector.log_weights_[:4] / temperature)
    p /= p.sum()
    drawn = np.bincount(selector.indices_ % 4, minlength=4)
    # 4% of the rows without replacement: near multinomial
    if p.max() < 0.9:
        assert ((drawn - 800 * p) ** 2 / (800 * p)).sum() < 35
    assert drawn.argmax() == p.argmax()


def test_a_fixed_temperature_gives_prefixes():
    pool, target = sentences(200, 10), sentences(20, 11)
    small = ImportanceResampler(budget=20, temperature=0.3).fit(pool, target=target)
    large = ImportanceResampler(budget=90, temperature=0.3).fit(pool, target=target)
    assert large.indices_[:20].tolist() == small.indices_.tolist()


def test_the_automatic_temperature_is_a_multiple_of_the_spread():
    pool = sentences(400, 12) + sentences(100, 13, tilt=0.3)
    selector = ImportanceResampler(budget=50).fit(pool, target=sentences(40, 14, tilt=0.3))
    multiple = selector.report_["temperature"] / selector.log_weights_.std()
    assert min(abs(multiple - tried) for tried in (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)) < 1e-6
    single = ImportanceResampler(budget=50).fit(pool, target=["shares rose"])
    assert single.report_["temperature"] == 0


def test_the_report_measures_what_it_says():
    pool = sentences(300, 15) + sentences(60, 16, tilt=0.3)
    target = [*sentences(30, 17, tilt=0.3), "unheard of"]
    selector = ImportanceResampler(budget=60, temperature=0.05, buckets=1 << 20)
    report = selector.fit(pool, target=target).report_
    in_pool = Counter(gram for text in pool for gram in plain_ngrams(text))
    in_target = Counter(gram for text in target for gram in plain_ngrams(text))
    seen = {gram: count for gram, count in in_target.items() if gram in in_pool}
    assert report["target_unseen"] == pytest.approx(1 - sum(seen.values()) / in_target.total())

    def divergence(rows, smoothing):
        drawn = Counter(gram for row in rows for gram in plain_ngrams(pool[row]))
        mu = smoothing * drawn.total()
        total = 0.0
        for gram, count in seen.items():
            p = count / sum(seen.values())
            background = in_pool[gram] / in_pool.total()
            total += p * math.log(p * (drawn.total() + mu) / (drawn[gram] + mu * background))
        return total

    assert report["kl_pool"] == pytest.approx(divergence(range(len(pool)), 0))
    assert report["kl_selected"] == pytest.approx(divergence(selector.indices_, 0.25))
    assert report["kl_reduction"] == pytest.approx(report["kl_pool"] - report["kl_selected"])
    assert report["kl_reduction"] > report["kl_reduction_random"] + 0.1
    weights = np.exp(selector.log_weights_ / 0.05)
    assert report["effective_sample_size"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert report["effective_sample_size_random"] == len(pool)
    assert report["log_weight_quantiles"]["p50"] == pytest.approx(np.median(selector.log_weights_))
    top = np.argsort(-selector.log_weights_)[:60]
    assert report["topk_overlap"] == np.isin(selector.indices_, top).mean()


def test_choosing_everything_changes_no_distribution():
    pool = sentences(50, 18)
    selector = ImportanceResampler(budget=1.0).fit(pool, target=sentences(10, 19))
    assert sorted(selector.indices_.tolist()) == list(range(50))
    assert selector.report_["kl_reduction"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("mode", ["calibrated", "dsir"])
def test_texts_without_content_are_told_and_never_chosen(mode):
    pool = ["stocks fell", None, "", " \n\t", "x", "shares rose", "the cat sat"]
    selector = ImportanceResampler(budget=6, mode=mode)
    with pytest.warns(ShortfallWarning, match="only 4 of 7 rows are usable: 2 are missing"):
        selector.fit(pool, target=[None, "stocks rose", ""])
    assert sorted(selector.indices_.tolist()) == [0, 4, 5, 6]
    assert selector.report_["shortfall"] == 2
    assert selector.report_["dropped"] == {"empty": 3}
    assert selector.report_["target_dropped"] == {"empty": 2}
    decisions = selector.decisions()
    assert decisions["reason"].to_list().count("empty") == 3
    assert decisions["selected"].sum() == 4
    assert np.isnan(selector.scores_).tolist() == [text in (None, "", " \n\t") for text in pool]
    with pytest.raises(BudgetError, match="2 are missing"):
        ImportanceResampler(budget=6, mode=mode, strict=True).fit(pool, target=["stocks"])


def test_inputs_without_content_are_refused():
    with pytest.raises(InputError, match="No text of target"):
        ImportanceResampler(budget=1).fit(["a"], target=["", None])
    with pytest.raises(InputError, match="No text of target"):
        ImportanceResampler(budget=1).fit(["a"], target=[])
    with pytest.raises(InputError, match="No text of X"):
        ImportanceResampler(budget=1).fit(["", None], target=["a"])
    with pytest.raises(MissingInputError, match="target"):
        ImportanceResampler(budget=1).fit(["a"])
    with pytest.raises(InputError, match="not text"):
        ImportanceResampler(budget=1).fit([1.0, 2.0], target=["a"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "best"},
        {"temperature": -1},
        {"temperature": "cold"},
        {"temperature": math.nan},
        {"smoothing": 0},
        {"shrinkage": -1},
        {"weighting": "best"},
        {"tokenizer": "nltk"},
        {"threads": 0},
        {"buckets": 0},
        {"ngrams": 0},
    ],
)
def test_parameters_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ImportanceResampler(budget=1, **wrong).fit(["a", "b"], target=["a"])


def test_a_target_that_shares_nothing_with_the_pool_leaves_chance():
    pool = [f"word{row}" for row in range(50)]
    selector = ImportanceResampler(budget=10, shrinkage=0).fit(pool, target=["other words"] * 3)
    assert len(set(selector.indices_.tolist())) == 10
    assert selector.report_["target_unseen"] == 1.0


def test_the_order_of_the_target_does_not_matter():
    pool, target = sentences(150, 23), sentences(31, 24, tilt=0.2)
    first = ImportanceResampler(budget=40).fit(pool, target=target)
    other = ImportanceResampler(budget=40).fit(pool, target=target[::-1])
    np.testing.assert_array_equal(first.indices_, other.indices_)
    assert first.report_ == other.report_


def test_any_column_of_text_is_the_same():
    pool, target = sentences(50, 20), sentences(5, 21)
    expected = ImportanceResampler(budget=9).fit(pool, target=target)
    for make in (
        pl.Series,
        pa.array,
        lambda texts: pa.chunked_array([texts[:3], texts[3:]]),
        lambda texts: np.array(texts, dtype=object),
        lambda texts: pl.DataFrame({"text": texts}),
        tuple,
    ):
        found = ImportanceResampler(budget=9).fit(make(pool), target=make(target))
        np.testing.assert_array_equal(found.indices_, expected.indices_)
        np.testing.assert_array_equal(found.scores_, expected.scores_)


def test_lone_surrogates_do_not_stop_a_fit():
    selector = ImportanceResampler(budget=1).fit(["a \ud800 b", "c"], target=["a"])
    assert selector.indices_.tolist() == [0]


@pytest.fixture(scope="module")
def mixed_pool():
    frame = pl.read_parquet(shared("text_pool.parquet"), columns=["id", "text", "domain"])
    return frame.unique("text", keep="first", maintain_order=True)


DOMAINS = ["medical_abstracts", "news", "biochem_sentences", "code_java", "product_reviews"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_is_found_in_a_mixed_pool(mixed_pool, domain):
    wanted = mixed_pool.filter(pl.col("domain") == domain).sample(200, seed=0)
    pool = mixed_pool.join(wanted.select("id"), on="id", how="anti").sample(20_000, seed=1)
    selector = ImportanceResampler(budget=0.05).fit(
        pool["text"], target=wanted["text"], ids=pool["id"], groups=pool["domain"]
    )
    shares = selector.report_["groups"][domain]
    assert shares["selected"] >= 3 * shares["pool"]
    assert selector.report_["kl_reduction"] > selector.report_["kl_reduction_random"] + 0.1
    as_published = ImportanceResampler(budget=0.05, mode="dsir").fit(
        pool["text"], target=wanted["text"], ids=pool["id"], groups=pool["domain"]
    )
    assert shares["selected"] > as_published.report_["groups"][domain]["selected"] + 0.1


def test_logistic_weights_count_each_bucket_of_a_text_once():
    pool, target = sentences(1_500, 30), sentences(20, 31, tilt=0.2)
    selector = ImportanceResampler(budget=10, weighting="logistic", buckets=1 << 20)
    scores = selector.fit(pool, target=target).scores_
    grams = [sorted(set(plain_ngrams(text))) for text in pool]
    columns = {gram: place for place, gram in enumerate(sorted({g for row in grams for g in row}))}
    held = np.zeros((len(pool), len(columns)))
    for row, found in enumerate(grams):
        held[row, [columns[gram] for gram in found]] = 1 / math.sqrt(len(found))
    assert len(columns) < len(pool) / 3
    # linear in what a text holds: the scores lie in the span of the columns
    weights, *_ = np.linalg.lstsq(held, scores, rcond=None)
    np.testing.assert_allclose(held @ weights, scores, atol=1e-8)


def test_joint_weights_are_both_parts_on_one_scale():
    pool, target = sentences(300, 32), sentences(20, 33, tilt=0.2)
    joint, backoff, logistic = (
        ImportanceScorer(weighting=name).fit(pool, target=target).scores_
        for name in ("joint", "backoff", "logistic")
    )
    expected = backoff + (logistic - logistic.mean()) * backoff.std() / logistic.std()
    np.testing.assert_allclose(joint, expected, atol=1e-6)


@pytest.mark.parametrize("replace", [False, True])
def test_rows_drawn_can_stand_for_the_pool(replace):
    texts = ["the cat sat", "a dog ran", "stocks fell", "shares rose"] * 5
    vectors = np.random.default_rng(0).normal(size=(20, 4))
    ids = [f"r{row:02}" for row in range(20)]
    selector = ImportanceResampler(budget=5, temperature=0.1, replace=replace)
    selector.fit(texts, target=["stocks rose"], ids=ids, groups=["g", "h"] * 10)
    groups = selector.report_["groups"]
    selector.represent(vectors)
    assert selector.weights_.sum() == pytest.approx(20)
    np.testing.assert_array_equal(selector.propagate(selector.indices_), selector.nearest_)
    # another fit forgets the weights of the first
    again = selector.fit(texts, target=["stocks rose"], ids=ids)
    assert again.weights_.sum() == 5
    assert not hasattr(again, "nearest_")
    assert "groups" not in again.report_
    assert set(groups) == {"g", "h"}
    assert pickle.loads(pickle.dumps(again)).decisions().equals(again.decisions())


@pytest.mark.parametrize("mode", ["calibrated", "dsir"])
@pytest.mark.parametrize("temperature", ["auto", 0, 1.0])
def test_a_pool_of_texts_that_are_all_too_short_is_refused(mode, temperature):
    texts = sentences(40, 0, low=1, high=9)
    options = {} if mode == "dsir" else {"temperature": temperature}
    resampler = ImportanceResampler(budget=5, mode=mode, min_example_length=100, **options)
    with pytest.raises(InputError, match="min_example_length=100 tokens; the longest has 12"):
        resampler.fit(texts, target=texts[:5])


def test_a_ranking_before_fit_says_when_there_is_one() -> None:
    with pytest.raises(AttributeError, match="ranking_ is there for one target"):
        _ = ImportanceResampler(budget=2).ranking_
