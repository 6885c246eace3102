"""Fuzz targets: what is checked of a mutated file, configuration, query, command or option.

Every target raises nothing but an `AssertionError` (a property that does not hold) or what it should
not (a bug); errors of assay are right answers.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from assay.storage.errors import AssayError
from tests.security.limits import time_limit
from tests.security.mutations import changes, mutated
from tests.security.store_fuzzing import check_changed_store, stores

SECONDS = 10
CANARY = "canary-8d1f"
TEXTS = ["to be", 'or "not"', "a,b", None, "line\nbreak", "ünïcode ✓", "", "  ", "=1+2", "x" * 300]


# --- files -------------------------------------------------------------------------------------


@cache
def valid_files() -> dict[str, bytes]:
    """Return a small valid file of each format, by name."""
    frame = pl.DataFrame(
        {
            "id": [str(i) for i in range(10)],
            "text": TEXTS,
            "n": [*range(9), None],
            "x": [i / 3 for i in range(10)],
            "tags": [[str(i)] * (i % 3) for i in range(10)],
        }
    )
    flat = frame.drop("tags")
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    files = {
        "a.csv": flat.write_csv().encode(),
        "a.tsv": flat.write_csv(separator="\t").encode(),
        "a.jsonl": frame.write_ndjson().encode(),
        "mixed.jsonl": b'{"id":1,"text":"a","v":{"a":[1]}}\n{"text":null,"id":"b","v":2.5}\n',
    }
    for name, options in {
        "a.parquet": {"row_group_size": 4},
        "plain.parquet": {"compression": "none", "use_dictionary": False},
    }.items():
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        files[name] = sink.getvalue()
    coded = table.set_column(1, "text", table["text"].combine_chunks().dictionary_encode())
    for name, make, held in (
        ("a.arrow", pa.ipc.new_file, table),
        ("b.arrow", pa.ipc.new_stream, table),
        ("coded.arrow", pa.ipc.new_file, coded),
    ):
        sink = io.BytesIO()
        with make(sink, held.schema) as writer:
            writer.write_table(held, max_chunksize=4)
        files[name] = sink.getvalue()
    return files


@st.composite
def files(draw: Any) -> tuple[str, bytes]:
    """Return a name and the content of a file that is nearly valid."""
    name = draw(st.sampled_from(sorted(valid_files())))
    content = mutated(valid_files()[name], draw(changes))
    if name.endswith((".csv", ".tsv", ".jsonl")):
        packed = draw(st.sampled_from(["", "", ".gz", ".zst"]))
        if packed:
            codec = "gzip" if packed == ".gz" else "zstd"
            content = (
                pa.compress(content, codec="zstd", asbytes=True)
                if codec == "zstd"
                else (gzip.compress(content, mtime=0))
            )
            content = mutated(content, draw(changes) if draw(st.booleans()) else [])
            name += packed
    return name, content


def check_file(case: tuple[str, bytes], folder: Path) -> str:
    """Read a file as a pool and as a table: all parts agree with each other, or an error says why."""
    from assay.storage import read_pool
    from assay.storage.reading.tables import read_table

    name, content = case
    path = folder / name
    path.write_bytes(content)
    with contextlib.suppress(AssayError):
        assert read_table(path).height > 0
    try:
        pool = read_pool(path, text="text")
        samples = pool.samples()
    except AssayError:
        return "refused"
    batches = list(pool.batches(3))
    rows = samples.height
    assert sum(map(len, batches)) == rows == pool.n_rows > 0
    assert samples["sample_id"].n_unique() == rows
    assert samples["row"].to_list() == list(range(rows))
    # other columns may be unsound
    with contextlib.suppress(AssayError):
        assert pool.take(np.arange(rows)).height == rows
    assert len(pool.fingerprint) == 32
    with contextlib.suppress(AssayError):
        assert read_pool(path, text="text", id="id", keep=["n"]).samples().height == rows
    expected = _independent(name, content)
    if expected is not None:
        found = [value for batch in batches for value in batch.to_pylist()]
        assert [value or "" for value in found] == expected, (found, expected)
    return "read"


def _independent(name: str, content: bytes) -> list[str] | None:
    """Return the column `text` as the standard library reads it, None where it does not."""
    try:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        elif name.endswith(".zst"):
            return None
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, ValueError):
        return None
    if ".jsonl" in name:
        try:
            lines = [json.loads(line) for line in text.split("\n") if line.strip()]
            values = [line.get("text") or "" for line in lines]
        except (ValueError, AttributeError, RecursionError):
            return None
        return values if all(isinstance(value, str) for value in values) else None
    if ".csv" not in name and ".tsv" not in name:
        return None
    try:
        delimiter = "\t" if ".tsv" in name else ","
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    header, body = rows[0], [row for row in rows[1:] if row or len(rows[0]) == 1]
    if any(len(row) != len(header) for row in body) or header.count("text") != 1:
        return None
    return [row[header.index("text")] for row in body]


# --- configurations ------------------------------------------------------------------------------

VALUES: list[Any] = [
    True, 0, -1, 1, 3, 10**6, 2**63, 2**70, 0.0, 0.5, -0.5, 1e300, "", "x", "10%", "200%", "1e9", "auto",
    "id", "text", "n", "random", "importance", "no_such", "a,b", [], [1], ["text"], ["id", "id"], {},
    {"a": 1}, "2026-01-01", "'; DROP TABLE runs --", "../../x", "a\0b", "=1+2", "nan", "length(text)",
    "read_text('/etc/hostname')", [[]], {"name": "x"}, "x" * 5000, -(2**63), float("nan"), float("inf"),
]  # fmt: skip


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value) if isinstance(value, str) else str(value)


@cache
def _keys() -> list[str]:
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.features import FeatureConfig

    nested = ("plan", "embedding", "graph")
    keys = {*CurationConfig.model_fields, *FeatureConfig.model_fields, "no_such_key"}
    for name in nested:
        model: Any = CurationConfig.model_fields[name].annotation
        keys |= {f"{name}.{key}" for key in model.model_fields}
    return sorted(keys - {"store", "pool", "table", *nested} - _reaching())


def _reaching() -> set[str]:
    # what could send something somewhere, or load a model
    return {"embedding.name", "embedding.options"}


values = st.sampled_from(VALUES) | st.text(max_size=8) | st.integers() | st.floats()


@st.composite
def configurations(draw: Any) -> bytes:
    """Return a TOML file, nearly right."""
    found = draw(st.dictionaries(st.sampled_from(_keys()), values, max_size=4))
    lines = [f"{key} = {_toml(value)}" for key, value in found.items()]
    text = "\n".join(['text = "text"'] * ("text" not in found) + lines) + "\n"
    content = text.encode("utf-8", "surrogatepass")
    return mutated(content, draw(changes) if draw(st.integers(0, 3)) == 0 else [])


def check_configuration(content: bytes, folder: Path) -> str:
    """Read a configuration and plan it: it means the same when read again, or an error says why."""
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.features import FeatureConfig
    from assay.flows.stages.run import resolve_run
    from assay.flows.stages.run_info import stored_config

    path = folder / "config.toml"
    path.write_bytes(content)
    pool = folder / "pool.csv"
    if not pool.exists():
        pool.write_text("id,text,n\n" + "".join(f"{i},about {i},{i}\n" for i in range(30)))
    with contextlib.suppress(AssayError):
        FeatureConfig.from_toml(path)
    try:
        config = CurationConfig.from_toml(path, pool=str(pool), store=str(folder / "planned"))
        assert (
            CurationConfig.build(config.model_dump()).model_dump_json() == config.model_dump_json()
        )
        plan = resolve_run(config)
    except AssayError:
        return "refused"
    json.dumps(stored_config(plan))
    assert len(plan.run_id) == 16
    return "planned"


# --- queries --------------------------------------------------------------------------------------

SQL = [
    "SELECT", "FROM", "WHERE", "*", ",", "(", ")", ";", "samples", "runs", "latest_scores", "scores",
    "decisions", "top('pagerank', 3)", "explain('1')", "diff('a', 'b')", "count(*)", "GROUP BY ALL",
    "ORDER BY ALL", "LIMIT 3", "UNION ALL", "JOIN", "USING (sample_id)", "PIVOT", "ON method", "WITH x AS",
    "DESCRIBE", "SUMMARIZE", "EXPLAIN", "SHOW TABLES", "sample_id", "'x'", "\"x\"", "NULL", "1", "--",
    "/*", "$1", "?", "::JSON", "range(1000000000000)", "ATTACH", "COPY", "TO 'out.csv'", "SET threads = 9",
    "PRAGMA", "INSTALL httpfs", "CALL", "CREATE TABLE t AS", "INSERT INTO runs", "DROP VIEW samples",
    "read_text('canary.txt')", "read_csv('canary.txt')", "'canary.txt'", "glob('*')", "getenv('HOME')",
    "getvariable('x')", "query('FROM runs')", "duckdb_secrets()", "sniff_csv('canary.txt')", "e'\\x00'",
]  # fmt: skip
TABLES = ["samples", "runs", "scores", "latest_scores", "top('pagerank', 3)", "explain('1')"]
ENDS = ["", "LIMIT 3", "ORDER BY ALL", "WHERE sample_id = '1'", "GROUP BY ALL", "CROSS JOIN runs"]
pieces = st.sampled_from(SQL) | st.text(max_size=4)


@st.composite
def _nearly_sql(draw: Any) -> str:
    words = ["SELECT", "*", "FROM", draw(st.sampled_from(TABLES)), draw(st.sampled_from(ENDS))]
    for place, piece in draw(st.lists(st.tuples(st.integers(0, 5), pieces), max_size=2)):
        words.insert(place, piece)
    return " ".join(words)


queries = _nearly_sql() | st.lists(pieces, max_size=9).map(" ".join) | st.text(max_size=30)


@cache
def small_store(folder: Path) -> Any:
    """Return a store with one small run, beside a file that no query may read."""
    from assay.storage import ScoreStore, read_pool
    from assay.storage.runs.run_file import RunInfo, RunTablesData

    (folder / "canary.txt").write_text(CANARY)
    path = folder / "small.parquet"
    frame = pl.DataFrame({"id": range(30), "text": [f"about {i % 7} things" for i in range(30)]})
    frame.write_parquet(path)
    pool = read_pool(path, id="id", text="text")
    keys = pl.DataFrame({"key": range(30)}, schema={"key": pl.Int32})
    chosen = pl.col("key") < 5
    said = {"selected": chosen, "stage": pl.lit("select"), "reason": pl.lit("selected")}
    store = ScoreStore(folder / "store", create=True)
    info = RunInfo(
        run_id="a" * 16,
        kind="curate",
        pool="small",
        started_at=datetime.now(UTC),
        n_samples=30,
        seed=0,
        generation="g",
        config={"pool": str(path), "id": "id", "text": "text"},
        versions={},
        ranked_by="pagerank",
        pool_fingerprint=pool.fingerprint,
    )
    tables = RunTablesData(
        samples=pool.samples().drop("problem"),
        scores={"pagerank": keys.with_columns(score=1.0 / (1.0 + pl.col("key")))},
        selections=keys.filter(chosen).with_columns(position=pl.col("key") + 1, weight=1.0),
        decisions=keys.with_columns(**said, detail=pl.lit("{}")),
    )
    store.finish(info, tables)
    store.publish()
    return store


def check_query(query: str, folder: Path) -> str:
    """Run a query: it gives rows of the store, or an error says why; it reads and writes nothing else."""
    store = small_store(folder)
    os.environ |= {"ASSAY_SQL_SECONDS": "4", "ASSAY_SQL_MEMORY": "200MB"}
    os.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    try:
        found = store.sql(query)
    except AssayError:
        return "refused"
    finally:
        assert sorted(path.name for path in folder.iterdir()) == before
    assert CANARY not in str(found.rows()), "a file was read"
    return "answered"


def check_expression(expression: str, folder: Path) -> str:
    """Evaluate an expression: one value for each row, or an error says why."""
    from assay.storage.sql.expressions import evaluate, names_in, places

    (folder / "canary.txt").write_text(CANARY)
    os.chdir(folder)
    frame = pl.DataFrame({"sample_id": ["a", "b"], "text": ["x", None], "n": [1, 2]})
    with contextlib.suppress(AssayError):
        names_in(expression, frame.columns)
    with contextlib.suppress(AssayError):
        assert sorted(places(frame, expression).tolist()) == [0, 1]
    try:
        found = evaluate(frame, expression)
    except AssayError:
        return "refused"
    assert len(found) == 2
    assert CANARY not in str(found.to_list()), "a file was read"
    return "answered"


TERMS = [
    "text", "n", "sample_id", "+", "||", "(", ")", ",", "length(text)", "1", "'x'", ";", "--", "/*",
    "CASE", "WHEN", "END", "(SELECT 1)", "FROM pool", "read_text('canary.txt')", "over ()", "DESC",
    "(SELECT content FROM read_text('canary.txt'))", "getenv('HOME')", "NULL", "sum(n)", "IN", "*",
]  # fmt: skip
expressions = st.lists(st.sampled_from(TERMS) | st.text(max_size=4), max_size=6).map(" ".join)


# --- commands and options ---------------------------------------------------------------------------

COMMANDS = {
    "sql": ["--format", "--out", "--raw", "--json"],
    "explain": ["--json"],
    "export": ["--out", "--run", "--columns", "--json", "--raw"],
    "runs": ["--json"],
    "diff": ["--format", "--out", "--json"],
    "check": ["--json"],
    "curate": [
        "--id", "--text", "--vector", "--label", "--group", "--keep", "--target", "--budget", "--select",
        "--scores", "--difficulty", "--filter", "--deduplicate", "--cutoff", "--cost", "--seed", "--json",
    ],
    "features": ["--label", "--method", "--k", "--option", "--missing", "--stability", "--seed"],
    "no-such": [],
}  # fmt: skip
# no separators: what a command writes stays in its folder
arguments = (
    st.sampled_from(
        [*filter(lambda v: isinstance(v, str), VALUES), "x.csv", "x.parquet", "csv", "json"]
    )
    | st.sampled_from(
        ["0", "-1", "1", "5", "nan", "SELECT 1", "FROM runs", "text", "small.parquet"]
    )
    | st.text(max_size=6)
).map(lambda value: str(value).replace("/", "").replace("\\", "").replace("\0", ""))


@st.composite
def commands(draw: Any) -> list[str]:
    """Return the arguments of a command line."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words = draw(st.lists(arguments, max_size=2))
    for option in draw(st.lists(st.sampled_from(COMMANDS[name] or ["--x"]), max_size=3)):
        words += [option] if option in ("--json", "--raw") else [option, draw(arguments)]
    if name == "curate":
        words = ["--pool", "small.parquet", "--text", "text", *words]
    return [name, *words]


