"""Pools that stream, stored streams, vectors, scripts without spaces, and shards."""

from __future__ import annotations

import itertools
import json

import numpy as np
import polars as pl
import pytest

from assay.index.ngrams import stream as bucket_stream
from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.algorithms.density_ratio import (
    Moments,
    combine,
    fit_ratio,
    moments,
    weigh_shard,
)
from assay.selection.algorithms.gumbel import gumbel
from assay.selection.algorithms.presence_classifier import PresenceClassifier
from assay.selection.algorithms.top_k import key_histogram, take_shard, threshold, top_k
from assay.selection.importance import sample as importance_sample
from assay.selection.importance.draws import tempered_keys
from assay.selection.importance.resampler import ImportanceResampler
from assay.selection.importance.sample import Sample, sample_shard
from assay.selection.importance.scorer import ImportanceScorer
from assay.storage import read_pool
from assay.storage.errors import ConfigError, IdError, InputError, NonFiniteError, SourceError
from tests.selection.importance.test_resampler import sentences

POOL = [*sentences(300, 0), *sentences(60, 1, tilt=0.3), None, " ", "x"]
TARGET = [*sentences(30, 2, tilt=0.3), "", "unheard of"]
IDS = [f"{(7919 * row) % 363:03}" for row in range(len(POOL))]
GROUPS = ["g" if row % 3 else "h" for row in range(len(POOL))]
FRAME = {"id": IDS, "text": POOL, "kind": GROUPS}


def same(first, second):
    np.testing.assert_array_equal(first.indices_, second.indices_)
    np.testing.assert_array_equal(first.weights_, second.weights_)
    np.testing.assert_array_equal(first.scores_, second.scores_)
    np.testing.assert_array_equal(first.log_ratio_, second.log_ratio_)
    assert first.report_ == second.report_
    assert first.decisions().equals(second.decisions())


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("assay.index.ngrams._stream_files._BLOCK", 1 << 10)
    monkeypatch.setattr("assay.index.ngrams.hasher._CHUNK", 1 << 9)
    monkeypatch.setattr("assay.selection.importance.texts._ROWS", 50)
    monkeypatch.setattr("assay.selection.importance.fit._PART", 37)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("options", [{}, {"mode": "dsir"}, {"embedding": True}, {"replace": True}])
def test_a_pool_that_streams_is_the_same_as_its_column(tmp_path, options):
    pl.DataFrame(FRAME).write_parquet(tmp_path / "pool.parquet", row_group_size=100)
    pl.DataFrame(FRAME).write_ndjson(tmp_path / "pool.jsonl")
    column = ImportanceResampler(budget=50, **options)
    column.fit(POOL, target=TARGET, ids=IDS, groups=GROUPS)
    for file in ("pool.parquet", "pool.jsonl"):
        pool = read_pool(tmp_path / file, id="id", text="text", group="kind")
        selector = ImportanceResampler(budget=50, **options)
        same(column, selector.fit(pool, target=read_pool({"text": TARGET})))
    bare = ImportanceResampler(budget=50, **options).fit(
        read_pool(tmp_path / "pool.parquet", text="text"), target=TARGET
    )
    same(bare, ImportanceResampler(budget=50, **options).fit(POOL, target=TARGET))
    with pytest.raises(IdError, match="more than once"):
        ImportanceResampler(budget=5).fit(pool, target=TARGET, ids=["a"] * len(POOL))
    with pytest.raises(InputError, match="differ in length"):
        ImportanceResampler(budget=5).fit(pool, target=TARGET, ids=IDS[1:])


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("mode", ["calibrated", "dsir"])
@pytest.mark.parametrize("threads", [2, 3, None])
def test_threads_change_nothing(mode, threads, monkeypatch):
    one = ImportanceResampler(budget=50, mode=mode, threads=1).fit(POOL, target=TARGET)
    monkeypatch.setattr(bucket_stream, "_KEPT", 0)
    same(one, ImportanceResampler(budget=50, mode=mode, threads=threads).fit(POOL, target=TARGET))


