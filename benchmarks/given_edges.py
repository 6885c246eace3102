"""What edges of their own add to the vectors of rows: smoothing along them, and where rows stand in them.

    python benchmarks/given_edges.py [--seeds 3]

Papers with citations (cora, citeseer) and pages with links (facebook): a logistic regression on a tenth
of the labels, on the rows' features as they are (unit length; facebook: 256 singular directions) and
smoothed twice along the edges, on 64 numbers of the graph's structure, and on both; accuracy on the other
rows.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import fast_blas  # noqa: F401
from common.data import data_folder
from common.report import machine, table, verdict, write
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from sklearn.linear_model import LogisticRegression
from subsets.pools import data

from assay.index import SimilarityGraph
from assay.index.algorithms.structure import joined_vectors

SETS = ("cora", "citeseer", "facebook")
GOAL = 0.06
DENSE = 5_000
# what 64 spectral numbers beside the features should reach on cora
JOINED = 0.777
HEAD = [
    *("set", "rows", "edges", "features", "smoothed", "spectral", "features + spectral"),
    *("smoothed + spectral", "netmf", "features + netmf", "smoothed + netmf"),
]


def features(name: str) -> np.ndarray:
    """Return the rows' features, scaled to length 1."""
    parts = np.load(data_folder() / "graphs" / f"{name}_x.npz")
    X = csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=parts["shape"])
    if X.shape[0] > DENSE:
        left, values, _ = svds(X.astype(np.float64), 256, random_state=0)
        dense = left * values
    else:
        dense = X.toarray()
    return rows_of_one(dense)


def rows_of_one(X: np.ndarray) -> np.ndarray:
    """Return the rows, scaled to length 1."""
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    lines, goals = [], []
    for name in SETS:
        X, nodes = features(name), data(f"graphs/{name}_nodes.parquet")
        graph = SimilarityGraph.from_edges(data(f"graphs/{name}_edges.parquet"), ids=nodes["node"])
        smooth = graph.smooth(X)
        spectral = graph.structure(64)
        forms = [
            X,
            smooth,
            rows_of_one(spectral),
            joined_vectors(X, spectral),
            joined_vectors(smooth, spectral),
        ]
        if len(X) <= DENSE:
            walks = graph.structure(64, "netmf")
            forms += [rows_of_one(walks), joined_vectors(X, walks), joined_vectors(smooth, walks)]
        classes = nodes["label"].cast(str)
        labeled = np.flatnonzero((classes != "-1").fill_null(False).to_numpy())
        y = classes.to_numpy()
        found = []
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(labeled)
            train, test = order[: len(order) // 10], order[len(order) // 10 :]
            for V in forms:
                model = LogisticRegression(C=10, max_iter=300).fit(V[train], y[train])
                found.append(model.score(V[test], y[test]))
        means = np.mean(np.reshape(found, (-1, len(forms))), axis=0)
        plain, better = means[:2]
        edges = graph.report_["edges"]
        shown = [f"{value:.3f}" for value in means] + [""] * (8 - len(forms))
        lines.append([name, f"{len(nodes):,}", f"{edges:,}", *shown])
        if name == "cora":
            joined = float(means[3])
        goals.append(
            [name, f"{GOAL:.2f}", f"{better - plain:.3f}", verdict(better - plain >= GOAL)]
        )
    write(
        "given_edges.md",
        f"""# Edges that come with a pool

`python benchmarks/given_edges.py --seeds {options.seeds}`

Accuracy of a logistic regression on a tenth of the labels; means over {options.seeds} seeds: on the rows'
features; on those smoothed twice along the given edges (`SimilarityGraph.from_edges(...).smooth(X)`,
`[embedding] smooth = 2`); on 64 numbers that say where a row stands in the graph (`graph.structure(64)`),
spectral or of walks (netmf); and on both at equal norm (`[embedding] structure = 64`).

{table(HEAD, lines)}

{table(["smoothed over features", "goal", "measured", ""], goals)}

Features + spectral on cora: {joined:.3f} (goal {JOINED}: {verdict(joined >= JOINED)}).

{machine()}
""",
    )


if __name__ == "__main__":
    main()