def check_command(words: list[str], folder: Path) -> str:
    """Run a command: it ends with 0, 1 or 2 and says what went wrong in one paragraph."""
    from assay.flows import cli

    small_store(folder)
    os.chdir(folder)
    given = [*words, *(["--store", "scratch"] if words[0] in ("curate", "features") else [])]
    given += (
        ["--store", "store"] if words[0] in ("sql", "explain", "export", "diff", "check") else []
    )
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    code: Any = 0
    try:
        sys.argv = ["assay", *given]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as error:
        code = error.code or 0
    finally:
        sys.argv = argv
    assert code in (0, 1, 2), code
    assert "Traceback" not in err.getvalue()
    if code == 1 and words[0] != "check":
        assert err.getvalue().startswith("assay: "), err.getvalue()[:500]
    return f"exit {code}"


@st.composite
def options(draw: Any) -> tuple[str, str, dict[str, Any]]:
    """Return a kind and name of a method, and parameters for it."""
    import inspect

    from assay.selection import registry

    kind = draw(st.sampled_from(["selector", "scorer", "ranker"]))
    name = draw(st.sampled_from([entry.name for entry in registry.entries(kind)]))
    known = sorted(set(inspect.signature(registry.get(name, kind)).parameters) - {"log"})
    if not known:
        return kind, name, {}
    return kind, name, draw(st.dictionaries(st.sampled_from(known), values, max_size=2))


