"""Every method by name: where its class is, what it needs, and one line of help.

One table declares the methods of this package; others add theirs by entry points of the group
`assay.methods`, and declare them on the class (see `Method`). The table holds import strings, so that looking
through it imports nothing.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple

from assay.storage.docstrings import definitions, described_parameters, filled_doc, section_of
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.lazy import Plugin, PluginWarning, load_plugins
from assay.storage.limits import Limits, check_limits
from assay.storage.notebook import Shown

Kind = Literal["selector", "scorer", "ranker", "step"]
KINDS: tuple[Kind, ...] = ("selector", "scorer", "ranker", "step")
INPUTS = ("texts", "vectors", "graph", "labels", "target", "scores", "log", "seeds")
GROUP = "assay.methods"
# arguments of `fit` that bear another name than the input
_ARGUMENTS = {"texts": "X", "vectors": "X", "labels": "y"}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a method can do.

    Attributes
    ----------
    needs : tuple of str
        Inputs it can't do without: "texts", "vectors", "graph", "labels", "target", "scores";
        "log": a training log as its parameter; "seeds": ids of rows as its parameter.
    uses : tuple of str
        Inputs it uses where they are given.
    vectors_for_texts : bool
        Whether vectors will do where there are no texts (the target's too then).
    images_for_texts : bool
        Whether image files will do where there are no texts.
    points : {"easier", "harder"}, optional
        Scorers: what a high score says about a row, so that a plan can turn the score into a
        difficulty (higher = harder).
    honors_covered : bool
        Selectors: whether rows that are had already count as chosen (`covered`); those that can't
        refuse them.
    covers_labeled : bool
        Selectors: whether rows with a label count as covered.
    nested : bool
        Selectors: whether every budget is a prefix of one ranking.
    has_difficulty : bool
        Whether it takes `scores` as a difficulty (higher = harder).
    has_cutoff, has_metric : bool
        Whether it has a parameter `cutoff` (the share to drop as too hard), or `metric`.
    has_hasher : bool
        Whether its `hasher()` makes the streams of n-grams that it takes in place of texts.
    by_shards : bool
        Scorers: whether `ratio` and `combined` score a pool shard by shard.
    reported : tuple of str
        Scorers: entries of the report that a run stores as metrics.
    exempt_from_order : bool
        Whether the result depends on the order of the rows, with default parameters.
    exempt_modes : tuple of str
        Values of its `mode` for which the result depends on the order of the rows.
    copies_tie : bool
        Rankers: whether copies of a column score equally (not where redundancy counts against a
        column, or a column's place in the table decides its random start).
    in_consensus : bool
        Rankers: whether a consensus counts it without being told to.
    judged_by : tuple of str
        Selectors: figures of the ledger that say how well it did what it is for, the first first.
    """

    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    vectors_for_texts: bool = False
    images_for_texts: bool = False
    points: Literal["easier", "harder"] | None = None
    honors_covered: bool = False
    covers_labeled: bool = False
    nested: bool = False
    has_difficulty: bool = False
    has_cutoff: bool = False
    has_metric: bool = False
    has_hasher: bool = False
    by_shards: bool = False
    reported: tuple[str, ...] = ()
    exempt_from_order: bool = False
    exempt_modes: tuple[str, ...] = ()
    copies_tie: bool = True
    in_consensus: bool = True
    judged_by: tuple[str, ...] = ()


