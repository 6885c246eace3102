"""croissant.json: the files and columns of an export, in the vocabulary of MLCommons' Croissant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

import polars as pl

from assay.flows.export.card import describe, location_name, weaknesses
from assay.flows.export.card_facts import NOT_STATED, OF_PEOPLE, Facts
from assay.flows.export.license import license_fields
from assay.flows.export.selection import Selection

_MIME = {
    ".parquet": "application/x-parquet",
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".arrow": "application/vnd.apache.arrow.file",
    ".tar": "application/x-tar",
    ".txt": "text/plain",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
_TERMS = (
    "citeAs column conformsTo:dct:conformsTo extract field fileProperty fileObject fileSet format "
    "includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated "
    "replace samplingRate separator source subField transform equivalentProperty"
)


_TYPES = (
    (pl.selectors.boolean(), "sc:Boolean"),
    (pl.selectors.integer(), "sc:Integer"),
    (pl.selectors.numeric(), "sc:Float"),
    (pl.selectors.datetime(), "sc:DateTime"),
    (pl.selectors.date(), "sc:Date"),
    (pl.selectors.time(), "sc:Time"),
    (pl.selectors.binary(), "sc:ImageObject"),
)


class File(NamedTuple):
    """What is known of a written file."""

    sha256: str
    size: int


def _context() -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for term in _TERMS.split():
        name, _, meaning = term.partition(":")
        terms[name] = meaning or f"cr:{name}"
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "prov": "http://www.w3.org/ns/prov#",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        **terms,
    }


def croissant(
    selection: Selection,
    facts: Facts,
    files: Mapping[str, File],
    *,
    data: str | None,
    columns: bool,
) -> bytes:
    """Return the description of an export as JSON-LD.

    Parameters
    ----------
    selection : Selection
    facts : Facts
        What its tables say, see `facts_of`.
    files : mapping of str to File
        The export's files, by their paths beside the description.
    data : str or None
        A pattern of the files that hold the table; None: one file does.
    columns : bool
        Whether the files are tables, whose columns become fields of a record set.
    """
    fingerprint = selection.store.run_table(
        selection.run_id, "SELECT pool_fingerprint FROM run"
    ).item()
    pool = str(selection.run["pool"])
    fields = license_fields(selection.location)
    about: dict[str, Any] = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": pool,
        "description": describe(selection),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": "1.0.0",
        "identifier": selection.run_id,
        # a second sc:Dataset would be taken for the description's own
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            "@id": f"urn:blake2b:{fingerprint}",
            "name": pool,
            "description": f"The pool that the rows were chosen from: {location_name(selection.config.pool)}",
        },
    }
    stated = fields.get("license_link") or fields.get("license")
    if stated:
        about["license"] = stated
    about |= _responsible(selection, facts)
    about["distribution"] = _distribution(files, data)
    if columns:
        source: dict[str, Any] = (
            {"fileSet": {"@id": "rows-files"}}
            if data
            else {"fileObject": {"@id": quote(next(iter(files)))}}
        )
        about["recordSet"] = [_record_set(selection.frame, source)]
    return (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()


def _responsible(selection: Selection, facts: Facts) -> dict[str, str]:
    """Return what is known for Croissant's vocabulary of responsible use, and what only people know."""
    config = selection.config
    steps = [*config.plan.filters, *(name for name, _ in config.plan.steps()), str(config.select)]
    known = {
        "dataPreprocessingProtocol": f"Rows chosen by, in this order: {', '.join(steps)}.",
        "dataBiases": " ".join(facts.sentences()) or "None was measured.",
        "dataLimitations": " ".join(weaknesses(selection, facts)),
    }
    stated = known | {term: NOT_STATED for _, term in OF_PEOPLE}
    return {f"rai:{term}": words for term, words in stated.items()}


def _distribution(files: Mapping[str, File], data: str | None) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": quote(path),
            "name": path,
            "contentUrl": quote(path),
            "contentSize": f"{file.size} B",
            "encodingFormat": _mime(path),
            "sha256": file.sha256,
        }
        for path, file in files.items()
    ]
    if data is not None:
        example = next(path for path in files if PurePosixPath(path).match(data))
        listed.append(
            {
                "@type": "cr:FileSet",
                "@id": "rows-files",
                "name": "rows-files",
                "description": "The files that hold the rows.",
                "encodingFormat": _mime(example),
                "includes": data,
            }
        )
    return listed


def _mime(path: str) -> str:
    return _MIME.get(PurePosixPath(path).suffix.lower(), "application/octet-stream")


def _record_set(frame: pl.DataFrame, source: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the columns; those of objects, which have no type in Croissant, are left out."""
    fields = []
    for name, kind in frame.schema.items():
        inner: Any = kind
        repeated = False
        while isinstance(inner, pl.List | pl.Array):
            inner, repeated = inner.inner, True
        if isinstance(inner, pl.Struct | pl.Map):
            continue
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"rows/{quote(name, safe='')}",
            "name": name,
            "dataType": _data_type(inner),
            "source": {**source, "extract": {"column": name}},
        }
        if repeated:
            field["repeated"] = True
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "One record for each row, in the order in which the rows were handed out.",
        "field": fields,
    }


def _data_type(kind: Any) -> str:
    column = pl.DataFrame(schema={"column": kind})
    return next((name for of, name in _TYPES if column.select(of).width), "sc:Text")
