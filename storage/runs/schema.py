"""The views and macros that users query, written over the tables of each run.

A run's tables are reached as `r_<run_id>.<table>`: a file attached under that alias, or a schema of
that name inside one self-contained file. So the same statements serve both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from assay.storage.names import fold, own_name
from assay.storage.runs.kept_types import common_type
from assay.storage.runs.reasons import REASONS

# of the view `runs`; when a run was last asked for is kept outside its file, which never changes
RUNS_COLUMNS = (
    "run_id VARCHAR, kind VARCHAR, of_run VARCHAR, request BIGINT, requested_at TIMESTAMPTZ, "
    "pool VARCHAR, status VARCHAR, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, "
    "n_samples BIGINT, seed BIGINT, generation VARCHAR, config JSON, versions JSON"
)
# of a run file's table `run`
RUN_COLUMNS = (
    "run_id VARCHAR, kind VARCHAR, pool VARCHAR, status VARCHAR, started_at TIMESTAMPTZ, "
    "finished_at TIMESTAMPTZ, n_samples BIGINT, seed BIGINT, generation VARCHAR, config JSON, "
    "versions JSON, ranked_by VARCHAR, pool_fingerprint VARCHAR, methods VARCHAR[]"
)
# those that run files of earlier versions lack
LATER_RUN_COLUMNS = "of_run VARCHAR"
NEWEST_FIRST = "request DESC NULLS LAST, finished_at DESC NULLS LAST, run_id DESC"
SAMPLE_COLUMNS = (
    "sample_id VARCHAR, source VARCHAR, row BIGINT, label VARCHAR, group_id VARCHAR, "
    "content_hash VARCHAR"
)
# table in a run file -> its fixed columns; `key` counts the run's samples from 0
TABLES = {
    "samples": f"key INTEGER, {SAMPLE_COLUMNS}",
    "scores": "key INTEGER, method VARCHAR, score DOUBLE, rank BIGINT",
    "selections": "key INTEGER, position BIGINT, weight DOUBLE",
    "decisions": "key INTEGER, selected BOOLEAN, stage VARCHAR, reason VARCHAR, detail JSON",
    "feature_scores": "method VARCHAR, feature VARCHAR, score DOUBLE, rank BIGINT, selected BOOLEAN",
    "metrics": "name VARCHAR, value DOUBLE, baseline DOUBLE",
    "ledger": "name VARCHAR, value DOUBLE, baseline DOUBLE, after_cutoff DOUBLE, better VARCHAR, "
    "verdict VARCHAR",
    # of the ledger's figures that come from samples: rows, and the ends of the 95 % interval
    "intervals": "name VARCHAR, measured BIGINT, low DOUBLE, high DOUBLE",
    "leaks": "key INTEGER, evaluation_set VARCHAR, item VARCHAR, span BIGINT, kind VARCHAR",
    "duplicates": "key INTEGER, group_id VARCHAR, keeper BOOLEAN, similarity DOUBLE, kind VARCHAR",
    "artifacts": "stage VARCHAR, kind VARCHAR, fingerprint VARCHAR",
    "map": "sample_id VARCHAR, x DOUBLE, y DOUBLE",
    "splits": "sample_id VARCHAR, part VARCHAR, group_id VARCHAR",
    "slices": "judged_by VARCHAR, score DOUBLE, columns VARCHAR[], values VARCHAR[], n BIGINT, "
    "mean DOUBLE, ratio DOUBLE, p DOUBLE",
    "shortcuts": "attribute VARCHAR, bits DOUBLE, share DOUBLE",
    "shift": "kind VARCHAR, name VARCHAR, value VARCHAR, share_a DOUBLE, share_b DOUBLE, "
    "drift DOUBLE, noise DOUBLE, cost DOUBLE",
}
# tables of the run itself of which the newest of a pool is a view: the kind of run that holds each
KIND_OF = {
    "map": "map",
    "splits": "split",
    "slices": "curate",
    "shortcuts": "curate",
    "shift": "shift",
}


@dataclass(frozen=True)
class RunTables:
    """What the views need to know of one finished run."""

    run_id: str
    kind: str
    pool: str
    finished_at: int  # microseconds since 1970
    methods: tuple[str, ...] = ()
    # the kept columns as they are stored (`assay.storage.names.stored_name`), and their types
    kept: tuple[tuple[str, str], ...] = field(default=())
    # run files written by earlier versions lack the newer tables
    tables: frozenset[str] = frozenset(TABLES)
    ranked_by: str | None = None
    # the number of the call that last asked for it; files that came from elsewhere have none
    request: int | None = None

    @property
    def age(self) -> tuple[int, int, str]:
        """What orders runs from the oldest to the newest; no clock decides among requests."""
        return self.request or 0, self.finished_at, self.run_id

    @property
    def alias(self) -> str:
        """The attached database, or the schema, that holds the run's tables."""
        return f"r_{self.run_id}"


