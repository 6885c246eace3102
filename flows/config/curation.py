"""What a run is to do: configurations, read from TOML or made in Python, with unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from assay.flows.config.fields import (
    Budget,
    Churn,
    Location,
    MemoryLimit,
    Names,
    Options,
    RunBudget,
    Steps,
)
from assay.flows.config.form import Form
from assay.flows.config.recipe import with_recipe
from assay.index.embedding.embedders import model_names

# engines whose tasks run in other processes, which share nothing with this one but the store
CLUSTERS = ("dask", "ray")
# neighbors of a row by vectors, and by words
_HYBRID_K = 10
# rules of a plan that are about a difficulty, or about a selection that stays
_NOT_OF_NEXT = {"cutoff", "blend", "blend_method", "churn", "weigh"}
# what the next batch to label is explained by
NEXT_SCORES = (
    "uncertainty",
    "predicted_entropy",
    "neighbor_disagreement",
    "novelty_to_labeled",
    "typicality",
)


class EmbeddingConfig(Form):
    """How content becomes vectors: as is the default for its kind, or by a model.

    Parameters
    ----------
    name : {"default", "sentence-transformers", "onnx", "openai"} or that of a plug-in
        The default needs no model: hashed n-grams for texts, gradients and colors for images.
    options : mapping
        Parameters of the model's embedder. A secret is not one: it belongs into the environment.
    dimensions : int
        Of the defaults: length of the vectors.
    fit_rows : int
        Of the defaults: rows that they are fitted on.
    ngrams : int
        Of the default for texts: words of the longest run that is counted; characters of every run
        (3 where it is left at 2) with `analyzer = "char_wb"`.
    analyzer : {"word", "char_wb"}
        Of the default for texts: whether runs of words count, or of characters inside words, which
        short records with misspelled and abbreviated words ask for.
    buckets : int
        Of the default for texts: places that runs of words are hashed to.
    side : int
        Of the default for images: pixels each way that they are brought to.
    smooth : int
        With `edges`: how many times each vector becomes the mean of itself and its neighbors along them,
        so that linked rows lie together. 2 suits most.
    structure : int
        With `edges`: numbers that say where a row stands in their graph, put beside its vector with equal
        weight. 64 suits most.
    structure_method : {"spectral", "netmf"}
        What these are: singular directions of the edges, or of walks along them, which cost the square
        of the rows.
    storage : {"float32", "float16", "int8"}
        What a run's vectors are stored in: as they are, in half of that, in a quarter. Everything that
        reads them goes by what is stored.
    """

    name: str = "default"
    options: Options = Field(default_factory=dict)
    dimensions: int = Field(default=128, ge=2, le=4096)
    ngrams: int = Field(default=2, ge=1, le=5)
    analyzer: Literal["word", "char_wb"] = "word"
    buckets: int = Field(default=2**17, ge=2**8, le=2**24)
    fit_rows: int = Field(default=10_000, ge=10)
    side: int = Field(default=32, ge=8, le=256, multiple_of=8)
    smooth: int = Field(default=0, ge=0, le=20)
    structure: int = Field(default=0, ge=0, le=1024)
    structure_method: Literal["spectral", "netmf"] = "spectral"
    storage: Literal["float32", "float16", "int8"] = "float32"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        allowed = ("default", *model_names())
        if name not in allowed:
            raise ValueError(f"Input should be {', '.join(map(repr, allowed))}")
        return name

    def deciding(self, kind: str) -> dict[str, Any]:
        """Return what decides the vectors of content of a kind that no model embeds."""
        used = {
            "text": {"dimensions", "ngrams", "buckets", "fit_rows"},
            "image": {"dimensions", "side", "fit_rows"},
        }
        if self.analyzer != "word":
            used["text"].add("analyzer")
        return self.model_dump(include=used.get(kind, set()))

    def linking(self) -> dict[str, Any]:
        """Return what puts the pool's edges into its vectors; nothing where they stay as they are."""
        names = {"smooth", "structure"} | ({"structure_method"} if self.structure else set())
        return self.model_dump(include=names) if self.smooth or self.structure else {}


class IndexConfig(Form):
    """The index of a run's vectors, which `assay explore` searches; see `assay.index.VectorIndex`.

    Parameters
    ----------
    storage : {"float32", "float16", "int8"}, optional
        What the index keeps them in; that of `embedding.storage` by default. The 60 rows nearest by its
        codes are compared by the stored vectors.
    """

    storage: Literal["float32", "float16", "int8"] | None = None


