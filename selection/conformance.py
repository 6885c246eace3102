"""What every method promises, as one check that authors of methods can run on theirs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone

from assay.selection import registry
from assay.storage.errors import AssayError, ConfigError, MissingInputError

N = 60
_WORDS = ("cat", "dog", "stock", "share", "rose", "fell", "the", "a", "again", ",")
_TARGET_TEXTS = ["stock rose again", "the share fell", "a stock fell , a share rose"]
_ARGUMENTS = {"texts": "X", "vectors": "X", "labels": "y"}


class ConformanceError(AssertionError):
    """A method breaks what every method promises; the message lists each promise it breaks."""


def check(method: type[registry.Method], **parameters: Any) -> None:
    """Check that a selector, scorer, step or ranker keeps what every method promises.

    It declares itself; it follows scikit-learn's conventions of parameters; its results are
    finite, of the right shape, the same twice and in any order of the rows, also on very small
    pools; a missing input is named; a selection is exact, and every row has one decision.

    Parameters
    ----------
    method : class
        Subclass of `assay.selection.base.Selector` or `Scorer`, of
        `assay.selection.steps.deduplication.Deduplicator` or of
        `assay.selection.rankers.base.FeatureRanker`.
    **parameters
        Of the method, where it can't do without.

    Raises
    ------
    ConformanceError
        A promise is broken.

    Examples
    --------
    >>> from assay.selection import PageRank
    >>> check(PageRank)
    """
    entry = registry.declared_by(method, method.__name__)
    checks: Mapping[str, Callable[..., Iterator[str]]] = {
        "selector": _selector,
        "scorer": _scorer,
        "step": _step,
        "ranker": _ranker,
    }
    if "log" in entry.needs:
        parameters = {"log": training_log(pool()), **parameters}
    if "seeds" in entry.needs:
        parameters = {"seeds": sorted(pool()["ids"])[:3], **parameters}
    if entry.kind == "selector":
        parameters = {"budget": 13, **parameters}
    broken = []
    for promise in (_parameters, checks[entry.kind]):
        try:
            broken += list(promise(method, entry, parameters))
        except Exception as error:  # an author's method may raise anything
            broken.append(f"it raises {type(error).__name__}: {error}")
    if broken:
        raise ConformanceError(f"{method.__name__}: {'; '.join(broken)}.")


def pool(n: int = N, order: Any = None, k: int = 6) -> dict[str, Any]:
    """Return every input of n rows at once, with copies and ties; rows in `order`."""
    from assay.index import SimilarityGraph

    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(n, 5)).astype(np.float32) + np.float32(0.5)
    texts = [" ".join(rng.choice(_WORDS, rng.integers(1, 12))) for _ in range(n)]
    copies = min(8, n // 2)
    X[:copies], texts[:copies] = X[n - copies :], texts[n - copies :]
    columns: dict[str, Any] = {
        "texts": np.array(texts, dtype=object),
        "vectors": X,
        "y": rng.integers(0, 3, n),
        "scores": rng.integers(0, 9, n) / 4,
        "ids": rng.permutation(
            [f"row {row:03} \N{LATIN SMALL LETTER E WITH ACUTE}" for row in range(n)]
        ),
        "groups": rng.choice(["g", "h"], n),
    }
    if order is not None:
        columns = {name: values[order] for name, values in columns.items()}
    columns["graph"] = (
        SimilarityGraph.from_vectors(columns["vectors"], k=min(k, n - 1), ids=columns["ids"])
        if n > 1
        else None
    )
    return columns


def arguments(entry: registry.Entry, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` for a method: every input, X and target as it needs them."""
    wants_texts = "texts" in entry.needs or ("texts" in entry.uses and "vectors" not in entry.needs)
    passed = {name: value for name, value in columns.items() if name not in ("texts", "vectors")}
    passed["X"] = columns["texts" if wants_texts else "vectors"]
    if entry.covers_labeled:
        had = _marked(columns.get("covered"), columns["ids"])
        passed["y"] = pl.Series(columns["y"]).set(pl.Series(~had), None) if had.any() else None
    vectors = np.random.default_rng(5).integers(-3, 4, size=(6, 5)) + 0.5
    passed["target"] = _TARGET_TEXTS if wants_texts else vectors
    return passed