def identifier(name: str) -> str:
    """Quote `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _names(columns: str) -> list[str]:
    return [part.split()[0] for part in columns.split(", ")]


def union(selects: Sequence[str], columns: str) -> str:
    """Return the rows of all `selects`, or none, of these columns."""
    if not selects:
        typed = ", ".join(f"NULL::{c.split()[1]} AS {c.split()[0]}" for c in columns.split(", "))
        return f"SELECT {typed} WHERE false"
    return "\nUNION ALL BY NAME\n".join(selects)


def of_samples(run: RunTables, table: str) -> str:
    """Return a table of a run whose rows are of samples, with their ids."""
    columns = ", ".join(f"t.{c}" for c in _names(TABLES[table]) if c != "key")
    return (
        f"SELECT {literal(run.run_id)} AS run_id, s.sample_id, {columns} "
        f"FROM {run.alias}.{table} t JOIN {run.alias}.samples s USING (key)"
    )


def of_run_only(run: RunTables, table: str) -> str:
    """Return a table of a run whose rows are of the run itself."""
    columns = ", ".join(_names(TABLES[table]))
    return f"SELECT {literal(run.run_id)} AS run_id, {columns} FROM {run.alias}.{table}"


def samples_of(runs: Sequence[RunTables]) -> list[str]:
    """Return a query over the samples of each run; a kept column has one type in all of them."""
    types: dict[str, list[str]] = {}
    for run in runs:
        for stored, type in run.kept:
            types.setdefault(fold(own_name(stored)), []).append(type)
    common = {name: common_type(of_runs) for name, of_runs in types.items()}
    return [_samples_of(run, common) for run in runs]


def _samples_of(run: RunTables, common: Mapping[str, str]) -> str:
    columns = _names(SAMPLE_COLUMNS)
    for stored, type in run.kept:
        name, wanted = own_name(stored), common[fold(own_name(stored))]
        value = identifier(stored) if type == wanted else f"{identifier(stored)}::{wanted}"
        columns.append(f"{value} AS {identifier(name)}")
    return (
        f"SELECT {literal(run.run_id)} AS run_id, {literal(run.pool)} AS pool, "
        f"{', '.join(columns)} FROM {run.alias}.samples"
    )


def _wide_scores(run: RunTables) -> str:
    # an aggregate over integer keys, not one join for each method: the scores are read once
    pivot = "".join(
        f", max(score) FILTER (method = {literal(m)}) AS {identifier(m)}" for m in run.methods
    )
    wide = f"(SELECT key{pivot} FROM {run.alias}.scores GROUP BY key)"
    columns = "".join(f", w.{identifier(m)}" for m in run.methods)
    return (
        f"SELECT {literal(run.pool)} AS pool, {literal(run.run_id)} AS run_id, s.sample_id{columns} "
        f"FROM {run.alias}.samples s LEFT JOIN {wide} w USING (key)"
    )


def _told(run: RunTables) -> str:
    return (
        f"SELECT {literal(run.run_id)} AS run_id, key, s.sample_id, s.content_hash, d.selected, "
        f"d.reason FROM {run.alias}.samples s JOIN {run.alias}.decisions d USING (key)"
    )


def _with_pool(run: RunTables, table: str) -> str:
    return f"SELECT {literal(run.pool)} AS pool, * FROM ({of_samples(run, table)})"


def latest(runs: Iterable[RunTables], kind: str = "curate") -> list[RunTables]:
    """Return, for every pool, its newest finished run of `kind`, in order of the pools' names."""
    newest: dict[str, RunTables] = {}
    for run in sorted(runs, key=lambda r: r.age):
        if run.kind == kind:
            newest[run.pool] = run
    return [newest[pool] for pool in sorted(newest)]


