"""From what a user gives to log weights: the common part of selector and scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams.stream import BucketStream
from assay.index.threads import thread_count
from assay.selection.algorithms.density_ratio import DensityRatio
from assay.selection.contract.budgets import resolve_budget
from assay.selection.contract.covered import check_some_left
from assay.selection.contract.inputs import Floats, Inputs, Labels, Rows, derived_seed
from assay.selection.importance.draws import Evidence
from assay.selection.importance.texts import TextEvidence, Texts, TextSettings, TextTarget
from assay.selection.importance.vectors import VectorEvidence, embedding_scores, vectors_of
from assay.storage.errors import ConfigError, InputError, MissingInputError
from assay.storage.hashing.rows import uniform
from assay.storage.reading.pools import Pool

# positions turned into noise at a time
_PART = 1 << 16


class Population(Protocol):
    """Rows in the order in which they were given."""

    n: int

    def noise(self, random_state: int, stream: str) -> Floats:
        """Return numbers in (0, 1) that depend on (random_state, stream, id) alone."""

    def in_order(self, rows: Rows) -> Rows:
        """Sort `rows` by id, bytewise; by position if there are no ids."""

    def groups(self) -> Labels | None:
        """Return the groups of the rows, where they are known."""

    def ids(self) -> Any:
        """Return the ids of the rows; None where they are the positions."""

    def covered(self) -> NDArray[np.bool_]:
        """Return which rows are had already."""


class Given:
    """Rows that came with inputs in memory."""

    def __init__(self, inputs: Inputs) -> None:
        self.n = inputs.n
        self._inputs = inputs
        self._place = inputs.as_given(np.arange(inputs.n))

    def noise(self, random_state: int, stream: str) -> Floats:
        return np.asarray(self._inputs.as_given(self._inputs.noise(random_state, stream)))

    def in_order(self, rows: Rows) -> Rows:
        return np.asarray(rows[np.argsort(self._place[rows], kind="stable")])

    def groups(self) -> Labels | None:
        labels = self._inputs.groups
        if labels is None:
            return None
        return labels._replace(codes=self._inputs.as_given(labels.codes))

    def ids(self) -> Any:
        return self._inputs.as_given(self._inputs.ids.to_numpy())

    def covered(self) -> NDArray[np.bool_]:
        return np.asarray(self._inputs.as_given(self._inputs.covered))


class Positions:
    """Rows known by their position, of which nothing is held in memory."""

    def __init__(self, n: int) -> None:
        self.n = n

    def noise(self, random_state: int, stream: str) -> Floats:
        seed, out = derived_seed(random_state, stream), np.empty(self.n)
        for start in range(0, self.n, _PART):
            stop = min(self.n, start + _PART)
            ids = pl.Series(np.arange(start, stop)).cast(pl.String)
            out[start:stop] = uniform(ids, seed)
        return out

    def in_order(self, rows: Rows) -> Rows:
        return np.sort(rows)

    def groups(self) -> Labels | None:
        return None

    def ids(self) -> Any:
        return None

    def covered(self) -> NDArray[np.bool_]:
        return np.zeros(self.n, dtype=bool)


def population(X: Any, n: int, ids: Any, **others: Any) -> Population:
    """Return the rows of `X`, which are `n`, with the ids and groups given, else the pool's own.

    Raises
    ------
    InputError
        Lengths differ.
    IdError
        Ids are null or repeated, or not those of the graph.
    """
    if isinstance(X, Pool):
        roles, rows = X.roles, np.arange(n)
        if ids is None and roles.id is not None:
            ids = X.take(rows, [roles.id])[roles.id]
        if others.get("groups") is None and roles.group is not None:
            others["groups"] = X.take(rows, [roles.group])[roles.group]
    named = {name: value for name, value in others.items() if value is not None}
    if ids is None and not named:
        return Positions(n)
    return Given(Inputs(X=_Length(n), ids=ids, **named))


class _Length:
    """Stands for `n` rows whose content is elsewhere."""

    def __init__(self, n: int) -> None:
        self.shape = (n,)

    def __len__(self) -> int:
        return self.shape[0]


# the name of a target that was given without one
ONLY = "target"


@dataclass(frozen=True, eq=False)
class Fitted:
    """The rows, their evidence, and the names of the targets.

    `had` counts the covered rows of each target, `covered` says which rows these are.
    """

    rows: Population
    evidence: Evidence
    names: tuple[str, ...]
    named: bool
    covered: NDArray[np.bool_]
    had: tuple[int, ...]

    @property
    def open(self) -> NDArray[np.bool_]:
        """The rows that can be drawn."""
        return self.evidence.usable & ~self.covered


def named_targets(target: Any) -> dict[str, Any]:
    """Return targets by name; a single one without a name is named `ONLY`."""
    if not isinstance(target, Mapping):
        return {ONLY: target}
    if not target:
        raise InputError("target is an empty mapping; pass at least one name with its texts.")
    for name in target:
        if not isinstance(name, str):
            raise InputError(f"target has the name {name!r}; names of targets are text.")
    return dict(target)


def fit_evidence(
    X: Any,
    target: Any,
    settings: TextSettings,
    *,
    embedding: bool,
    ids: Any,
    budget: Any = None,
    **others: Any,
) -> Fitted:
    """Weigh every row of `X` under every target.

    Where rows are covered, a row is weighed under what they and a draw of `budget` rows would lack
    of the target. Of several targets, a covered row belongs to the one that it is likeliest under.

    Parameters
    ----------
    X, target, ids
        As of `ImportanceResampler.fit`.
    settings : TextSettings
    embedding : bool
        Whether the ratio in the space of text vectors joins in.
    budget : int, float or str, optional
        Of the draw; where rows are covered.
    **others
        The other inputs, which must have one row each.
    """
    settings.check()
    targets = named_targets(target)
    named = isinstance(target, Mapping)
    streams = isinstance(X, Pool)
    rows = None if streams else _in_memory(X, ids, others)
    vectors = None if isinstance(X, BucketStream) else vectors_of(X, "X")
    evidence: Evidence
    if vectors is not None:
        if settings.mode == "dsir" or embedding:
            raise ConfigError("X holds vectors; mode 'dsir' and embedding=True are for texts.")
        rows = rows or population(X, len(vectors), ids, **others)
        wanted = {name: _target_vectors(sample, name) for name, sample in targets.items()}
        sampled = rows.noise(0, "sample")
        evidence = VectorEvidence(vectors, wanted, sampled)
        covered, had = _dealt(rows, evidence, len(targets))
        if covered.any():
            drawn = resolve_budget(budget, rows.n)
            evidence = VectorEvidence(vectors, wanted, sampled, had=had, drawn=drawn)
        return Fitted(rows, evidence, tuple(targets), named, covered, _counts(had))
    if isinstance(X, BucketStream):
        settings.accept(X.hasher)
        if embedding:
            raise ConfigError("X is a bucket stream, without texts; embedding=True needs them.")
        texts, stream = None, X
    else:
        texts = Texts(X)
        hasher, threads = settings.hasher(), thread_count(settings.threads)
        # what is wrong with a target is said before the pool is hashed
        hashed = {name: TextTarget(sample, hasher, name) for name, sample in targets.items()}
        stream = BucketStream.of(texts.batches(), hasher, threads=threads)
    if texts is None:
        hashed = {name: TextTarget(sample, X.hasher, name) for name, sample in targets.items()}
    rows = rows or population(X, len(stream), ids, **others)
    replaced = 0 if texts is None else texts.replaced
    text_evidence = _text_evidence(stream, hashed, rows, settings, replaced)
    if len(targets) > 1 or not rows.covered().any():
        text_evidence.weigh()
    covered, had = _dealt(rows, text_evidence, len(targets))
    if covered.any():
        drawn = resolve_budget(budget, rows.n)
        text_evidence = _text_evidence(
            stream, hashed, rows, settings, replaced, had=had, drawn=drawn
        )
        text_evidence.weigh()
    if embedding and texts is not None:
        if settings.mode == "dsir":
            raise ConfigError("mode 'dsir' is the package's n-grams alone; set embedding=False.")
        scores = embedding_scores(
            texts, targets.values(), targets, text_evidence.sample, text_evidence.usable
        )
        for place, values in enumerate(scores):
            text_evidence.add(place, values)
    return Fitted(rows, text_evidence, tuple(targets), named, covered, _counts(had))


def _dealt(
    rows: Population, evidence: Evidence, targets: int
) -> tuple[NDArray[np.bool_], list[Rows]]:
    """Return which rows are covered, and those of each target: where they are likeliest."""
    covered = rows.covered()
    check_some_left(covered)
    used = rows.in_order(np.flatnonzero(covered & evidence.usable))
    if targets == 1 or not len(used):
        return covered, [used] * targets
    owner = evidence.log_weights[:, used].argmax(axis=0)
    return covered, [used[owner == target] for target in range(targets)]


def _counts(had: list[Rows]) -> tuple[int, ...]:
    return tuple(len(rows) for rows in had)


def fit_stream_ratio(
    X: BucketStream, target: Any, settings: TextSettings, ids: Any
) -> DensityRatio:
    """Return what the texts of a stream are weighed by, without weighing them."""
    settings.check()
    settings.accept(X.hasher)
    targets = named_targets(target)
    hashed = {name: TextTarget(sample, X.hasher, name) for name, sample in targets.items()}
    return _text_evidence(X, hashed, _in_memory(X, ids, {}), settings, 0).ratio


def _text_evidence(
    stream: BucketStream,
    targets: dict[str, TextTarget],
    rows: Population,
    settings: TextSettings,
    replaced: int,
    **covered: Any,
) -> TextEvidence:
    # mode "dsir" samples nothing
    order = rows.noise(0, "sample") if settings.mode == "calibrated" else np.zeros(rows.n)
    return TextEvidence(stream, targets, order, settings, replaced=replaced, **covered)


def need(X: Any, target: Any, who: str) -> None:
    """Raise `MissingInputError` where the pool or the target is missing."""
    if X is None:
        raise MissingInputError(
            f"{who} needs texts, and X was not given; pass the texts (or vectors) of the pool as X."
        )
    if target is None:
        raise MissingInputError(
            f"{who} needs target, and target was not given; pass a sample of the distribution "
            "wanted as target."
        )


def _in_memory(X: Any, ids: Any, others: dict[str, Any]) -> Population:
    """Return the rows of data in memory, checked before any expensive work."""
    named = {name: value for name, value in others.items() if value is not None}
    if isinstance(X, BucketStream):
        if not len(X):
            raise InputError("The pool has no rows; pass at least one.")
        return population(X, len(X), ids, **named)
    return Given(Inputs(X=X, ids=ids, **named))


def _target_vectors(target: Any, name: str) -> Any:
    vectors = vectors_of(target, name)
    if vectors is None:
        raise InputError(f"X holds vectors but {name} does not; pass vectors of the same length.")
    return np.asarray(vectors)
