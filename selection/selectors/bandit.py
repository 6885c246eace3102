"""Clusters as the arms of a bandit: draw from those whose rows earn most."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assay.index.algorithms.communities import communities
from assay.index.vectors.checks import as_vectors, check_width
from assay.index.vectors.exact import unit_rows
from assay.selection.algorithms.cells import cluster, places
from assay.selection.base import Selector
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.contract.outcomes import Choice, Outcome
from assay.storage.errors import InputError, MissingInputError, NonFiniteError
from assay.storage.limits import Function, Limits, Number, Whole

Reward = Callable[[Rows], Any]
_INFLUENCE = "influence"


@dataclass(kw_only=True, eq=False, repr=False)
class BanditSelector(Selector):
    r"""Rows of the clusters whose sampled rows earn the highest reward (upper confidence bounds).

    For rewards too expensive to compute for every row. Each cluster is an arm. A few rows of each
    are rewarded first; then, round by round, the arms with the highest

    .. math:: \mu_a + c \, \sigma \sqrt{2 \ln T / n_a}

    give a batch of rows each, some of which are rewarded, until the budget is full. :math:`\mu_a`
    is the mean of :math:`n_a` rewards, T the number of all rewards, :math:`\sigma` their standard
    deviation within arms, c the exploration. Arms whose centroids are nearer than a radius r share
    their rewards, with weight 1 - d / r for the distance d. Rows are drawn without replacement;
    covered rows count as drawn, and what they earn is known.

    Parameters
    ----------
    reward : callable or "influence", optional
        Called with row numbers int64[k], as given to `fit`; returns k finite numbers, higher =
        better, which may depend on the row alone. By default the mean cosine to the target's rows
        where a target is given, else `scores`. "influence": how much a gradient step on the row
        lowers the loss of a softmax regression on other rows (TracIn), learned by
        `InfluenceNetwork` from a sample of pairs, and averaged over the target's rows where a target
        is given, else over a sample of the pool; needs labels.
    arms : {"kmeans", "groups", "communities"}, default "kmeans"
        Clusters of the vectors, the groups given to `fit`, or communities of the graph.
    n_clusters : int or "auto", default "auto"
        Of k-means; "auto" is sqrt(n).
    metric : {"cosine", "l2"}, default "cosine"
        Of k-means, and of the radius.
    probe : int, default 10
        Rows rewarded in each arm at the beginning, and at most in each batch.
    exploration : float, default 0.5
        c: how much an uncertain arm is preferred. Every row drawn counts against the budget, so
        it is below the 1 of bandits whose draws cost nothing.
    radius : float, default 0.2
        Of sharing between clusters of k-means; 0 shares nothing. For the cosine, the distance is
        1 - cos.
    rounds : int, default 50
        The batches are such that the budget is full after about as many rounds.
    random_state : int, default 0
        Decides, with the ids, the order in which an arm's rows are drawn, and the clusters.

    Attributes
    ----------
    indices_ : int64[budget]
        In the order in which they were drawn.
    scores_ : float64[n]
        Final mean reward of the row's arm.
    report_ : dict
        `reward` ("callable", "influence", "target" or "scores"), `arms`, `arms_drawn`, `rounds`, `evaluations`
        of a reward, `reward_selected` (mean over the chosen rows that were rewarded) and
        `reward_pool` (mean of the first rewards of all arms, weighted by their rows).

    Raises
    ------
    MissingInputError
        What the arms are made from was not given, or none of `reward`, `target` and `scores`, or
        labels for the influence.
    InputError, NonFiniteError
        The rewards are not one finite number per row.

    Notes
    -----
    Time: that of k-means, n sqrt(n) d, and of about probe * (arms + drawn batches) rewards; memory
    O(n + arms^2).

    Claims
    ------
    paper
        Quad: influence and diversity together by a bandit over clusters; better pretraining data
        at lower cost.
    here
        The bandit, with its sharing of rewards between near clusters.
    deviates
        Any reward; the influence by default is that of a linear model's gradients, not an
        attention layer's with curvature.
    measured
        Half of the way from the mean to the best cosine with a fifth of the rewards (test on
        CIFAR-10).

    References
    ----------
    Zhang et al., "Harnessing diversity for important data selection in pretraining large language
    models", 2024. Pruthi, Liu, Kale, Sundararajan, "Estimating training data influence by tracing
    gradient descent", 2020 (the influence). Auer, Cesa-Bianchi, Fischer,
    "Finite-time analysis of the multiarmed bandit problem", 2002.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.repeat(np.eye(3), 40, axis=0)
    >>> wanted = np.arange(120) // 40 == 1
    >>> selector = BanditSelector(budget=20, reward=lambda rows: wanted[rows]).fit(X)
    >>> int(wanted[selector.indices_].sum()), selector.report_["arms"]
    (20, 3)
    """

    limits: ClassVar[Limits] = {
        "reward": (Function("row numbers"), _INFLUENCE, None),
        "arms": ("kmeans", "groups", "communities"),
        "n_clusters": (Whole(1), "auto"),
        "metric": ("cosine", "l2"),
        "probe": (Whole(1),),
        "exploration": (Number("[0, inf)"),),
        "radius": (Number("[0, inf)"),),
        "rounds": (Whole(1),),
    }

    reward: Reward | Literal["influence"] | None = None
    arms: Literal["kmeans", "groups", "communities"] = "kmeans"
    n_clusters: int | Literal["auto"] = "auto"
    metric: Literal["cosine", "l2"] = "cosine"
    probe: int = 10
    exploration: float = 0.5
    radius: float = 0.2
    rounds: int = 50

    @classmethod
    def lacks_under(cls, options: Mapping[str, Any], given: Collection[str]) -> tuple[str, ...]:
        """Return the inputs that the reward and the arms need and that are not `given`."""
        lacking = []
        reward = options.get("reward")
        if reward == _INFLUENCE and "labels" not in given:
            lacking.append("labels")
        if reward is None and not {"target", "scores"} & set(given):
            lacking.append("target or scores")
        if options.get("arms") == "groups" and "groups" not in given:
            lacking.append("groups")
        return tuple(lacking)

    def _inputs(self, **arguments: Any) -> Inputs:
        if self.reward is None and arguments["target"] is None and arguments["scores"] is None:
            raise MissingInputError(
                "BanditSelector needs a reward; pass a callable as reward=, or a sample of the "
                "distribution wanted as target, or one number per row as scores."
            )
        if self.reward == _INFLUENCE:
            if arguments["y"] is None:
                raise MissingInputError(
                    "BanditSelector with reward='influence' needs labels, and y was not given; pass "
                    "one label per row."
                )
            return super()._inputs(**arguments)
        targeted = self.reward is None and arguments["target"] is not None
        if self.arms == "kmeans" or targeted:
            return super()._inputs(**arguments)
        argument = "groups" if self.arms == "groups" else "graph"
        if arguments[argument] is None:
            raise MissingInputError(
                f"BanditSelector with arms={self.arms!r} needs {argument}, and it was not given."
            )
        return Inputs(**arguments, method=type(self).__name__)

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        reward, source = self._reward(inputs)
        arm, nearness = self._clusters(inputs)
        noise = inputs.noise(self.random_state, "bandit")
        bandit = Arms(arm, noise, reward, nearness, self.probe, self.exploration, inputs.covered)
        first = bandit.begin()
        chosen, rounds = bandit.draw(budget, self.rounds)
        scores = bandit.means()[arm]
        sizes = np.bincount(arm)
        drawn = np.bincount(arm[chosen], minlength=len(sizes))
        rest = np.setdiff1d(np.arange(inputs.n), chosen)

        def of_arms(rows: Rows) -> dict[str, NDArray[Any]]:
            return {
                "arm": arm[rows],
                "arm_rows": sizes[arm[rows]],
                "arm_drawn": drawn[arm[rows]],
                "reward": bandit.rewards[rows],
            }

        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=[
                Outcome(rest, "select", "not_drawn", {"score": scores[rest], **of_arms(rest)})
            ],
            detail={**of_arms(chosen), "round": rounds},
            report={
                "reward": source,
                "arms": len(sizes),
                "arms_drawn": int(np.count_nonzero(drawn)),
                "rounds": int(rounds[-1]),
                "evaluations": int(np.count_nonzero(~np.isnan(bandit.rewards))),
                "reward_selected": _mean(bandit.rewards[chosen]),
                "reward_pool": float(first @ sizes / inputs.n),
            },
        )

    def _reward(self, inputs: Inputs) -> tuple[Callable[[Rows], Floats], str]:
        """Return the reward of canonical rows, and where it comes from."""
        scores = inputs.scores
        if self.reward == _INFLUENCE:
            # models are loaded where they are fitted
            from assay.selection.algorithms.influence_reward import influence_reward

            return influence_reward(inputs, int(self.random_state)), _INFLUENCE
        if callable(self.reward):
            reward = self.reward
            return lambda rows: _checked(reward(inputs.given_rows(rows).copy()), rows), "callable"
        if inputs.target is None:
            assert scores is not None
            return lambda rows: scores[rows], "scores"
        X = inputs.vectors()
        target = check_width(as_vectors(inputs.target, what="targets"), X.shape[1])
        # the mean of cosines is the part along the mean; sorted, so that the sum has one order
        wanted = np.sort(unit_rows(target), axis=0).mean(axis=0, dtype=np.float64)
        return lambda rows: np.einsum("ij,j->i", unit_rows(X[rows]), wanted), "target"

    def _clusters(self, inputs: Inputs) -> tuple[NDArray[np.int64], Floats | None]:
        """Return each row's arm, and how much of each other's rewards the arms take over."""
        if self.arms == "groups":
            assert inputs.groups is not None
            return _numbered(inputs.groups.codes), None
        if self.arms == "communities":
            graph = inputs.graph
            assert graph is not None
            weights = np.maximum(graph.weights, 0)
            clusters = communities(
                graph.indptr, graph.indices, weights, random_state=int(self.random_state)
            )
            return _numbered(clusters.labels), None
        count = round(inputs.n**0.5) if self.n_clusters == "auto" else int(self.n_clusters)
        rows = inputs.compared_vectors(self.metric)[0]
        noise = inputs.noise(self.random_state, "bandit/seeds")
        cells = cluster(rows, min(count, inputs.n), self.metric, noise)
        centroids = cells.centroids.astype(np.float64)
        if not self.radius:
            return cells.of_row, None
        squares = np.einsum("ij,ij->i", centroids, centroids)
        inner = np.einsum("id,jd->ij", centroids, centroids)
        apart = np.maximum(squares[:, None] + squares - 2 * inner, 0)
        distance = apart / 2 if self.metric == "cosine" else np.sqrt(apart)
        nearness = np.maximum(1 - distance / self.radius, 0)
        np.fill_diagonal(nearness, 1)
        return cells.of_row, nearness


def _checked(rewards: Any, rows: Rows) -> Floats:
    checked = np.asarray(rewards, dtype=np.float64)
    if checked.shape != rows.shape:
        raise InputError(
            f"The reward of {len(rows)} rows has shape {checked.shape}; return one number per row."
        )
    if not np.isfinite(checked).all():
        raise NonFiniteError("The reward returned NaN or infinite values; return finite numbers.")
    return checked


def _mean(rewards: Floats) -> float | None:
    known = rewards[~np.isnan(rewards)]
    return float(known.mean()) if len(known) else None


def _numbered(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return labels as 0, 1, ... without gaps."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


class Arms:
    """Arms by upper confidence bounds; see `assay.selection.selectors.bandit.BanditSelector`.

    Parameters
    ----------
    arm : int64[n]
        Arm of each row.
    noise : float64[n]
        Rows of an arm are drawn in falling order of it.
    reward : callable
        Returns the rewards of rows.
    nearness : float64[arms, arms], optional
        Weight of the rewards of arm j for arm i, 1 on the diagonal.
    probe : int
    exploration : float
    covered : bool[n], optional
        Rows that count as drawn already, and are the first to be rewarded.

    Attributes
    ----------
    rewards : float64[n]
        NaN where a row was not rewarded.
    """

    def __init__(
        self,
        arm: NDArray[np.int64],
        noise: Floats,
        reward: Callable[[Rows], Floats],
        nearness: Floats | None,
        probe: int,
        exploration: float,
        covered: NDArray[np.bool_] | None = None,
    ) -> None:
        self.arm, self.reward, self.nearness = arm, reward, nearness
        self.probe, self.exploration = int(probe), float(exploration)
        self.sizes = np.bincount(arm)
        # the rows arm by arm, each in the order in which it is drawn from
        had = np.zeros(len(arm), dtype=bool) if covered is None else covered
        self.drawn = np.bincount(arm[had], minlength=len(self.sizes)).astype(np.int64)
        self.place = places(arm, np.where(had, -1 - noise, -noise))
        self.order = np.lexsort((self.place, arm))
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.rewards = np.full(len(arm), np.nan)
        self.sums, self.counts = np.zeros(len(self.sizes)), np.zeros(len(self.sizes))
        self.spread = 0.0

    def begin(self) -> Floats:
        """Reward the first rows of every arm and return the mean of each."""
        rows = np.flatnonzero(self.place < self.probe)
        self._learn(rows)
        count = np.bincount(self.arm[rows])
        means: Floats = np.bincount(self.arm[rows], weights=self.rewards[rows]) / count
        within = self.rewards[rows] - means[self.arm[rows]]
        self.spread = float(np.sqrt((within**2).sum() / max(1, len(rows) - len(count))))
        return means

    def draw(self, budget: int, rounds: int) -> tuple[Rows, NDArray[np.int64]]:
        """Draw `budget` rows; return them in order, with the round of each."""
        at_once = max(1, len(self.sizes) // 20)
        batch = -(-budget // (int(rounds) * at_once))
        drawn = self.drawn.copy()
        chosen: list[Rows] = []
        left, numbers = budget, []
        while left:
            bonus = np.sqrt(2 * np.log(self.counts.sum() + 1) / self.counts)
            bounds = self.means() + self.exploration * self.spread * bonus
            bounds[drawn == self.sizes] = -np.inf
            best = np.argsort(-bounds, kind="stable")[:at_once]
            counts = np.minimum(batch, (self.sizes - drawn)[best])
            counts = np.minimum(counts, np.maximum(left - (np.cumsum(counts) - counts), 0))
            parts = [
                self.order[self.starts[a] + drawn[a] : self.starts[a] + drawn[a] + count]
                for a, count in zip(best, counts, strict=True)
            ]
            drawn[best] += counts
            left -= int(counts.sum())
            chosen += parts
            numbers.append(int(counts.sum()))
            unknown = [part[np.isnan(self.rewards[part])][: self.probe] for part in parts]
            self._learn(np.concatenate(unknown))
        return np.concatenate(chosen), np.repeat(np.arange(1, len(numbers) + 1), numbers)

    def means(self) -> Floats:
        means: Floats = self.sums / self.counts
        return means

    def _learn(self, rows: Rows) -> None:
        """Reward rows, and let arms near theirs learn from them too."""
        if not len(rows):
            return
        self.rewards[rows] = self.reward(rows)
        sums = np.bincount(self.arm[rows], weights=self.rewards[rows], minlength=len(self.sizes))
        counts = np.bincount(self.arm[rows], minlength=len(self.sizes)).astype(np.float64)
        if self.nearness is not None:
            sums = np.einsum("ij,j->i", self.nearness, sums)
            counts = np.einsum("ij,j->i", self.nearness, counts)
        self.sums += sums
        self.counts += counts