class GraphConfig(Form):
    """The similarity graph; see `assay.index.SimilarityGraph.from_vectors`.

    Parameters
    ----------
    k : int
        Neighbors of each row: 15, or 10 by vectors and 10 by words.
    kind : {"dense", "hybrid"}
        Of texts: "hybrid" joins each to its `k` nearest by vectors and to `k` that share its rare words;
        see `assay.index.SimilarityGraph.from_texts`.
    metric : {"cosine", "l2", "ip"}
        Cosine, Euclidean distance, or inner product.
    method : {"auto", "exact", "block_join", "ivf", "hnsw", "nn_descent"}
        How neighbors are searched for; "auto" searches small pools exactly.
    target_recall : float
        Share of the true neighbors that an approximate search must find; it is measured.
    symmetrise : {"union", "mutual"}
        Which rows are joined: where either lists the other, or where both do.
    weights : {"similarity", "self_tuning", "fuzzy"}
        What an edge weighs.
    robust : {"context"}, optional
        Weigh edges by the neighbors that both ends share.
    memory_limit : int, optional
        Bytes above which vectors are laid out on disk.
    attribute_weight : {"gaussian"}, optional
        Of `edges` that are given: weigh each by how alike its ends are, in place of its own weight.
    """

    k: int = Field(default=15, ge=1, le=1000)
    kind: Literal["dense", "hybrid"] = "dense"
    metric: Literal["cosine", "l2", "ip"] = "cosine"
    method: Literal["auto", "exact", "block_join", "ivf", "hnsw", "nn_descent"] = "auto"
    target_recall: float = Field(default=0.95, gt=0, le=1)
    symmetrise: Literal["union", "mutual"] = "union"
    weights: Literal["similarity", "self_tuning", "fuzzy"] = "similarity"
    robust: Literal["context"] | None = None
    memory_limit: int | None = Field(default=None, ge=1)
    attribute_weight: Literal["gaussian"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fewer_of_each_kind(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("kind") == "hybrid":
            return {"k": _HYBRID_K, **values}
        return values


class PlanConfig(Form):
    """What happens before and around the selector; see `assay.selection.SelectionPlan`.

    Parameters
    ----------
    filters : tuple of str
        SQL conditions that a row must meet. A name means a column of the pool first; ours are
        ``assay.label``, ``assay.source``, ``assay.pagerank`` (see `assay.storage.names`). NaN acts
        as null does.
    reference : mapping of name to path
        Data sets that are had already, with the pool's content column and its column of ids where
        they have it: rows that are exactly, nearly or semantically in one are left out.
    reference_options : mapping
        Parameters of the step that looks for them (`assay methods in_reference`).
    reference_covers : bool
        Whether those rows count as chosen, as covered rows do.
    leakage : mapping of name to path
        Evaluation sets, with the pool's text column, whose items must not be chosen.
    leakage_options : mapping
        Parameters of the step that looks for them (`assay methods leakage`).
    leakage_neighbors : float, optional
        Rows at this cosine to an item are listed too, though they are not left out.
    leakage_words : float, optional
        Texts at this cosine to an item by their rare words are listed too: 0.6 suits most.
    deduplicate : tuple of str or mapping
        Deduplication steps by name; a mapping holds `name` and the step's parameters.
    keeper : str, optional
        The SQL order in which rows claim to be the one that stays.
    cutoff : float, "auto" or "contamination", optional
        Share to drop as too hard. "contamination" drops the outliers instead, as many as the
        posterior of several detectors says.
    blend : mapping of score to weight
        Scores to make one score of, for the selector.
    blend_method : {"rank", "z", "none", "rra", "median"}
        How the scores are brought to one scale before they are added: by ranks, by mean and
        deviation, or as they are; or a consensus of their ranks.
    cost : str, optional
        Column that the budget is counted in.
    by : str, optional
        Column of groups that `quotas` and `minima` limit.
    quotas : mapping of group to int or float
        The most rows of a group: a count, or a share of the budget.
    minima : mapping of group to int or float
        The fewest rows of a group: a count, or a share of the budget.
    mixture : mapping of source to weight, or {"even", "proportional", "sqrt", "target"}, optional
        The share of each source (column `by`, by default `source`) in the selection, in rows or in
        `cost`. "target": that which it is estimated to have in the target.
    mixture_from_runs, mixture_from_models : path, optional
        In place of `mixture`: a table that its shares are learned from, by the functions of those names
        in `assay.selection`, within what the pool has of each source. One row for each training run
        or model; one column for each source, with its weight in the run or the model's loss on it.
    mixture_options : mapping
        `metric`, the column to go by, and further parameters of those functions, such as
        `higher_is_better`.
    repeat : int
        How often a row may count where a source has too little; its weight says how often.
    rounding : {"largest_remainder", "dhondt"}
        How parts of a mixture become whole rows: within a row of the exact part, or so that no part
        falls when the budget grows (D'Hondt).
    must_include : tuple of str
        Ids of rows that are chosen in any case.
    must_exclude : tuple of str
        Ids of rows that are never chosen.
    covered : str or tuple of str
        Rows that are had already: ids, a file of ids (one per line in a .txt file; else the table's
        column named as the pool's ids, or `sample_id`, or its only one; ids that the pool does not
        have are passed over), or an SQL condition. They count as chosen and are not handed out.
    churn : int, float or str, optional
        How many rows of the pool's newest selection may be replaced: a count, or a share of the
        budget (0.1 or "10%"). Rows that are gone or refused are replaced beyond it.
    weigh : bool or "noise"
        Whether the weight of a chosen row is how much of the pool it stands for. "noise": the score
        `noise_weight`, so that a model trained with the weights learns as if labels were clean; rows
        whose label is certainly wrong are left out.
    """

    sql_keys: ClassVar[frozenset[str]] = frozenset({"filters", "keeper", "covered"})

    filters: tuple[str, ...] = ()
    reference: dict[str, Location] = Field(default_factory=dict)
    reference_options: Options = Field(default_factory=dict)
    reference_covers: bool = False
    leakage: dict[str, Location] = Field(default_factory=dict)
    leakage_options: dict[str, int | float] = Field(default_factory=dict)
    leakage_neighbors: Annotated[float, Field(gt=-1, le=1)] | None = 0.95
    leakage_words: Annotated[float, Field(gt=0, le=1)] | None = None
    deduplicate: Steps = ()
    keeper: str | None = None
    cutoff: Annotated[float, Field(ge=0, lt=1)] | Literal["auto", "contamination"] | None = None
    blend: dict[str, float] = Field(default_factory=dict)
    blend_method: Literal["rank", "z", "none", "rra", "median"] = "rank"
    cost: str | None = None
    by: str | None = None
    quotas: dict[str, int | float] = Field(default_factory=dict)
    minima: dict[str, int | float] = Field(default_factory=dict)
    mixture: dict[str, float] | Literal["even", "proportional", "sqrt", "target"] | None = None
    mixture_from_runs: Location | None = None
    mixture_from_models: Location | None = None
    mixture_options: Options = Field(default_factory=dict)
    repeat: int = Field(default=1, ge=1)
    rounding: Literal["largest_remainder", "dhondt"] = "largest_remainder"
    must_include: tuple[str, ...] = ()
    must_exclude: tuple[str, ...] = ()
    covered: str | tuple[str, ...] = ()
    churn: Churn | None = None
    weigh: bool | Literal["noise"] = False

    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the deduplication steps as (name, parameters)."""
        declared = [{"name": s} if isinstance(s, str) else dict(s) for s in self.deduplicate]
        return [(str(s.pop("name", "")), s) for s in declared]


class NextConfig(Form):
    """What `assay next` does otherwise than `assay curate`, by the same configuration.

    Parameters
    ----------
    budget : int, float or str, default 50
        How many rows the next batch has: a count, or a share of the pool.
    scores : tuple of str, optional
        Names of scorers; by default those of `NEXT_SCORES`.
    options : mapping
        Parameters of the selector (`assay methods next_batch`).
    """

    budget: Budget = 50
    scores: Names = NEXT_SCORES
    options: Options = Field(default_factory=dict)


class CurationConfig(Form):
    """One curation run: where the pool is, what is in its columns, what is wanted.

    Parameters
    ----------
    recipe : str, optional
        A published method by name (`assay recipes`): its keys hold where this configuration has
        none of its own. What is kept of it are those keys.
    pool : str
        File, folder or glob of the pool (None where a frame is handed to `curate`).
    name : str, optional
        The pool's name in the store; the stem of its path by default.
    id : str, optional
        Column of unique ids. Without it a row's id is the hash of its content.
    text : str, optional
        Column of texts.
    vector : str, optional
        Column of vectors, or an .npy file with one for each row.
    image : str, optional
        Column of image bytes or paths.
    label : str, optional
        Column of labels: of the pool, or of `labels`.
    labels : str, optional
        File, folder or glob of labels that are kept apart from the pool, with a column of ids (called
        as the pool's, or `sample_id`) and one of labels (`label`, or as the key `label` says). They
        stand in for a column of the pool. The last label of a row counts.
    group : str, optional
        Column of groups.
    edges : str, optional
        File of edges between the pool's rows (citations, links, replies): `source` and `target`, the
        rows' ids, and optionally `weight`. They are the graph, in place of the nearest neighbors.
    columns : tuple of str
        Columns of a table whose rows are compared by all of them, in place of `text`, `vector` and
        `image`: numbers standardized, categories hashed; see `assay.index.embedding.table`.
    keep : tuple of str
        Further columns to store with the samples, so that SQL can group by them.
    template : str, optional
        How a message of a conversation becomes text: ``"{role}: {content}"``.
    turns : {"all", "last"}, optional
        Of a conversation: all messages, or the last one of the user and those after it.
    system : bool, optional
        Whether the messages of the system or the developer are part of a conversation's text.
    delimiter : str, optional
        Separator of the fields of CSV files. Like `template`, `turns`, `system` and `encoding` it holds for the pool,
        the target and evaluation sets alike.
    encoding : str, optional
        Encoding of text files: ``"utf-16"``, ``"latin-1"``.
    target : str, optional
        A sample of the distribution wanted, with the same content column.
    like : tuple of str
        Ids of rows that are wanted more of: they are the seeds of the score `like`.
    budget : int, float or str, default "10%"
        How many rows to choose: a count (1000), or a share (0.1 or "10%"); with labels also
        "95%-of-best": as many random rows as a judge needs for so much of the best accuracy, by a
        learning curve (`assay plan --curve`).
    select : str, optional
        The selector's name in the registry; chosen by what there is when left out.
    scores : tuple of str, optional
        Names of scorers; likewise.
    expressions : mapping
        Scores of one's own: name -> SQL expression over the columns of samples and pool
        (``{"words": "length(text) - length(replace(text, ' ', ''))"}``). They are stored with the
        others, and may be the difficulty, in a blend or in a rule.
    score_options : mapping
        Score -> further parameters of its scorer: ``{"like": {"method": "flow", "size": 200}}``.
    training_log : str, optional
        File with what a model said of every sample in every epoch, for `aum`, `el2n`, `forgetting`,
        `entropy`, `confidence`, `variability`, `dual`, `tdds` and `cld`: long (`sample_id`, `epoch`, and a column of probabilities for each class, or
        one column of margins, or one that is true or false) or wide (`sample_id`, and one column
        per epoch). Its shape says which; see `assay.selection.scorers.training_logs.read_log`.
    difficulty : str, optional
        The score that a selector takes as difficulty (higher = harder).
    options : mapping
        Further parameters of the selector's constructor.
    store : str, default "assay-store"
        The store's folder.
    seed : int, default 0
        The one seed of everything random.
    keep_runs : int, default 90
        How many finished runs of the pool are kept at hand; older ones go to the store's archive.
    refit : bool, default False
        Fit the embedder on the pool as it is now, and build the graph and the index from scratch.
        Otherwise what earlier runs of the pool fitted is kept, and what they built is updated.
    drift_limit : float, default 0.2
        What was fitted is fitted anew where the pool has drifted further: the share of its rows
        (total variation) that lie in other parts of the space than those it was fitted on did.
    memory_limit : int or str, optional
        Bytes, or text such as "16GiB": a run that would take more is refused before it begins.
    engine : {"process", "threads", "dask", "ray"}
        Where the stages run. The others than "process" run them as a Prefect flow, in shards, with
        the task runner of that name; the result is the same to the byte.
    workers : int, optional
        Threads, or processes of the cluster that is started for the run; the cores by default.
    shard_rows : int, default 50,000
        Rows of a shard: some seconds of work, because a task costs up to half a second.
    engine_options : mapping
        Further parameters of the task runner, such as the `address` of a cluster that is there.
    report : str, optional
        File, ending in .html, that the run leaves its report in; one that an earlier run left there
        is replaced. It includes the map.
    map : bool, default False
        Whether the run's similarity graph is laid out in the plane (the view `latest_map`).
    slices : tuple of str
        What is bad where it is high: the one or two values of kept columns, label, group and source among
        whose rows it is high are the view `slices`. "left" (left out), "leaked", "neighbors" (the
        share of a row's neighbors with another label), a score, or a kept column.
    shortcuts : bool, default False
        Whether it is measured what length, first word, source, place and the like tell about the label
        (the view `shortcuts`, the metric `shortcuts.share`), on 4,000 rows.
    next : NextConfig
        What `assay next` chooses; `assay curate` does not read it.
    plan : PlanConfig
        Filters, deduplication, cutoff, blend of scores and constraints.
    embedding : EmbeddingConfig
        The embedder.
    index : IndexConfig
        The index.
    graph : GraphConfig
        The similarity graph.

    Examples
    --------
    >>> CurationConfig(pool="pool.parquet", text="text", budget="5%").budget
    0.05
    """

    sql_keys: ClassVar[frozenset[str]] = PlanConfig.sql_keys | {"expressions"}

    recipe: str | None = None
    pool: Location | None = None
    name: str | None = None
    id: str | None = None
    text: str | None = None
    vector: str | None = None
    image: str | None = None
    columns: Names = ()
    label: str | None = None
    labels: Location | None = None
    group: str | None = None
    edges: Location | None = None
    keep: Names = ()
    template: str | None = None
    turns: Literal["all", "last"] | None = None
    system: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    target: Location | None = None
    like: Names = ()
    budget: RunBudget = 0.1
    select: str | None = None
    scores: Names | None = None
    expressions: dict[str, str] = Field(default_factory=dict)
    score_options: dict[str, Options] = Field(default_factory=dict)
    training_log: Location | None = None
    difficulty: str | None = None
    options: Options = Field(default_factory=dict)
    store: str = "assay-store"
    seed: int = Field(default=0, ge=0, lt=2**63)
    keep_runs: int = Field(default=90, ge=1)
    refit: bool = False
    drift_limit: float = Field(default=0.2, gt=0, le=1)
    memory_limit: MemoryLimit | None = None
    engine: Literal["process", "threads", "dask", "ray"] = "process"
    workers: int | None = Field(default=None, ge=1)
    shard_rows: int = Field(default=50_000, ge=1)
    engine_options: Options = Field(default_factory=dict)
    report: str | None = None
    map: bool = False
    slices: Names = ()
    shortcuts: bool = False
    next: NextConfig = NextConfig()
    plan: PlanConfig = PlanConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    index: IndexConfig = IndexConfig()
    graph: GraphConfig = GraphConfig()

    @model_validator(mode="before")
    @classmethod
    def _on_a_recipe(cls, values: Any) -> Any:
        return with_recipe(values) if isinstance(values, Mapping) else values

    def content(self, kind: str) -> str | None:
        """Return the column of content of a kind: "text", "vector" or "image"."""
        return {"text": self.text, "vector": self.vector, "image": self.image}[kind]

    @property
    def index_storage(self) -> str:
        """What the index keeps the vectors in."""
        return self.index.storage or self.embedding.storage

    @property
    def next_wanted(self) -> bool:
        """Whether a schedule chooses the next batch to label: the table `next` is there."""
        return "next" in self.model_fields_set

    def roles(self) -> dict[str, Any]:
        """Return the arguments of `read_pool` that this configuration fixes."""
        names = ("id", "text", "vector", "image", "label", "group", "keep", "name")
        roles_given = {name: getattr(self, name) for name in names} | self.reading()
        # the pool's own column is not read where labels are kept apart
        return roles_given if self.labels is None else roles_given | {"label": None}

    def next_batch(self) -> CurationConfig:
        """Return the configuration of the run that chooses the next batch to label.

        Filters, duplicates, covered rows, references, quotas and mixtures of the plan hold for it too.

        Examples
        --------
        >>> config = CurationConfig(pool="pool.parquet", budget="10%", labels="labels")
        >>> config.next_batch().select, config.next_batch().budget
        ('next_batch', 50)
        """
        whole = dict.fromkeys(("difficulty", "slices", "shortcuts"), True)
        own = self.model_dump(exclude_unset=True, exclude={**whole, "plan": _NOT_OF_NEXT})
        scored = {*self.next.scores, *self.expressions}
        chosen = {
            "select": "next_batch",
            "budget": self.next.budget,
            "scores": self.next.scores,
            "options": self.next.options,
            "score_options": {k: v for k, v in self.score_options.items() if k in scored},
        }
        return type(self).build(own | chosen)

    def reading(self) -> dict[str, Any]:
        """Return the arguments of `read_pool` that say how files are read, where any is set."""
        return self.writing() | self._set("delimiter", "encoding")

    def writing(self) -> dict[str, Any]:
        """Return the arguments that say how a conversation becomes text, where any is set."""
        return self._set("template", "turns", "system")

    def _set(self, *names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}
