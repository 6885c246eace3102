"""How long a text is, in tokens, words, characters or bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import polars as pl

from assay.index.embedding.models import optional_module
from assay.selection.algorithms.text_blocks import character_counts
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.errors import ConfigError, DependencyError
from assay.storage.limits import Instance, Limits

_COUNTED = ("words", "characters", "bytes")
# texts that a tokenizer gets at a time
_BATCH = 1_024


@dataclass(kw_only=True, eq=False, repr=False)
class Tokens(Scorer):
    r"""Length of a text in tokens: by default words, by a tokenizer where one is named.

    Parameters
    ----------
    tokenizer : str or callable, default "words"
        "words" (what white space parts), "characters" (code points) or "bytes" (of UTF-8) need
        nothing else. "tiktoken:NAME" is an encoding of tiktoken, such as
        "tiktoken:cl100k_base", which tiktoken downloads once; a path that ends in ".json" is a
        file of Hugging Face's tokenizers. In Python also a function from a text to its tokens, such
        as the method `encode` of a tokenizer. English prose has some 1.3 tokens
        for each word, code and other languages more.

    Attributes
    ----------
    scores_ : float64[n]
        0 for an empty text.
    report_ : dict
        `total` and `longest`, in the same unit.

    Raises
    ------
    ConfigError
        `tokenizer` is none of these, or can't be loaded.
    DependencyError
        Its package is not installed: ``pip install 'assay-curation[tokenizers]'``.

    Notes
    -----
    Special tokens are not added; text that looks like one is encoded as text. Words, characters
    and bytes run at 100 MB/s and more for each core, tiktoken at 3 to 10. For a budget in tokens
    give the count as a column and name it as `cost`.

    Claims
    ------
    paper
        Subword units hold rare words with a small vocabulary.
    here
        Lengths only: words, characters, bytes, or tokens of a tokenizer of yours.
    deviates
        Words by default, which need no tokenizer.
    measured
        Equal to plain Python (test); words at 293 MB/s for each core (`text_scores.md`).

    References
    ----------
    Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units", 2016.

    Examples
    --------
    >>> texts = ["two words", "", "été"]
    >>> Tokens().fit(texts).scores_.tolist(), Tokens(tokenizer="bytes").fit(texts).scores_.tolist()
    ([2.0, 0.0, 1.0], [9.0, 0.0, 5.0])
    """

    limits: ClassVar[Limits] = {
        "tokenizer": (Instance((object,), "a name, a path or a function"),),
    }

    tokenizer: Any = "words"

    def check_parameters(self) -> None:
        super().check_parameters()
        name = self.tokenizer
        known = isinstance(name, str) and (
            name in _COUNTED or name.startswith("tiktoken:") or name.endswith(".json")
        )
        if not (known or callable(name)):
            raise ConfigError(
                f"tokenizer is {name!r}; pass 'words', 'characters', 'bytes', 'tiktoken:NAME', the "
                "path of a tokenizer.json, or (in Python) a function from a text to its tokens, "
                "such as the method encode of a tokenizer."
            )

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        texts = inputs.texts().fill_null("")
        if self.tokenizer == "bytes":
            counts = texts.str.len_bytes().to_numpy().astype(np.float64)
        elif self.tokenizer in _COUNTED:
            counts = character_counts(texts)[self.tokenizer]
        else:
            counts = _encoded(texts, self.tokenizer)
        return counts, {"total": int(counts.sum()), "longest": int(counts.max())}


def _encoded(texts: pl.Series, tokenizer: Any) -> Floats:
    """Return how many tokens each text has."""
    encode = _loaded(tokenizer) if isinstance(tokenizer, str) else partial(map, tokenizer)
    batches = (texts[first : first + _BATCH].to_list() for first in range(0, len(texts), _BATCH))
    return np.array([len(tokens) for batch in batches for tokens in encode(batch)], np.float64)


def _loaded(name: str) -> Callable[[list[str]], Iterable[Sized]]:
    """Return what encodes a batch of texts by the tokenizer of a name or a path."""
    kind, _, encoding = name.partition(":")
    try:
        if kind == "tiktoken":
            encoder = optional_module("tiktoken", "tokenizers").get_encoding(encoding)
            return cast("Callable[[list[str]], Iterable[Sized]]", encoder.encode_ordinary_batch)
        read = optional_module("tokenizers", "tokenizers").Tokenizer.from_file(name)
        return partial(read.encode_batch_fast, add_special_tokens=False)
    except DependencyError:
        raise
    except Exception as error:  # what these packages raise is their own affair
        raise ConfigError(
            f"The tokenizer {name!r} can't be loaded: {error}; check the name, or pass the path of "
            "a tokenizer.json."
        ) from error