def check_options(case: tuple[str, str, dict[str, Any]], folder: Path) -> str:
    """Construct and fit a method: what it gives is whole, or an error says what is wrong."""
    from assay.selection import registry

    kind, name, given = case
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 4)).astype(np.float32)
    y = np.arange(24) % 2
    inputs: dict[str, Any] = {"X": X, "y": y}
    if kind != "ranker":
        needs = registry.entry(name, kind).needs
        if "log" in needs:
            return "left out"
        inputs["ids"] = [f"id {i}" for i in range(24)]
        inputs["scores"] = rng.normal(size=24)
        if "texts" in needs:
            inputs["X"] = [f"about {i} and {i % 5}" for i in range(24)]
        if "target" in needs:
            inputs["target"] = inputs["X"][:5]
        if "graph" in needs:
            from assay.index import SimilarityGraph

            inputs["graph"] = SimilarityGraph.from_vectors(X, ids=inputs["ids"], k=4)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            first = {"budget": 5} if kind == "selector" else {}
            method = registry.get(name, kind)(**(first | given)).fit(**inputs)
        except AssayError:
            return "refused"
    if kind == "selector":
        chosen = method.indices_
        assert len(set(chosen.tolist())) == len(chosen) <= 24
        assert method.decisions()["selected"].sum() == len(chosen)
    elif kind != "step":
        assert len(method.scores_) == (4 if kind == "ranker" else 24)
    return "fitted"


