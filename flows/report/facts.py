"""What the report shows of a curation run, read from the store."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.flows.config.curation import CurationConfig
from assay.flows.running.results import shares
from assay.storage import Pool, ScoreStore, read_pool
from assay.storage.errors import AssayError
from assay.storage.hashing.rows import hash_rows, smallest_rows

MAX_POINTS = 20_000
MAX_CHARACTERS = 1_500_000
MAX_GROUPS = 12
SHOWN = 12
EXCERPT = 600
_LABEL_SCORES = ("self_confidence", "label_agreement", "margin")
_OUTLIER_SCORES = (("outlierness", True), ("lof", True), ("knn_density", False))


@dataclass
class Gallery:
    """Some rows that belong together: a title, why they are shown, and the rows in order."""

    title: str
    note: str
    rows: list[dict[str, Any]]


@dataclass
class Facts:
    """Everything on the page, ready for the template.

    Attributes
    ----------
    run : dict
        The row of the view `runs`.
    reasons : DataFrame
        selected, stage, reason, n, example (an id), most first.
    points : DataFrame
        The rows on the map, at most `MAX_POINTS`: key, sample_id, x, y, selected, stage, reason,
        label, group, position, excerpt, then one column for each score.
    n_rows : int
        Rows of the pool that have a place on the map.
    """

    run: dict[str, Any]
    config: dict[str, Any]
    command: str
    reasons: pl.DataFrame
    points: pl.DataFrame
    n_rows: int
    n_selected: int
    scores: list[str]
    histograms: dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
    ledger: pl.DataFrame
    metrics: dict[str, float]
    groups: dict[str, pl.DataFrame]
    galleries: list[Gallery]
    notes: list[str] = field(default_factory=list)


def curation_facts(store: ScoreStore, run: dict[str, Any], places: pl.DataFrame) -> Facts:
    """Collect what the page shows of one curation run.

    Parameters
    ----------
    store : ScoreStore
    run : dict
        The run's row of the view `runs`.
    places : DataFrame
        sample_id, x, y of the run's map.
    """
    run_id = run["run_id"]
    config = json.loads(run["config"])
    rows = _rows(store, run_id).join(places, on="sample_id", how="left")
    scores = _wide_scores(store, run_id)
    score_names = [name for name in scores.columns if name != "key"]
    rows = rows.join(scores, on="key", how="left")
    points, notes = sample_points(rows)
    contents = _Contents(store, run, config)
    excerpt_length = max(40, min(160, MAX_CHARACTERS // max(points.height, 1)))
    # chosen rows are drawn last, above the others
    points = points.sort("selected", "key")
    points = points.with_columns(excerpt=contents.excerpts(points["key"], excerpt_length))
    galleries = _galleries(store, run_id, rows, score_names, contents)
    if contents.problem:
        notes.append(contents.problem)
    metrics = store.run_table(run_id, "SELECT name, value FROM metrics WHERE value IS NOT NULL")
    return Facts(
        run=run,
        config=config,
        command=_command(config),
        reasons=_reasons(store, run_id),
        points=points,
        n_rows=int(rows["x"].is_not_null().sum()),
        n_selected=int(rows["selected"].sum()),
        scores=score_names,
        histograms=_histograms(rows, score_names),
        ledger=store.run_table(run_id, "FROM ledger"),
        metrics=dict(metrics.rows()),
        groups=_groups(store, run_id, config, rows),
        galleries=galleries,
        notes=notes,
    )


def _rows(store: ScoreStore, run_id: str) -> pl.DataFrame:
    return store.run_table(
        run_id,
        "SELECT s.key, s.sample_id, s.label, s.group_id, d.selected, d.stage, d.reason, "
        "d.detail::VARCHAR AS detail, c.position, c.weight FROM samples s JOIN decisions d "
        "USING (key) LEFT JOIN selections c USING (key) ORDER BY s.key",
    )


def _wide_scores(store: ScoreStore, run_id: str) -> pl.DataFrame:
    long = store.run_table(run_id, "SELECT key, method, score FROM scores ORDER BY method, key")
    if long.is_empty():
        return pl.DataFrame(schema={"key": pl.Int32})
    return long.pivot("method", index="key", values="score")


def _reasons(store: ScoreStore, run_id: str) -> pl.DataFrame:
    return store.run_table(
        run_id,
        "SELECT selected, stage, reason, count(*) AS n, min(sample_id) AS example "
        "FROM decisions JOIN samples USING (key) GROUP BY ALL ORDER BY selected DESC, n DESC, "
        "stage, reason",
    )


def sample_points(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows to draw: all, or as many chosen and left-out rows as the page can hold."""
    placed = rows.filter(pl.col("x").is_not_null())
    if placed.height <= MAX_POINTS:
        return placed, []
    order = smallest_rows(hash_rows(placed["sample_id"]), placed.height)
    chosen = placed["selected"].to_numpy()[order]
    half = MAX_POINTS // 2
    kept_chosen = order[chosen][: max(half, MAX_POINTS - int((~chosen).sum()))]
    kept_left = order[~chosen][: MAX_POINTS - len(kept_chosen)]
    kept = np.sort(np.concatenate([kept_chosen, kept_left]))
    note = (
        f"The map shows {len(kept):,} of {placed.height:,} rows: {len(kept_chosen):,} of "
        f"{int(chosen.sum()):,} chosen and {len(kept_left):,} of {int((~chosen).sum()):,} left "
        "out, sampled by a hash of their ids. Every other figure counts all rows."
    )
    return placed[kept], [note]


