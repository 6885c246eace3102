"""Contents of a published file: the tables, views and macros that users query, and no others.

The rows are copied under their samples' ids, not under keys: so no table is needed that is not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.storage.runs.schema import (
    KIND_OF,
    MACROS,
    SAMPLE_COLUMNS,
    TABLES,
    RunTables,
    about_runs,
    glossary,
    identifier,
    latest,
    literal,
    of_run_only,
    of_samples,
    samples_of,
    union,
)

# view -> the table of a published file that holds its rows
LATEST = {
    "latest_samples": "samples",
    "latest_selection": "selections",
    "latest_decisions": "decisions",
}
# where the order of columns is not that of the run file's table
_ORDERED = {"duplicates": "run_id, group_id, sample_id, keeper, similarity, kind"}


@dataclass(frozen=True)
class PublishedTable:
    """A public table of a published file.

    Attributes
    ----------
    name : str
    columns : str
        A query of its columns, in their order, without rows.
    parts : list of str
        A query of each run's rows.
    constants : dict of str to str
        Columns that are the same text in all rows: generated ones, which take no room and no time.
    """

    name: str
    columns: str
    parts: list[str]
    constants: dict[str, str]

    @property
    def rows(self) -> list[str]:
        """The queries of each run's rows, without the generated columns."""
        without = f" EXCLUDE ({', '.join(self.constants)})" if self.constants else ""
        return [f"SELECT *{without} FROM ({part})" for part in self.parts]

    def definition(self, types: Mapping[str, str]) -> str:
        """Return the statement that makes the table, given the types of its columns."""
        generated = {
            name: f"VARCHAR GENERATED ALWAYS AS ({literal(value)}) VIRTUAL"
            for name, value in self.constants.items()
        }
        columns = (f"{identifier(c)} {generated.get(c, type)}" for c, type in types.items())
        return f"CREATE TABLE {self.name} ({', '.join(columns)})"


def published_tables(runs: Sequence[RunTables]) -> list[PublishedTable]:
    """Return every public table."""
    tables = []
    curated = [run for run in runs if run.kind == "curate"]
    for name, columns in TABLES.items():
        with_key = columns.startswith("key INTEGER, ")
        rest = columns.removeprefix("key INTEGER, ")
        held = [run for run in (curated if with_key else runs) if name in run.tables]
        if name == "artifacts":
            continue  # names folders of the store, which are not at hand here
        if name == "samples":
            parts = samples_of(held)
            columns = f"run_id VARCHAR, pool VARCHAR, {SAMPLE_COLUMNS}"
        elif with_key:
            parts = [of_samples(run, name) for run in held]
            columns = f"run_id VARCHAR, sample_id VARCHAR, {rest}"
        else:
            parts = [of_run_only(run, name) for run in held]
            columns = f"run_id VARCHAR, {rest}"
        empty = union([f"({part})" for part in parts], columns)
        query = f"SELECT {_ORDERED.get(name, '*')} FROM ({empty}) LIMIT 0"
        constants = {}
        if len(held) == 1:
            constants["run_id"] = held[0].run_id
            if name == "samples":
                constants["pool"] = held[0].pool
        tables.append(PublishedTable(name, query, parts, constants))
    return tables


def published_views(runs: Sequence[RunTables]) -> list[str]:
    """Return the SQL of the views and macros of a published file, over its tables."""
    methods = dict.fromkeys(m for run in latest(runs) for m in run.methods)
    pivot = "".join(
        f", max(score) FILTER (method = {literal(m)}) AS {identifier(m)}" for m in methods
    )
    wide = f"(SELECT run_id, sample_id{pivot} FROM scores GROUP BY ALL)"
    columns = "".join(f", w.{identifier(m)}" for m in methods)
    views = {
        view: f"SELECT r.pool, t.* {'EXCLUDE (pool)' if table == 'samples' else ''} "
        f"FROM {table} t JOIN runs r USING (run_id) WHERE r.kind = 'curate'"
        for view, table in LATEST.items()
    }
    for table in KIND_OF:
        views[f"latest_{table}"] = f"SELECT r.pool, t.* FROM {table} t JOIN runs r USING (run_id)"
    views["latest_scores"] = (
        f"SELECT s.pool, s.run_id, s.sample_id{columns} "
        f"FROM samples s LEFT JOIN {wide} w USING (run_id, sample_id)"
    )
    views["reasons"] = glossary()
    helpers = {
        "_latest_long": "SELECT r.pool, t.* FROM scores t JOIN runs r USING (run_id)",
        "_told": "SELECT run_id, sample_id AS key, sample_id, s.content_hash, d.selected, d.reason "
        "FROM samples s JOIN decisions d USING (run_id, sample_id)",
        "_scored": "SELECT run_id, sample_id AS key, method, score, rank FROM scores",
    }
    return [
        *(f"CREATE VIEW {name} AS {query}" for name, query in views.items()),
        *(f"CREATE MACRO {name}() AS TABLE {query}" for name, query in helpers.items()),
        *about_runs(runs),
        *MACROS,
    ]
