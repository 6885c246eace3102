"""The command that lets MCP clients read a store."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.flows.commands.options import Store, open_store
from assay.storage.errors import AssayError, ConfigError

if TYPE_CHECKING:
    from assay.storage import ScoreStore

_INSTRUCTIONS = (
    "Reads a store of assay: data sets, of which every row has scores and one decision with a "
    "reason. `runs` lists what was run; `sql` queries the views latest_samples, latest_scores, "
    "latest_selection, latest_decisions, metrics, ledger and reasons; nothing can be changed."
)
MOST_ROWS = 1_000


def mcp(
    store: Store = Path("assay-store"),
    http: Annotated[
        int | None,
        typer.Option(help="Serve on this port of the loopback interface, not on standard input."),
    ] = None,
) -> None:
    """Serve read-only tools over a store to MCP clients: sql, explain, runs, methods, compare, estimate.

    Needs assay-curation[mcp]. A client starts it by itself: the command is assay, with the arguments
    mcp --store DIR.
    """
    server = make_server(open_store(store))
    if http is None:
        server.run("stdio")
        return
    if not 0 < http < 65_536:
        raise ConfigError(f"--http takes a port from 1 to 65535, not {http}.")
    from mcp.server.transport_security import TransportSecuritySettings

    hosts = [f"127.0.0.1:{http}", f"localhost:{http}"]
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
    )
    typer.echo(f"Serving {store} at http://127.0.0.1:{http}/mcp", err=True)
    server.run("streamable-http", host="127.0.0.1", port=http, transport_security=security)


def make_server(store: ScoreStore) -> Any:
    """Return the server of the tools over a store.

    Raises
    ------
    ConfigError
        The package mcp is missing.
    """
    try:
        from mcp.server import MCPServer
        from mcp_types import ToolAnnotations
    except ImportError:
        raise ConfigError(
            "Serving MCP clients needs the package mcp: pip install 'assay-curation[mcp]'."
        ) from None
    server = MCPServer("assay", instructions=_INSTRUCTIONS)
    reads = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    for tool in _tools(store):
        server.add_tool(_with_plain_errors(tool), annotations=reads)
    return server


def _with_plain_errors(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a tool whose errors reach the client as the paragraph that they are."""
    from mcp.server.mcpserver.exceptions import ToolError

    from assay.flows.config.credentials import scrub

    @wraps(tool)
    def run(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return tool(*args, **kwargs)
        except AssayError as error:
            raise ToolError(scrub(str(error))) from None

    return run


def _tools(store: ScoreStore) -> list[Callable[..., dict[str, Any]]]:
    """Return the tools; a client sees their names, parameters and docstrings."""
    import json

    from assay.flows.commands.methods import listed_methods, method_page
    from assay.flows.config.curation import CurationConfig
    from assay.flows.estimate import estimation
    from assay.flows.export.frames import rows_json
    from assay.flows.export.json_text import as_json
    from assay.flows.printing.explaining import explanation
    from assay.flows.report.differences import LATEST, PREVIOUS, difference
    from assay.flows.running.finished import curation_run
    from assay.storage.runs.schema import NEWEST_FIRST

    def plain(value: dict[str, Any]) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(as_json(value))
        return parsed

    def sql(query: str, limit: int = 100, all_runs: bool = False) -> dict[str, Any]:
        """Run one reading SQL statement (DuckDB) over the store.

        Returns columns, at most `limit` rows (1 to 1000), and how many rows there are in all.
        `all_runs` includes archived runs.
        """
        if not 1 <= limit <= MOST_ROWS:
            raise ConfigError(f"limit must be from 1 to {MOST_ROWS}, not {limit}.")
        rows = store.sql(query, all_runs=all_runs, printable=True)
        return plain(rows_json(rows.head(limit)) | {"total": rows.height})

    def explain(sample_id: str) -> dict[str, Any]:
        """Explain why a sample is in or out of the newest selection of each pool that holds it."""
        return plain({"sample_id": sample_id, "pools": explanation(store, sample_id)})

    def runs(limit: int = 50) -> dict[str, Any]:
        """List the runs of the store, newest first: ids, kinds, pools, status, times, rows."""
        if not 1 <= limit <= MOST_ROWS:
            raise ConfigError(f"limit must be from 1 to {MOST_ROWS}, not {limit}.")
        rows = store.trusted_sql(
            "SELECT run_id, kind, of_run, pool, status, started_at::VARCHAR AS started_at, "
            f"finished_at::VARCHAR AS finished_at, n_samples FROM runs ORDER BY {NEWEST_FIRST}"
        )
        return plain(rows_json(rows.head(limit)) | {"total": rows.height})

    def methods(name: str | None = None, kind: str | None = None) -> dict[str, Any]:
        """List the methods (selectors, scorers, steps, rankers), or show the page of one by name."""
        listed = [each for each in listed_methods() if kind in (None, each["kind"])]
        if name is None:
            return plain({"methods": listed})
        pages = [each | method_page(each) for each in listed if each["name"] == name]
        if not pages:
            raise ConfigError(f"There is no method {name!r}; call methods() for the list.")
        return plain({"methods": pages})

    def compare(
        run_a: str = PREVIOUS,
        run_b: str = LATEST,
        pool: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """Say what came into the selection and went out of it between two runs, and why.

        Runs are named by their first digits, "latest" or "previous"; at most `limit` rows are listed.
        """
        if not 1 <= limit <= MOST_ROWS:
            raise ConfigError(f"limit must be from 1 to {MOST_ROWS}, not {limit}.")
        changes = difference(store, run_a, run_b, pool=pool)
        return plain(changes.summary() | rows_json(changes.rows.head(limit)))

    def estimate(
        run: str | None = None, budget: str | None = None, select: str | None = None
    ) -> dict[str, Any]:
        """Estimate rows, memory, disk and time of running a finished run's configuration anew.

        `budget` (1000 or 10%) and `select` (a method) replace what the run had. Samples of its pool
        are run in a store of their own; this store is not written to.
        """
        config = json.loads(curation_run(store, run)["config"])
        changed = {"budget": budget, "select": select}
        config |= {key: value for key, value in changed.items() if value is not None}
        return plain(estimation.estimate(CurationConfig.build(config)).as_dict())

    return [sql, explain, runs, methods, compare, estimate]


COMMANDS = (mcp,)
