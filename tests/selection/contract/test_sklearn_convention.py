"""Parameters by scikit-learn's convention, and what it costs to import them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted as check_by_sklearn

from assay.selection import SelectionPlan, StratifiedSelector
from assay.selection.contract.parameters import Parameters, check_is_fitted

# what a curation imports, and what none of it may need before a method asks for it
RUN = """
import sys
import assay.flows.running.runner, assay.flows.stages.selecting, assay.flows.stages.persisting
import assay.selection
assay.selection.SelectionPlan, assay.selection.StratifiedSelector
print([name for name in ("sklearn", "scipy.stats", "scipy.optimize") if name in sys.modules])
"""


class Scaled(Parameters):
    def __init__(self, factor: float = 1.0, method: object = None) -> None:
        self.factor = factor
        self.method = method


def test_a_run_imports_neither_scikit_learn_nor_the_slow_parts_of_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_are_read_and_set_by_name() -> None:
    method = Scaled(2.0, Scaled())
    assert list(method.get_params()) == ["factor", "method", "method__factor", "method__method"]
    assert list(method.get_params(deep=False)) == ["factor", "method"]
    method.set_params(factor=3.0, method__factor=4.0)
    assert repr(method) == "Scaled(factor=3.0, method=Scaled(factor=4.0))"
    with pytest.raises(ValueError, match=r"'size'.*factor"):
        method.set_params(size=1)
    # a class is a value like others
    assert list(Scaled(method=Scaled).get_params()) == ["factor", "method"]


def test_scikit_learn_takes_them_for_an_estimator() -> None:
    plan = SelectionPlan(budget=3, selector="random", options={"a": 1})
    copied = clone(plan)
    assert copied is not plan
    assert copied.get_params() == plan.get_params()
    selector = StratifiedSelector(budget=2)
    assert get_tags(selector).estimator_type is None
    for check in (check_is_fitted, check_by_sklearn):
        with pytest.raises(NotFittedError, match="StratifiedSelector"):
            check(selector)
    selector.fit(np.eye(4, dtype=np.float32))
    check_is_fitted(selector)
    check_by_sklearn(selector)
    with pytest.raises(NotFittedError, match="first"):
        check_is_fitted(selector, "nearest_", msg="Call this first.")