@pytest.mark.parametrize("mode", ["calibrated", "dsir"])
def test_a_stored_stream_serves_any_target(tmp_path, mode):
    hasher = ImportanceResampler(budget=1, mode=mode).hasher()
    BucketStream.write(tmp_path, POOL, hasher)
    stream = BucketStream.load(tmp_path)
    for target in (TARGET, {"one": TARGET[:9], "two": TARGET[9:]}):
        from_text, stored = (
            ImportanceResampler(budget=50, mode=mode).fit(X, target=target, ids=IDS)
            for X in (POOL, stream)
        )
        same(from_text, stored)
        scores = [
            ImportanceScorer(mode=mode).fit(X, target=target, ids=IDS) for X in (POOL, stream)
        ]
        np.testing.assert_array_equal(scores[0].scores_, from_text.scores_)
        np.testing.assert_array_equal(scores[1].scores_, from_text.scores_)


def test_a_stream_must_be_hashed_as_asked_for():
    stream = BucketStream.of(POOL, NGramHasher(2, 1 << 10))
    chosen = ImportanceResampler(budget=5).fit(stream, target=TARGET)
    assert chosen.log_ratio_.shape == (1 << 10,)
    for wrong in ({"ngrams": 3}, {"buckets": 9}, {"tokenizer": "regex"}, {"mode": "dsir"}):
        with pytest.raises(ConfigError, match="was hashed with"):
            ImportanceResampler(budget=5, **wrong).fit(stream, target=TARGET)
    with pytest.raises(ConfigError, match="without texts"):
        ImportanceResampler(budget=5, embedding=True).fit(stream, target=TARGET)
    with pytest.raises(InputError, match="no rows"):
        ImportanceResampler(budget=5).fit(BucketStream.of([], NGramHasher()), target=TARGET)


@pytest.mark.parametrize("options", [{}, {"embedding": True}, {"replace": True, "temperature": 1}])
def test_any_order_of_the_rows_is_the_same(options):
    order = np.random.default_rng(0).permutation(len(POOL))
    first = ImportanceResampler(budget=60, **options).fit(POOL, target=TARGET, ids=IDS)
    other = ImportanceResampler(budget=60, **options).fit(
        [POOL[row] for row in order], target=TARGET[::-1], ids=[IDS[row] for row in order]
    )
    assert order[other.indices_].tolist() == first.indices_.tolist()
    np.testing.assert_array_equal(first.scores_[order], other.scores_)
    assert first.report_ == other.report_


TOPICS = {
    "river": ["河水", "上涨", "渡船", "堤岸", "洪峰", "水位", "支流", "浅滩"],
    "market": ["股票", "下跌", "利率", "债券", "投资", "银行", "汇率", "涨停"],
    "kitchen": ["面条", "酱油", "蒸笼", "米饭", "炒锅", "葱花", "豆腐", "辣椒"],
}
COMMON = ["今天", "我们", "看到", "因为", "已经", "非常", "可以", "没有", "他们", "这个"]


def chinese(topic, n, seed):
    """Sentences without spaces: words of a topic among common ones."""
    rng = np.random.default_rng(seed)
    words = TOPICS[topic] + COMMON * 2
    return ["".join(rng.choice(words, rng.integers(6, 25))) + "。" for _ in range(n)]


@pytest.mark.parametrize("topic", list(TOPICS))
def test_topics_are_found_in_text_without_spaces(topic):
    order = np.random.default_rng(0).permutation(600)
    pool = [[text for name in TOPICS for text in chinese(name, 200, 1)][row] for row in order]
    kind = np.repeat(list(TOPICS), 200)[order]
    target = chinese(topic, 20, 2)
    found = ImportanceResampler(budget=150).fit(pool, target=target)
    assert np.mean(kind[found.indices_] == topic) > 0.95
    whole_runs = BucketStream.of(pool, NGramHasher())
    runs = ImportanceResampler(budget=150).fit(whole_runs, target=target)
    assert np.mean(kind[runs.indices_] == topic) < 0.6
    # the published mode never takes runs apart
    assert not ImportanceResampler(budget=1, mode="dsir").hasher().characters


