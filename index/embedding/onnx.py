"""Embedding of texts by an ONNX model in a local folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from assay.index.embedding.models import checked, encode_present, fingerprint_of, optional_module
from assay.storage.errors import ConfigError
from assay.storage.limits import Flag, Limits, Whole, check_limits

POOLINGS = ("mean", "cls")


class OnnxEmbedder:
    r"""Embed texts by an ONNX model and its tokenizer.

    Of a model that returns a vector h_t per token, the text's vector is that of the first token
    (``cls``), or the mean over the tokens that are no padding,

    .. math:: \sum_t a_t h_t / \sum_t a_t

    with a_t the attention mask. A model that returns one vector per text is taken at its word.

    Parameters
    ----------
    folder : str or Path
        Holds ``tokenizer.json``, and ``model.onnx`` (or ``onnx/model.onnx``).
    pooling : {"mean", "cls"}, default "mean"
        As the model was trained; most sentence models were with the mean.
    max_tokens : int, default 256
        Longer texts are cut there.
    batch_size : int, default 32
        Texts the model gets at a time; texts of like length go together.
    normalize : bool, default True
        Scale rows to length 1.
    threads : int, default 0
        Threads of ONNX Runtime; 0 means one per core.

    Raises
    ------
    ConfigError
        A parameter is out of its range, or files are missing or can't be loaded.
    DependencyError
        onnxruntime or tokenizers is not installed.
    InputError
        The texts are no strings, or the model returns NaN.

    Notes
    -----
    Nothing is downloaded. Null and blank texts become rows of zeros. A text's vector is the same
    in any batch up to float32 rounding. Memory at a time: one batch times `max_tokens` times the
    model's width.

    Examples
    --------
    >>> OnnxEmbedder("no/such/folder")
    Traceback (most recent call last):
    ...
    assay.storage.errors.ConfigError: There is no tokenizer.json in no/such/folder; give a ...
    """

    limits: ClassVar[Limits] = {
        "pooling": POOLINGS,
        "max_tokens": (Whole(1),),
        "batch_size": (Whole(1),),
        "normalize": (Flag(),),
        "threads": (Whole(0),),
    }

    def __init__(
        self,
        folder: str | Path,
        *,
        pooling: str = "mean",
        max_tokens: int = 256,
        batch_size: int = 32,
        normalize: bool = True,
        threads: int = 0,
    ) -> None:
        check_limits(self.limits, locals())
        self.folder = Path(folder)
        self.pooling = pooling
        self.max_tokens = int(max_tokens)
        self.batch_size = int(batch_size)
        self.normalize = bool(normalize)
        self.threads = int(threads)
        self._model_file, self._tokenizer_file = self._files()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def encode(self, texts: Any) -> np.ndarray:
        """Return float32[n, d], rows of zeros for null and blank texts.

        Parameters
        ----------
        texts : sequence of str or None, pyarrow array, polars Series
        """
        return encode_present(
            texts,
            self._vectors,
            dimensions=self._dimensions,
            normalize=self.normalize,
            source=f"The model in {self.folder}",
        )

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b of the files beside the model, the tokenizer and the parameters."""
        # weights may lie in files beside it, of any name
        files = {path for path in self._model_file.parent.iterdir() if path.is_file()}
        description = {
            "embedder": "onnx",
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "normalize": self.normalize,
        }
        return fingerprint_of(description, sorted(files | {self._tokenizer_file}))

    def _files(self) -> tuple[Path, Path]:
        models = [self.folder / "model.onnx", self.folder / "onnx" / "model.onnx"]
        model = next((path for path in models if path.is_file()), None)
        tokenizer = self.folder / "tokenizer.json"
        if model is None or not tokenizer.is_file():
            missing = "model.onnx" if tokenizer.is_file() else "tokenizer.json"
            raise ConfigError(
                f"There is no {missing} in {self.folder}; give a folder with model.onnx and "
                "tokenizer.json."
            )
        return model, tokenizer

    def _vectors(self, texts: list[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(texts)
        order = np.argsort([len(each.ids) for each in encoded], kind="stable")
        out: np.ndarray | None = None
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            vectors = self._run([encoded[row] for row in rows])
            if out is None:
                out = np.empty((len(texts), vectors.shape[1]), np.float32)
            out[rows] = checked(vectors, len(rows), out.shape[1], f"The model in {self.folder}")
        assert out is not None
        return out

    def _run(self, encoded: list[Any]) -> np.ndarray:
        shape = (len(encoded), max(1, max(len(each.ids) for each in encoded)))
        known = {
            "input_ids": np.zeros(shape, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        for row, each in enumerate(encoded):
            known["input_ids"][row, : len(each.ids)] = each.ids
            known["attention_mask"][row, : len(each.ids)] = each.attention_mask
            known["token_type_ids"][row, : len(each.ids)] = each.type_ids
        names = [each.name for each in self._session.get_inputs()]
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ConfigError(
                f"The model in {self.folder} takes {', '.join(unknown)}; an embedding model takes "
                f"some of {', '.join(known)}."
            )
        first = self._session.run(None, {name: known[name] for name in names})[0]
        output = np.asarray(first, dtype=np.float32)
        if output.ndim == 2:
            return output
        if output.ndim != 3:
            raise ConfigError(
                f"The first output of the model in {self.folder} has shape {output.shape}; it must "
                "be (texts, width) or (texts, tokens, width)."
            )
        if self.pooling == "cls":
            return output[:, 0]
        mask = known["attention_mask"].astype(np.float32)
        pooled = np.einsum("ntd,nt->nd", output, mask)
        return np.asarray(pooled / np.maximum(mask.sum(axis=1, keepdims=True), 1))

    @property
    def _dimensions(self) -> int | None:
        width = self._session.get_outputs()[0].shape[-1]
        return width if isinstance(width, int) else None

    @cached_property
    def _session(self) -> Any:
        onnxruntime = optional_module("onnxruntime", "onnx")
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        try:
            return onnxruntime.InferenceSession(
                str(self._model_file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has an error class per status, without a root
            raise ConfigError(f"{self._model_file} can't be loaded: {error}") from error

    @cached_property
    def _tokenizer(self) -> Any:
        package = optional_module("tokenizers", "onnx")
        try:
            tokenizer = package.Tokenizer.from_file(str(self._tokenizer_file))
        except Exception as error:  # tokenizers raises Exception itself
            raise ConfigError(f"{self._tokenizer_file} can't be read: {error}") from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer
