"""The embedder protocol, the embedders by name, and vectors for whatever is given."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import ColumnError, InputError, NonFiniteError
from assay.storage.interfaces import ArrowStream, Shaped
from assay.storage.lazy import Plugin, PluginWarning, load_plugins

GROUP = "assay.embedders"
# name -> where its class is, so that naming one imports nothing
EMBEDDERS: Mapping[str, str] = {
    "text": "assay.index.embedding.text:HashedTextEmbedder",
    "image": "assay.index.embedding.image:ImageEmbedder",
    "table": "assay.index.embedding.table:TableEmbedder",
    "sentence-transformers": "assay.index.embedding.sentence_transformers:SentenceTransformerEmbedder",
    "onnx": "assay.index.embedding.onnx:OnnxEmbedder",
    "openai": "assay.index.embedding.openai:OpenAIEmbedder",
}


# these are fitted on a sample of the pool; the others call a model
FITTED = ("text", "image", "table")
# the line of each in `assay methods`
HELP: Mapping[str, str] = {
    "text": "texts by TF-IDF of hashed words on singular directions fitted on the pool",
    "image": "images by small patches on principal directions fitted on the pool",
    "table": "rows of a table by standardized numbers and hashed categories",
    "sentence-transformers": "texts by a model of the sentence-transformers library",
    "onnx": "texts by an ONNX model in a local folder",
    "openai": "texts by an OpenAI-compatible endpoint",
}


@runtime_checkable
class Embedder(Protocol):
    """What turns samples into vectors.

    Any object with these two members is one; it must give a sample the same vector in any batch.
    """

    def encode(self, batch: Any, /) -> np.ndarray:
        """Return float32[n, dimensions], one row per sample."""

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with whatever changes the vectors."""


def embedder_class(name: str) -> type[Any]:
    """Return the class of an embedder by its name in `EMBEDDERS`.

    Those of `text`, `image` and `table` need no model and are fitted on a sample of the pool; the
    others call a model.

    Raises
    ------
    ColumnError
        There is no embedder of that name.

    Examples
    --------
    >>> embedder_class("table").__name__
    'TableEmbedder'
    """
    added = {plugin.name: plugin for plugin in _added()[0]}
    if name in added:
        return added[name].target  # type: ignore[no-any-return]
    if name not in EMBEDDERS:
        raise ColumnError.missing(name, [*EMBEDDERS, *added], what="embedder")
    module, _, attribute = EMBEDDERS[name].partition(":")
    own: type[Any] = getattr(import_module(module), attribute)
    return own


def model_names() -> tuple[str, ...]:
    """Return the embedders of texts that are not fitted on the pool, those of plug-ins last."""
    return (*(name for name in EMBEDDERS if name not in FITTED), *(p.name for p in _added()[0]))


def embedder_paths() -> dict[str, str]:
    """Return the import path of every embedder by name, those of other packages last."""
    return {**EMBEDDERS, **{plugin.name: plugin.path for plugin in _added()[0]}}


def embedder_package(name: str) -> str:
    """Return the package, with its version, that adds an embedder; empty for one of our own."""
    return next((plugin.package for plugin in _added()[0] if plugin.name == name), "")


def embedder_help(name: str) -> str:
    """Return one line about an embedder: of another package's, its docstring's first."""
    if name in HELP:
        return HELP[name]
    return inspect.cleandoc(embedder_class(name).__doc__ or "").partition("\n")[0].rstrip(".")


def left_out() -> tuple[Plugin, ...]:
    """Return the embedders of other packages that can't be used, each with its problem."""
    return _added()[1]


@cache
def _added() -> tuple[tuple[Plugin, ...], tuple[Plugin, ...]]:
    """Return the embedders of other packages, and those that can't be used; warn about these."""
    usable: dict[str, Plugin] = {}
    broken = []
    for plugin in load_plugins(GROUP):
        problem = plugin.problem
        if not problem and plugin.name in (*EMBEDDERS, "default", *usable):
            problem = "there is an embedder of that name already"
        members = () if problem else dir(plugin.target)
        if not problem and not {"encode", "fingerprint"} <= set(members):
            problem = "it has no encode and fingerprint (see assay.index.Embedder)"
        if problem:
            broken.append(replace(plugin, problem=problem))
            warnings.warn(PluginWarning.about(broken[-1], "embedder"), stacklevel=3)
        else:
            usable[plugin.name] = plugin
    return tuple(usable.values()), tuple(broken)