def statements(runs: Sequence[RunTables], *, history: bool = True) -> list[str]:
    """Return the SQL that defines every view and macro over `runs` (all finished).

    Without `history` only those over the newest runs of the pools are defined.
    """
    curated = [run for run in runs if run.kind == "curate"]
    newest = latest(curated)
    sample, run_id, pool = "sample_id VARCHAR", "run_id VARCHAR", "pool VARCHAR"

    def rest(table: str) -> str:
        return TABLES[table].removeprefix("key INTEGER, ")

    views = {
        "samples": union(samples_of(curated), f"{run_id}, {pool}, {SAMPLE_COLUMNS}"),
        "latest_samples": "SELECT pool, * EXCLUDE (pool) FROM ("
        + union(samples_of(newest), f"{run_id}, {pool}, {SAMPLE_COLUMNS}")
        + ")",
        "latest_scores": union([_wide_scores(r) for r in newest], f"{pool}, {run_id}, {sample}"),
        "latest_selection": union(
            [_with_pool(r, "selections") for r in newest],
            f"{pool}, {run_id}, {sample}, {rest('selections')}",
        ),
        "latest_decisions": union(
            [_with_pool(r, "decisions") for r in newest],
            f"{pool}, {run_id}, {sample}, {rest('decisions')}",
        ),
    }
    for table in ("scores", "selections", "decisions"):
        views[table] = union(
            [of_samples(r, table) for r in curated], f"{run_id}, {sample}, {rest(table)}"
        )
    for table, kind in KIND_OF.items():
        views[f"latest_{table}"] = union(
            [
                f"SELECT {literal(r.pool)} AS pool, * FROM ({of_run_only(r, table)})"
                for r in latest(runs, kind)
                if table in r.tables
            ],
            f"{pool}, {run_id}, {TABLES[table]}",
        )
    for table in ("feature_scores", "metrics", "ledger", "intervals", "artifacts", *KIND_OF):
        views[table] = union(
            [of_run_only(r, table) for r in runs if table in r.tables], f"{run_id}, {TABLES[table]}"
        )
    views["leaks"] = union(
        [of_samples(r, "leaks") for r in curated if "leaks" in r.tables],
        f"{run_id}, {sample}, {rest('leaks')}",
    )
    views["duplicates"] = "SELECT run_id, group_id, sample_id, keeper, similarity, kind FROM (" + (
        union(
            [of_samples(r, "duplicates") for r in curated if "duplicates" in r.tables],
            f"{run_id}, {sample}, {rest('duplicates')}",
        )
        + ")"
    )
    views["reasons"] = glossary()
    # macros: a client lists views and tables, and these are none of its business
    helpers = {
        "_latest_long": union(
            [_with_pool(r, "scores") for r in newest],
            f"{pool}, {run_id}, {sample}, {rest('scores')}",
        ),
        "_told": union(
            [_told(r) for r in curated],
            f"{run_id}, key INTEGER, {sample}, content_hash VARCHAR, selected BOOLEAN, "
            "reason VARCHAR",
        ),
        "_scored": union(
            [f"SELECT {literal(r.run_id)} AS run_id, * FROM {r.alias}.scores" for r in curated],
            f"{run_id}, {TABLES['scores']}",
        ),
    }
    statements_made = [f"CREATE VIEW {name} AS {query}" for name, query in views.items()]
    statements_made += [
        f"CREATE MACRO {name}() AS TABLE {query}" for name, query in helpers.items()
    ]
    statements_made += [*about_runs(runs), *MACROS]
    newest_only = ("latest_", "_latest_", "explain(", "top(")
    return [
        sql for sql in statements_made if history or sql.split(None, 2)[2].startswith(newest_only)
    ]


def about_runs(runs: Sequence[RunTables]) -> list[str]:
    """Return the SQL of the macros that tell by which score runs chose, and which scores they have."""
    ranked = [(run.run_id, run.ranked_by) for run in runs if run.ranked_by is not None]
    methods = [(run.run_id, m) for run in runs if run.kind == "curate" for m in run.methods]
    return [
        f"CREATE MACRO {name}() AS TABLE {_rows(rows)}"
        for name, rows in (("_ranked_by", ranked), ("_methods", methods))
    ]


