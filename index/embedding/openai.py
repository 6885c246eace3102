"""Embedding of texts by an endpoint that speaks OpenAI's embeddings protocol."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np

from assay.index.embedding.models import checked, encode_present, fingerprint_of
from assay.storage.errors import ConfigError, ServiceError, ServiceRefusedError
from assay.storage.limits import Flag, Limits, Number, Whole, check_limits

# A request also ends when its texts have so many characters.
_CHARACTERS = 200_000
_RETRIED = (408, 409, 425, 429)
_LONGEST_WAIT = 60.0


class OpenAIEmbedder:
    """Embed texts by any endpoint with OpenAI's ``POST /embeddings``.

    Besides OpenAI's own, servers such as vLLM, llama.cpp, Ollama and TEI speak it.

    Parameters
    ----------
    model : str
        The model's name there.
    base_url : str, default "https://api.openai.com/v1"
        What ``/embeddings`` is appended to. It may not hold a user, a password or a query.
    dimensions : int, optional
        Length to ask for, where the model can shorten its vectors; the answer must have it.
    batch_size : int, default 128
        Texts in a request, which also ends at 200,000 characters.
    normalize : bool, default True
        Scale rows to length 1.
    key_variable : str, default "OPENAI_API_KEY"
        Name of the environment variable that holds the key. Where it is not set, none is sent.
    retries : int, default 6
        How often a request is sent again.
    timeout : float, default 60.0
        Seconds to wait for an answer.

    Attributes
    ----------
    n_requests_ : int
        Requests sent, those sent again included.

    Raises
    ------
    ConfigError
        A parameter is out of its range.
    InputError
        The texts are no strings, or the vectors are of another length than before, or not finite.
    ServiceError
        The service refuses the request, is still out of order after the last retry, or answers
        with something else than one vector per text.

    Notes
    -----
    Answers 408, 409, 425, 429 and 5xx, a lost connection, a timeout and a body cut short are
    retried after 0.5, 1, 2, ... seconds, at most 60, or as the answer's ``Retry-After`` says. Null
    and blank texts become rows of zeros and are not sent. The key is read from the environment
    for each request; it is not kept in the object, in messages or in the fingerprint, and
    redirections, which could carry it elsewhere, are refused.

    The fingerprint stands for the endpoint and the model's name: a service that changes a model
    under its name goes unnoticed.

    Examples
    --------
    >>> OpenAIEmbedder("nomic-embed-text", base_url="http://localhost:11434/v1")
    OpenAIEmbedder('nomic-embed-text', base_url='http://localhost:11434/v1')
    """

    limits: ClassVar[Limits] = {
        "dimensions": (Whole(1), None),
        "batch_size": (Whole(1),),
        "normalize": (Flag(),),
        "retries": (Whole(0),),
        "timeout": (Number("(0, inf)"),),
    }

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.openai.com/v1",
        dimensions: int | None = None,
        batch_size: int = 128,
        normalize: bool = True,
        key_variable: str = "OPENAI_API_KEY",
        retries: int = 6,
        timeout: float = 60.0,
    ) -> None:
        check_limits(self.limits, locals())
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"model is {model!r}; pass the model's name.")
        self.model = model
        self.base_url = _checked_url(base_url)
        self.dimensions = None if dimensions is None else int(dimensions)
        self.batch_size = int(batch_size)
        self.normalize = bool(normalize)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_variable):
            # the value may be the key itself, so it is not shown
            raise ConfigError("key_variable must be the name of an environment variable.")
        self.key_variable = key_variable
        self.retries = int(retries)
        self.timeout = float(timeout)
        self.n_requests_ = 0
        self._width = self.dimensions

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={self.base_url!r})"

    @property
    def fingerprint(self) -> str:
        """BLAKE2b of the endpoint, the model's name and the parameters."""
        return fingerprint_of(
            {
                "embedder": "openai",
                "base_url": self.base_url,
                "model": self.model,
                "dimensions": self.dimensions,
                "normalize": self.normalize,
            }
        )

    def encode(self, texts: Any) -> np.ndarray:
        """Return float32[n, dimensions], rows of zeros for null and blank texts.

        Parameters
        ----------
        texts : sequence of str or None, pyarrow array, polars Series
        """
        return encode_present(
            texts,
            self._vectors,
            dimensions=self._width,
            normalize=self.normalize,
            source=self._name,
        )

    @property
    def _name(self) -> str:
        return f"The model {self.model!r} at {self.base_url}"

    def _vectors(self, texts: list[str]) -> np.ndarray:
        out: np.ndarray | None = None
        for start, end in self._requests(texts):
            vectors = self._ask(texts[start:end])
            if out is None:
                out = np.empty((len(texts), vectors.shape[1]), np.float32)
            out[start:end] = vectors
        assert out is not None
        return out

    def _requests(self, texts: list[str]) -> Iterator[tuple[int, int]]:
        start = characters = 0
        for end, text in enumerate(texts):
            full = end - start == self.batch_size or characters + len(text) > _CHARACTERS
            if end > start and full:
                yield start, end
                start, characters = end, 0
            characters += len(text)
        yield start, len(texts)

    def _ask(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of one request's texts, in their order."""
        request: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if self.dimensions is not None:
            request["dimensions"] = self.dimensions
        rows: Any = self._send(json.dumps(request).encode()).get("data")
        try:
            by_index = {int(row["index"]): row["embedding"] for row in rows}
            ordered = [by_index[i] for i in range(len(texts))]
        except (TypeError, KeyError, ValueError):
            ordered = []
        if not isinstance(rows, list) or not len(rows) == len(ordered) == len(texts):
            count = len(rows) if isinstance(rows, list) else "no"
            raise ServiceRefusedError(
                f"{self._name} was given {len(texts)} texts and returned {count} vectors, or "
                "without an index for each. Check that the endpoint speaks OpenAI's embeddings "
                "protocol."
            )
        vectors = checked(ordered, len(texts), self._width, self._name)
        self._width = vectors.shape[1]
        return vectors

    def _send(self, body: bytes) -> dict[str, Any]:
        opener = build_opener(_NoRedirect)
        for attempt in range(self.retries + 1):
            wait = min(0.5 * 2**attempt, _LONGEST_WAIT)
            self.n_requests_ += 1
            request = self._request(body)
            try:
                with opener.open(request, timeout=self.timeout) as answer:
                    content = json.loads(answer.read())
                if isinstance(content, dict):
                    return content
                problem = "its answer is no JSON object"
            except HTTPError as error:
                problem = f"it answers {error.code}: {self._explained(error)}"
                if error.code not in _RETRIED and error.code < 500:
                    raise ServiceRefusedError(
                        f"{self._name} refuses: {problem}.{self._hint(error)}"
                    ) from None
                wait = _asked_wait(error.headers.get("Retry-After"), wait)
            except ValueError:
                problem = "its answer is no valid JSON"
            except (OSError, HTTPException) as error:
                problem = f"{type(error).__name__}: {self._without_key(str(error))}"
            if attempt < self.retries:
                time.sleep(wait)
        raise ServiceError(
            f"{self._name} is out of order after {self.retries + 1} requests: {problem}. Run again "
            "later."
        )

    def _request(self, body: bytes) -> Request:
        headers = {"Content-Type": "application/json", "User-Agent": "assay"}
        key = self._key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return Request(f"{self.base_url}/embeddings", data=body, headers=headers, method="POST")

    def _explained(self, error: HTTPError) -> str:
        """Return the service's own words, shortened."""
        try:
            with error:
                text = error.read(4096).decode("utf-8", "replace")
        except (OSError, HTTPException):
            text = ""
        try:
            explanation = json.loads(text)["error"]
            text = str(explanation["message"] if isinstance(explanation, dict) else explanation)
        except (ValueError, KeyError, TypeError):
            pass
        return self._without_key(" ".join(text.split()))[:300] or str(error.reason)

    def _hint(self, error: HTTPError) -> str:
        if error.code in (401, 403):
            return f" Put the key into the environment variable {self.key_variable}."
        return ""

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"The environment variable {self.key_variable} holds no valid key.")
        return key

    def _without_key(self, text: str) -> str:
        key = self._key()
        return text.replace(key, "***") if key else text


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("base_url must be a URL such as https://api.openai.com/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        # not shown, since it may hold a secret
        raise ConfigError(
            "base_url may hold neither a user, a password, a query nor a fragment: it is stored "
            "with the run. Give the key in the environment."
        )
    return url.rstrip("/")


def _asked_wait(header: str | None, otherwise: float) -> float:
    """Return the seconds that a Retry-After header asks for."""
    if header is None:
        return otherwise
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return otherwise
    return min(max(wait, 0.0), _LONGEST_WAIT)