class _Contents:
    """Reads the content of some rows of the pool, if the pool is still what it was."""

    def __init__(self, store: ScoreStore, run: dict[str, Any], config: dict[str, Any]) -> None:
        self.problem: str | None = None
        self._pool: Pool | None = None
        try:
            parsed = CurationConfig.build(config)
            pool = read_pool(parsed.pool, **parsed.roles())
            was = store.run_table(run["run_id"], "SELECT pool_fingerprint FROM run").item()
            if pool.fingerprint == was:
                self._pool = pool
            else:
                self.problem = (
                    "The pool has changed since this run, so the page shows no content of rows."
                )
        except (AssayError, OSError) as error:
            self.problem = f"The pool can't be read, so the page shows no content of rows: {error}"

    def excerpts(self, keys: pl.Series, length: int) -> pl.Series:
        """Return the beginnings of the rows' texts, or empty texts."""
        if self._pool is None or self._pool.kind != "text" or keys.is_empty():
            return pl.Series([""] * len(keys), dtype=pl.String)
        content = str(self._pool.roles.text)
        taken = self._pool.take(keys.to_numpy(), [content])[content].cast(pl.String)
        flat = taken.str.replace_all(r"\s+", " ").str.strip_chars().fill_null("")
        short = flat.str.slice(0, length)
        longer = flat.str.len_chars() > length
        return pl.select(pl.when(longer).then(short + "…").otherwise(short)).to_series()

    def pictures(self, keys: pl.Series) -> list[str]:
        """Return the rows' pictures as data URLs, or empty texts."""
        if self._pool is None or self._pool.kind != "image" or keys.is_empty():
            return [""] * len(keys)
        from assay.flows.report.thumbnails import thumbnail

        content = str(self._pool.roles.image)
        taken = self._pool.take(keys.to_numpy(), [content])[content]
        if taken.dtype == pl.Struct:
            taken = taken.struct.field("bytes")
        return [thumbnail(value) for value in taken]


def _histograms(
    rows: pl.DataFrame, scores: list[str]
) -> dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Return, by score, the shares of all rows and of the chosen ones, and the bins' edges."""
    histograms = {}
    chosen = rows["selected"].to_numpy()
    for name in scores:
        values = rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        finite = np.isfinite(values)
        if not finite.any():
            continue
        edges = np.histogram_bin_edges(values[finite], bins=40)
        everything, _ = np.histogram(values[finite], edges)
        kept, _ = np.histogram(values[finite & chosen], edges)
        histograms[name] = (
            everything / max(everything.sum(), 1),
            kept / max(kept.sum(), 1),
            edges,
        )
    return histograms