class Method(Shown):
    """Base of every method: the fields of `Declaration` as class attributes.

    The methods of this package are declared in the table, and get their attributes from there.
    Others set what differs from the defaults on the class, and `kind`.
    """

    kind: ClassVar[Kind]
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    vectors_for_texts: ClassVar[bool] = False
    images_for_texts: ClassVar[bool] = False
    points: ClassVar[Literal["easier", "harder"] | None] = None
    honors_covered: ClassVar[bool] = False
    covers_labeled: ClassVar[bool] = False
    nested: ClassVar[bool] = False
    has_difficulty: ClassVar[bool] = False
    has_cutoff: ClassVar[bool] = False
    has_metric: ClassVar[bool] = False
    has_hasher: ClassVar[bool] = False
    by_shards: ClassVar[bool] = False
    reported: ClassVar[tuple[str, ...]] = ()
    exempt_from_order: ClassVar[bool] = False
    exempt_modes: ClassVar[tuple[str, ...]] = ()
    copies_tie: ClassVar[bool] = True
    in_consensus: ClassVar[bool] = True
    judged_by: ClassVar[tuple[str, ...]] = ()
    # what each parameter may be, beside what a base class says: see `assay.storage.limits`
    limits: ClassVar[Limits] = {}

    def check_parameters(self) -> None:
        """Refuse parameters that are not what they may be."""
        values = self.get_params(deep=False)  # type: ignore[attr-defined]
        check_limits({n: may for n, may in self.limits.items() if n in values}, values)

    @classmethod
    def lacks_under(cls, options: Mapping[str, Any], given: Collection[str]) -> tuple[str, ...]:
        """Return what its parameters need, beyond `needs`, that is not among the inputs `given`."""
        return ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.limits = {
            name: allowed
            for base in reversed(cls.__mro__)
            for name, allowed in vars(base).get("limits", {}).items()
        }
        entry = _BY_PATH.get(f"{cls.__module__}:{cls.__qualname__}")
        if entry is not None:
            cls.kind = entry.kind
            for field in fields(Declaration):
                setattr(cls, field.name, getattr(entry, field.name))
        if cls.__doc__ is not None:
            bases = (base for base in cls.__mro__[1:] if issubclass(base, Method))
            docs = [base.__doc__ for base in bases if base.__doc__]
            cls.__doc__ = filled_doc(cls.__doc__, [*docs, cls._errors()])

    @classmethod
    def _errors(cls) -> str:
        """Return the section of the errors that follow from what is declared."""
        errors = []
        if cls.needs and getattr(cls, "kind", None) != "ranker":
            arguments = dict.fromkeys(_ARGUMENTS.get(need, need) for need in cls.needs)
            names = " or ".join(f"`{argument}`" for argument in arguments)
            errors.append(f"MissingInputError\n    {names} was not given.\n")
        if cls.limits:
            errors.append("ConfigError\n    A parameter is not what it may be.\n")
        return "Raises\n------\n" + "".join(errors)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method: its name, its default (none where it has to be given), its meaning."""

    name: str
    default: str | None
    meaning: str


class Claims(NamedTuple):
    """What a method's source claims, and what became of it here: the section of that name in its docstring.

    Attributes
    ----------
    paper : str
        What the source claims.
    here : str
        What the method does of it.
    deviates : str
        Where it differs on purpose.
    measured : str
        The figure, with the table or test that holds it.
    """

    paper: str
    here: str
    deviates: str
    measured: str


@dataclass(frozen=True)
class Entry(Declaration):
    """One method, with what it declares.

    Attributes
    ----------
    name, kind : str
        Unique together.
    path : str
        ``"module:Class"``.
    help : str
        One line, for the command line and the documentation.
    package : str
        Of somebody else's method the package and its version, ``"name 1.0"``; else empty.
    """

    name: str
    kind: Kind
    path: str
    help: str
    package: str = ""

    def lacks(self, given: Collection[str]) -> tuple[str, ...]:
        """Return what it needs that is not among the inputs `given`.

        Examples
        --------
        >>> entry("importance", "selector").lacks({"vectors"})
        ('target',)
        """
        replaced = (self.vectors_for_texts, "vectors"), (self.images_for_texts, "images")
        if any(allowed and name in given for allowed, name in replaced):
            given = {*given, "texts"}
        return tuple(need for need in self.needs if need not in given)

    def describe_needs(self) -> list[str]:
        """Return what it needs, in words."""
        others = ["vectors"] * self.vectors_for_texts + ["images"] * self.images_for_texts
        texts = " or ".join(["texts", *others])
        return [texts if need == "texts" else need for need in self.needs]

    def load(self) -> Any:
        """Import and return its class."""
        module, _, attribute = self.path.partition(":")
        return getattr(import_module(module), attribute)

    def check_options(self, options: Collection[str], given: Collection[str] = ()) -> None:
        """Refuse options that are no parameters of it, or are `given` otherwise.

        Raises
        ------
        ColumnError
            An option is unknown; the message names the likely one.
        """
        known = sorted(set(parameter_defaults(self.load())) - set(given))
        for name in options:
            if name not in known:
                raise ColumnError.missing(name, known, what=f"option of {self.name}")


# one line for each method, in the order of the documentation; paths are relative to this package
# fmt: off
_RELATIVE = (
    # selectors
    Entry("random", "selector", "selectors.random:RandomSelector", "a uniform random subset: the baseline", nested=True, judged_by=("cmmd_pool", "coverage.mean_distance", "facility_location_ratio")),
    Entry("importance", "selector", "importance.resampler:ImportanceResampler", "rows drawn by how much likelier they are under the target than in the pool", needs=("texts", "target"), exempt_modes=("dsir",), vectors_for_texts=True, has_hasher=True, judged_by=("kl_target", "cmmd_target", "spread.vendi")),
    Entry("ccs", "selector", "selectors.coverage_centric:CoverageCentricSelector", "the hardest rows cut off, the rest covered evenly over all difficulties", uses=("scores", "graph", "labels"), has_difficulty=True, has_cutoff=True, judged_by=("coverage.mean_distance", "score_mean", "class.entropy")),
    Entry("window", "selector", "selectors.window:WindowSelector", "the run of rows by difficulty that a model learns most from, else `ccs`", needs=("vectors", "labels"), uses=("scores", "graph"), has_difficulty=True, judged_by=("coverage.mean_distance", "score_mean", "class.entropy")),
    Entry("facility_location", "selector", "selectors.facility_location:FacilityLocationSelector", "the rows that represent all others best", needs=("graph",), nested=True, judged_by=("facility_location_ratio", "coverage.mean_distance", "words_covered")),
    Entry("saturated_coverage", "selector", "selectors.saturated_coverage:SaturatedCoverageSelector", "rows that cover all others, each up to a share of its similarity", needs=("graph",), nested=True, judged_by=("facility_location_ratio", "coverage.mean_distance", "words_covered")),
    Entry("graph_cut", "selector", "selectors.graph_cut:GraphCutSelector", "rows similar to the pool and unlike each other", needs=("graph",), nested=True, judged_by=("facility_location_ratio", "spread.vendi", "duplicates_left")),
    Entry("two_stage", "selector", "selectors.two_stage:TwoStageSelector", "a greedy selector on shards of the pool, then among what the shards propose", needs=("graph",), judged_by=("facility_location_ratio", "coverage.mean_distance", "words_covered")),
    Entry("d2", "selector", "selectors.d2:D2Selector", "difficult rows that are not next to each other, by messages on the graph", needs=("graph", "scores"), has_difficulty=True, has_cutoff=True, judged_by=("score_mean", "spread.vendi", "duplicates_left")),
    Entry("k_center", "selector", "selectors.k_center:KCenterSelector", "rows as far apart as can be, so that none is far from a chosen one", needs=("vectors",), has_metric=True, judged_by=("coverage.max_distance", "coverage.radius_95", "spread.vendi")),
    Entry("moderate", "selector", "selectors.moderate:ModerateSelector", "rows at the median distance from the center of their class", needs=("vectors",), uses=("labels",), has_metric=True, judged_by=("score_mean", "cmmd_pool", "class.entropy")),
    Entry("herding", "selector", "selectors.herding:HerdingSelector", "rows whose mean stays next to the mean of the pool", needs=("vectors",), uses=("labels",), judged_by=("cmmd_pool", "coverage.mean_distance", "facility_location_ratio")),
    Entry("hierarchical", "selector", "selectors.hierarchical:HierarchicalBalancedSelector", "the budget shared out evenly down a hierarchy of clusters", needs=("vectors",), has_metric=True, judged_by=("coverage.radius_95", "spread.vendi", "duplicates_left")),
    Entry("stratified", "selector", "selectors.stratified:StratifiedSelector", "a random subset that holds every kind of row in proportion to its frequency", needs=("vectors",), has_metric=True, judged_by=("cmmd_pool", "coverage.mean_distance", "facility_location_ratio")),
    Entry("transport", "selector", "selectors.transport:TransportSelector", "the nearest rows of every target row, whitened, the last ones cut by optimal transport", needs=("vectors", "target"), judged_by=("cmmd_target", "kl_target", "spread.vendi")),
    Entry("round_robin", "selector", "selectors.round_robin:RoundRobinSelector", "the nearest row left of each target row in turn (RDS+, LESS)", needs=("vectors", "target"), judged_by=("cmmd_target", "kl_target", "spread.vendi")),
    Entry("bandit", "selector", "selectors.bandit:BanditSelector", "rows of the clusters whose sampled rows earn the highest reward", needs=("vectors",), uses=("target", "scores", "labels"), has_metric=True, judged_by=("cmmd_target", "score_mean", "class.entropy")),
    Entry("top", "selector", "selectors.top:TopSelector", "the rows with the highest scores", needs=("scores",), nested=True, judged_by=("score_mean", "spread.vendi", "duplicates_left")),
    Entry("sample", "selector", "selectors.sample:SampleSelector", "rows drawn in proportion to a score, with weights that undo it", needs=("scores",), nested=True, judged_by=("score_mean", "spread.vendi", "duplicates_left")),
    Entry("next_batch", "selector", "selectors.next_batch:NextBatchSelector", "the next rows to label: those that cover what a model of the labels so far is unsure of", needs=("vectors",), uses=("labels", "graph"), covers_labeled=True, has_metric=True, judged_by=("coverage.mean_distance", "facility_location_ratio", "spread.vendi")),
    # steps
    Entry("hard_cutoff", "step", "steps.hard_cutoff:HardCutoff", "the hardest rows dropped, which are mostly mislabeled or noise", uses=("scores", "graph", "labels"), has_difficulty=True, has_cutoff=True),
    Entry("exact_duplicates", "step", "steps.exact_duplicates:ExactDuplicates", "all but one of the rows with the same content (images: the same pixels)", needs=("texts",), vectors_for_texts=True, images_for_texts=True),
    Entry("leakage", "step", "steps.leakage:Leakage", "texts that hold items of an evaluation set", needs=("texts",)),
    Entry("in_reference", "step", "steps.in_reference:InReference", "rows that another data set holds already: exactly, nearly or semantically", needs=("texts",), uses=("graph",), vectors_for_texts=True),
    Entry("near_duplicates", "step", "steps.near_duplicates:NearDuplicates", "texts that share most of their runs of words with one that stays; images that look like one", needs=("texts",), images_for_texts=True),
    Entry("semantic_duplicates", "step", "steps.semantic_duplicates:SemanticDuplicates", "rows whose vectors lie very close to one that stays", needs=("graph",)),
    Entry("pivot_duplicates", "step", "steps.pivot_duplicates:PivotDeduplicator", "rows very similar to one of a few pivots", needs=("vectors",)),
    # scorers
    Entry("importance", "scorer", "importance.scorer:ImportanceScorer", "how much likelier a row is under the target than in the pool (log weight)", needs=("texts", "target"), vectors_for_texts=True, points="easier", has_hasher=True, by_shards=True),
    Entry("pagerank", "scorer", "scorers.graph:PageRank", "share of a random walk's time on the similarity graph", needs=("graph",), points="easier"),
    Entry("core_number", "scorer", "scorers.graph:CoreNumber", "how deep inside the similarity graph a row is (k-core)", needs=("graph",), points="easier"),
    Entry("hubness", "scorer", "scorers.graph:Hubness", "how many rows have this row among their nearest", needs=("graph",), points="easier"),
    Entry("like", "scorer", "scorers.like:Like", "how closely a row belongs with seed rows on the similarity graph: more like these", needs=("graph", "seeds"), points="harder"),
    Entry("like_vectors", "scorer", "scorers.like_vectors:LikeVectors", "mean cosine with the vectors of the seed rows: more like these", needs=("vectors", "seeds"), points="harder"),
    Entry("like_words", "scorer", "scorers.like_words:LikeWords", "mean cosine with the seed texts by their rare words: more that names the same", needs=("texts", "seeds"), points="harder"),
    Entry("knn_density", "scorer", "scorers.graph:KNNDensity", "similarity to the k-th nearest neighbor", needs=("graph",), points="easier"),
    Entry("degree", "scorer", "scorers.graph:Degree", "how many rows a row is joined to", needs=("graph",), points="easier"),
    Entry("clustering", "scorer", "scorers.graph:ClusteringCoefficient", "share of the pairs of a row's neighbors that are joined", needs=("graph",), points="easier"),
    Entry("eigenvector", "scorer", "scorers.graph:Eigenvector", "eigenvector centrality in the similarity graph, by component", needs=("graph",), points="easier"),
    Entry("outlierness", "scorer", "scorers.outlierness:Outlierness", "distance to the k-th nearest row, copies counted once; of the target's rows where there is one", needs=("vectors",), uses=("graph", "target"), has_metric=True, points="harder"),
    Entry("novelty", "scorer", "scorers.novelty:Novelty", "distance to the k-th nearest of the known rows (the target), with how many rows are new", needs=("vectors", "target"), uses=("graph",), has_metric=True, points="harder", reported=("new",)),
    Entry("novelty_p", "scorer", "scorers.novelty:NoveltyP", "conformal p-value of being drawn as the known rows (the target) were; near 0 = new", needs=("vectors", "target"), uses=("graph",), has_metric=True, points="easier"),
    Entry("novelty_mahalanobis", "scorer", "scorers.novelty:NoveltyMahalanobis", "distance to the nearest class or cell of the known rows (the target) under one covariance", needs=("vectors", "target"), points="harder"),
    Entry("isolation", "scorer", "scorers.isolation:Isolation", "how few random cuts set a row apart (isolation forest)", needs=("vectors",), points="harder"),
    Entry("mahalanobis", "scorer", "scorers.mahalanobis:Mahalanobis", "distance from the mean under a shrunk covariance, copies counted once; of the target's rows where there is one", needs=("vectors",), uses=("target",), points="harder"),
    Entry("lof", "scorer", "scorers.local_outlier_factor:LocalOutlierFactor", "how much sparser a row's surroundings are than its neighbors', copies counted once", needs=("vectors",), uses=("graph",), has_metric=True, points="harder"),
    Entry("prototypicality", "scorer", "scorers.prototypicality:Prototypicality", "closeness to the center of the row's cluster", needs=("vectors",), uses=("graph",), has_metric=True, points="easier"),
    Entry("weighting", "scorer", "scorers.weighting:Weighting", "weight of the row in its surroundings: large at the boundary", needs=("vectors",), uses=("graph",), has_metric=True, points="harder"),
    Entry("label_agreement", "scorer", "scorers.label_agreement:LabelAgreement", "weighted share of neighbors with the same label", needs=("graph", "labels"), points="easier"),
    Entry("community_agreement", "scorer", "scorers.community_agreement:CommunityAgreement", "share of the other labeled rows of the community with the same label", needs=("graph", "labels"), points="easier"),
    Entry("self_confidence", "scorer", "scorers.self_confidence:SelfConfidence", "out-of-fold probability of the row's own label", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True, points="easier"),
    Entry("margin", "scorer", "scorers.self_confidence:Margin", "out-of-fold probability of the row's label less that of the likeliest other one", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True, points="easier"),
    Entry("noise_weight", "scorer", "scorers.noise_weight:NoiseWeight", "weight that makes rows drawn by it as if labels were clean; near 0 = label likely wrong", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True, points="easier", reported=("noise", "transition")),
    Entry("pvi", "scorer", "scorers.self_confidence:PVI", "bits that the row tells of its label (pointwise V-information)", needs=("texts", "labels"), uses=("graph",), vectors_for_texts=True, points="easier"),
    Entry("uncertainty", "scorer", "scorers.uncertainty:Uncertainty", "how close the two likeliest classes are to a model of the labels so far", needs=("vectors",), uses=("labels", "graph"), points="harder"),
    Entry("predicted_entropy", "scorer", "scorers.uncertainty:PredictedEntropy", "entropy of the class that a model of the labels so far predicts", needs=("vectors",), uses=("labels", "graph"), points="harder"),
    Entry("neighbor_disagreement", "scorer", "scorers.neighbor_disagreement:NeighborDisagreement", "how far the neighbors are of another class than a model of the labels so far says", needs=("vectors", "graph"), uses=("labels",), points="harder"),
    Entry("typicality", "scorer", "scorers.typicality:Typicality", "inverse of the mean distance to the neighbors", needs=("graph",), points="easier"),
    Entry("novelty_to_labeled", "scorer", "scorers.novelty:NoveltyToLabeled", "distance to the nearest labeled row", needs=("vectors",), uses=("labels", "graph"), has_metric=True, points="harder"),
    Entry("gopher_quality", "scorer", "scorers.text_rules:GopherQuality", "how many of Gopher's rules of quality a text breaks", needs=("texts",), points="harder"),
    Entry("c4_quality", "scorer", "scorers.text_rules:C4Quality", "how many of C4's rules a text breaks", needs=("texts",), points="harder"),
    Entry("gopher_repetition", "scorer", "scorers.repetition:GopherRepetition", "how many of Gopher's rules of repetition a text breaks", needs=("texts",), points="harder"),
    Entry("repetition", "scorer", "scorers.repetition:Repetition", "share of a text that repeats what it said before: runs of words, lines, paragraphs", needs=("texts",), points="harder"),
    Entry("compression_ratio", "scorer", "scorers.compression_ratio:CompressionRatio", "bytes of a text for each byte of its compressed form; high = it repeats itself", needs=("texts",), points="harder"),
    Entry("digit_share", "scorer", "scorers.character_shares:DigitShare", "share of a text's characters that are digits", needs=("texts",), points="harder"),
    Entry("symbol_share", "scorer", "scorers.character_shares:SymbolShare", "share of a text's characters that are symbols", needs=("texts",), points="harder"),
    Entry("punctuation_share", "scorer", "scorers.character_shares:PunctuationShare", "share of a text's characters that are punctuation", needs=("texts",), points="harder"),
    Entry("upper_case_share", "scorer", "scorers.character_shares:UpperCaseShare", "share of a text's letters that are upper case", needs=("texts",), points="harder"),
    Entry("stop_word_share", "scorer", "scorers.stop_word_share:StopWordShare", "share of a text's words that are stop words of a language; low in lists and spam", needs=("texts",), points="easier"),
    Entry("tokens", "scorer", "scorers.tokens:Tokens", "length of a text in words, characters, bytes or tokens of a tokenizer", needs=("texts",), points="harder"),
    Entry("language", "scorer", "scorers.language:Language", "probability that a text is in a language", needs=("texts",), points="easier", reported=("languages",)),
    Entry("dclm_quality", "scorer", "scorers.dclm_quality:DclmQuality", "log odds that a row is good text (the target) rather than ordinary text (the pool)", needs=("texts", "target"), vectors_for_texts=True, points="easier", reported=("auroc",)),
    Entry("aum", "scorer", "scorers.training_dynamics:AUM", "area under the margin of the label over the epochs of a training log", needs=("log",), uses=("labels",), points="easier"),
    Entry("el2n", "scorer", "scorers.training_dynamics:EL2N", "distance of the predictions from the label over the first epochs of a training log", needs=("log",), uses=("labels",), points="harder"),
    Entry("forgetting", "scorer", "scorers.training_dynamics:Forgetting", "how often a row was right and then wrong in a training log; never right = hardest", needs=("log",), uses=("labels",), points="harder"),
    Entry("entropy", "scorer", "scorers.training_dynamics:Entropy", "entropy of the last prediction of a training log", needs=("log",), points="harder"),
    Entry("confidence", "scorer", "scorers.training_cartography:Confidence", "mean probability of the label over the epochs of a training log", needs=("log", "labels"), points="easier"),
    Entry("variability", "scorer", "scorers.training_cartography:Variability", "standard deviation of the label's probability over a training log (window=10: Dyn-Unc)", needs=("log", "labels"), points="harder"),
    Entry("dual", "scorer", "scorers.training_cartography:DUAL", "difficulty times uncertainty of the label's probability over runs of epochs of a training log", needs=("log", "labels"), points="harder"),
    Entry("tdds", "scorer", "scorers.training_trajectory:TDDS", "unsteadiness of how far predictions move over a training log, late epochs most (temporal dual-depth)", needs=("log",), points="harder"),
    Entry("cld", "scorer", "scorers.training_trajectory:CLD", "correlation of a row's loss steps with those of the validation loss, over a training log", needs=("log", "labels"), points="easier"),
    # rankers
    Entry("ecfs", "ranker", "rankers.ecfs:ECFS", "columns by eigenvector centrality in a graph of relevance and spread", needs=("vectors", "labels")),
    Entry("inf_fs", "ranker", "rankers.inf_fs:InfFS", "columns by the energy of all paths through a graph of spread and unlikeness", needs=("vectors",), uses=("labels",)),
    Entry("outrank", "ranker", "rankers.outrank:OutRank", "columns by mutual information less what chance gives to as many levels", needs=("vectors", "labels"), exempt_modes=("shift",)),
    Entry("distance_correlation", "ranker", "rankers.distance_correlation:DistanceCorrelation", "columns by any relation to the classes or to a number", needs=("vectors", "labels")),
    Entry("sequential_attention", "ranker", "rankers.sequential_attention:SequentialAttention", "columns by what they explain beyond those chosen before (matching pursuit)", needs=("vectors", "labels"), copies_tie=False),
    Entry("quick_selection", "ranker", "rankers.quick_selection:QuickSelection", "columns by their links in a sparse denoising auto-encoder, without labels", needs=("vectors",), copies_tie=False),
    Entry("mrmr", "ranker", "rankers.mrmr:MRMR", "columns one by one, relevant to the classes and not redundant to those before", needs=("vectors", "labels"), copies_tie=False),
    Entry("jmi", "ranker", "rankers.jmi:JMI", "columns one by one by what they tell together with each of those before", needs=("vectors", "labels"), copies_tie=False),
    Entry("cmim", "ranker", "rankers.jmi:CMIM", "columns one by one by what they tell beyond the nearest of those before", needs=("vectors", "labels"), copies_tie=False),
    Entry("relieff", "ranker", "rankers.relieff:ReliefF", "columns by their differences to near rows of other classes, less those of one class", needs=("vectors", "labels")),
    Entry("laplacian", "ranker", "rankers.laplacian:LaplacianScore", "columns by how smooth they are on the similarity graph of the rows, without labels", needs=("vectors",), has_metric=True),
    Entry("fisher", "ranker", "rankers.fisher:FisherScore", "columns by variance between the classes over variance within them", needs=("vectors", "labels")),
    Entry("f_classif", "ranker", "rankers.univariate:FTest", "columns by the F statistic of their class means (scikit-learn)", needs=("vectors", "labels")),
    Entry("mutual_info_classif", "ranker", "rankers.univariate:NeighborInformation", "columns by mutual information estimated from neighbors (scikit-learn); not corrected for chance, so that with rare classes noise may rank high: left out of a consensus unless named", needs=("vectors", "labels"), in_consensus=False),
    Entry("chi2", "ranker", "rankers.univariate:ChiSquared", "columns of counts by how far their sums per class are from chance (scikit-learn)", needs=("vectors", "labels")),
)
# fmt: on
# all selectors of this package honor covered rows
_TABLE = tuple(
    replace(entry, path=f"{__package__}.{entry.path}", honors_covered=entry.kind == "selector")
    for entry in _RELATIVE
)
_BY_PATH: Mapping[str, Entry] = {entry.path: entry for entry in _TABLE}
REQUIRED = inspect.Parameter.empty


def classes() -> dict[str, str]:
    """Return the module of every class of the table, relative to the package: its face."""
    parts = (entry.path.removeprefix(str(__package__)).partition(":") for entry in _TABLE)
    return {name: module for module, _, name in parts}


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """Return all entries, or those of one kind, in the order of the documentation.

    Those of other packages come last, by name.

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
    return tuple(entry for entry in (*_TABLE, *_added()[0]) if kind in (None, entry.kind))