def test_characters_of_scripts_without_spaces_are_tokens():
    hasher = NGramHasher(characters=True)
    text = "I like 東京タワー2024 and ไทย-ข, mañana 日本"
    assert hasher.tokens([text])[0] == [
        "i", "like", "東", "京", "タ", "ワ", "ー", "2024", "and", *"ไทย", "-", "ข", ",",
        "mañana", "日", "本",
    ]  # fmt: skip
    plain = [*sentences(20, 3), "Ελλάδα Ω", "नदी वसंत"]
    for hashing in ("fast", "sha256"):
        found = [NGramHasher(hash=hashing, characters=on).transform(plain) for on in (False, True)]
        np.testing.assert_array_equal(found[0].buckets, found[1].buckets)
    assert hasher.transform(["東京都"]).n_tokens.tolist() == [3]


def blobs(n, seed, shift=0.0, width=8):
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    vectors[:, 0] += shift
    return vectors


def test_vectors_with_vectors_as_target():
    pool = np.concatenate([blobs(400, 0), blobs(100, 1, shift=4.0)])
    target = blobs(40, 2, shift=4.0)
    selector = ImportanceResampler(budget=100).fit(pool, target=target)
    assert np.mean(selector.indices_ >= 400) > 0.9
    report = selector.report_
    assert report["kl_reduction"] > report["kl_reduction_random"] + 0.1
    assert abs(report["kl_reduction_random"]) < 0.25 * report["kl_pool"]
    ids = [f"{(37 * row) % 500:03}" for row in range(500)]
    order = np.random.default_rng(3).permutation(500)
    first = ImportanceResampler(budget=100).fit(pool, target=target, ids=ids)
    other = ImportanceResampler(budget=100).fit(
        pool[order], target=target[::-1], ids=[ids[row] for row in order]
    )
    assert order[other.indices_].tolist() == first.indices_.tolist()
    np.testing.assert_array_equal(first.scores_[order], other.scores_)
    assert first.report_ == other.report_
    lists = read_pool({"vector": pool.tolist(), "id": ids}, id="id")
    same(first, ImportanceResampler(budget=100).fit(lists, target=target.tolist()))
    scores = ImportanceScorer().fit(pool, target=target, ids=ids).scores_
    np.testing.assert_array_equal(scores, first.scores_)
    both = {"far": target, "near": blobs(40, 4)}
    shared = ImportanceResampler(budget=100, proportions={"far": 1, "near": 1})
    found = shared.fit(pool, target=both).indices_
    assert 40 <= np.count_nonzero(found >= 400) <= 60


def test_a_logistic_ratio_is_the_log_of_the_density_ratio():
    # of two normal distributions a shift apart it is linear: shift * x + constant
    pool, target = blobs(20_000, 5, width=2), blobs(20_000, 6, shift=1.0, width=2)
    scores = ImportanceScorer().fit(pool, target=target).scores_
    slope, offset = np.polyfit(pool[:, 0], scores, 1)
    assert slope == pytest.approx(1.0, abs=0.06)
    assert offset == pytest.approx(-0.5, abs=0.06)


