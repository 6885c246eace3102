"""Scores of the text alone, against the same written out in plain Python, in many scripts."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
import sys
import unicodedata
import zlib
from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.selection import (
    CompressionRatio,
    DigitShare,
    GopherRepetition,
    Language,
    PunctuationShare,
    Repetition,
    StopWordShare,
    SymbolShare,
    Tokens,
    UpperCaseShare,
)
from assay.selection.algorithms.language_model import (
    LanguageModel,
    language_posteriors,
    letter_runs,
    shipped_model,
)
from assay.selection.algorithms.stop_words import LANGUAGES, STOP_WORDS
from assay.storage.errors import ConfigError, DependencyError

PLAIN = settings(max_examples=120, deadline=None)
# words of many scripts, white space of many kinds, and anything else
WORDS = st.sampled_from(
    ["the", "cat", "a", "b", "ÉTÉ", "e\u0301te\u0301", "дом", "घर में", "家", "ひと", "12", "٣", "€", "#1", "don't", "İ", "ΟΔΟΣ", "😀"]
)  # fmt: skip
GAPS = st.sampled_from(
    [" ", " ", " ", "\n", "\n\n", "\r\n", "  ", "\t", "\u00a0", "\u3000", "\n \n"]
)
TEXTS = st.lists(st.tuples(WORDS, GAPS), max_size=60).map(
    lambda pairs: "".join(map("".join, pairs))
)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MANY = st.lists(st.one_of(TEXTS, TEXTS, ANY), min_size=1, max_size=6)


def again(parts):
    """How many of the parts, and of their characters, were there before."""
    seen, count, size = set(), 0, 0
    for part in parts:
        if part in seen:
            count, size = count + 1, size + len(part)
        seen.add(part)
    return count, size


def shares(text):
    """Gopher's shares of repetition, with sets and counters of strings."""
    words, total = text.split(), len(text)
    lines = [line.strip() for line in text.split("\n")]
    paragraphs, under_way = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            under_way.append(line)
        elif under_way:
            paragraphs.append("\n".join(under_way).strip())
            under_way = []
    lines = [line for line in lines if line]
    found = dict.fromkeys(_names(), 0.0)
    if not words:
        return found
    for name, parts in (("line", lines), ("paragraph", paragraphs)):
        count, size = again(parts)
        found[f"duplicate_{name}s"] = count / len(parts)
        found[f"duplicate_{name}_characters"] = size / total
    for n in (2, 3, 4):
        runs = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        if runs and max(runs.values()) > 1:
            run, count = runs.most_common(1)[0]
            found[f"top_{n}_gram"] = min(1, count * len(" ".join(run)) / total)
    for n in range(5, 11):
        seen, size, i = set(), 0, 0
        while i + n <= len(words):
            run = tuple(words[i : i + n])
            if run in seen:
                size, i = size + sum(map(len, run)), i + n
            else:
                seen.add(run)
                i += 1
        found[f"duplicate_{n}_grams"] = size / total
    return found


def _names():
    return Repetition().fit(["a"]).shares_.columns


@PLAIN
@given(texts=MANY)
@example(texts=["a b " * 40, "x\n\nx\n\ny\n", "", "one"])
def test_repetition_is_that_of_plain_python(texts):
    scorer = Repetition(share="duplicate_lines").fit(texts)
    rules = GopherRepetition().fit(texts)
    limits = {"duplicate_lines": 0.3, "top_3_gram": 0.18, "duplicate_10_grams": 0.1}
    for row, text in enumerate(texts):
        expected = shares(text)
        assert scorer.shares_.row(row, named=True) == pytest.approx(expected)
        assert scorer.scores_[row] == pytest.approx(expected["duplicate_lines"])
        for name, most in limits.items():
            assert rules.rules_[name][row] == (expected[name] > most)
        assert rules.scores_[row] == sum(rules.rules_.row(row))


def test_long_texts_and_many_blocks_give_what_short_ones_do():
    text = " ".join(f"word{i % 700}" for i in range(200_000))
    texts = ["a b c d e a b c d e", text, "x y"] * 3
    scorer = Repetition().fit(texts)
    alone = [Repetition().fit([each]).scores_[0] for each in texts]
    np.testing.assert_array_equal(scorer.scores_, alone)
    assert scorer.scores_[1] == pytest.approx(shares(text)["duplicate_5_grams"])