def _groups(
    store: ScoreStore, run_id: str, config: dict[str, Any], rows: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Return the shares before and after by label, group and each kept column of few values."""
    named = {"label": "label", "group": "group_id"}
    columns = [(title, name) for title, name in named.items() if rows[name].is_not_null().any()]
    columns += [(name, name) for name in config["keep"]]
    groups = {}
    for title, name in columns:
        frame = shares(store, run_id, name)
        if 1 < frame.height <= 1_000:
            frame = frame.rename({frame.columns[0]: "value"})
            text = pl.col("value").cast(pl.String).fill_null("(none)").str.slice(0, 40)
            groups[title] = frame.with_columns(text).head(MAX_GROUPS)
    return groups


def _galleries(
    store: ScoreStore,
    run_id: str,
    rows: pl.DataFrame,
    scores: list[str],
    contents: _Contents,
) -> list[Gallery]:
    galleries: list[Gallery] = []

    def add(title: str, note: str, part: pl.DataFrame, extra: list[str] | None = None) -> None:
        if part.is_empty():
            return
        texts = contents.excerpts(part["key"], EXCERPT)
        pictures = contents.pictures(part["key"])
        cards = [
            {**row, "text": text, "picture": picture, "extra": line, "sentence": sentence(row)}
            for row, text, picture, line in zip(
                part.rows(named=True), texts, pictures, extra or [""] * part.height, strict=True
            )
        ]
        galleries.append(Gallery(title, note, cards))

    chosen = rows.filter("selected").sort("position")
    add("Chosen first", "The first rows of the selection, in order.", chosen.head(SHOWN))
    left = rows.filter(~pl.col("selected") & pl.col("x").is_not_null())
    drawn = smallest_rows(hash_rows(left["sample_id"]), SHOWN)
    add("Left out", "Some rows that were left out, drawn by a hash of their ids.", left[drawn])
    label_score = next((name for name in _LABEL_SCORES if name in scores), None)
    if label_score is not None:
        suspects = rows.filter(pl.col(label_score).is_not_null() & pl.col("label").is_not_null())
        suspects = suspects.sort(label_score, "sample_id").head(SHOWN)
        add(
            "Likeliest label errors",
            f"The rows with the lowest {label_score}.",
            suspects,
            [f"{label_score} {row[label_score]:.3g}" for row in suspects.rows(named=True)],
        )
    for name, high in _OUTLIER_SCORES:
        if name in scores:
            far = rows.filter(pl.col(name).is_not_null())
            far = far.sort(name, "sample_id", descending=[high, False]).head(SHOWN)
            side = "highest" if high else "lowest"
            add(
                "Outliers",
                f"The rows with the {side} {name}.",
                far,
                [f"{name} {row[name]:.3g}" for row in far.rows(named=True)],
            )
            break
    copies = store.run_table(
        run_id,
        "SELECT key, group_id AS duplicate_group, keeper, similarity, kind, "
        "count(*) OVER (PARTITION BY group_id) AS size FROM duplicates",
    )
    if not copies.is_empty():
        largest = copies.sort(
            "size", "duplicate_group", "keeper", "key", descending=[True, False, True, False]
        ).head(SHOWN)
        part = largest.join(rows, on="key", how="left", maintain_order="left")
        add(
            "Largest groups of duplicates",
            "The row that stays comes first in its group.",
            part,
            [
                f"{row['kind']} group of {row['size']}, {'kept' if row['keeper'] else 'copy'}"
                for row in part.rows(named=True)
            ],
        )
    leaks = store.run_table(run_id, "SELECT key, evaluation_set, item, span FROM leaks")
    if not leaks.is_empty():
        part = leaks.sort("span", "key", descending=[True, False]).head(SHOWN)
        part = part.join(rows, on="key", how="left", maintain_order="left")
        add(
            "Leaked items",
            "Rows that hold items of an evaluation set.",
            part,
            [
                f"{row['span']} words of {row['evaluation_set']}, item {row['item']}"
                for row in part.rows(named=True)
            ],
        )
    return galleries


def sentence(row: dict[str, Any]) -> str:
    """Say a row's decision in words.

    Examples
    --------
    >>> sentence({"selected": True, "position": 3, "stage": "select", "reason": "chosen"})
    'Chosen as number 3.'
    >>> sentence({"selected": False, "stage": "filter", "reason": "filter", "detail": None})
    'Left out at the stage filter: filter.'
    """
    if row["selected"]:
        return f"Chosen as number {row['position']:,}."
    return f"Left out at the stage {row['stage']}: {row['reason']}."


def _command(config: dict[str, Any]) -> str:
    """Return the command that repeats the run, as far as flags express it."""
    parts = ["assay", "curate"]
    flags = [
        *("pool", "name", "id", "text", "vector", "image", "label", "group", "target"),
        *("budget", "select", "difficulty", "seed", "store"),
    ]
    for name in flags:
        value = config.get(name)
        if value is not None:
            parts += [f"--{name}", str(value)]
    for name in ("scores", "keep"):
        if config.get(name):
            parts += [f"--{name}", ",".join(config[name])]
    return shlex.join(parts)


@dataclass
class FeatureFacts:
    """What the page shows of a run that ranks columns."""

    run: dict[str, Any]
    config: dict[str, Any]
    command: str
    rankings: dict[str, pl.DataFrame]
    agreement: list[dict[str, Any]]
    metrics: list[dict[str, Any]]


def feature_facts(store: ScoreStore, run: dict[str, Any]) -> FeatureFacts:
    """Collect what the page shows of one run of `assay features`."""
    run_id, config = run["run_id"], json.loads(run["config"])
    scores = store.run_table(
        run_id, "SELECT method, feature, score, rank, selected FROM feature_scores ORDER BY rank"
    )
    by_method = {
        str(method): part for (method,), part in scores.group_by("method", maintain_order=True)
    }
    kept = {name: set(part.filter("selected")["feature"]) for name, part in by_method.items()}
    agreement = [
        {
            "first": first,
            "second": second,
            "shared": len(kept[first] & kept[second]),
            "of": min(len(kept[first]), len(kept[second])),
        }
        for i, first in enumerate(kept)
        for second in list(kept)[i + 1 :]
    ]
    metrics = store.run_table(run_id, "SELECT name, value, baseline FROM metrics ORDER BY name")
    return FeatureFacts(
        run=run,
        config=config,
        command=shlex.join(_feature_command(config)),
        rankings={name: part.head(25) for name, part in sorted(by_method.items())},
        agreement=agreement,
        metrics=metrics.rows(named=True),
    )


def _feature_command(config: dict[str, Any]) -> list[str]:
    parts = ["assay", "features", str(config["table"]), "--label", str(config["label"])]
    methods = config.get("methods") or config.get("method")
    if methods:
        parts += ["--method", ",".join(methods)]
    if config.get("k") is not None:
        parts += ["--k", str(config["k"])]
    return [*parts, "--store", str(config["store"])]