# --- all ---------------------------------------------------------------------------------------------

TARGETS: dict[str, tuple[Any, Callable[[Any, Path], str]]] = {
    "files": (files(), check_file),
    "configurations": (configurations(), check_configuration),
    "queries": (queries, check_query),
    "expressions": (expressions, check_expression),
    "commands": (commands(), check_command),
    "options": (options(), check_options),
    "stores": (stores(), check_changed_store),
}


def check(target: str, case: Any, folder: Path) -> str:
    """Check one case of a target, within `SECONDS`; return what came of it."""
    here = Path.cwd()
    if target in ("queries", "commands"):
        small_store(folder)
    # the first call of a method compiles it
    limit = 60 if target in ("options", "commands", "stores") else SECONDS
    try:
        with time_limit(limit):
            return TARGETS[target][1](case, folder)
    finally:
        os.chdir(here)


def dump(target: str, case: Any) -> bytes:
    """Return a case as it is kept: one line of JSON."""
    if target == "files":
        case = [case[0], case[1].hex()]
    elif target == "configurations":
        case = case.hex()
    return (json.dumps({"target": target, "case": case}) + "\n").encode()


def load(content: bytes) -> tuple[str, Any]:
    """Return the target and the case of a kept file."""
    kept = json.loads(content)
    case = kept["case"]
    if kept["target"] == "files":
        case = case[0], bytes.fromhex(case[1])
    elif kept["target"] == "configurations":
        case = bytes.fromhex(case)
    return kept["target"], case
