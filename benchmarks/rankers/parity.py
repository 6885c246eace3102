"""The rankings of the authors' own code against ours, by weights, inversions and best columns."""

from __future__ import annotations

import numpy as np
from common.data import data_folder, reference
from numpy.typing import NDArray

from assay.selection.rankers.ecfs import ECFS
from assay.selection.rankers.inf_fs import InfFS

Floats = NDArray[np.float64]

COUNTS = (10, 50, 100, 200)
FORMS = {
    "ecfs05": ("ECFS, alpha .5", ECFS(alpha=0.5, relevance="fslib", normalize=False)),
    "ecfs02": ("ECFS, alpha .2", ECFS(alpha=0.2, relevance="fslib", normalize=False)),
    "inffs_u": ("Inf-FS 2020, unsupervised", InfFS()),
    "inffs_s": ("Inf-FS 2020, supervised", InfFS(supervised=True, alpha=(1 / 3,) * 3)),
    "inffs2016_u": ("Inf-FS 2016, unsupervised", InfFS(scaling="2016")),
    "inffs2016_s": ("Inf-FS 2016, supervised", InfFS(scaling="2016", supervised=True)),
}
SETS = ("colon", "madelon", "Prostate-GE")
HEAD = [
    "set",
    "method",
    "largest difference of weights",
    "worst inversion",
    *(f"top {k}" for k in COUNTS),
]


def original(name: str) -> tuple[Floats, NDArray[np.int64]]:
    """Return X and y of a set as the authors' code was given them."""
    with np.load(data_folder() / "featsel" / f"{name}.npz") as stored:
        X, y = stored["X"].astype(np.float64), stored["y"].astype(np.int64)
    if name == "Prostate-GE":
        # kept in float32; the originals are logarithms of intensities with one decimal
        X = np.log(np.round(10.0**X, 1)) / np.log(10)
    return X, y


def compare() -> tuple[list[list[str]], bool]:
    """Return the rows of the table, and whether all agree.

    An inversion is how much more weight, relative to the largest, a column has than one that we
    put before it. The best k are the same where no column among ours weighs less than the k-th.
    """
    rows, agree = [], True
    for name in SETS:
        for form, (title, ranker) in FORMS.items():
            path = reference(f"{name}.{form}.csv")
            if not path.exists():
                continue
            weight = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1]
            fitted = ranker.fit(*original(name))
            ours = fitted.scores_
            if form.startswith("ecfs"):
                weight = weight / np.linalg.norm(weight)
                difference = float(np.abs(ours - weight).max())
            else:
                difference = float(np.abs(ours / weight - 1).max())
            in_order = weight[np.argsort(fitted.ranking_)]
            later = np.maximum.accumulate(in_order[::-1])[::-1]
            inversion = float((later - in_order).max() / np.abs(weight).max())
            descending = np.sort(weight)[::-1]
            same = []
            for k in COUNTS:
                worse = in_order[:k] < descending[k - 1] - 1e-12 * np.abs(weight).max()
                same.append(int(k - worse.sum()))
            agree &= difference <= 1e-8 and inversion <= 1e-9 and same == list(COUNTS)
            shown = [f"{s} of {k}" for s, k in zip(same, COUNTS, strict=True)]
            rows.append([name, title, f"{difference:.1e}", f"{inversion:.1e}", *shown])
    return rows, agree