def glossary() -> str:
    """Return the query over all reasons that decisions of this package may have."""
    values = ", ".join(
        f"({literal(r.reason)}, {literal(r.stage)}, {str(r.selected).lower()}, {literal(r.meaning)})"
        for r in REASONS
    )
    return f"SELECT * FROM (VALUES {values}) t(reason, stage, selected, meaning)"


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return union([], "run_id VARCHAR, method VARCHAR")
    values = ", ".join(f"({literal(run)}, {literal(method)})" for run, method in rows)
    return f"SELECT * FROM (VALUES {values}) t(run_id, method)"


MACROS = (
    """CREATE MACRO explain(id) AS TABLE
    SELECT d.pool, d.run_id, d.selected, d.stage, d.reason, d.detail, s.method, s.score, s.rank
    FROM latest_decisions d LEFT JOIN _latest_long() s USING (run_id, sample_id)
    WHERE d.sample_id = id::VARCHAR ORDER BY d.pool, s.method""",
    """CREATE MACRO top(method, k) AS TABLE
    SELECT t.pool, t.sample_id, t.score, t.rank FROM _latest_long() t
    WHERE t.method = method AND t.rank <= k ORDER BY t.pool, t.rank""",
    # whether exactly one curation run has an id that begins so
    """CREATE MACRO _one_run(prefix) AS (
    SELECT CASE count(*) WHEN 1 THEN true
        WHEN 0 THEN error('There is no run ' || prefix || '; FROM runs lists them.')
        ELSE error('Several runs begin with ' || prefix || '; give more digits.') END
    FROM runs WHERE kind = 'curate' AND starts_with(run_id, prefix))""",
    # compared by the score that the later run ranked by; rounding is no change
    """CREATE MACRO diff(run_a, run_b) AS TABLE
    WITH by_score AS (
        SELECT r.method, count(m.run_id) = 2 AS in_both
        FROM _ranked_by() r LEFT JOIN _methods() m ON m.method = r.method
            AND (starts_with(m.run_id, run_a) OR starts_with(m.run_id, run_b))
        WHERE starts_with(r.run_id, run_b) GROUP BY r.method
    ),
    rows_a AS (SELECT * FROM _told() WHERE starts_with(run_id, run_a)),
    rows_b AS (SELECT * FROM _told() WHERE starts_with(run_id, run_b)),
    changed AS (
        SELECT coalesce(a.sample_id, b.sample_id) AS sample_id, a.key AS key_a, b.key AS key_b,
            coalesce(b.selected, false) AS came_in, a.reason AS reason_a, b.reason AS reason_b,
            a.content_hash IS DISTINCT FROM b.content_hash AS edited
        FROM rows_a a FULL JOIN rows_b b ON a.sample_id = b.sample_id
        WHERE coalesce(a.selected, false) <> coalesce(b.selected, false)
    ),
    scores_a AS (
        SELECT key AS key_a, score FROM _scored()
        WHERE starts_with(run_id, run_a) AND method = (SELECT method FROM by_score)
    ),
    scores_b AS (
        SELECT key AS key_b, score FROM _scored()
        WHERE starts_with(run_id, run_b) AND method = (SELECT method FROM by_score)
    )
    SELECT c.sample_id,
        CASE WHEN c.came_in THEN 'in' ELSE 'out' END AS change,
        CASE WHEN c.key_a IS NULL THEN 'new'
             WHEN c.key_b IS NULL THEN 'gone'
             WHEN c.edited THEN 'content'
             WHEN (SELECT in_both FROM by_score) AND a.score IS DISTINCT FROM b.score
                 AND coalesce(abs(a.score - b.score)
                     > 1e-12 + 1e-6 * least(abs(a.score), abs(b.score)), true) THEN 'score'
             ELSE 'competition' END AS cause,
        a.score AS score_a, b.score AS score_b, c.reason_a, c.reason_b
    FROM changed c LEFT JOIN scores_a a USING (key_a) LEFT JOIN scores_b b USING (key_b)
    WHERE _one_run(run_a) AND _one_run(run_b)
    ORDER BY change, cause, sample_id""",
)