@PLAIN
@given(texts=MANY)
def test_shares_of_characters_are_those_of_unicode(texts):
    for scorer, of, among in (
        (DigitShare(), ("Nd",), None),
        (SymbolShare(), ("Sm", "Sc", "Sk", "So"), None),
        (PunctuationShare(), ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"), None),
        (UpperCaseShare(), ("Lu", "Lt"), "L"),
    ):
        expected = []
        for text in texts:
            kinds = [unicodedata.category(c) for c in text if not c.isspace()]
            whole = [kind for kind in kinds if among is None or kind[0] == among]
            expected.append(sum(kind in of for kind in kinds) / len(whole) if whole else 0)
        np.testing.assert_allclose(scorer.fit(texts).scores_, expected)


@PLAIN
@given(texts=MANY)
def test_stop_words_are_counted_word_by_word(texts):
    def words(text):
        lowered = unicodedata.normalize("NFC", text).lower()
        inside = "".join(
            c if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" else " "
            for c in lowered
        )
        return inside.split()

    for language in ("en", "ru", "hi", "any"):
        lists = [STOP_WORDS[language].split()] if language != "any" else [
            STOP_WORDS[each].split() for each in LANGUAGES
        ]  # fmt: skip
        expected = [
            max(
                sum(word in stop for word in words(text)) / max(1, len(words(text)))
                for stop in lists
            )
            for text in texts
        ]
        np.testing.assert_allclose(StopWordShare(language=language).fit(texts).scores_, expected)


def test_every_list_of_stop_words_is_found_in_its_own_language():
    for column, language in enumerate(LANGUAGES):
        listed = STOP_WORDS[language].split()
        assert len(listed) == len(set(listed)) >= 20
        assert StopWordShare(language=language).fit([STOP_WORDS[language]]).scores_ == [1.0], column
    with pytest.raises(ConfigError, match="language is 'zz'"):
        StopWordShare(language="zz").fit(["a"])


@PLAIN
@given(texts=MANY)
def test_compression_is_zlibs(texts):
    for level in (1, 9):
        made = CompressionRatio(level=level).fit(texts)
        held = [text.encode() for text in texts]
        expected = [len(b) / len(zlib.compress(b, level, -15)) if b else 1 for b in held]
        np.testing.assert_array_equal(made.scores_, expected)


@PLAIN
@given(texts=MANY)
def test_lengths_are_those_of_plain_python(texts):
    counted = {
        "words": lambda t: len(t.split()),
        "characters": len,
        "bytes": lambda t: len(t.encode()),
    }
    for name, count in counted.items():
        scorer = Tokens(tokenizer=name).fit(texts)
        assert scorer.scores_.tolist() == list(map(count, texts))
        assert scorer.report_["total"] == sum(map(count, texts))


def test_a_tokenizer_counts_its_tokens(monkeypatch):
    class Splitting:
        def encode(self, text):
            return re.findall("..?", text)

    texts = ["abcde", "", None, "ab"]
    assert Tokens(tokenizer=Splitting().encode).fit(texts).scores_.tolist() == [3, 0, 0, 1]
    tiktoken = ModuleType("tiktoken")
    tiktoken.get_encoding = lambda name: SimpleNamespace(
        encode_ordinary_batch=lambda batch: [[name] * len(text) for text in batch]
    )
    monkeypatch.setitem(sys.modules, "tiktoken", tiktoken)
    assert Tokens(tokenizer="tiktoken:some").fit(texts).scores_.tolist() == [5, 0, 0, 2]
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(DependencyError, match=r"assay-curation\[tokenizers\]"):
        Tokens(tokenizer="tiktoken:some").fit(texts)
    for wrong in ("cl100k_base", 3, None, Splitting()):
        with pytest.raises(ConfigError, match="tokenizer is "):
            Tokens(tokenizer=wrong).fit(texts)


@PLAIN
@given(text=st.one_of(TEXTS, ANY))
def test_a_language_model_counts_runs_of_letters(text):
    """As many runs as letters and edges give, the same for the same letters, whatever parts words."""
    lowered = unicodedata.normalize("NFC", text).lower()
    inside = [c if unicodedata.category(c)[0] in "LM" else " " for c in lowered]
    sizes = [len(word) for word in "".join(inside).split(" ") if word]
    # of each letter itself, and all that end at a letter or at the edge after the word
    expected = sum(size + sum(min(i, 3) for i in range(1, size + 2)) for size in sizes)
    assert len(letter_runs(text, 1 << 14)) == expected
    np.testing.assert_array_equal(
        letter_runs(text, 1 << 14), letter_runs(f" 1 {text} 2\n", 1 << 14)
    )


def test_posteriors_are_sums_of_weights():
    model = shipped_model()
    texts = ["The parts of a text", "Die Teile eines Textes", "これは日本語の文です", "12", ""]
    letters, posteriors = language_posteriors(pl.Series(texts))
    for row, text in enumerate(texts):
        logs = model.weights[letter_runs(text, len(model.weights))].sum(axis=0, dtype=float)
        logs *= model.unit / model.temperature
        expected = np.exp(logs - logs.max())
        np.testing.assert_allclose(posteriors[row], expected / expected.sum())
    assert letters.tolist() == [15, 19, 10, 0, 0]
    read, start = language_posteriors(pl.Series(["abc def ghi"]), 5)
    np.testing.assert_array_equal(start, language_posteriors(pl.Series(["abc de"]))[1])
    assert read.tolist() == [5]


@pytest.mark.parametrize("letters", [1, 2, 63, 64, 65, 254, 255, 256, 257, 300, 1_000])
def test_large_weights_add_up_over_any_number_of_runs(letters):
    # every third bucket weighs nothing; the others as much as a byte holds
    weights = np.full((1 << 10, 5), 255, np.uint8)
    weights[::3] = 0
    weights[1::3, 1:] = np.arange(4)
    model = LanguageModel(("a", "b", "c", "d", "e"), weights, 1e-4, 1.0)
    text = ("abcdefghijklmnopqrstuvwxyz" * 40)[:letters]
    logs = weights[letter_runs(text, len(weights))].sum(axis=0, dtype=float) * 1e-4
    expected = np.exp(logs - logs.max())
    found = language_posteriors(pl.Series(["x", text]), 1_000, model)[1][1]
    np.testing.assert_allclose(found, expected / expected.sum())


# by nobody: sentences about the weather and trains
SENTENCES = {
    "ar": "كان الطقس باردا أمس ولكن القطار وصل في الموعد إلى المدينة",
    "de": "Gestern war das Wetter kalt, aber der Zug kam pünktlich in der Stadt an.",
    "el": "Χθες ο καιρός ήταν κρύος, αλλά το τρένο έφτασε στην ώρα του στην πόλη.",
    "en": "Yesterday the weather was cold, but the train arrived in the city on time.",
    "es": "Ayer hacía frío, pero el tren llegó a la ciudad a la hora prevista.",
    "fi": "Eilen sää oli kylmä, mutta juna saapui kaupunkiin ajoissa.",
    "fr": "Hier il faisait froid, mais le train est arrivé à l'heure dans la ville.",
    "he": "אתמול היה קר, אבל הרכבת הגיעה לעיר בזמן",
    "hi": "कल मौसम बहुत ठंडा था, लेकिन ट्रेन समय पर शहर में पहुँच गई और सब लोग खुश थे।",
    "it": "Ieri faceva freddo, ma il treno è arrivato in città in orario.",
    "ja": "昨日は寒かったですが、電車は時間通りに町に着きました。",
    "ko": "어제는 날씨가 추웠지만 기차는 제시간에 도시에 도착했다.",
    "nl": "Gisteren was het weer koud, maar de trein kwam op tijd in de stad aan.",
    "pl": "Wczoraj było zimno, ale pociąg przyjechał do miasta na czas.",
    "pt": "Ontem fez frio, mas o trem chegou à cidade na hora certa.",
    "ru": "Вчера было холодно, но поезд прибыл в город вовремя.",
    "sv": "I går var det kallt, men tåget kom fram till staden i tid.",
    "tr": "Dün hava soğuktu ama tren şehre zamanında geldi.",
    "uk": "Учора було холодно, але потяг прибув до міста вчасно.",
    "vi": "Hôm qua trời lạnh nhưng tàu hỏa đã đến thành phố đúng giờ.",
    "zh": "昨天天气很冷，但是火车准时到达了城市。",
}


def test_languages_are_recognized():
    scorer = Language().fit(pl.Series([*SENTENCES.values(), "12 !", None]))
    assert scorer.languages_.to_list() == [*SENTENCES, None, None]
    english = list(SENTENCES).index("en")
    assert scorer.scores_.argmax() == english
    assert scorer.scores_[-1] == pytest.approx(1 / len(shipped_model().languages))
    assert scorer.report_["languages"]["en"] == pytest.approx(1 / (len(SENTENCES) + 2))
    decomposed = [unicodedata.normalize("NFD", text) for text in SENTENCES.values()]
    np.testing.assert_array_equal(Language().fit(decomposed).scores_, scorer.scores_[:-2])
    with pytest.raises(ConfigError, match=r"language is 'english'.*pass one of af, am, ar"):
        Language(language="english").fit(["a"])
