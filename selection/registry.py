"""Every method by name: where its class is, what it needs, and one line of help.

The table holds import strings, so that looking through it imports nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from assay.storage.errors import ColumnError, ConfigError

__all__ = ["KINDS", "Entry", "Kind", "entries", "entry", "get", "help_text", "markdown_table"]

Kind = Literal["selector", "scorer", "ranker", "step"]
KINDS: tuple[Kind, ...] = ("selector", "scorer", "ranker", "step")


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes
    ----------
    name, kind : str
        Unique together.
    path : str
        ``"module:Class"``.
    help : str
        One line, for the command line and the documentation.
    needs : tuple of str
        Inputs it can't do without: "texts", "vectors", "graph", "labels", "target", "scores";
        "log": a training log as its parameter.
    uses : tuple of str
        Inputs it uses where they are given.
    vectors_for_texts : bool
        Whether vectors will do where there are no texts (the target's too then).
    nested : bool
        Whether every budget is a prefix of one ranking.
    exempt_from_order : bool
        Whether the result depends on the order of the rows, with default parameters.
    exempt_modes : tuple of str
        Values of its `mode` for which the result depends on the order of the rows.
    copies_tie : bool
        Rankers: whether copies of a column score equally (not where redundancy counts against a
        column, or a column's place in the table decides its random start).
    """

    name: str
    kind: Kind
    path: str
    help: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    nested: bool = False
    exempt_from_order: bool = False
    exempt_modes: tuple[str, ...] = ()
    copies_tie: bool = True
    vectors_for_texts: bool = False

    def lacks(self, there: Collection[str]) -> tuple[str, ...]:
        """Return what it needs that is not among the inputs `there`.

        Examples
        --------
        >>> entry("importance", "selector").lacks({"vectors"})
        ('target',)
        """
        if self.vectors_for_texts and "vectors" in there:
            there = {*there, "texts"}
        return tuple(need for need in self.needs if need not in there)

    def needs_told(self) -> list[str]:
        """Return what it needs, in words."""
        words = {"texts": "texts or vectors"} if self.vectors_for_texts else {}
        return [words.get(need, need) for need in self.needs]