def _marked(covered: Any, ids: Any) -> Any:
    """Return where rows are covered, given as a mask or as ids."""
    if covered is None:
        return np.zeros(len(ids), dtype=bool)
    covered = np.asarray(covered)
    return covered if covered.dtype == bool else np.isin(ids, covered)


def training_log(columns: Mapping[str, Any]) -> pl.DataFrame:
    """Return three epochs of class probabilities that follow from the vectors alone."""
    heights = [np.exp(columns["vectors"] * scale) for scale in (0.1, 0.5, 1.0)]
    shares = [height / height.sum(axis=1, keepdims=True) for height in heights]
    return pl.DataFrame(
        {"sample_id": columns["ids"]} | {f"epoch {i}": p.tolist() for i, p in enumerate(shares)}
    )


def _fitted(method: Any, entry: registry.Entry, columns: dict[str, Any], parameters: Any) -> Any:
    if "log" in entry.needs:
        parameters = {**parameters, "log": training_log(columns)}
    if "seeds" in entry.needs:
        parameters = {**parameters, "seeds": sorted(columns["ids"])[:3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(**parameters).fit(**arguments(entry, columns))


def _parameters(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    instance = method(**parameters)
    for name, value in instance.get_params().items():
        if getattr(instance, name) is not value:
            yield f"the parameter {name} is not stored as it was given"
    if clone(instance) is instance:
        yield "clone returns the method itself"
    known = registry.parameter_defaults(method)
    for flag, name in (("has_cutoff", "cutoff"), ("has_metric", "metric")):
        if getattr(entry, flag) != (name in known):
            yield f"{flag} is {getattr(entry, flag)}, and its parameters are {', '.join(known)}"


def _missing(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    for need in entry.needs:
        if need in ("log", "seeds"):
            continue
        name = _ARGUMENTS.get(need, need)
        passed = arguments(entry, pool()) | {name: None}
        try:
            method(**parameters).fit(**passed)
        except MissingInputError:
            continue
        except AssayError as error:
            yield f"without {need} it raises {type(error).__name__}, not MissingInputError"
            continue
        yield f"it needs {need}, but fits without"


def _scorer(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    yield from _missing(method, entry, parameters)
    order = np.random.default_rng(9).permutation(N)
    first = _fitted(method, entry, pool(), parameters)
    if first.scores_.dtype != np.float64 or first.scores_.shape != (N,):
        yield f"scores_ is {first.scores_.dtype}{first.scores_.shape}, not float64[{N}]"
        return
    if not np.isfinite(first.scores_).all():
        yield "scores_ holds NaN or infinite values"
    if not np.array_equal(first.scores_, _fitted(method, entry, pool(), parameters).scores_):
        yield "a second fit gives other scores"
    other = _fitted(method, entry, pool(order=order), parameters)
    if not entry.exempt_from_order and not np.array_equal(first.scores_[order], other.scores_):
        yield "the scores depend on the order of the rows"
    json.dumps(first.report_, allow_nan=False)
    for n in (2, 4):
        small = _fitted(method, entry, pool(n), parameters).scores_
        if small.shape != (n,) or not np.isfinite(small).all():
            yield f"the scores of a pool of {n} rows are {small}"


def _selector(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    yield from _missing(method, entry, parameters)
    order = np.random.default_rng(9).permutation(N)
    columns, shuffled = pool(), pool(order=order)
    for budget in (1, 7, N):
        fitted = _fitted(method, entry, columns, {**parameters, "budget": budget})
        if len(set(fitted.indices_.tolist())) != budget or len(fitted.indices_) != budget:
            yield f"a budget of {budget} gives {len(fitted.indices_)} rows"
        decisions = fitted.decisions()
        chosen = np.flatnonzero(decisions["selected"].to_numpy())
        if decisions.height != N or sorted(fitted.indices_.tolist()) != chosen.tolist():
            yield "not every row has one decision, or they are not those of indices_"
        if fitted.weights_.shape != fitted.indices_.shape or fitted.scores_.shape != (N,):
            yield "weights_ or scores_ has a wrong shape"
        if not np.isfinite(fitted.scores_).all():
            yield "scores_ holds NaN or infinite values"
        json.dumps(fitted.report_, allow_nan=False)
    first, again = (_fitted(method, entry, columns, parameters) for _ in range(2))
    if not np.array_equal(first.indices_, again.indices_):
        yield "a second fit chooses other rows"
    other = _fitted(method, entry, shuffled, parameters)
    same = columns["ids"][first.indices_].tolist() == shuffled["ids"][other.indices_].tolist()
    if not entry.exempt_from_order and not same:
        yield "the choice depends on the order of the rows"
    yield from _covered(method, entry, parameters)
    if entry.nested:
        whole = _fitted(method, entry, columns, {**parameters, "budget": N}).ranking_
        if not np.array_equal(first.indices_, whole[: len(first.indices_)]):
            yield "it is declared nested, but a small budget is no prefix of a large one"


def _covered(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    """Yield what a selector breaks where rows are had already."""
    rng = np.random.default_rng(4)
    columns = pool()
    order = rng.permutation(N)
    had = rng.choice(N, 17, replace=False)
    mask = np.isin(np.arange(N), had)
    with_mask = {**columns, "covered": mask}
    if not entry.honors_covered:
        try:
            _fitted(method, entry, with_mask, parameters)
        except ConfigError:
            return
        yield "it does not honor covered rows, but takes them"
        return
    for budget in (1, 13, N - len(had), N):
        fitted = _fitted(method, entry, with_mask, {**parameters, "budget": budget})
        count = min(budget, N - len(had))
        if len(set(fitted.indices_.tolist())) != count or len(fitted.indices_) != count:
            yield f"beside covered rows a budget of {budget} gives {len(fitted.indices_)} rows"
        if mask[fitted.indices_].any():
            yield "covered rows are handed out"
        reasons = fitted.decisions()["reason"].to_numpy()
        if len(reasons) != N or ((reasons == "covered") != mask).any():
            yield "the rows with the reason covered are not the covered ones"
        if not np.isfinite(fitted.scores_).all():
            yield "scores_ holds NaN or infinite values where rows are covered"
        json.dumps(fitted.report_, allow_nan=False)
    first = _fitted(method, entry, with_mask, parameters)
    by_id = _fitted(method, entry, {**columns, "covered": columns["ids"][had]}, parameters)
    if not np.array_equal(first.indices_, by_id.indices_):
        yield "covered rows as ids and as a mask give other choices"
    shuffled = pool(order=order)
    other = _fitted(method, entry, {**shuffled, "covered": mask[order]}, parameters)
    same = columns["ids"][first.indices_].tolist() == shuffled["ids"][other.indices_].tolist()
    if not entry.exempt_from_order and not same:
        yield "beside covered rows the choice depends on the order of the rows"
    plain = _fitted(method, entry, columns, parameters)
    nobody = _fitted(method, entry, {**columns, "covered": np.zeros(N, dtype=bool)}, parameters)
    if not np.array_equal(plain.indices_, nobody.indices_):
        yield "a mask that covers no row changes the choice"


def _step(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    order = np.random.default_rng(9).permutation(N)
    columns, shuffled = pool(), pool(order=order)
    first, again = (_fitted(method, entry, columns, parameters) for _ in range(2))
    if first.keep_.dtype != np.bool_ or first.keep_.shape != (N,):
        yield f"keep_ is {first.keep_.dtype}{first.keep_.shape}, not bool[{N}]"
        return
    if not np.array_equal(first.keep_, again.keep_):
        yield "a second fit keeps other rows"
    other = _fitted(method, entry, shuffled, parameters)
    if not entry.exempt_from_order and not np.array_equal(first.keep_[order], other.keep_):
        yield "what is kept depends on the order of the rows"
    json.dumps(first.report_, allow_nan=False)


def _ranker(method: Any, entry: registry.Entry, parameters: Any) -> Iterator[str]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 90)
    X = rng.normal(size=(90, 8))
    X[:, 0] += 3 * y
    X[:, 5] = 4.0
    first, again = (method(**parameters).fit(X, y) for _ in range(2))
    if sorted(first.ranking_.tolist()) != list(range(1, 9)):
        yield "ranking_ does not hold every rank once"
    if first.scores_.shape != (8,) or not np.isfinite(first.scores_).all():
        yield "scores_ is not one finite number for each column"
    if first.ranking_[5] != 8:
        yield "a constant column does not come last"
    if not np.array_equal(first.scores_, again.scores_):
        yield "a second fit gives other scores"
    order = rng.permutation(90)
    if not np.array_equal(method(**parameters).fit(X[order], y[order]).ranking_, first.ranking_):
        yield "the ranking depends on the order of the rows"
