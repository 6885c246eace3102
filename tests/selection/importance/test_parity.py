# ruff: noqa: RUF001
"""Mode "dsir" against the published package, in many scripts and with both tokenizers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from assay.selection.importance.resampler import ImportanceResampler
from assay.storage.errors import ConfigError
from tests.selection.importance.test_resampler import plain_dsir, sentences

# one or two plain sentences in each of 16 languages and 12 scripts
SENTENCES = {
    "english": "The river rose in spring, and nobody crossed it until May. It's cold!",
    "german": "Größere Flüsse überqueren wir nur im Sommer; die Straße ist naß.",
    "turkish": "İstanbul'da ILIK bir gün: ışık, İzmir ve DİYARBAKIR'a gitti.",
    "greek": "ΟΔΥΣΣΕΥΣ πήγε στη θάλασσα. Ο ΣΟΦΟΣ ΑΣ μένει, Σας λέω.",
    "russian": "Река поднялась весной, и НИКТО её не пересёк до мая.",
    "vietnamese": "Người dân đã qua sông vào mùa xuân — trời rất lạnh.",
    "arabic": "ارتفع النَّهْرُ في الربيع، ولم يعبره أحدٌ حتى مايو ٢٠٢٤.",
    "hebrew": "הנהר עלה באביב, ואיש לא חצה אותו עד מאי. שָׁלוֹם!",
    "hindi": "नदी वसंत में चढ़ी और मई तक किसी ने उसे पार नहीं किया।",
    "bengali": "বসন্তে নদী বেড়ে উঠল, মে মাস পর্যন্ত কেউ পার হয়নি।",
    "tamil": "வசந்த காலத்தில் ஆறு உயர்ந்தது, மே வரை யாரும் கடக்கவில்லை.",
    "thai": "แม่น้ำสูงขึ้นในฤดูใบไม้ผลิ และไม่มีใครข้ามจนถึงเดือนพฤษภาคม",
    "chinese": "春天河水上涨，直到五月没有人过河。北京的天气很冷！",
    "japanese": "春に川が増水し、五月まで誰も渡らなかった。カタカナもアル。",
    "korean": "봄에 강물이 불어나서 오월까지 아무도 건너지 못했다.",
    "armenian": "Գարնանը գետը բարձրացավ, և մինչև մայիս ոչ ոք այն չանցավ։",
    "signs": "x² + ½ ≥ ①; e\u0301te\u0301 \U0001f469\u200d\U0001f52c \u212aelvin a_b\u00a0c\x1cd 3.14",
}


def documents(n, seed, kinds=None):
    """Documents of shuffled words of one or two languages, no two alike."""
    rng = np.random.default_rng(seed)
    kinds = list(SENTENCES) if kinds is None else kinds
    found = []
    for number in range(n):
        words = [word for kind in rng.choice(kinds, 2) for word in SENTENCES[kind].split(" ")]
        found.append(" ".join([*rng.choice(words, rng.integers(1, 60)), str(number)]))
    return found


class Published:
    """The package over files, with the draw of a seed."""

    def __init__(self, folder, pool, targets, tokenizer, **options):
        package = pytest.importorskip("data_selection")
        names = [self._written(folder / f"target {i}.jsonl", t) for i, t in enumerate(targets)]
        self.model = package.HashedNgramDSIR(
            [self._written(folder / "pool.jsonl", pool)],
            names,
            str(folder / "cache"),
            num_proc=1,
            min_example_length=0,
            **options,
        )
        if tokenizer == "re":
            # what nltk before 3.10 did
            pattern = re.compile(r"\w+|[^\w\s]+", re.UNICODE | re.MULTILINE | re.DOTALL)
            self.model.tokenizer = pattern.findall
        self.folder = folder
        self.model.fit_importance_estimator(num_tokens_to_fit="all")
        self.model.compute_importance_weights()
        self.log_weights = np.load(folder / "cache" / "log_importance_weights" / "0.npy")

    @staticmethod
    def _written(path, texts):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return str(path)

    def drawn(self, k, seed):
        np.random.seed(seed)  # noqa: NPY002
        out = self.folder / f"out {seed}"
        self.model.resample(str(out), k, str(self.folder / f"resampled {seed}"))
        return {
            json.loads(line)["text"]
            for file in out.rglob("*.jsonl")
            for line in file.read_text().splitlines()
        }


@pytest.mark.parametrize("tokenizer", ["re", "regex"])
@pytest.mark.parametrize("ngrams", [2, 3])
def test_the_package_in_many_scripts(tmp_path, tokenizer, ngrams):
    pool, target = documents(400, 0), documents(40, 1, ["thai", "chinese", "greek", "hindi"])
    theirs = Published(tmp_path, pool, [target], tokenizer, ngrams=ngrams)
    for seed in (3, 11):
        ours = ImportanceResampler(
            budget=60, mode="dsir", ngrams=ngrams, tokenizer=tokenizer, random_state=seed
        ).fit(pool, target=target)
        np.testing.assert_array_equal(ours.log_ratio_, theirs.model.log_diff)
        np.testing.assert_allclose(ours.log_weights_, theirs.log_weights, rtol=0, atol=1e-6)
        assert {pool[row] for row in ours.indices_} == theirs.drawn(60, seed)
        assert len(ours.indices_) == 60


def test_the_tokenizers_differ():
    pool, target = documents(50, 2), documents(5, 3)
    found = [
        ImportanceResampler(budget=5, mode="dsir", tokenizer=name).fit(pool, target=target)
        for name in ("re", "regex", "auto")
    ]
    assert not np.array_equal(found[0].log_ratio_, found[1].log_ratio_)
    np.testing.assert_array_equal(found[0].log_ratio_, found[2].log_ratio_)


@pytest.mark.parametrize("proportions", [None, [0.15, 0.6, 0.25], [0, 1, 2]])
def test_several_targets_are_drawn_as_the_package_draws(tmp_path, proportions):
    pool = documents(300, 4)
    targets = [documents(12, 5, ["thai"]), documents(20, 6, ["russian"]), documents(9, 7)]
    theirs = Published(
        tmp_path, pool, targets, "re", separate_targets=True, target_proportions=proportions
    )
    names = ["z", "a", "m"]
    shares = None if proportions is None else dict(zip(names, proportions, strict=True))
    ours = ImportanceResampler(budget=73, mode="dsir", proportions=shares, random_state=5)
    ours.fit(pool, target=dict(zip(names, targets, strict=True)))
    np.testing.assert_array_equal(ours.log_ratio_, theirs.model.log_diff)
    np.testing.assert_allclose(ours.log_weights_, theirs.log_weights.T, rtol=0, atol=1e-6)
    assert {pool[row] for row in ours.indices_} == theirs.drawn(73, 5)
    assert len(set(ours.indices_.tolist())) == 73
    quota = [ours.report_["targets"][name]["quota"] for name in names]
    assert quota[:2] == [int(73 * share) for share in theirs.model.target_proportions[:2]]
    assert sum(quota) == 73
    assert ours.targets_ == tuple(names)


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("k", [1, 30, 119])
def test_the_plain_rule(seed, k):
    pool, target = sentences(120, 2), sentences(15, 3, tilt=0.1)
    log_ratio, log_weights, chosen = plain_dsir(pool, target, k, seed)
    selector = ImportanceResampler(budget=k, mode="dsir", random_state=seed)
    selector.fit(pool, target=target)
    np.testing.assert_array_equal(selector.log_ratio_, log_ratio)
    np.testing.assert_allclose(selector.log_weights_, log_weights, rtol=0, atol=1e-8)
    assert set(selector.indices_.tolist()) == set(chosen.tolist())
    assert selector.ranking_[:k].tolist() == selector.indices_.tolist()


def test_rows_are_drawn_in_the_order_given():
    pool, target = sentences(100, 6), sentences(10, 7)
    ids = [f"{(37 * row) % 100:02}" for row in range(100)]
    plain = ImportanceResampler(budget=20, mode="dsir").fit(pool, target=target)
    named = ImportanceResampler(budget=20, mode="dsir").fit(pool, target=target, ids=ids)
    np.testing.assert_array_equal(plain.indices_, named.indices_)


def test_what_breaks_the_package_is_right_here():
    pool = [*documents(30, 8), "", None, " \n", "a \ud800 b", "x"]
    selector = ImportanceResampler(budget=32, mode="dsir").fit(pool, target=["\udc00 x", "y", ""])
    # a budget of all usable rows, blank lines, lone surrogates, one-word documents
    assert sorted(selector.indices_.tolist()) == [*range(30), 33, 34]
    assert selector.report_["dropped"] == {"empty": 3}
    assert selector.report_["replaced"] == 1
    assert selector.report_["target_replaced"] == 1
    found = [
        ImportanceResampler(budget=20, mode="dsir", threads=threads).fit(pool, target=["x", "y"])
        for threads in (1, 2, 3)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].indices_, other.indices_)
        np.testing.assert_array_equal(found[0].log_weights_, other.log_weights_)


@pytest.mark.parametrize("wrong", [{"random_state": 2**32}, {"replace": True}, {"embedding": True}])
def test_what_the_package_does_not_do_is_refused(wrong):
    with pytest.raises(ConfigError):
        ImportanceResampler(budget=1, mode="dsir", **wrong).fit(["a", "b"], target=["a"])
