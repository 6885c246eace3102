"""Embedding of texts by a model of the package sentence-transformers."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from assay.index.embedding.models import encode_present, fingerprint_of, optional_module
from assay.storage.errors import ConfigError
from assay.storage.limits import Flag, Limits, Whole, check_limits


class SentenceTransformerEmbedder:
    """Embed texts by a sentence-transformers model.

    Parameters
    ----------
    model : str
        A folder, or a name on the Hugging Face hub (downloaded by that package when first used).
    revision : str, optional
        Commit of a model on the hub. Without it the newest is taken, and its commit goes into the
        fingerprint, so that other weights never pass for the same model.
    batch_size : int, default 32
        Texts the model gets at a time.
    normalize : bool, default True
        Scale rows to length 1.
    prompt : str, optional
        Put before every text, as some models want it.
    device : str, optional
        ``cpu``, ``cuda``, ...; by default what the package picks.

    Attributes
    ----------
    dimensions : int
        Length of a vector.

    Raises
    ------
    ConfigError
        A parameter is out of its range, or the model can't be loaded.
    DependencyError
        sentence-transformers is not installed.
    InputError
        The texts are no strings, or the model returns NaN.

    Notes
    -----
    The model is loaded when it is first needed. Null and blank texts become rows of zeros. A text's
    vector is the same in any batch up to float32 rounding, on one device. Code that comes with a
    model is never run, and the telemetry of the hub's client is off unless
    ``HF_HUB_DISABLE_TELEMETRY`` is set otherwise.

    References
    ----------
    Reimers and Gurevych: Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks. EMNLP
    2019.

    Examples
    --------
    >>> SentenceTransformerEmbedder("intfloat/e5-small-v2", prompt="query: ")
    SentenceTransformerEmbedder('intfloat/e5-small-v2')
    """

    limits: ClassVar[Limits] = {
        "batch_size": (Whole(1),),
        "normalize": (Flag(),),
    }

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        batch_size: int = 32,
        normalize: bool = True,
        prompt: str | None = None,
        device: str | None = None,
    ) -> None:
        check_limits(self.limits, locals())
        if not isinstance(model, str | os.PathLike) or not str(model).strip():
            raise ConfigError(f"model is {model!r}; pass a folder or a model's name.")
        self.model = str(model)
        self.revision = revision
        self.batch_size = int(batch_size)
        self.normalize = bool(normalize)
        self.prompt = prompt
        self.device = device

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        model = self._model
        # renamed in version 5
        known = getattr(model, "get_embedding_dimension", None)
        return int((known or model.get_sentence_embedding_dimension)())

    def encode(self, texts: Any) -> np.ndarray:
        """Return float32[n, dimensions], rows of zeros for null and blank texts.

        Parameters
        ----------
        texts : sequence of str or None, pyarrow array, polars Series
        """

        def ask(present: list[str]) -> Any:
            return self._model.encode(
                present,
                prompt=self.prompt,
                batch_size=self.batch_size,
                convert_to_numpy=True,
                show_progress_bar=False,
            )

        return encode_present(
            texts,
            ask,
            dimensions=self.dimensions,
            normalize=self.normalize,
            source=f"The model {self.model!r}",
        )

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b of the model's files, or its name and commit, and of the parameters."""
        folder = Path(self.model)
        description: dict[str, Any] = {
            "embedder": "sentence-transformers",
            "normalize": self.normalize,
            "prompt": self.prompt or "",
        }
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            description["files"] = [path.relative_to(folder).as_posix() for path in files]
            return fingerprint_of(description, files)
        commit = self._commit()
        if commit is None:
            raise ConfigError(
                f"The commit of the model {self.model!r} is not known, so its vectors can't be "
                "told from those of a later one. Give revision=, or a local folder."
            )
        return fingerprint_of(description | {"model": self.model, "revision": commit})

    def _commit(self) -> str | None:
        """Return the commit whose weights are or would be loaded, else the revision asked for."""
        if self.revision and re.fullmatch("[0-9a-f]{40}", self.revision):
            return self.revision
        for module in self._model:
            config = getattr(getattr(module, "auto_model", None), "config", None)
            commit = getattr(config, "_commit_hash", None)
            if commit:
                return str(commit)
        return self.revision

    @cached_property
    def _model(self) -> Any:
        # read when the hub's client is imported
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("DO_NOT_TRACK", "1")
        package = optional_module("sentence_transformers", "sentence-transformers")
        try:
            return package.SentenceTransformer(
                self.model, revision=self.revision, device=self.device, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The model {self.model!r} can't be loaded: {error}. Give a folder with a "
                "sentence-transformers model, or a name on the Hugging Face hub."
            ) from error
