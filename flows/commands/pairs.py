"""The command that says which pairs of records are the same, learned from pairs that are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.flows.commands.options import Json, Overwrite

if TYPE_CHECKING:
    import polars as pl


def pairs(
    records: Annotated[str, typer.Argument(help="File, folder or glob of the records.")],
    pairs: Annotated[
        str, typer.Option(help="Table of pairs: left and right (ids), label (empty: unknown).")
    ],
    out: Annotated[
        Path, typer.Option(help="File of the scored pairs: .parquet, .csv, .jsonl, .arrow.")
    ],
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    left: Annotated[str, typer.Option(help="Column of the first id of each pair.")] = "left",
    right: Annotated[str, typer.Option(help="Column of the second id.")] = "right",
    label: Annotated[
        str, typer.Option(help="Column that says whether the two are the same: 0 or 1.")
    ] = "label",
    analyzer: Annotated[
        str, typer.Option(help="Terms: char_wb (runs of 3 characters) or word.")
    ] = "char_wb",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score pairs of records by how likely they are the same, learning from labeled pairs.

    Terms are weighed by what labeled pairs say about them, and pairs compared by the weighted cosine.
    Pairs without a label are scored by all that have one; those with a label by the other four fifths,
    so that their average precision says what to expect of the others.
    """
    from sklearn.metrics import average_precision_score

    from assay.flows.export.destination import check_destination
    from assay.flows.export.frames import write_frame
    from assay.flows.printing.output import print_json
    from assay.selection.algorithms.labeled_pairs import held_out_similarity, pair_weights
    from assay.storage import read_pool
    from assay.storage.errors import ConfigError
    from assay.storage.reading.tables import read_table

    format = out.suffix.removeprefix(".")
    if format not in ("parquet", "csv", "jsonl", "arrow"):
        raise ConfigError(
            f"--out is {str(out)!r}; name a file that ends in .parquet, .csv, .jsonl or .arrow."
        )
    check_destination(out, overwrite=overwrite, inputs=(records, pairs))
    pool = read_pool(records, id=id, text=text)
    frame = read_table(pairs)
    rows = _positions(pool.samples()["sample_id"], frame, left, right)
    known, same = _labels(frame, label)
    texts = pool.contents()
    options: dict[str, Any] = {"analyzer": analyzer, "ngrams": 3 if analyzer == "char_wb" else 1}
    learned = pair_weights(texts, rows[known], same, **options)
    similarity, plain = learned.similarity(texts, rows), learned.plain().similarity(texts, rows)
    ids = pool.samples()["sample_id"]
    similarity[known], _ = held_out_similarity(texts, rows[known], same, ids=ids, **options)
    write_frame(
        frame.with_columns(similarity=similarity, plain_similarity=plain), out, format,
        overwrite=overwrite,
    )  # fmt: skip
    report = {
        **learned.report_,
        "average_precision": float(average_precision_score(same, similarity[known])),
        "average_precision_plain": float(average_precision_score(same, plain[known])),
        "scored": int((~known).sum()),
        "out": str(out),
    }
    if json:
        print_json(report)
        return
    typer.echo(
        f"{report['pairs']:,} labeled pairs, {report['same']:,} the same. Average precision of pairs held "
        f"out: {report['average_precision']:.3f}; of the plain cosine: "
        f"{report['average_precision_plain']:.3f}."
    )
    typer.echo(f"{report['scored']:,} pairs without a label were scored: {out}", err=True)


def _positions(ids: pl.Series, frame: pl.DataFrame, left: str, right: str) -> Any:
    """Return int64[m, 2]: where the records of each pair are."""
    import numpy as np
    import polars as pl

    from assay.storage.errors import ColumnError, IdError

    columns = []
    place = pl.DataFrame({"id": ids, "place": np.arange(len(ids))})
    for name in (left, right):
        if name not in frame.columns:
            raise ColumnError.missing(name, frame.columns, what="column of the pairs")
        named = frame.select(id=pl.col(name).cast(pl.String))
        places = named.join(place, on="id", how="left", maintain_order="left")["place"]
        if places.null_count():
            first = named["id"].filter(places.is_null())[0]
            raise IdError(
                f"{places.null_count():,} pairs name a record in {name} that is not there, {first!r} "
                "first; give the records that they were made from, or name their column of ids (--id)."
            )
        columns.append(places.to_numpy())
    return np.column_stack(columns).astype(np.int64)


def _labels(frame: pl.DataFrame, label: str) -> tuple[Any, Any]:
    """Return which pairs have a label, and the labels of those."""
    import polars as pl

    from assay.storage.errors import ColumnError, InputError

    if label not in frame.columns:
        raise ColumnError.missing(label, frame.columns, what="column of the pairs")
    words = frame[label].cast(pl.String).str.strip_chars().str.to_lowercase()
    words = words.str.replace(r"\.0$", "").replace({"true": "1", "false": "0", "": None})
    wrong = words.filter(words.is_not_null() & ~words.is_in(["0", "1"]))
    if len(wrong):
        raise InputError(
            f"{label} holds {wrong[0]!r}; a label is 1 or true (the same), 0 or false, or empty."
        )
    known = words.is_not_null().to_numpy()
    return known, (words.drop_nulls() == "1").to_numpy()


COMMANDS = (pairs,)
