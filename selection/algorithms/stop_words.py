"""The words that hold sentences together, by language, and which share of a text they are."""

# ruff: noqa: RUF001

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._ngram_kernels import code_point, mix
from assay.selection.algorithms.text_blocks import folding_table, measured
from assay.storage.compiling import njit

# the most frequent articles, prepositions, pronouns, conjunctions and auxiliaries
STOP_WORDS = {
    "ar": "في من على إلى أن عن مع هذا هذه التي الذي كان كانت لا ما هو هي كل قد بين بعد أو ثم لم إن كما",
    "bg": "и на да се не за от в с е че по са как но до или при това има към още който като а ще си",
    "ca": "de la i el que a en les els un una per amb és no del al es va com més o són també dels ha",
    "cs": "a se v na je že s z do o i to k ve pro za by ale si po jako od jsou který nebo byl tak",
    "da": "og i at det er en til af den på for med som de der ikke har et var fra om vi men han kan",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an er so dass bei aus nach wie oder sie wird sind",
    "el": "και το η της του να ο την στο για με που από τα οι είναι σε τον δεν των στην θα ένα μια ως αυτό",
    "en": "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which you were her she we will if there their been one all no has who would when so",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha este sí porque esta son",
    "fa": "و در به از که این را با است برای آن یک خود تا بر هم می نیز شده او ما اما یا بود شد آنها",
    "fi": "ja on ei se että oli hän mutta ovat joka kun myös niin kuin tai sen jos nyt voi ole mitä vain ollut",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec son nous mais ou comme elle on l d c s qu n",
    "he": "של את על לא הוא זה עם גם היא כל אני כי או אם יש אל היה מה הם זאת אבל רק בין",
    "hi": "के में की है और से का को पर यह ने कि एक लिए हैं भी इस नहीं जो तो था ही या हो वह कर",
    "hr": "i u je se na da za su od s a kao koji o što ne ili iz to do bi bio sam će nije po ali",
    "hu": "a az és hogy nem is egy ez de van meg csak volt ha mint már el még vagy ki azt fel kell lehet",
    "id": "yang dan di dengan untuk dari ini pada tidak itu dalam akan ke adalah oleh juga atau ada mereka kami bisa saya sebagai",
    "it": "di e che la il un a in per è non una si le con i del da al sono come più dei ha lo nel o della gli anche alla l su",
    "nb": "og i det er på som til en av for at med de ikke den har om et var fra jeg men så seg han kan vi eller",
    "nl": "de van het een en in is dat op te zijn voor met die niet aan er om ook als dan maar bij uit naar door hij ze of wordt",
    "pl": "w i na z się do nie że o jest to jak a po od za przez co dla przy ale tak czy jego był oraz są",
    "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou é foi são",
    "ro": "de în și a la cu pe care o să nu din este un că pentru mai se au fost sau dar prin al ale ca lui",
    "ru": "и в не на что с он как это по но к из у за от о для же так все а его она они был или если мы то бы",
    "sv": "och i att det som en på är av för med till den har de inte om ett men var jag från så sig kan eller vi",
    "tr": "ve bir bu da de için ile çok ne o daha gibi olarak en ama kadar sonra var olan ki her ya mi değil",
    "uk": "і в на не що з та до у за як це від а для по про його але він є я так було ми або",
    "vi": "và của là có cho các không được trong một những người với đã này khi để đó tôi từ về như cũng sẽ",
}  # fmt: skip
LANGUAGES = tuple(sorted(STOP_WORDS))
_SEED = np.uint64(0x9AE16A3B2F90404F)
_STEP = np.uint64(0xC6A4A7935BD1E995)
_HALF = np.uint64(32)
# slots of the hash table; every key is one word of one or more languages
_SLOTS = 1 << 12


def stop_word_shares(texts: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the words of each text, and the share of them that are stop words of each language.

    Words are runs of letters, digits and combining marks, in lower case.

    Returns
    -------
    words : float64[n]
    shares : float64[n, languages]
        In the order of `LANGUAGES`; 0 for a text without words.

    Examples
    --------
    >>> words, shares = stop_word_shares(pl.Series(["The cat is on the roof."]))
    >>> words.tolist(), round(float(shares[0, LANGUAGES.index("en")]), 3)
    ([6.0], 0.667)
    """
    table, (keys, languages) = folding_table(), _lookup()

    def count(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.zeros((len(offsets) - 1, 1 + len(LANGUAGES)), np.int64)
        _count(data, offsets, table, keys, languages, counts)
        return counts

    counts = measured(texts, count, 1 + len(LANGUAGES), folded=True)
    words = counts[:, 0].astype(np.float64)
    return words, counts[:, 1:] / np.maximum(words, 1)[:, None]


@lru_cache(maxsize=1)
def _lookup() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the hash of the word in each slot, 0 where there is none, and its languages as bits."""
    keys, languages = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.uint64)
    for bit, language in enumerate(LANGUAGES):
        for word in STOP_WORDS[language].split():
            _insert(
                np.array([ord(c) for c in word], np.uint32), keys, languages, np.uint64(1 << bit)
            )
    return keys, languages


@njit(inline="always")
def _slot(keys, key):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the slot that holds a key, or where it would be."""
    mask = np.uint64(len(keys) - 1)
    slot = (key >> _HALF) & mask
    while keys[slot] != np.uint64(0) and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True)
def _insert(word: Any, keys: Any, languages: Any, bit: Any) -> None:  # pragma: no cover
    h = _SEED
    for code in word:
        h = (h ^ np.uint64(code)) * _STEP
        h ^= h >> _HALF
    key = mix(h)
    slot = _slot(keys, key)
    keys[slot] = key
    languages[slot] |= bit


@njit(cache=True, nogil=True)
def _count(
    data: Any, offsets: Any, table: Any, keys: Any, languages: Any, counts: Any
) -> None:  # pragma: no cover
    for row in range(len(offsets) - 1):
        i = offsets[row]
        end = offsets[row + 1]
        h = _SEED
        inside = False
        while i < end or inside:
            kind = np.uint32(0)
            code = np.uint32(0)
            if i < end:
                code, i = code_point(data, i)
                kind = table[code] & np.uint32(3)
                code = table[code] >> np.uint32(2)
            if kind == np.uint32(1):
                h = (h ^ np.uint64(code)) * _STEP
                h ^= h >> _HALF
                inside = True
            elif inside:
                counts[row, 0] += 1
                key = mix(h)
                slot = _slot(keys, key)
                if keys[slot] == key:
                    of = languages[slot]
                    place = 1
                    while of:
                        counts[row, place] += np.int64(of & np.uint64(1))
                        of >>= np.uint64(1)
                        place += 1
                h = _SEED
                inside = False
