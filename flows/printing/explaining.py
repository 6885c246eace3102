"""Why a sample is in or out, printed for people."""

from __future__ import annotations

import json
import shlex
from typing import Any

import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.printing.output import print_table, printable
from assay.flows.report.decisions import decision_words
from assay.flows.report.rows import surroundings
from assay.flows.running.finished import finished_run
from assay.flows.running.results import RunResult
from assay.storage import ScoreStore
from assay.storage.errors import IdError
from assay.storage.names import stored_name
from assay.storage.runs.schema import literal

# from this similarity on (Jaro-Winkler, 1 is equal) an id may be a slip of the one that was given
_LIKE = 0.9


def explanation(store: ScoreStore, sample_id: str) -> list[dict[str, Any]]:
    """Return, for every pool that holds the sample, its decision and scores.

    Raises
    ------
    IdError
        If no pool's newest run holds a sample of that id.
    """
    rows = store.trusted_sql(f"SELECT * FROM explain({literal(sample_id)})")
    if rows.is_empty():
        raise IdError(
            f"There is no sample {sample_id!r} in the newest run of any pool of {store.path}. "
            f"{_close_ids(store, sample_id)}"
            f'`assay sql "select sample_id from latest_samples limit 5" --store '
            f"{shlex.quote(str(store.path))}` shows some."
        )
    decisions = []
    for (pool,), part in rows.group_by("pool", maintain_order=True):
        decision = part.row(0, named=True)
        scores = part.filter(pl.col("method").is_not_null())
        decisions.append(
            {
                "pool": pool,
                "run_id": decision["run_id"],
                "selected": decision["selected"],
                "stage": decision["stage"],
                "reason": decision["reason"],
                "detail": json.loads(decision["detail"]),
                "scores": scores.select("method", "score", "rank").rows(named=True),
                **surroundings(store, finished_run(store, decision["run_id"]), sample_id),
                "groups": _groups(store, decision["run_id"], sample_id),
            }
        )
    return [one | {"sentences": _sentences(one)} for one in decisions]


def _close_ids(store: ScoreStore, sample_id: str) -> str:
    """Return a question that names the ids most like one that is not there; empty if none is like it."""
    close = store.trusted_sql(
        "SELECT sample_id FROM latest_samples "
        f"WHERE jaro_winkler_similarity(sample_id, {literal(sample_id)}) > {_LIKE} "
        f"ORDER BY jaro_winkler_similarity(sample_id, {literal(sample_id)}) DESC, sample_id LIMIT 3"
    )["sample_id"]
    return f"Did you mean {' or '.join(map(repr, close))}? " if len(close) else ""


def _groups(store: ScoreStore, run_id: str, sample_id: str) -> list[dict[str, Any]]:
    """Return the label, the group and the plan's group of a row, each with its rows and chosen ones."""
    config = RunResult(run_id, store, computed=False).config
    assert isinstance(config, CurationConfig)
    known = store.run_table(run_id, "SELECT * FROM samples LIMIT 0").columns
    by = config.plan.by
    columns = {config.label or "label": "label", config.group or "group": "group_id"}
    if by is not None and stored_name(by) in known:
        columns[by] = stored_name(by)
    groups = []
    for name, column in columns.items():
        quoted = '"' + column.replace('"', '""') + '"'
        row = store.run_table(
            run_id,
            f"SELECT any_value({quoted})::VARCHAR AS value, count(*) AS rows, "
            "count(*) FILTER (d.selected) AS chosen FROM samples s JOIN decisions d USING (key) "
            f"WHERE {quoted} = (SELECT {quoted} FROM samples WHERE sample_id = {literal(sample_id)})",
        ).row(0, named=True)
        if row["value"] is not None:
            limits = {
                kind: table[row["value"]]
                for kind, table in (("quota", config.plan.quotas), ("minimum", config.plan.minima))
                if name == by and row["value"] in table
            }
            groups.append({"column": name, **row, **limits})
    return groups


def _sentences(one: dict[str, Any]) -> list[str]:
    """Return the decision, the groups and the nearest chosen row in sentences."""
    row = {
        "selected": one["selected"],
        "position": one["detail"].get("position"),
        "stage": one["stage"],
        "reason": one["reason"],
        "detail": json.dumps(one["detail"]),
    }
    schema = {"position": pl.Int64}
    sentences = [pl.DataFrame([row], schema_overrides=schema).select(decision_words()).item()]
    for group in one["groups"]:
        sentence = f"Of the {group['rows']:,} rows of {group['column']} {group['value']!r}, "
        sentence += f"{group['chosen']:,} were chosen"
        for kind, words in (("quota", "at most"), ("minimum", "at least")):
            if kind in group:
                amount = group[kind]
                count = (
                    f"{100 * amount:.4g}% of the budget" if isinstance(amount, float) else amount
                )
                sentence += f", {words} {count}"
        sentences.append(f"{sentence}.")
    if one["represented_by"]:
        near = one["represented_by"]
        similarity = next(
            (r["similarity"] for r in one["neighbors"] if r["sample_id"] == near["sample_id"]), None
        )
        how = "" if similarity is None else f", at a similarity of {similarity:.3f}"
        sentences.append(f"The nearest chosen row is {near['sample_id']}{how}.")
    if one["duplicates"]:
        sentences.append(f"{len(one['duplicates'])} other rows are copies of it, or it of them.")
    return sentences


def print_explanation(sample_id: str, decisions: list[dict[str, Any]]) -> None:
    """Print why a sample is in or out."""
    for one in decisions:
        verdict = "IN" if one["selected"] else "OUT of"
        print(f"{sample_id} is {verdict} the selection of {one['pool']} (run {one['run_id']})")
        for sentence in one["sentences"]:
            print(f"  {printable(sentence)}")
        if one["content"]:
            print(f"  Its content: {printable(one['content'])}")
        elif one["content_problem"]:
            print(f"  {one['content_problem']}")
        if one["represented_by"] and one["represented_by"]["excerpt"]:
            print(f"  The nearest chosen row says: {printable(one['represented_by']['excerpt'])}")
        rest = {k: v for k, v in one["detail"].items() if k not in ("position", "rule")}
        print(f"  Stage {one['stage']}, reason {one['reason']}{_listed(rest)}")
        if one["scores"]:
            print_table(pl.DataFrame(one["scores"]))
        for title, rows in (
            ("Its neighbors:", one["neighbors"]),
            ("Its duplicates:", one["duplicates"]),
        ):
            if rows:
                print_table(pl.DataFrame(rows), title=title)


def _listed(detail: dict[str, Any]) -> str:
    """Return what a decision's detail holds, in one line."""
    values = (
        (key, f"{value:.6g}" if isinstance(value, float) else printable(str(value)))
        for key, value in detail.items()
    )
    return "".join(f", {key} {value}" for key, value in values)
