"""The registry's lines: scorers of samples."""

from __future__ import annotations

from assay.selection.entries import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "importance",
        "scorer",
        "assay.selection.importance_score:ImportanceScorer",
        "how much likelier a row is under the target than in the pool (log weight)",
        needs=("texts", "target"),
        vectors_for_texts=True,
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
        "degree",
        "scorer",
        "assay.selection.graph_structure:Degree",
        "how many rows a row is joined to",
        needs=("graph",),
    ),
    Entry(
        "clustering",
        "scorer",
        "assay.selection.graph_structure:ClusteringCoefficient",
        "share of the pairs of a row's neighbours that are joined",
        needs=("graph",),
    ),
    Entry(
        "eigenvector",
        "scorer",
        "assay.selection.graph_structure:Eigenvector",
        "eigenvector centrality in the similarity graph, by component",
        needs=("graph",),
    ),
    Entry(
        "label_agreement",
        "scorer",
        "assay.selection.label_agreement:LabelAgreement",
        "weighted share of neighbours with the same label",
        needs=("graph", "labels"),
    ),
)