def left_out() -> tuple[Plugin, ...]:
    """Return the methods of other packages that can't be used, each with its problem."""
    return _added()[1]


def entry(name: str, kind: str) -> Entry:
    """Return the entry of one method.

    Raises
    ------
    ColumnError
        No method of that kind has this name; the message names the likely one.
    """
    known = {entry.name: entry for entry in entries(kind)}
    if name not in known:
        raise ColumnError.missing(name, known, what=kind)
    return known[name]


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
    return entry(name, kind).load()


def parameter_defaults(method: Any) -> dict[str, Any]:
    """Return the defaults of a class's parameters by name; `REQUIRED` where there is none.

    What all selectors or all rankers have comes last, as in their documentation.
    """
    parameters = inspect.signature(method).parameters
    shared = ("random_state", "strict") if "strict" in parameters else ("missing",)
    names = sorted(parameters, key=lambda name: shared.index(name) + 1 if name in shared else 0)
    return {name: parameters[name].default for name in names}


def parameters(method: Any) -> tuple[Parameter, ...]:
    """Return a class's parameters, with their meaning from its docstring."""
    meanings = _parameter_docs(method)
    return tuple(
        Parameter(name, None if default is REQUIRED else repr(default), meanings.get(name, ""))
        for name, default in parameter_defaults(method).items()
    )