# one line for each method, in the order of the documentation; paths are relative to this package
# fmt: off
_RELATIVE = (
    # selectors
    Entry("random", "selector", "selectors.random:RandomSelector", "a uniform random subset: the baseline", nested=True),
    Entry("importance", "selector", "importance.resampler:ImportanceResampler", "rows drawn by how much likelier they are under the target than in the pool", needs=("texts", "target"), exempt_modes=("dsir",), vectors_for_texts=True),
    Entry("ccs", "selector", "selectors.coverage_centric:CoverageCentricSelector", "the hardest rows cut off, the rest covered evenly over all difficulties", uses=("scores", "graph", "labels")),
    Entry("facility_location", "selector", "selectors.facility_location:FacilityLocationSelector", "the rows that represent all others best", needs=("graph",), nested=True),
    Entry("saturated_coverage", "selector", "selectors.saturated_coverage:SaturatedCoverageSelector", "rows that cover all others, each up to a share of its similarity", needs=("graph",), nested=True),
    Entry("graph_cut", "selector", "selectors.graph_cut:GraphCutSelector", "rows similar to the pool and unlike each other", needs=("graph",), nested=True),
    Entry("two_stage", "selector", "selectors.two_stage:TwoStageSelector", "a greedy selector on shards of the pool, then among what the shards propose", needs=("graph",)),
    Entry("d2", "selector", "selectors.d2:D2Selector", "difficult rows that are not next to each other, by messages on the graph", needs=("graph", "scores")),
    Entry("k_center", "selector", "selectors.k_center:KCenterSelector", "rows as far apart as can be, so that none is far from a chosen one", needs=("vectors",)),
    Entry("moderate", "selector", "selectors.moderate:ModerateSelector", "rows at the median distance from the centre of their class", needs=("vectors",), uses=("labels",)),
    Entry("herding", "selector", "selectors.herding:HerdingSelector", "rows whose mean stays next to the mean of the pool", needs=("vectors",), uses=("labels",)),
    Entry("hierarchical", "selector", "selectors.hierarchical:HierarchicalBalancedSelector", "the budget shared out evenly down a hierarchy of clusters", needs=("vectors",)),
    Entry("transport", "selector", "selectors.transport:TransportSelector", "the nearest rows of every target row, whitened, the last ones cut by optimal transport", needs=("vectors", "target")),
    Entry("bandit", "selector", "selectors.bandit:BanditSelector", "rows of the clusters whose sampled rows earn the highest reward", needs=("vectors",), uses=("target", "scores")),
    Entry("top", "selector", "selectors.top:TopSelector", "the rows with the highest scores", needs=("scores",), nested=True),
    # steps
    Entry("hard_cutoff", "step", "steps.hard_cutoff:HardCutoff", "the hardest rows dropped, which are mostly mislabelled or noise", uses=("scores", "graph", "labels")),
    Entry("exact_duplicates", "step", "steps.exact_duplicates:ExactDuplicates", "all but one of the rows with the same content", needs=("texts",), vectors_for_texts=True),
    Entry("leakage", "step", "steps.leakage:Leakage", "texts that hold items of an evaluation set", needs=("texts",)),
    Entry("near_duplicates", "step", "steps.near_duplicates:NearDuplicates", "texts that share most of their runs of words with one that stays", needs=("texts",)),
    Entry("semantic_duplicates", "step", "steps.semantic_duplicates:SemanticDuplicates", "rows whose vectors lie very close to one that stays", needs=("graph",)),
    Entry("pivot_duplicates", "step", "steps.pivot_duplicates:PivotDeduplicator", "rows very similar to one of a few pivots", needs=("vectors",)),
    # scorers
    Entry("importance", "scorer", "importance.scorer:ImportanceScorer", "how much likelier a row is under the target than in the pool (log weight)", needs=("texts", "target"), vectors_for_texts=True),
    Entry("pagerank", "scorer", "scorers.graph:PageRank", "share of a random walk's time on the similarity graph", needs=("graph",)),
    Entry("core_number", "scorer", "scorers.graph:CoreNumber", "how deep inside the similarity graph a row is (k-core)", needs=("graph",)),
    Entry("hubness", "scorer", "scorers.graph:Hubness", "how many rows have this row among their nearest", needs=("graph",)),
    Entry("knn_density", "scorer", "scorers.graph:KNNDensity", "similarity to the k-th nearest neighbour", needs=("graph",)),
    Entry("degree", "scorer", "scorers.graph:Degree", "how many rows a row is joined to", needs=("graph",)),
    Entry("clustering", "scorer", "scorers.graph:ClusteringCoefficient", "share of the pairs of a row's neighbours that are joined", needs=("graph",)),
    Entry("eigenvector", "scorer", "scorers.graph:Eigenvector", "eigenvector centrality in the similarity graph, by component", needs=("graph",)),
    Entry("outlierness", "scorer", "scorers.outlierness:Outlierness", "distance to the k-th nearest row, copies counted once", needs=("vectors",), uses=("graph",)),
    Entry("isolation", "scorer", "scorers.isolation:Isolation", "how few random cuts set a row apart (isolation forest)", needs=("vectors",)),
    Entry("mahalanobis", "scorer", "scorers.mahalanobis:Mahalanobis", "distance from the mean under a shrunk covariance, copies counted once", needs=("vectors",)),
    Entry("lof", "scorer", "scorers.local_outlier_factor:LocalOutlierFactor", "how much sparser a row's surroundings are than its neighbours', copies counted once", needs=("vectors",), uses=("graph",)),
    Entry("prototypicality", "scorer", "scorers.prototypicality:Prototypicality", "closeness to the centre of the row's cluster", needs=("vectors",)),
    Entry("weighting", "scorer", "scorers.weighting:Weighting", "weight of the row in its surroundings: large at the boundary", needs=("vectors",), uses=("graph",)),
    Entry("label_agreement", "scorer", "scorers.label_agreement:LabelAgreement", "weighted share of neighbours with the same label", needs=("graph", "labels")),
    Entry("self_confidence", "scorer", "scorers.self_confidence:SelfConfidence", "out-of-fold probability of the row's own label", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True),
    Entry("margin", "scorer", "scorers.self_confidence:Margin", "out-of-fold probability of the row's label less that of the likeliest other one", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True),
    Entry("pvi", "scorer", "scorers.self_confidence:PVI", "bits that the row tells of its label (pointwise V-information)", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True),
    Entry("aum", "scorer", "scorers.training_dynamics:AUM", "area under the margin of the label over the epochs of a training log", needs=("log",), uses=("labels",)),
    Entry("el2n", "scorer", "scorers.training_dynamics:EL2N", "distance of the predictions from the label over the first epochs of a training log", needs=("log",), uses=("labels",)),
    Entry("forgetting", "scorer", "scorers.training_dynamics:Forgetting", "how often a row was right and then wrong in a training log; never right = hardest", needs=("log",), uses=("labels",)),
    Entry("entropy", "scorer", "scorers.training_dynamics:Entropy", "entropy of the last prediction of a training log", needs=("log",)),
    # rankers
    Entry("ecfs", "ranker", "rankers.ecfs:ECFS", "columns by eigenvector centrality in a graph of relevance and spread", needs=("vectors", "labels")),
    Entry("inf_fs", "ranker", "rankers.inf_fs:InfFS", "columns by the energy of all paths through a graph of spread and unlikeness", needs=("vectors",), uses=("labels",)),
    Entry("outrank", "ranker", "rankers.outrank:OutRank", "columns by mutual information less what chance gives to as many levels", needs=("vectors", "labels"), exempt_modes=("shift",)),
    Entry("distance_correlation", "ranker", "rankers.distance_correlation:DistanceCorrelation", "columns by any relation to the classes or to a number", needs=("vectors", "labels")),
    Entry("sequential_attention", "ranker", "rankers.sequential_attention:SequentialAttention", "columns by what they explain beyond those chosen before (matching pursuit)", needs=("vectors", "labels"), copies_tie=False),
    Entry("quick_selection", "ranker", "rankers.quick_selection:QuickSelection", "columns by their links in a sparse denoising auto-encoder, without labels", needs=("vectors",), copies_tie=False),
    Entry("mrmr", "ranker", "rankers.mrmr:MRMR", "columns one by one, relevant to the classes and not redundant to those before", needs=("vectors", "labels"), copies_tie=False),
    Entry("relieff", "ranker", "rankers.relieff:ReliefF", "columns by their differences to near rows of other classes, less those of one class", needs=("vectors", "labels")),
    Entry("laplacian", "ranker", "rankers.laplacian:LaplacianScore", "columns by how smooth they are on the similarity graph of the rows, without labels", needs=("vectors",)),
    Entry("fisher", "ranker", "rankers.fisher:FisherScore", "columns by variance between the classes over variance within them", needs=("vectors", "labels")),
    Entry("f_classif", "ranker", "rankers.univariate:FTest", "columns by the F statistic of their class means (scikit-learn)", needs=("vectors", "labels")),
    Entry("mutual_info_classif", "ranker", "rankers.univariate:NeighborInformation", "columns by mutual information estimated from neighbours (scikit-learn)", needs=("vectors", "labels")),
    Entry("chi2", "ranker", "rankers.univariate:ChiSquared", "columns of counts by how far their sums per class are from chance (scikit-learn)", needs=("vectors", "labels")),
)
# fmt: on
_TABLE = tuple(replace(entry, path=f"{__package__}.{entry.path}") for entry in _RELATIVE)


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """Return all entries, or those of one kind, in the order of the documentation.

    Raises
    ------
    ConfigError
        `kind` is none of `KINDS`.

    Examples
    --------
    >>> [entry.name for entry in entries("ranker")][:2]
    ['ecfs', 'inf_fs']
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"There is no kind {kind!r}; kinds are: {', '.join(KINDS)}.")
    return tuple(entry for entry in _TABLE if kind in (None, entry.kind))


def entry(name: str, kind: str) -> Entry:
    """Return the entry of one method.

    Raises
    ------
    ColumnError
        No method of that kind has this name; the message names the likely one.
    """
    found = {entry.name: entry for entry in entries(kind)}
    if name not in found:
        raise ColumnError.missing(name, found, what=kind)
    return found[name]


def get(name: str, kind: str) -> Any:
    """Return the class of one method, imported now.

    Raises
    ------
    ColumnError
        No method of that kind has this name.

    Examples
    --------
    >>> get("random", "selector").__name__
    'RandomSelector'
    """
    module, _, attribute = entry(name, kind).path.partition(":")
    return getattr(import_module(module), attribute)


def help_text(kind: str) -> str:
    """Return one line per method of a kind, for the command line.

    Examples
    --------
    >>> print(help_text("ranker").splitlines()[0])
    ecfs                  columns by eigenvector centrality in a graph of relevance and spread (needs vectors, labels)
    """
    found = entries(kind)
    width = max((len(entry.name) for entry in found), default=0)
    return "\n".join(
        f"{entry.name:<{width}}  {entry.help}"
        + (f" (needs {', '.join(entry.needs_told())})" if entry.needs else "")
        for entry in found
    )


def markdown_table(kind: str | None = None) -> str:
    """Return the documentation's table of methods.

    Examples
    --------
    >>> print(markdown_table("ranker").splitlines()[0])
    | name | kind | what it does | needs | nested | class |
    """
    lines = ["| name | kind | what it does | needs | nested | class |", "|" + " --- |" * 6]
    for entry in entries(kind):
        module, _, attribute = entry.path.partition(":")
        needs = ", ".join([*entry.needs_told(), *(f"[{name}]" for name in entry.uses)])
        nested = "yes" if entry.nested else ""
        lines.append(
            f"| `{entry.name}` | {entry.kind} | {entry.help} | {needs} | {nested} "
            f"| `{module}.{attribute}` |"
        )
    return "\n".join(lines)
