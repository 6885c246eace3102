"""What a run is to do: configurations, read from TOML or made in Python, with unknown keys refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from assay.selection.budgets import parse_budget
from assay.storage.errors import BudgetError, ConfigError


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def build(cls, values: Mapping[str, Any], *, where: str = "the configuration") -> Self:
        """Validate `values`; an error names every wrong key in one paragraph.

        Raises
        ------
        ConfigError
            If a key is unknown, missing, or its value is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _explained(error, cls, where) from error

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> Self:
        """Read a TOML file; `overrides` that are not None replace its keys.

        Paths in the file are taken relative to the working directory.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"The configuration {path} can't be read: {error.strerror}."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"The configuration {path} is not valid TOML: {error}.") from error
        values.update({key: value for key, value in overrides.items() if value is not None})
        return cls.build(values, where=str(path))


def _explained(error: ValidationError, cls: type[BaseModel], where: str) -> ConfigError:
    known = ", ".join(cls.model_fields)
    parts = []
    for issue in error.errors():
        cause = issue.get("ctx", {}).get("error")
        if isinstance(cause, BudgetError):
            return cause
        key = ".".join(str(part) for part in issue["loc"])
        if issue["type"] == "extra_forbidden":
            parts.append(f"unknown key {key!r} (known are: {known})")
        else:
            parts.append(f"{key}: {issue['msg'].removeprefix('Value error, ')}")
    return ConfigError(f"Wrong in {where}: {'; '.join(parts)}.")


class EmbeddingConfig(_Strict):
    """How content becomes vectors: as is the default for its kind, or by a model.

    Parameters
    ----------
    name : {"default", "sentence-transformers", "onnx", "openai"}
        The default needs no model: hashed n-grams for texts, gradients and colours for images.
    options : mapping
        Parameters of the model's embedder.
    dimensions, fit_rows : int
        Of the defaults: length of the vectors, rows they are fitted on.
    ngrams, buckets : int
        Of the default for texts.
    side : int
        Of the default for images: pixels each way that they are brought to.
    """

    name: Literal["default", "sentence-transformers", "onnx", "openai"] = "default"
    options: dict[str, Any] = Field(default_factory=dict)
    dimensions: int = Field(default=128, ge=2, le=4096)
    ngrams: int = Field(default=2, ge=1, le=5)
    buckets: int = Field(default=2**17, ge=2**8, le=2**24)
    fit_rows: int = Field(default=10_000, ge=10)
    side: int = Field(default=32, ge=8, le=256, multiple_of=8)

    def deciding(self, kind: str) -> dict[str, Any]:
        """Return what decides the vectors of content of a kind that no model embeds."""
        used = {
            "text": {"dimensions", "ngrams", "buckets", "fit_rows"},
            "image": {"dimensions", "side", "fit_rows"},
        }
        return self.model_dump(include=used.get(kind, set()))


class GraphConfig(_Strict):
    """The similarity graph."""

    k: int = Field(default=15, ge=1, le=1000)
    metric: Literal["cosine", "l2", "ip"] = "cosine"
    method: Literal["auto", "exact", "block_join", "ivf", "hnsw"] = "auto"
    target_recall: float = Field(default=0.95, gt=0, le=1)


class CurationConfig(_Strict):
    """One curation run: where the pool is, what is in its columns, what is wanted.

    Parameters
    ----------
    pool : str
        File, folder or glob of the pool (None where a frame is handed to `curate`).
    name : str, optional
        The pool's name in the store; the stem of its path by default.
    id, text, vector, image, label, group : str, optional
        Columns and their roles. Without `id` a row's id is the hash of its content.
    keep : tuple of str
        Further columns to store with the samples, so that SQL can group by them.
    target : str, optional
        A sample of the distribution wanted, with the same content column.
    budget : int, float or str, default "10%"
        How many rows to choose: a count (1000), or a share (0.1 or "10%").
    select : str, optional
        The selector's name in the registry; chosen by what there is when left out.
    scores : tuple of str, optional
        Names of scorers; likewise.
    difficulty : str, optional
        The score that a selector takes as difficulty (higher = harder).
    options : mapping
        Further parameters of the selector's constructor.
    store : str, default "assay-store"
        The store's folder.
    seed : int, default 0
        The one seed of everything random.
    embedding, graph : EmbeddingConfig, GraphConfig
        The embedder and the similarity graph.

    Examples
    --------
    >>> CurationConfig(pool="pool.parquet", text="text", budget="5%").budget
    0.05
    """

    pool: str | None = None
    name: str | None = None
    id: str | None = None
    text: str | None = None
    vector: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    keep: Names = ()
    target: str | None = None
    budget: Annotated[int | float, BeforeValidator(parse_budget)] = 0.1
    select: str | None = None
    scores: Names | None = None
    difficulty: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    store: str = "assay-store"
    seed: int = Field(default=0, ge=0, lt=2**63)
    embedding: EmbeddingConfig = EmbeddingConfig()
    graph: GraphConfig = GraphConfig()

    def roles(self) -> dict[str, Any]:
        """Return the arguments of `read_pool` that this configuration fixes."""
        names = ("id", "text", "vector", "image", "label", "group", "keep", "name")
        return {name: getattr(self, name) for name in names}


class FeatureConfig(_Strict):
    """One feature-ranking run over the columns of a table.

    Parameters
    ----------
    table : str
        File of the table (None where a frame is handed to `rank_features`).
    name : str, optional
        The table's name in the store; the stem of its path by default.
    label : str
        The column to be explained.
    methods : tuple of str, default ("ecfs",)
        Names of rankers in the registry.
    k : int, default 50
        How many features each method selects (all, where there are fewer).
    store, seed
        As in `CurationConfig`.
    """

    table: str | None = None
    name: str | None = None
    label: str
    methods: Names = ("ecfs",)
    k: int = Field(default=50, ge=1)
    store: str = "assay-store"
    seed: int = Field(default=0, ge=0, lt=2**63)