def embed(X: Any, *, ids: Any = None, dimensions: int = 128, random_state: int = 0) -> np.ndarray:
    """Return float32[n, d] vectors for texts, images, tables or vectors.

    Texts are embedded by a `HashedTextEmbedder` fitted on them, the bytes of image files by an
    `ImageEmbedder`, and a frame with a column that is not of numbers by a `TableEmbedder`. Vectors
    are taken as they are.

    Parameters
    ----------
    X : sequence of str or bytes or None, frame, or array of shape (n, d)
        Texts, images and vectors also as pyarrow array or polars Series (vectors: fixed-size lists
        of numbers). A frame of numbers only counts as vectors.
    ids : sequence of str, optional
        Ids of the rows, by which the embedder picks what it is fitted on.
    dimensions : int, default 128
        Length of the vectors of texts and images; vectors keep theirs, and that of tables follows
        their columns.
    random_state : int, default 0
        As in `HashedTextEmbedder`.

    Raises
    ------
    InputError
        X is neither of these.
    NonFiniteError
        A vector holds NaN or an infinite value, also after the cast to float32.
    DependencyError
        Images are given, and Pillow is not installed.

    Notes
    -----
    A C-contiguous float32 array is returned itself, not copied. All else costs what its embedder
    costs. Rows of content that is missing or can't be decoded are zeros.

    Examples
    --------
    >>> embed(np.eye(2)).dtype
    dtype('float32')
    >>> embed(["a rose", "a tulip", "a rose"], dimensions=4).shape
    (3, 4)
    >>> embed(pl.DataFrame({"size": [1, 2, 3], "color": ["red", "blue", "red"]})).shape
    (3, 65)
    """
    if _is_table(X):
        table: Any = embedder_class("table")(random_state=random_state)
        vectors: np.ndarray = table.fit(X, ids=ids).encode(X)
        return vectors
    matrix = _matrix(X)
    if matrix is None:
        name = "image" if _is_bytes(X) else "text"
        embedder = embedder_class(name)(dimensions=dimensions, random_state=random_state)
        vectors = embedder.fit(X, ids=ids).encode(X)
        return vectors
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise InputError(
            f"X has shape {matrix.shape} and type {matrix.dtype}; give texts, images, a "
            "table, or numbers of shape (rows, dimensions)."
        )
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(matrix, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise NonFiniteError(
            f"The vector of row {row} holds NaN or a value beyond float32; drop or repair such rows."
        )
    return vectors


def _is_table(X: Any) -> bool:
    """Say whether X is a frame with a column that is not of numbers."""
    if isinstance(X, pl.DataFrame | pl.LazyFrame):
        return not all(kind.is_numeric() for kind in X.collect_schema().values())
    if isinstance(X, ArrowStream) and isinstance(X, Shaped) and len(X.shape) == 2:
        return _is_table(pl.DataFrame(X))
    return False


def _is_bytes(X: Any) -> bool:
    if isinstance(X, pl.Series):
        return bool(X.dtype == pl.Binary)
    if isinstance(X, pa.Array | pa.ChunkedArray):
        return "binary" in str(X.type)
    if isinstance(X, list | tuple):
        return isinstance(next((each for each in X if each is not None), None), bytes)
    return isinstance(X, np.ndarray) and X.dtype.kind == "S"


def _matrix(X: Any) -> np.ndarray | None:
    """Return X as an array where it is vectors, None where it is texts."""
    if isinstance(X, pl.Series) and isinstance(X.dtype, pl.Array | pl.List):
        X = X.to_arrow()
    if isinstance(X, pa.ChunkedArray):
        X = X.combine_chunks()
    if isinstance(X, pa.Array):
        return _from_lists(X)
    if isinstance(X, list | tuple) and X and not isinstance(X[0], str | bytes | None):
        try:
            return np.asarray(X)
        except ValueError as error:
            raise InputError(f"X is a list of vectors of unlike lengths: {error}.") from error
    table = isinstance(X, Shaped) and len(X.shape) == 2
    if table or (isinstance(X, np.ndarray) and X.dtype.kind in "biufc"):
        return np.asarray(X)
    return None


def _from_lists(X: pa.Array) -> np.ndarray | None:
    kind = X.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        width = len(X[0]) if len(X) and X[0].is_valid else 0
        try:
            X = X.cast(pa.list_(kind.value_type, width))
        except pa.ArrowInvalid as error:
            raise InputError(f"X holds vectors of unlike lengths: {error}.") from error
    elif not pa.types.is_fixed_size_list(kind):
        return None
    values = X.flatten()
    if X.null_count or values.null_count:
        raise InputError("X holds null vectors or values; drop those rows.")
    return np.asarray(values).reshape(len(X), X.type.list_size)
