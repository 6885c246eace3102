"""The registry's lines: rankers of features."""

from __future__ import annotations

from assay.selection.entries import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "ecfs",
        "ranker",
        "assay.selection.rankers.ecfs:ECFS",
        "columns by eigenvector centrality in a graph of relevance and spread",
        needs=("vectors", "labels"),
    ),
    Entry(
        "inf_fs",
        "ranker",
        "assay.selection.rankers.inf_fs:InfFS",
        "columns by the energy of all paths through a graph of spread and unlikeness",
        needs=("vectors",),
        uses=("labels",),
    ),
    Entry(
        "outrank",
        "ranker",
        "assay.selection.rankers.outrank:OutRank",
        "columns by mutual information less what chance gives to as many levels",
        needs=("vectors", "labels"),
        exempt_modes=("shift",),
    ),
    Entry(
        "distance_correlation",
        "ranker",
        "assay.selection.rankers.distance_correlation:DistanceCorrelation",
        "columns by any relation to the classes or to a number",
        needs=("vectors", "labels"),
    ),
    Entry(
        "sequential_attention",
        "ranker",
        "assay.selection.rankers.sequential_attention:SequentialAttention",
        "columns by what they explain beyond those chosen before (matching pursuit)",
        needs=("vectors", "labels"),
        copies_tie=False,
    ),
    Entry(
        "quick_selection",
        "ranker",
        "assay.selection.rankers.quick_selection:QuickSelection",
        "columns by their links in a sparse denoising auto-encoder, without labels",
        needs=("vectors",),
        copies_tie=False,
    ),
    Entry(
        "mrmr",
        "ranker",
        "assay.selection.rankers.mrmr:MRMR",
        "columns one by one, relevant to the classes and not redundant to those before",
        needs=("vectors", "labels"),
        copies_tie=False,
    ),
    Entry(
        "relieff",
        "ranker",
        "assay.selection.rankers.relieff:ReliefF",
        "columns by their differences to near rows of other classes, less those of one class",
        needs=("vectors", "labels"),
    ),
    Entry(
        "laplacian",
        "ranker",
        "assay.selection.rankers.laplacian:LaplacianScore",
        "columns by how smooth they are on the similarity graph of the rows, without labels",
        needs=("vectors",),
    ),
    Entry(
        "fisher",
        "ranker",
        "assay.selection.rankers.fisher:FisherScore",
        "columns by variance between the classes over variance within them",
        needs=("vectors", "labels"),
    ),
    Entry(
        "f_classif",
        "ranker",
        "assay.selection.rankers.univariate:FTest",
        "columns by the F statistic of their class means (scikit-learn)",
        needs=("vectors", "labels"),
    ),
    Entry(
        "mutual_info_classif",
        "ranker",
        "assay.selection.rankers.univariate:NeighborInformation",
        "columns by mutual information estimated from neighbours (scikit-learn)",
        needs=("vectors", "labels"),
    ),
    Entry(
        "chi2",
        "ranker",
        "assay.selection.rankers.univariate:ChiSquared",
        "columns of counts by how far their sums per class are from chance (scikit-learn)",
        needs=("vectors", "labels"),
    ),
)
