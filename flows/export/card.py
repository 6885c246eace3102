"""README.md: the card of a selection, in the form of a Hugging Face dataset card."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from assay.flows.export.card_facts import NOT_STATED, OF_PEOPLE, Facts
from assay.flows.export.license import license_counts, license_fields
from assay.flows.export.selection import Selection
from assay.storage.reading.locations import scheme_of

_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~])")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))


def dataset_card(selection: Selection, facts: Facts, data_files: str | None) -> str:
    """Return the card of a selection.

    Parameters
    ----------
    selection : Selection
    facts : Facts
        What its tables say, see `facts_of`.
    data_files : str or None
        A pattern of the files that `datasets.load_dataset` is to open, for the header.

    Notes
    -----
    It says nothing that differs between two computations of the same run: no times, no folders of
    this machine.
    """
    parts = [
        _header(selection, data_files),
        _title(selection),
        _how(selection),
        _reasons(selection),
        _shares(facts),
        _slices(facts),
        _leaks(selection, facts),
        _shortcuts(facts),
        _ledger(selection),
        _weaknesses(selection, facts),
        _people(),
        _license(selection),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe(selection: Selection) -> str:
    """Say in a sentence what the rows are."""
    count = selection.rows.height
    pool, total = selection.run["pool"], selection.run["n_samples"]
    return (
        f"{count:,} of the {total:,} rows of the pool {pool!r}: {selection.words}. The run "
        f"{selection.run_id} chose {_n_selected(selection):,} rows by {selection.config.select}."
    )


def _header(selection: Selection, data_files: str | None) -> str:
    fields: dict[str, Any] = dict(license_fields(selection.location))
    fields["pretty_name"] = f"{selection.run['pool']}, rows chosen by {selection.config.select}"
    fields["tags"] = ["assay", "data-selection"]
    count = selection.rows.height
    fields["size_categories"] = [next((name for most, name in _SIZES if count < most), "n>1M")]
    if data_files is not None:
        split = {"split": "train", "path": data_files}
        fields["configs"] = [{"config_name": "default", "data_files": [split]}]
    # every JSON value is one of YAML
    lines = [f"{key}: {json.dumps(value, default=str)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _title(selection: Selection) -> str:
    return f"# {escape(str(selection.run['pool']))}: a selection\n\n{escape(describe(selection))}"


def _how(selection: Selection) -> str:
    config, plan = selection.config, selection.config.plan
    fingerprint = selection.store.run_table(
        selection.run_id, "SELECT pool_fingerprint FROM run"
    ).item()
    rows: list[tuple[str, object]] = [
        ("pool", selection.run["pool"]),
        ("pool's location", location_name(config.pool)),
        ("pool's fingerprint (BLAKE2b)", fingerprint),
        ("rows of the pool", f"{selection.run['n_samples']:,}"),
        ("content", f"{selection.pool.kind} in the column {selection.content_column}"),
        ("target", location_name(config.target) or "none"),
        ("method", config.select),
        ("budget", _budget(config.budget)),
        ("rows chosen", f"{_n_selected(selection):,}"),
        ("scores", ", ".join(config.scores or ()) or "none"),
        ("difficulty", config.difficulty),
        ("filters", "; ".join(plan.filters)),
        ("deduplication", ", ".join(name for name, _ in plan.steps())),
        ("cutoff", plan.cutoff),
        ("evaluation sets kept out", ", ".join(plan.leakage)),
        ("cost", plan.cost),
        ("groups", plan.by),
        ("quotas", plan.quotas and json.dumps(plan.quotas, sort_keys=True)),
        ("minima", plan.minima and json.dumps(plan.minima, sort_keys=True)),
        ("seed", config.seed),
        ("run", selection.run_id),
        ("generation", selection.run["generation"]),
    ]
    return _section(
        "How the rows were chosen",
        ("what", "value"),
        [r for r in rows if r[1] not in (None, "", {}, ())],
    )


def _reasons(selection: Selection) -> str:
    counts = selection.store.run_table(
        selection.run_id,
        "SELECT selected, stage, reason, count(*) AS n FROM decisions GROUP BY ALL "
        "ORDER BY selected DESC, n DESC, stage, reason",
    )
    total = counts["n"].sum()
    rows = [
        ("in" if selected else "out", stage, reason, f"{n:,}", f"{n / total:.1%}")
        for selected, stage, reason, n in counts.rows()
    ]
    return _section(
        "Why rows of the pool are in or out", ("decision", "stage", "reason", "rows", "share"), rows
    )


def _ledger_rows(selection: Selection) -> list[dict[str, Any]]:
    return selection.store.run_table(selection.run_id, "FROM ledger ORDER BY name").rows(named=True)


def _ledger(selection: Selection) -> str:
    rows = [
        (
            row["name"],
            _number(row["value"]),
            _number(row["baseline"]),
            _number(row["after_cutoff"]),
            row["better"] or "",
            row["verdict"] or "",
        )
        for row in _ledger_rows(selection)
    ]
    header = ("figure", "this selection", "random", "random after cutoff", "better is", "verdict")
    return _section("Beside random subsets of equal size", header, rows)


def _shares(facts: Facts) -> str:
    rows = [(of, value, f"{a:.1%}", f"{b:.1%}") for of, value, a, b in facts.shares]
    header = ("column", "value", "share of the pool", "share of the selection")
    return _section("What the rows are, before and after", header, rows)


def _slices(facts: Facts) -> str:
    rows = [(slice_, f"{n:,}", f"{left_out:.1%}") for slice_, n, left_out in facts.slices]
    return _section("Of which rows most were left out", ("slice", "rows", "left out"), rows)


def _leaks(selection: Selection, facts: Facts) -> str:
    sets = selection.config.plan.leakage
    if not sets:
        return (
            "## Rows that hold evaluation items\n\nNo evaluation set was given, so the rows were not "
            "searched for items of one."
        )
    leaked = {name for name, _, _ in facts.leaks}
    rows = [(name, kind, f"{n:,}") for name, kind, n in facts.leaks]
    rows += [(name, "none", "0") for name in sorted(sets) if name not in leaked]
    header = ("evaluation set", "found by", "rows of the pool")
    return _section("Rows that hold evaluation items", header, rows)


def _shortcuts(facts: Facts) -> str:
    rows = [(name, f"{share:.1%}") for name, share in facts.shortcuts]
    header = ("attribute", "share of the label's entropy")
    return _section("What simple attributes tell about the label", header, rows)


def _people() -> str:
    return _section(
        "What only people know", ("what", "stated"), [(what, NOT_STATED) for what, _ in OF_PEOPLE]
    )


def _weaknesses(selection: Selection, facts: Facts) -> str:
    lines = weaknesses(selection, facts)
    listed = "\n".join(f"- {escape(line)}" for line in lines)
    return f"## Known weaknesses\n\n{listed}"


def weaknesses(selection: Selection, facts: Facts) -> list[str]:
    """Say in sentences what should worry a reader."""
    lines = list(facts.sentences())
    ledger = _ledger_rows(selection)
    for verdict, words in (
        ("random is better", "A random subset of equal size is better in"),
        ("like random", "No better than a random subset of equal size in"),
    ):
        rows = [row for row in ledger if (row["verdict"] or "").startswith(verdict)]
        if rows:
            figures = ", ".join(
                f"{row['name']} ({_number(row['value'])} against {_number(row['baseline'])})"
                for row in rows
            )
            lines.append(f"{words}: {figures}.")
    unjudged = [row["name"] for row in ledger if not row["verdict"]]
    if unjudged:
        lines.append(f"Only described, not compared with random subsets: {', '.join(unjudged)}.")
    if not ledger:
        lines.append("The selection was not compared with random subsets.")
    counts = dict(
        selection.store.run_table(
            selection.run_id,
            "SELECT reason, count(*) FROM decisions WHERE stage IN ('read', 'embed') GROUP BY 1 ORDER BY 1",
        ).rows()
    )
    refused = sum(counts.values())
    if refused:
        counted = ", ".join(f"{n:,} {reason}" for reason, n in counts.items())
        lines.append(f"{refused:,} rows of the pool could not be used at all: {counted}.")
    if selection.config.embedding.name == "default" and selection.pool.kind != "vector":
        lines.append(
            "Rows were compared by assay's default embedding, which needs no model and knows "
            "words or colors, not meaning."
        )
    lines.append(
        "Figures are measured on the pool's own embedding. No model was trained on the rows, so "
        "they do not promise a better model."
    )
    return lines


def _license(selection: Selection) -> str:
    fields = license_fields(selection.location)
    lines = [
        f"- {escape(key)}: {escape(_plain(value))}"
        for key, value in fields.items()
        if key.startswith("license")
    ]
    lines += [
        f"- {escape(name)}: {n:,} of these rows" for name, n in license_counts(selection.frame)
    ]
    body = "\n".join(lines) or (
        "The pool's files state no license. The rows keep the license of the data that they come "
        "from."
    )
    return f"## License\n\n{body}"


def _n_selected(selection: Selection) -> int:
    return int(
        selection.store.run_table(
            selection.run_id, "SELECT count(*) FROM decisions WHERE selected"
        ).item()
    )


def location_name(location: str | None) -> str | None:
    """Return a location without the folders of this machine: a URL, or a file's or folder's name."""
    if location is None:
        return None
    if scheme_of(location) not in (None, "file"):
        return location
    return PurePosixPath(location.replace("\\", "/")).name or location


def _budget(budget: float | str) -> str:
    if isinstance(budget, str):
        return f"{budget}, by a learning curve"
    return f"{budget:,} rows" if isinstance(budget, int) else f"{budget:.6g} of the pool"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def escape(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line.

    Examples
    --------
    >>> escape("a|b <i>")
    'a\\\\|b &lt;i&gt;'
    """
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *([escape(_plain(v)) for v in row] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {title}\n\n{table}"
