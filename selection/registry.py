"""Every method by name: where its class is, what it needs, and one line of help.

Entries hold import strings, so that looking through them imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from assay.storage.errors import ColumnError, ConfigError

Kind = Literal["selector", "scorer", "ranker", "step"]
KINDS: tuple[Kind, ...] = ("selector", "scorer", "ranker", "step")


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes
    ----------
    name, kind : str
        Unique together.
    path : str
        ``"module:Class"``.
    help : str
        One line, for the command line and the documentation.
    needs : tuple of str
        Inputs it can't do without: "texts", "vectors", "graph", "labels", "target", "scores".
    uses : tuple of str
        Inputs it uses where they are given.
    nested : bool
        Whether every budget is a prefix of one ranking.
    exempt_from_order : bool
        Whether the result depends on the order of the rows, with default parameters.
    exempt_modes : tuple of str
        Values of its `mode` for which the result depends on the order of the rows.
    copies_tie : bool
        Rankers: whether copies of a column score equally (not where redundancy counts against a
        column, or a column's place in the table decides its random start).
    """

    name: str
    kind: Kind
    path: str
    help: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    nested: bool = False
    exempt_from_order: bool = False
    exempt_modes: tuple[str, ...] = ()
    copies_tie: bool = True


_ENTRIES = (
    Entry(
        "random",
        "selector",
        "assay.selection.random_subset:RandomSelector",
        "a uniform random subset: the baseline",
        nested=True,
    ),
    Entry(
        "importance",
        "selector",
        "assay.selection.importance_resampling:ImportanceResampler",
        "texts drawn by how much likelier they are under the target than in the pool",
        needs=("texts", "target"),
        exempt_modes=("dsir",),
    ),
    Entry(
        "ccs",
        "selector",
        "assay.selection.coverage_centric:CoverageCentricSelector",
        "the hardest rows cut off, the rest covered evenly over all difficulties",
        uses=("scores", "graph", "labels"),
    ),
    Entry(
        "facility_location",
        "selector",
        "assay.selection.facility_location:FacilityLocationSelector",
        "the rows that represent all others best",
        needs=("graph",),
        nested=True,
    ),
    Entry(
        "importance",
        "scorer",
        "assay.selection.importance_score:ImportanceScorer",
        "how much likelier a text is under the target than in the pool (log weight)",
        needs=("texts", "target"),
    ),
    Entry(
        "pagerank",
        "scorer",
        "assay.selection.graph_scores:PageRank",
        "share of a random walk's time on the similarity graph",
        needs=("graph",),
    ),
    Entry(
        "core_number",
        "scorer",
        "assay.selection.graph_scores:CoreNumber",
        "how deep inside the similarity graph a row is (k-core)",
        needs=("graph",),
    ),
    Entry(
        "hubness",
        "scorer",
        "assay.selection.graph_scores:Hubness",
        "how many rows have this row among their nearest",
        needs=("graph",),
    ),
    Entry(
        "knn_density",
        "scorer",
        "assay.selection.graph_scores:KNNDensity",
        "similarity to the k-th nearest neighbour",
        needs=("graph",),
    ),
    Entry(
        "label_agreement",
        "scorer",
        "assay.selection.label_agreement:LabelAgreement",
        "weighted share of neighbours with the same label",
        needs=("graph", "labels"),
    ),
    Entry(
        "ecfs",
        "ranker",
        "assay.selection.eigenvector_centrality:ECFS",
        "columns by eigenvector centrality in a graph of relevance and spread",
        needs=("vectors", "labels"),
    ),
    Entry(
        "inf_fs",
        "ranker",
        "assay.selection.infinite_selection:InfFS",
        "columns by the energy of all paths through a graph of spread and unlikeness",
        needs=("vectors",),
        uses=("labels",),
    ),
    Entry(
        "outrank",
        "ranker",
        "assay.selection.outrank:OutRank",
        "columns by mutual information less what chance gives to as many levels",
        needs=("vectors", "labels"),
        exempt_modes=("shift",),
    ),
    Entry(
        "distance_correlation",
        "ranker",
        "assay.selection.distance_correlation:DistanceCorrelation",
        "columns by any relation to the classes or to a number",
        needs=("vectors", "labels"),
    ),
    Entry(
        "sequential_attention",
        "ranker",
        "assay.selection.sequential_attention:SequentialAttention",
        "columns by what they explain beyond those chosen before (matching pursuit)",
        needs=("vectors", "labels"),
        copies_tie=False,
    ),
    Entry(
        "quick_selection",
        "ranker",
        "assay.selection.quick_selection:QuickSelection",
        "columns by their links in a sparse denoising auto-encoder, without labels",
        needs=("vectors",),
        copies_tie=False,
    ),
    Entry(
        "mrmr",
        "ranker",
        "assay.selection.minimum_redundancy:MRMR",
        "columns one by one, relevant to the classes and not redundant to those before",
        needs=("vectors", "labels"),
        copies_tie=False,
    ),
    Entry(
        "relieff",
        "ranker",
        "assay.selection.relief:ReliefF",
        "columns by their differences to near rows of other classes, less those of one class",
        needs=("vectors", "labels"),
    ),
    Entry(
        "laplacian",
        "ranker",
        "assay.selection.laplacian:LaplacianScore",
        "columns by how smooth they are on the similarity graph of the rows, without labels",
        needs=("vectors",),
    ),
    Entry(
        "fisher",
        "ranker",
        "assay.selection.fisher:FisherScore",
        "columns by variance between the classes over variance within them",
        needs=("vectors", "labels"),
    ),
)


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """Return all entries, or those of one kind, in the order of the documentation.

    Raises
    ------
    ConfigError
        `kind` is none of `KINDS`.

    Examples
    --------
    >>> [entry.name for entry in entries("ranker")][:2]
    ['ecfs', 'inf_fs']
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"There is no kind {kind!r}; kinds are: {', '.join(KINDS)}.")
    return tuple(entry for entry in _ENTRIES if kind in (None, entry.kind))


def entry(name: str, kind: str) -> Entry:
    """Return the entry of one method.

    Raises
    ------
    ColumnError
        No method of that kind has this name; the message names the likely one.
    """
    found = {entry.name: entry for entry in entries(kind)}
    if name not in found:
        raise ColumnError.missing(name, found, what=kind)
    return found[name]


def get(name: str, kind: str) -> Any:
    """Return the class of one method, imported now.

    Raises
    ------
    ColumnError
        No method of that kind has this name.

    Examples
    --------
    >>> get("random", "selector").__name__
    'RandomSelector'
    """
    module, _, attribute = entry(name, kind).path.partition(":")
    return getattr(import_module(module), attribute)


def help_text(kind: str) -> str:
    """Return one line per method of a kind, for the command line.

    Examples
    --------
    >>> print(help_text("ranker").splitlines()[0])
    ecfs                  columns by eigenvector centrality in a graph of relevance and spread (needs vectors, labels)
    """
    found = entries(kind)
    width = max((len(entry.name) for entry in found), default=0)
    return "\n".join(
        f"{entry.name:<{width}}  {entry.help}"
        + (f" (needs {', '.join(entry.needs)})" if entry.needs else "")
        for entry in found
    )


def markdown_table(kind: str | None = None) -> str:
    """Return the documentation's table of methods.

    Examples
    --------
    >>> print(markdown_table("ranker").splitlines()[0])
    | name | kind | what it does | needs | nested | class |
    """
    lines = ["| name | kind | what it does | needs | nested | class |", "|" + " --- |" * 6]
    for entry in entries(kind):
        module, _, attribute = entry.path.partition(":")
        needs = ", ".join([*entry.needs, *(f"[{name}]" for name in entry.uses)])
        nested = "yes" if entry.nested else ""
        lines.append(
            f"| `{entry.name}` | {entry.kind} | {entry.help} | {needs} | {nested} "
            f"| `{module}.{attribute}` |"
        )
    return "\n".join(lines)
