"""Selectors as samplers of imbalanced-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from assay.selection import KCenterSelector, RandomSelector

X = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame, pl.DataFrame, lambda v: v.tolist()])
def test_the_chosen_rows_come_back_in_their_form(form: Any) -> None:
    selector = KCenterSelector(budget=7)
    given = form(X)
    chosen, labels = selector.fit_resample(given, Y)
    assert type(chosen) is type(given)
    assert np.asarray(chosen).tolist() == X[selector.indices_].tolist()
    assert labels.tolist() == Y[selector.indices_].tolist()
    assert (selector.sample_indices_ == selector.indices_).all()
    again = KCenterSelector(budget=7).fit(X, Y)
    assert (again.indices_ == selector.indices_).all()


def test_texts_and_no_labels() -> None:
    texts = [f"text {i}" for i in range(20)]
    chosen, labels = RandomSelector(budget=5).fit_resample(texts)
    assert set(chosen) <= set(texts)
    assert (len(chosen), labels) == (5, None)
    rows, _ = RandomSelector(budget=5).fit_resample(sparse.csr_array(X))
    assert rows.shape == (5, 3)


def test_a_pipeline_of_imbalanced_learn() -> None:
    pipeline = pytest.importorskip("imblearn.pipeline")
    selector = RandomSelector(budget=20, random_state=3)
    made = pipeline.Pipeline([("choose", selector), ("model", LogisticRegression())]).fit(X, Y)
    own = RandomSelector(budget=20, random_state=3).fit(X, Y).indices_
    alone = LogisticRegression().fit(X[own], Y[own])
    assert np.allclose(made.predict_proba(X), alone.predict_proba(X))
    assert len(made.predict(X)) == 60  # nothing is left out where it predicts
