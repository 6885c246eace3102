"""The command that says how far two embedders agree about the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from assay.flows.commands.options import Json, Store, open_store
from assay.storage.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from assay.storage import ScoreStore


class _Side(NamedTuple):
    ids: pl.Series
    vectors: np.ndarray


def agreement(
    a: Annotated[
        str, typer.Argument(help="A run, or a file of vectors: by the embedder that is.")
    ] = "previous",
    b: Annotated[
        str, typer.Argument(help="A run, or a file of vectors: by the one that would replace it.")
    ] = "latest",
    k: Annotated[int, typer.Option(min=1, help="Neighbors that are compared.")] = 15,
    sample: Annotated[int, typer.Option(min=2, help="Rows that are compared.")] = 5_000,
    store: Store = Path("assay-store"),
    json: Json = False,
) -> None:
    """Compare two embeddings of the same rows: the neighbors that they share, and linear CKA.

    Runs are named by id, latest or previous. Files hold a column of vectors, or are .npy. The rows
    that both have are compared. Run the new embedder into another store and export its vectors
    (`assay export --with vectors`), or compare the runs before and after --refit.
    """
    from assay.flows.printing.diff import is_place
    from assay.flows.printing.output import print_json
    from assay.selection.evaluation.agreement import embedder_agreement

    if is_place(a) and is_place(b):
        one, two = _of_file(a), _of_file(b)
    elif is_place(a) or is_place(b):
        raise InputError(f"{a} and {b} are a file and a run; give two of a kind.")
    else:
        one, two = _of_runs(open_store(store), a, b)
    both = one.ids.to_frame("id").with_row_index("one").join(
        two.ids.to_frame("id").with_row_index("two"), on="id", maintain_order="left"
    )  # fmt: skip
    if both.is_empty():
        raise InputError(f"{a} and {b} have no id in common; compare vectors of the same rows.")
    agreement_found = embedder_agreement(
        one.vectors[both["one"].to_numpy()],
        two.vectors[both["two"].to_numpy()],
        ids=both["id"],
        k=k,
        sample=sample,
    )
    if json:
        print_json(agreement_found._asdict() | {"common": both.height})
        return
    typer.echo(
        f"Neighbors: {100 * agreement_found.neighbors:.1f} % in common (mean Jaccard index of the {agreement_found.k} "
        f"nearest). CKA: {agreement_found.cka:.3f}. {agreement_found.rows:,} of {both.height:,} rows compared."
    )


def _of_file(place: str) -> _Side:
    import polars as pl

    from assay.storage import read_pool

    pool = read_pool(place)
    if pool.kind != "vector":
        raise InputError(
            f"{place} holds {pool.kind}s in the column {pool.roles.content!r}, not vectors; name a file "
            "whose content is vectors."
        )
    samples = pool.samples()
    usable = samples["problem"].is_null()
    ids = samples["sample_id"] if pool.roles.id is not None else samples["row"].cast(pl.String)
    return _Side(ids.filter(usable), pool.vectors()[usable.to_numpy()])


def _of_runs(store: ScoreStore, a: str, b: str) -> tuple[_Side, _Side]:
    from assay.flows.report.differences import difference
    from assay.flows.report.rows import graph_ids, stored_artifact, stored_graph
    from assay.index.vectors.stored import read_vectors

    compared = difference(store, a, b)
    sides = []
    for run in (compared.run_a, compared.run_b):
        folder, graph = stored_artifact(store, run["run_id"], "embed"), None
        if folder is not None:
            graph = stored_graph(store, run["run_id"])
        if folder is None or graph is None:
            raise InputError(
                f"The vectors of run {run['run_id']} are no longer in the store; run it again."
            )
        sides.append(_Side(graph_ids(graph), read_vectors(folder)))
    return sides[0], sides[1]


COMMANDS = (agreement,)