def claims(method: Any) -> Claims | None:
    """Return what a class's own docstring says under ``Claims``; None where it has no such section.

    Raises
    ------
    ConfigError
        The section lacks an entry, or has one of another name.

    Examples
    --------
    >>> claims(get("top", "selector")).here
    'The rows of the highest scores.'
    """
    section = section_of(vars(method).get("__doc__") or "", "Claims")
    if section is None:
        return None
    parts = definitions(section)
    if tuple(parts) != Claims._fields or not all(parts.values()):
        raise ConfigError(
            f"The section Claims of {method.__name__} has {', '.join(parts) or 'no entry'}; write, in "
            f"this order and each with a text: {', '.join(Claims._fields)}."
        )
    return Claims(**parts)


def declared_by(method: Any, name: str, package: str = "") -> Entry:
    """Return the entry of a class that declares itself.

    Raises
    ------
    ConfigError
        It is no method, or its declaration is wrong; the message says how.
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ConfigError(
            f"{method!r} is no method; subclass Selector, Scorer or FeatureRanker of assay.selection."
        )
    declared = {field.name: getattr(method, field.name) for field in fields(Declaration)}
    kind = getattr(method, "kind", None)
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; set it on the class to one of {', '.join(KINDS)}.")
    for attribute in ("needs", "uses"):
        value = declared[attribute]
        if not isinstance(value, tuple) or not set(value) <= set(INPUTS):
            raise ConfigError(
                f"{attribute} is {value!r}; set it to a tuple of inputs, which are: "
                f"{', '.join(INPUTS)}."
            )
    if kind == "scorer" and declared["points"] not in ("easier", "harder"):
        raise ConfigError(f'points is {declared["points"]!r}; set it to "easier" or "harder".')
    help = inspect.cleandoc(method.__doc__ or "")
    if not help:
        raise ConfigError("The class has no docstring; its first line is the method's help.")
    path = f"{method.__module__}:{method.__qualname__}"
    return Entry(name, kind, path, help.splitlines()[0].rstrip("."), package, **declared)


@cache
def _added() -> tuple[tuple[Entry, ...], tuple[Plugin, ...]]:
    """Return the methods of other packages, and those that can't be used; warn about these once."""
    added: dict[tuple[str, str], Entry] = {(own.kind, own.name): own for own in _TABLE}
    broken = []
    for plugin in load_plugins(GROUP):
        problem = plugin.problem
        if not problem:
            try:
                declared = declared_by(plugin.target, plugin.name, plugin.package)
                declared = replace(declared, path=plugin.path)
                if (declared.kind, declared.name) in added:
                    problem = f"there is a {declared.kind} of that name already"
                else:
                    added[declared.kind, declared.name] = declared
            except Exception as error:
                problem = str(error)
        if problem:
            broken.append(replace(plugin, problem=problem))
            warnings.warn(PluginWarning.about(broken[-1], "method"), stacklevel=3)
    return tuple(added.values())[len(_TABLE) :], tuple(broken)


