"""Vectors in every form are the same vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from assay.index import SimilarityGraph, VectorIndex
from assay.index.vectors.checks import as_vectors
from assay.index.vectors.forms import PROJECTED, as_array
from assay.storage.errors import AssayError, CorruptArtifactError, InputError

X = np.random.default_rng(5).integers(-8, 9, size=(12, 4)).astype(np.float32) / 4
X[:, 0] += 3


class Tensor:
    """A tensor as PyTorch's: NumPy can't take it before gradients and bfloat16 are gone."""

    def __init__(self, values: np.ndarray, grad: bool = True, narrow: bool = True) -> None:
        self.values, self.grad, self.narrow = values, grad, narrow

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.narrow:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values

    def detach(self) -> Tensor:
        return Tensor(self.values, False, self.narrow)

    def cpu(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return Tensor(self.values, self.grad, False)


class Exported:
    """What has nothing but DLPack."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **how: Any) -> Any:
        return self.values.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda v: v.tolist(),
    "tuples of arrays": tuple,
    "float16": lambda v: v.astype(np.float16),
    "float64": lambda v: v.astype(np.float64),
    "column order": np.asfortranarray,
    "polars lists": lambda v: pl.Series(v.tolist()),
    "polars arrays": lambda v: pl.Series(v, dtype=pl.Array(pl.Float32, v.shape[1])),
    "polars frame": lambda v: pl.DataFrame(v),
    "pandas series": lambda v: pd.Series(list(v)),
    "pandas frame": lambda v: pd.DataFrame(v),
    "objects": lambda v: np.array([*v, None], dtype=object)[:-1],
    "arrow lists": lambda v: pa.array(v.tolist()),
    "arrow fixed": lambda v: pa.FixedSizeListArray.from_arrays(pa.array(v.ravel()), v.shape[1]),
    "arrow sliced": lambda v: pa.FixedSizeListArray.from_arrays(
        pa.array(np.concatenate([v, v]).ravel()), v.shape[1]
    )[len(v) :],
    "arrow chunks": lambda v: pa.chunked_array(
        [pa.array(v[:5].tolist()), pa.array(v[5:].tolist())]
    ),
    "tensor": Tensor,
    "tensors": lambda v: [Tensor(row) for row in v],
    "dlpack": Exported,
    "sparse": sparse.csr_array,
    "sparse matrix": sparse.coo_matrix,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same(form: str) -> None:
    given = FORMS[form](X)
    assert as_vectors(given).tolist() == X.tolist()
    graph = SimilarityGraph.from_vectors(FORMS[form](X), k=3)
    assert graph.neighbors.tolist() == SimilarityGraph.from_vectors(X, k=3).neighbors.tolist()
    index = VectorIndex.from_vectors(X, ids=[f"r{i}" for i in range(12)])
    assert index.query(FORMS[form](X), k=2)[1].tolist() == index.query(X, k=2)[1].tolist()


@pytest.mark.parametrize(
    "form", ["lists", "float16", "polars lists", "pandas series", "arrow lists", "tensor"]
)
def test_one_vector_is_one_query(form: str) -> None:
    row = {
        "lists": X[3].tolist(),
        "float16": X[3].astype(np.float16),
        "polars lists": pl.Series(X[3]),
        "pandas series": pd.Series(X[3]),
        "arrow lists": pa.array(X[3]),
        "tensor": Tensor(X[3]),
    }[form]
    index = VectorIndex.from_vectors(X, ids=[f"r{i}" for i in range(12)])
    values, ids = index.query(row, k=20)
    assert ids.shape == values.shape == (20,)
    assert (ids[0], ids[12:].tolist()) == ("r3", [None] * 8)
    assert index.search(row, k=1)[1].tolist() == [[3]]
    assert VectorIndex.from_vectors(X).query(row, k=1)[1].tolist() == [3]


def test_wide_sparse_rows_are_projected_and_keep_their_angles() -> None:
    wide = sparse.random_array(
        (30, 20_000), density=0.01, rng=np.random.default_rng(0), format="csr"
    )
    projected = as_array(wide)
    assert projected.shape == (30, PROJECTED)
    assert np.array_equal(projected, as_array(wide))
    assert np.array_equal(projected[:7], as_array(wide[:7]))  # a query is projected alike
    cosine = (wide @ wide.T).toarray() / np.outer(*[sparse.linalg.norm(wide, axis=1)] * 2)
    lengths = np.linalg.norm(projected, axis=1)
    assert np.abs(projected @ projected.T / np.outer(lengths, lengths) - cosine).max() < 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        [[1.0, 2.0], [3.0]],
        pl.Series([[1.0], [2.0, 3.0]]),
        pl.Series([[1.0], None]),
        pl.Series([[1.0, None]]),
        pa.array([[1.0], None]),
        pd.Series([np.ones(2), np.ones(3)]),
        pl.Series(["a", "b"]),
        [["a"], ["b"]],
        {"a": 1},
        None,
        np.ones((2, 2, 2)),
        sparse.csr_array((3, 0)),
    ],
    ids=str,
)
def test_what_is_no_vectors_is_refused(wrong: Any) -> None:
    with pytest.raises(AssayError):
        as_vectors(wrong)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("vectors.npy", r"np\.load\('vectors\.npy'\)"),
        (pl.DataFrame({"id": ["a"], "v": [[1.0, 2.0]]}), r"frame\['v'\]"),
        (pl.DataFrame({"id": ["a"], "n": [1.0]}), r"assay\.index\.embed\(frame\)"),
        (np.ones(3), r"X\[None\]"),
    ],
)
def test_a_refusal_says_what_to_pass(given: object, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        as_vectors(given)


def test_an_index_shows_what_it_holds() -> None:
    assert repr(VectorIndex()) == "VectorIndex(metric='cosine', kind='auto')"
    index = VectorIndex.from_vectors(np.eye(3))
    assert repr(index) == "VectorIndex(n=3, dimension=3, metric='cosine', kind='flat')"


def test_a_folder_without_a_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match=r"There is no graph in .*nowhere"):
        SimilarityGraph.load(tmp_path / "nowhere")