def test_vectors_that_cannot_be_used():
    pool, target = blobs(20, 0), blobs(5, 1)
    with pytest.raises(InputError, match="X holds vectors but target does not"):
        ImportanceResampler(budget=1).fit(pool, target=["a"])
    with pytest.raises(InputError, match="target"):
        ImportanceResampler(budget=1).fit(["a"], target=target)
    with pytest.raises(InputError, match="the pool of"):
        ImportanceResampler(budget=1).fit(pool, target=target[:, :3])
    with pytest.raises(ConfigError, match="are for texts"):
        ImportanceResampler(budget=1, mode="dsir").fit(pool, target=target)
    bad = pool.copy()
    bad[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 3"):
        ImportanceResampler(budget=1).fit(bad, target=target)
    missing = read_pool({"vector": [None, *pool.tolist()]})
    with pytest.warns(UserWarning, match="only 20 of 21"):
        selector = ImportanceResampler(budget=21).fit(missing, target=target)
    assert 0 not in selector.indices_
    assert selector.report_["dropped"] == {"empty": 1}
    with pytest.raises(InputError, match="image"):
        ImportanceResampler(budget=1).fit(read_pool({"image": [b"a"]}, image="image"), target=["a"])


def test_the_embedding_joins_in():
    plain, joined = (
        ImportanceScorer(embedding=on).fit(POOL, target=TARGET).scores_ for on in (False, True)
    )
    usable = ~np.isnan(plain)
    assert (np.isnan(joined) == ~usable).all()
    difference = (joined - plain)[usable]
    assert difference.std() == pytest.approx(plain[usable].std(), rel=1e-3)
    assert difference.mean() == pytest.approx(0, abs=1e-6)
    assert difference[300:360].mean() > 0


def test_lone_surrogates_are_counted():
    selector = ImportanceResampler(budget=2).fit(["a \ud800 b", "c", "\ufffd"], target=["\udfff a"])
    assert selector.report_["replaced"] == 1
    assert selector.report_["target_replaced"] == 1
    assert ImportanceResampler(budget=1).fit(["a"], target=["a"]).report_["replaced"] == 0


def test_json_lines_with_blank_lines_and_lone_surrogates(tmp_path):
    lines = [json.dumps({"text": text}) for text in POOL if text is not None]
    (tmp_path / "blank.jsonl").write_text("\n".join([*lines[:9], "", "  ", *lines[9:]]) + "\n\n")
    selector = ImportanceResampler(budget=50).fit(
        read_pool(tmp_path / "blank.jsonl"), target=TARGET
    )
    in_memory = [text for text in POOL if text is not None]
    same(selector, ImportanceResampler(budget=50).fit(in_memory, target=TARGET))
    pair, half = r'{"text": "a \ud83d\ude00 b"}', r'{"text": "a \ud83d b"}'
    (tmp_path / "pair.jsonl").write_text("\n".join([*lines, pair]))
    pool = read_pool(tmp_path / "pair.jsonl")
    assert pool.contents()[-1].as_py() == "a \U0001f600 b"
    for place in (0, 3, len(lines)):
        (tmp_path / "half.jsonl").write_text("\n".join([*lines[:place], half, *lines[place:]]))
        with pytest.raises(SourceError, match=rf"line {place + 1}\b.*half of a surrogate pair"):
            read_pool(tmp_path / "half.jsonl")


@pytest.mark.parametrize("budget", [1, 359, 361])
def test_budgets_up_to_all_usable_rows(budget):
    selector = ImportanceResampler(budget=budget).fit(POOL, target=TARGET)
    assert len(selector.indices_) == budget
    details = selector.decisions()
    assert details["reason"].to_list().count("empty") == 2
    assert details.height == len(POOL)
    for text in details["detail"]:
        json.loads(text)


CUTS = [[0, 363], [0, 50, 363], [0, 1, 2, 100, 250, 363]]


def by_shards(cuts, seed, temperature, budget):
    """The whole computation, shard by shard, in the order of `seed`."""
    hasher = ImportanceResampler(budget=1).hasher()
    bounds = list(itertools.pairwise(cuts))
    noise = {name: noise_of_positions(name)[: len(POOL)] for name in ("sample", "importance")}
    order = np.random.default_rng(seed).permutation(len(bounds))
    bounds = [bounds[i] for i in order]
    streams = [BucketStream.of(POOL[a:b], hasher, threads=2) for a, b in bounds]
    counts = sum(stream.counts for stream in streams)
    samples = [
        sample_shard(stream, noise["sample"][a:b], rows=80, ngrams=3_000)
        for stream, (a, b) in zip(streams, bounds, strict=True)
    ]
    sample = Sample.merge(samples, rows=80, ngrams=3_000)
    target = BucketStream.of(TARGET[:30], hasher)
    presence = PresenceClassifier(sample.grams, hasher.buckets).weights(target.take(np.arange(30)))
    ratio = fit_ratio(
        counts, target.counts[None], mode="calibrated", smoothing=1.0, shrinkage=10.0,
        presence=presence[None],
    )  # fmt: skip
    components = [weigh_shard(stream, ratio, threads=2) for stream in streams]
    parts = [moments(part)[0] for part in components]
    total = [tuple(sum(m[1:], m[0]) for m in zip(*parts, strict=True))]
    weights = [combine(part, "joint", total)[0] for part in components]
    keys = [
        tempered_keys(w, temperature, gumbel(noise["importance"][a:b].copy()))
        for w, (a, b) in zip(weights, bounds, strict=True)
    ]
    cut = threshold(lambda c: sum(key_histogram(k, c) for k in keys), budget)
    taken = [take_shard(k, cut)[0] + a for k, (a, b) in zip(keys, bounds, strict=True)]
    whole = np.empty(len(POOL))
    for w, (a, b) in zip(weights, bounds, strict=True):
        whole[a:b] = w
    return np.sort(np.concatenate(taken)), whole, sample.order


def noise_of_positions(stream):
    from assay.selection.importance.fit import Positions

    return Positions(len(POOL)).noise(0, stream)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_any_shards_in_any_order_are_the_same(cuts, seed):
    rows, weights, order = by_shards(CUTS[0], 0, 0.05, 40)
    other_rows, other_weights, other_order = by_shards(cuts, seed, 0.05, 40)
    np.testing.assert_array_equal(rows, other_rows)
    np.testing.assert_array_equal(weights, other_weights)
    np.testing.assert_array_equal(order, other_order)
    assert len(rows) == 40


def test_the_estimator_is_the_same_as_its_shards(monkeypatch):
    monkeypatch.setattr(importance_sample, "ROWS", 80)
    monkeypatch.setattr("assay.selection.importance.texts.ROWS", 80)
    monkeypatch.setattr("assay.selection.importance.texts.NGRAMS", 3_000)
    selector = ImportanceResampler(budget=40, temperature=0.05, weighting="backoff")
    selector.fit(POOL, target=TARGET[:30])
    hasher = selector.hasher()
    streams = [BucketStream.of(POOL[a:b], hasher) for a, b in ((200, 363), (0, 200))]
    target = BucketStream.of(TARGET[:30], hasher)
    ratio = fit_ratio(
        sum(stream.counts for stream in streams), target.counts[None],
        mode="calibrated", smoothing=1.0, shrinkage=10.0,
    )  # fmt: skip
    weights = [weigh_shard(stream, ratio).backoff[0] for stream in streams]
    np.testing.assert_array_equal(np.concatenate(weights[::-1]), selector.log_weights_)
    keys = np.concatenate(weights[::-1]) / 0.05 + gumbel(noise_of_positions("importance"))
    np.testing.assert_array_equal(top_k(keys, 40, np.sort), selector.indices_)


def test_moments_are_exact_in_any_order():
    values = np.random.default_rng(0).normal(3, 2, 100_000)
    values[::1000] = np.nan
    moments = Moments.of(values)
    parts = [Moments.of(part) for part in np.array_split(values[::-1], 13)]
    assert sum(parts[1:], parts[0]) == moments
    assert moments.n == 99_900
    assert moments.mean == pytest.approx(np.nanmean(values), abs=1e-9)
    assert moments.spread == pytest.approx(np.nanstd(values), abs=1e-9)
    assert Moments.of(np.full(4, 0.1)).spread == 0
    large = np.full(300_000, 127.0)
    assert Moments.of(large).mean == 127
    assert Moments.of(np.concatenate([large, -large])).spread == pytest.approx(127)
