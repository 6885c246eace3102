"""Greedy selection on shards of the pool, then among what they propose: in rounds, in a tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from assay.selection import registry
from assay.selection.algorithms.set_functions import SetFunction
from assay.selection.base import Selector
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.contract.outcomes import Choice, Outcome
from assay.selection.selectors.greedy import LazyGreedySelector, LazyRanking
from assay.storage.errors import ConfigError
from assay.storage.limits import MOST_ROUNDS, Flag, Function, Instance, Limits, Number, Whole

# how a function is run over shards: builtins.map, or that of an executor
Map = Callable[[Callable[["Shard"], "Proposal"], Iterable["Shard"]], Iterable["Proposal"]]
# with fewer candidates than budgets: four keep .988, eight .998 (benchmarks/results/two_stage.md)
ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Shard:
    """What one worker needs: a part of the rows, all their edges, how many rows to propose.

    Attributes
    ----------
    rows : int64[m], sorted
    function : SetFunction
        The objective over the whole pool, for sets of these rows.
    count : int
    """

    rows: Rows
    function: SetFunction
    count: int


@dataclass(frozen=True, eq=False)
class Proposal:
    """What one worker sends back: rows in the order taken, and what each added when taken."""

    rows: Rows
    gains: Floats

    @property
    def value(self) -> float:
        """The objective of the rows."""
        return float(self.gains.sum())


def propose(shard: Shard) -> Proposal:
    """Take the shard's rows greedily, up to its count; equal gains are decided by row.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> from assay.selection.selectors.facility_location import FacilityLocationSelector
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0], [1.0, 0.1]]
    >>> function = FacilityLocationSelector(budget=1).set_function(SimilarityGraph.from_vectors(X, k=2))
    >>> rows = np.array([0, 1, 4])
    >>> propose(Shard(rows, function.restricted(rows), 2)).rows.tolist()
    [1, 4]
    """
    ranking = LazyRanking(shard.function)
    ranking.extend(shard.count)
    taken = ranking.order[: shard.count]
    return Proposal(shard.rows[taken], ranking.gains[taken])


@dataclass(kw_only=True, eq=False, repr=False)
class TwoStageSelector(Selector):
    r"""Greedy maximization over shards, then over the union of what they propose.

    Rows go to one of P shards each, by a hash of their id. The budget k is split into R rounds. In
    round r every shard runs the greedy selector by itself, on what its rows add to the rows
    :math:`S_{r-1}` taken before:

    .. math:: C_r = \bigcup_{p=1}^{P} \mathrm{greedy}\bigl(V_p \setminus S_{r-1},\, c_p\bigr), \qquad
        S_r = S_{r-1} \cup \mathrm{greedy}\bigl(C_r,\, k/R\bigr)

    where both maximize :math:`f(S_{r-1} \cup \cdot)`, and shard p proposes :math:`c_p` rows: k/R, or
    with `oversampling` o :math:`\lceil o\, (k/R)\, |V_p| / n \rceil` of them. If the best shard by
    itself is better than the union, it is taken and filled up. Shards cannot see what the others
    propose, so with few candidates they propose the same kinds of rows; after a round they know.
    A shard keeps all edges of its rows, also those to rows of other shards, so all of this
    maximizes the objective over the whole pool.

    For monotone f (facility location, saturated coverage, graph cut with lambda >= 2), with f* the
    best of any subset of k rows:

    - with one round, no tree and k candidates from each shard, on average over the shards' random
      seed, :math:`E f(S) \ge \frac{1}{2}(1 - 1/e)\, f^*` (Barbosa et al. 2015), and, whatever the
      shards, :math:`f(S) \ge (1 - 1/e)^2 / \min(k, P)\, f^*` (Mirzasoleiman et al. 2013); the
      worst case is of the order :math:`1 / \min(\sqrt{k}, P)`;
    - with one round, a tree and k candidates from each shard,
      :math:`f(S) \ge (1 - 1/e) / \min(k, P)\, f^*`: some shard holds a P-th of f*;
    - always, :math:`f(S) \ge \bigl(1 - (1 - 1/k)^R\bigr) f^*`, because a round takes the best row
      of the pool first. With R = k that is 1 - 1/e, and the choice is that of the plain greedy.

    These are far below what `compare` measures.

    Parameters
    ----------
    selector : str, default "facility_location"
        The greedy selector: `facility_location`, `saturated_coverage` or `graph_cut`.
    options : mapping, optional
        Further parameters of that selector.
    shards : int, default 8
        P. The result depends on it, and not on how many workers there are.
    oversampling : float >= 1, optional
        Each shard proposes this many times its own share of the budget, by its rows, instead of
        the whole budget; at least one row in every round. Where the budget is a share of the pool,
        shards with the whole budget propose nearly all of their rows; this bounds them.
    rounds : int, optional
        R, at most the budget. The default is 8 with `oversampling` and 1 without: on documents,
        three times the share kept at least 0.868 of the objective of facility location in one
        round, 0.988 in four and 0.998 in eight; the whole budget kept 0.995 in one.
    fan_in : int >= 2, optional
        Unions merge at most this many proposals, in a tree: an inner union passes on as many rows
        as a shard with its rows would propose. No process then holds more than
        ``fan_in * budget / rounds`` candidates; with `oversampling` they are also at most
        ``oversampling * budget / rounds`` and a row for each shard, with or without a tree. None
        merges all proposals in one union.
    compare : bool, default False
        Whether to run the greedy selector on the whole pool too and report the ratio.
    map : callable, optional
        ``map(propose, shards)``, as the `map` of an executor: runs elsewhere, in every round, the
        shards and then each level of inner unions. Only the candidates come back. The built-in one
        by default.
    random_state : int, default 0
        Seed of the shards, and of the random subset of the report.

    Attributes
    ----------
    indices_ : int64[budget]
        In the order in which the greedy takes the chosen rows among themselves.
    scores_ : float64[n]
        Gain of the row at the moment it is taken; for the other rows, if they were taken next.
    report_ : dict
        `objective` f(indices_), `objective_random` (a random subset of equal size),
        `objective_best_shard` (all that the best shard proposed, by itself), `candidates` (rows
        that a shard proposed), `shards`, `largest_shard` (rows), `largest_shard_bytes` (what its
        worker is sent), `rounds`, `levels` (of unions in a round, 1 without a tree),
        `largest_union` (candidates that one process merges); with `compare` also
        `objective_centralised` and `objective_ratio`.

    Raises
    ------
    ConfigError, ColumnError
        The selector is no greedy one, or a parameter is not what it may be.

    Notes
    -----
    Time that of the greedy selector R + 1 times, R of them divided by the workers. A round waits for
    its slowest shard and sends every shard again. Memory of a shard of m rows: 8 bytes per edge end,
    53 bytes per row, 4 to 16 for each row that its edges lead to; this process holds the graph and
    one shard, or as many as `map` takes ahead.

    Claims
    ------
    paper
        Greedy over random shards keeps half of 1 - 1/e on average, however many machines.
    here
        The published two rounds; a shard keeps edges to other shards' rows. Repeated on what the
        rows taken leave to gain, and merged in a tree where asked.
    deviates
        Shards go by a hash of the id, not by chance alone, so that a row keeps its own.
    measured
        At least .995 of the greedy on the whole pool with the full budget from each shard, .994
        in a tree of fours; with three times its share .868 in one round, .998 in eight, .996 in
        eight in a tree of fours (`two_stage.md`).

    References
    ----------
    Mirzasoleiman, Karbasi, Sarkar, Krause, "Distributed submodular maximization: identifying
    representative elements in massive data", 2013. Barbosa, Ene, Nguyen, Ward, "The power of
    randomization: distributed submodular maximization on massive datasets", 2015. Unions in a tree:
    Lucic, Bachem, Zadimoghaddam, Krause, "Horizontally scalable submodular maximization", 2016.
    Rounds that tell the shards what was taken: Kumar, Moseley, Vassilvitskii, Vattani, "Fast greedy
    algorithms in MapReduce and streaming", 2013.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = np.random.default_rng(0).normal(size=(300, 4))
    >>> graph = SimilarityGraph.from_vectors(X, k=8)
    >>> chosen = TwoStageSelector(budget=20, shards=4, compare=True).fit(graph=graph)
    >>> chosen.report_["objective_ratio"] > 0.95
    True
    >>> few = TwoStageSelector(budget=20, shards=10, oversampling=2, fan_in=4).fit(graph=graph)
    >>> few.report_["rounds"], few.report_["levels"], few.report_["largest_union"] <= 4 * 3
    (8, 2, True)
    """

    limits: ClassVar[Limits] = {
        "shards": (Whole(1, MOST_ROUNDS),),
        "oversampling": (Number("[1, inf)"), None),
        "rounds": (Whole(1, MOST_ROUNDS), None),
        "fan_in": (Whole(2), None),
        "options": (Instance((Mapping,), "a mapping of parameters"), None),
        "compare": (Flag(),),
        "map": (Function("a function and its inputs, as an executor's map"), None),
    }

    selector: str = "facility_location"
    options: Mapping[str, Any] | None = None
    shards: int = 8
    oversampling: float | None = None
    rounds: int | None = None
    fan_in: int | None = None
    compare: bool = False
    map: Map | None = None

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        assert inputs.graph is not None
        function, had = self._greedy().set_function(inputs.graph).after(inputs.covered_rows)
        of_row = self._sharded(inputs)
        by_shard = np.argsort(of_row, kind="stable")
        starts = np.searchsorted(of_row[by_shard], np.arange(1, self.shards))
        rounds = _Rounds(self, np.split(by_shard, starts), ~inputs.covered)
        chosen, gains, best_shard = rounds.take(function, budget)
        scores = function.gains(function.along(chosen)[1])
        scores[chosen] = gains
        random = inputs.random_rows(self.random_state, budget)
        report = {
            "objective": had + float(gains.sum()),
            "objective_best_shard": had + best_shard,
            "candidates": int(rounds.candidate.sum()),
            "objective_random": had + function.value(random),
            **rounds.report,
        }
        if self.compare:
            whole = LazyRanking(function, ~inputs.covered)
            whole.extend(budget)
            report["objective_centralised"] = had + float(whole.gains[whole.order[:budget]].sum())
            # where all rows add nothing, any of them add all there is
            most = report["objective_centralised"]
            report["objective_ratio"] = report["objective"] / most if most > 0 else 1.0
        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=_left_out(chosen, rounds.candidate, scores, float(gains[-1])),
            detail={"shard": of_row[chosen]},
            report=report,
        )

    def _greedy(self) -> LazyGreedySelector:
        """Return the selector of both stages."""
        names = [
            entry.name
            for entry in registry.entries("selector")
            if entry.nested and entry.needs == ("graph",)
        ]
        if self.selector not in names:
            raise ConfigError(f"selector is {self.selector!r}; it may be {', '.join(names)}.")
        entry = registry.entry(self.selector, "selector")
        options = dict(self.options or {})
        entry.check_options(options, {"budget", "random_state"})
        greedy: LazyGreedySelector = entry.load()(budget=1, **options)
        return greedy

    def _sharded(self, inputs: Inputs) -> Rows:
        """Return the shard of every row."""
        noise = inputs.noise(self.random_state, "two_stage")
        return np.minimum(self.shards - 1, (noise * self.shards).astype(np.int64))

    def _count(self, budget: int, rows: int, n: int) -> int:
        """Return how many rows a shard proposes; all shards together at least the budget."""
        wanted = self.oversampling
        if wanted is None:
            return min(budget, rows)
        return min(budget, rows, math.ceil(float(wanted) * budget * rows / n))


class _Rounds:
    """The rounds of one fit: which rows are free, who proposed, and what it took.

    Parameters
    ----------
    selector : TwoStageSelector
    members : list of int64[m], sorted
        Rows of each shard.
    free : bool[n]
        Rows that may be taken.
    """

    def __init__(
        self,
        selector: TwoStageSelector,
        members: list[Rows],
        free: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> None:
        self._selector = selector
        self._run: Map = selector.map if selector.map is not None else map
        self._members = members
        self._free = free.copy()
        self.candidate = np.zeros(len(free), dtype=bool)
        self.report: dict[str, int] = {}

    def take(self, function: SetFunction, budget: int) -> tuple[Rows, Floats, float]:
        """Take rows; return them, what each adds, and the objective of the best shard."""
        wanted = self._selector.rounds or (1 if self._selector.oversampling is None else ROUNDS)
        rounds = min(budget, wanted)
        ends = [budget * number // rounds for number in range(rounds + 1)]
        self.report["rounds"] = rounds
        after, taken = function, []
        for start, end in pairwise(ends):
            rows, gains, best_shard = self._round(after, end - start)
            taken.append(rows)
            if end < budget:
                self._free[rows] = False
                after, _ = after.after(rows)
        if rounds == 1:
            return rows, gains, best_shard
        # gains jump where a round begins, so the rows are put in order among themselves
        rows = np.sort(np.concatenate(taken))
        ordered = propose(Shard(rows, function.restricted(rows), budget))
        return ordered.rows, ordered.gains, max(self._values(function))

    def _values(self, function: SetFunction) -> Iterator[float]:
        """Return the objective of what each shard proposed, by itself."""
        for members in self._members:
            rows = members[self.candidate[members]]
            yield function.restricted(rows).value(np.arange(len(rows)))

    def _round(self, function: SetFunction, budget: int) -> tuple[Rows, Floats, float]:
        """Take rows in one round: shards propose, unions merge."""
        parts = [rows[self._free[rows]] for rows in self._members]
        parts = [rows for rows in parts if len(rows)]
        sizes = [len(rows) for rows in parts]
        sent: list[int] = []
        proposals = self._proposals(function, parts, sizes, budget, sent)
        for name, value in {
            "shards": len(parts),
            "largest_shard": max(sizes),
            "largest_shard_bytes": max(sent),
        }.items():
            self.report.setdefault(name, value)
        self.candidate[np.concatenate([proposal.rows for proposal in proposals])] = True
        best = max(proposals, key=lambda proposal: proposal.value)
        levels, largest, fan_in = 1, 0, self._selector.fan_in or len(proposals)
        while len(proposals) > fan_in:
            groups = range(0, len(proposals), fan_in)
            parts = [_union(proposals[group : group + fan_in]) for group in groups]
            sizes = [sum(sizes[group : group + fan_in]) for group in groups]
            proposals = self._proposals(function, parts, sizes, budget, [])
            levels, largest = levels + 1, max(largest, *map(len, parts))
        rows, gains, merged = merge(function, proposals, budget, best)
        for name, value in {
            "levels": levels,
            "largest_union": max(largest, merged["candidates"]),
        }.items():
            self.report[name] = max(value, self.report.get(name, 0))
        return rows, gains, merged["objective_best_shard"]

    def _proposals(
        self,
        function: SetFunction,
        parts: list[Rows],
        sizes: list[int],
        budget: int,
        sent: list[int],
    ) -> list[Proposal]:
        """Return what each part proposes, which stands for `sizes` rows of the pool."""
        n = sum(sizes)

        def shards() -> Iterator[Shard]:
            for rows, size in zip(parts, sizes, strict=True):
                own = function.restricted(rows)
                sent.append(_bytes(own))
                yield Shard(rows, own, min(len(rows), self._selector._count(budget, size, n)))

        return list(self._run(propose, shards()))


def merge(
    function: SetFunction,
    proposals: Sequence[Proposal],
    budget: int,
    best: Proposal | None = None,
) -> tuple[Rows, Floats, dict[str, Any]]:
    """Run stage 2: take rows greedily among those proposed, or those of the best shard.

    Parameters
    ----------
    function : SetFunction
        Over the whole pool; only the edges of the candidates are read.
    proposals : sequence of Proposal
        In the order of the shards.
    budget : int
    best : Proposal, optional
        Of the best shard, where unions have merged it already; the best of `proposals` by default.

    Returns
    -------
    rows : int64[min(budget, candidates)]
    gains : float64, of each row when taken
    report : dict
    """
    candidates = _union(proposals)
    count = min(budget, len(candidates))
    union = propose(Shard(candidates, function.restricted(candidates), count))
    if best is None:
        best = max(proposals, key=lambda proposal: proposal.value)
    if best.value > union.value:
        # a shard that proposed fewer rows than the budget is filled up
        more = union.rows[~np.isin(union.rows, best.rows)]
        filled = np.concatenate([best.rows, more])[:count]
        merged = Proposal(filled, function.along(filled)[0])
    else:
        merged = union
    report = {
        "objective": merged.value,
        "objective_best_shard": best.value,
        "candidates": len(candidates),
    }
    return merged.rows, merged.gains, report


def _union(proposals: Sequence[Proposal]) -> Rows:
    """Return the rows proposed, sorted."""
    return np.sort(np.concatenate([proposal.rows for proposal in proposals]))


def _left_out(
    chosen: Rows, candidate: np.ndarray[Any, np.dtype[np.bool_]], scores: Floats, least: float
) -> list[Outcome]:
    """Say of the other rows in which stage they lost."""
    open_ = np.ones(len(candidate), dtype=bool)
    open_[chosen] = False
    outcomes = []
    for reason, which in (("lower_gain", candidate), ("lower_gain_in_shard", ~candidate)):
        rows = np.flatnonzero(open_ & which)
        threshold = np.full(len(rows), least)
        detail = {"score": scores[rows], "threshold": threshold}
        outcomes.append(Outcome(rows, "select", reason, detail))
    return outcomes


def _bytes(function: SetFunction) -> int:
    arrays = (function.indptr, function.indices, function.weights, function.own, function.limits)
    start = 0 if function.start is None else function.start.nbytes
    return sum(array.nbytes for array in arrays) + start
