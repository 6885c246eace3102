"""What edges of their own add to the vectors of rows: smoothing along them.

    python benchmarks/given_edges.py [--seeds 3]

Papers with citations (cora, citeseer) and pages with links (facebook): a logistic regression on a tenth
of the labels, on the rows' features as they are (unit length; facebook: 256 singular directions) and
smoothed twice along the edges; accuracy on the other rows.
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

SETS = ("cora", "citeseer", "facebook")
GOAL = 0.06
DENSE = 5_000


def features(name: str) -> np.ndarray:
    """Return the rows' features, scaled to length 1."""
    parts = np.load(data_folder() / "graphs" / f"{name}_x.npz")
    X = csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=parts["shape"])
    if X.shape[0] > DENSE:
        left, values, _ = svds(X.astype(np.float64), 256, random_state=0)
        dense = left * values
    else:
        dense = X.toarray()
    return dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    lines, goals = [], []
    for name in SETS:
        X, nodes = features(name), data(f"graphs/{name}_nodes.parquet")
        graph = SimilarityGraph.from_edges(data(f"graphs/{name}_edges.parquet"), ids=nodes["node"])
        smooth = graph.smooth(X)
        classes = nodes["label"].cast(str)
        labeled = np.flatnonzero((classes != "-1").fill_null(False).to_numpy())
        y = classes.to_numpy()
        found = []
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(labeled)
            train, test = order[: len(order) // 10], order[len(order) // 10 :]
            for V in (X, smooth):
                model = LogisticRegression(C=10, max_iter=300).fit(V[train], y[train])
                found.append(model.score(V[test], y[test]))
        plain, better = np.mean(np.reshape(found, (-1, 2)), axis=0)
        edges = graph.report_["edges"]
        lines.append([name, f"{len(nodes):,}", f"{edges:,}", f"{plain:.3f}", f"{better:.3f}"])
        goals.append(
            [name, f"{GOAL:.2f}", f"{better - plain:.3f}", verdict(better - plain >= GOAL)]
        )
    write(
        "given_edges.md",
        f"""# Edges that come with a pool

`python benchmarks/given_edges.py --seeds {options.seeds}`

Accuracy of a logistic regression on a tenth of the labels, on the rows' features and on those smoothed
twice along the given edges (`SimilarityGraph.from_edges(...).smooth(X)`); means over {options.seeds} seeds.

{table(["set", "rows", "edges", "features", "smoothed"], lines)}

{table(["smoothed over features", "goal", "measured", ""], goals)}

{machine()}
""",
    )


if __name__ == "__main__":
    main()