def _parameter_docs(method: Any) -> dict[str, str]:
    """Return the meaning of each parameter, from the numpydoc sections of a class and its bases.

    "As in `Other`" stands for what another method of the table says.
    """
    meanings: dict[str, str] = {}
    for base in reversed(method.__mro__[:-1]):
        own = described_parameters(base.__doc__ or "")
        meanings |= {name: text for name, text in own.items() if text or name not in meanings}
    by_class = {entry.path.partition(":")[2]: entry for entry in _TABLE}
    for name, text in meanings.items():
        other = re.search(r"[Aa]s in `(\w+)`", text)
        if other and other[1] in by_class and by_class[other[1]].load() is not method:
            meanings[name] = _parameter_docs(by_class[other[1]].load()).get(name, text)
    return meanings


def markdown_table() -> str:
    """Return the documentation's table of this package's methods.

    Examples
    --------
    >>> print(markdown_table().splitlines()[0])
    | name | kind | what it does | needs | nested | class |
    """
    lines = ["| name | kind | what it does | needs | nested | class |", "|" + " --- |" * 6]
    for entry in _TABLE:
        module, _, attribute = entry.path.partition(":")
        needs = ", ".join([*entry.describe_needs(), *(f"[{name}]" for name in entry.uses)])
        nested = "yes" if entry.nested else ""
        lines.append(
            f"| `{entry.name}` | {entry.kind} | {entry.help} | {needs} | {nested} "
            f"| `{module}.{attribute}` |"
        )
    return "\n".join(lines)


def claims_table() -> str:
    """Return the documentation's table of what sources claim and what was measured here.

    Examples
    --------
    >>> print(claims_table().splitlines()[0])
    | method | its source claims | here | deviates | measured |
    """
    lines = ["| method | its source claims | here | deviates | measured |", "|" + " --- |" * 5]
    for entry in _TABLE:
        claimed = claims(entry.load())
        cells = ("",) * 4 if claimed is None else claimed
        lines.append(f"| `{entry.name}` ({entry.kind}) | {' | '.join(cells)} |")
    return "\n".join(lines)
