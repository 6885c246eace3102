"""Label errors: people's labels of CIFAR-10, flipped labels of texts, errors that people confirmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from common.data import data_folder
from common.report import table
from common.timing import Spent, timed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict

from assay.index import HashedTextEmbedder, SimilarityGraph
from assay.selection.algorithms.cross_fitting import predictions
from assay.selection.contract.inputs import Inputs
from judges.goals import Floats, Section, goal, rank_mean, say, scored, scorers

try:
    from cleanlab.rank import get_label_quality_scores
except ImportError:
    get_label_quality_scores = None

K = 20
COMBINATIONS = (
    ("pvi", "margin"),
    ("self_confidence", "margin"),
    ("label_agreement", "pvi"),
    ("label_agreement", "self_confidence", "margin"),
)
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
AIMS = {"aggre": 0.90, "random1": 0.90, "worse": 0.88}
Columns = dict[str, dict[str, float]]


def cross_fitted(X: Any, y: Any, graph: Any) -> tuple[Floats, Spent]:
    """Return the out-of-fold probabilities that the scorers use by default, columns by label."""
    found, spent = timed(lambda: predictions(Inputs(X=X, y=y, graph=graph), None, 5, 0, 50_000))
    order = np.argsort([int(name) for name in found.labels.classes])
    return found.probabilities[:, order], spent


def assay_scores(X: Any, y: Any, graph: Any, P: Floats) -> dict[str, Floats]:
    """Return every labeled scorer's scores, and rank means."""
    found = {f"assay {x}": scored(x, X, y, graph, P) for x in scorers(labels=True)}
    for names in COMBINATIONS:
        parts = [found[f"assay {x}"] for x in names if f"assay {x}" in found]
        if len(parts) == len(names):
            found[f"assay rank mean: {' + '.join(names)}"] = rank_mean(parts)
    return found


def cleanlab_scores(codes: NDArray[Any], P: Floats, told: str) -> dict[str, Floats]:
    """Return cleanlab's label quality scores, with its adjustment of probabilities and without."""
    if get_label_quality_scores is None:
        return {}
    found = {}
    for method in CLEANLAB:
        for adjust in (False, True):
            if adjust and method == "confidence_weighted_entropy":
                continue
            name = f"cleanlab {method}{', adjusted' if adjust else ''}, {told}"
            found[name] = get_label_quality_scores(
                codes, P, method=method, adjust_pred_probs=adjust
            )
    return found


def sparse_or_dense_logistic(X: Any, codes: NDArray[Any]) -> Floats:
    """Return out-of-fold probabilities of scikit-learn's logistic regression, as cleanlab's users."""
    model = LogisticRegression(max_iter=100)
    return cross_val_predict(model, X, codes, cv=5, method="predict_proba")


def aucs(found: dict[str, Floats], wrong: NDArray[np.bool_]) -> dict[str, float]:
    """Return the AUROC of low scores for wrong rows."""
    return {name: float(roc_auc_score(wrong, -score)) for name, score in found.items()}


def best(column: dict[str, float], start: str) -> tuple[str, float]:
    """Return the best of the scores whose name starts like that."""
    return max(
        ((name, value) for name, value in column.items() if name.startswith(start)),
        key=lambda pair: pair[1],
        default=("not installed", float("nan")),
    )


def as_table(columns: Columns) -> str:
    """Return scores against data."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [
        [name, *(f"{c[name]:.3f}" if name in c else "" for c in columns.values())] for name in names
    ]
    return table(["score", *columns], rows)


def images(limit: int | None) -> tuple[Columns, list[str]]:
    """Return the AUROC of all scores on CIFAR-10N, and what was measured beside."""
    frame = pl.read_parquet(data_folder() / "cifar10_vectors.parquet")
    frame = frame.filter(pl.col("split") == "train").sort("idx")
    told = pl.read_parquet(data_folder() / "cifar10n_labels.parquet").sort("idx")
    frame, told = frame.head(limit or frame.height), told.head(limit or told.height)
    X = np.ascontiguousarray(frame["vec"].to_numpy(), dtype=np.float32)
    graph, spent = timed(lambda: SimilarityGraph.from_vectors(X, k=K))
    notes = [f"graph {spent.cpu:.1f} CPU s"]
    clean = told["clean"].to_numpy()
    columns: Columns = {}
    for kind in AIMS:
        say(f"CIFAR-10N {kind}")
        y = told[kind].to_numpy()
        P, spent = cross_fitted(X, y, graph)
        alone, less = cross_fitted(X, y, None)
        found = {"kNN-20 share of equal labels": (y[graph.neighbors] == y[:, None]).mean(axis=1)}
        found |= assay_scores(X, y, graph, P)
        for name in ("self_confidence", "margin", "pvi"):
            found[f"assay {name}, no graph"] = scored(name, X, y, None, alone)
        found |= cleanlab_scores(y, P, "assay's probabilities")
        theirs, plain = timed(lambda y=y: sparse_or_dense_logistic(X, y))
        found |= cleanlab_scores(y, theirs, "logistic regression")
        notes.append(
            f"{kind}: cross-fitting {spent.cpu:.1f} CPU s with the graph, {less.cpu:.1f} without, "
            f"scikit-learn's {plain.cpu:.1f}"
        )
        columns[kind] = aucs(found, y != clean)
    return columns, notes


def texts(limit: int | None) -> tuple[Columns, Columns]:
    """Return the AUROC where a tenth of the labels are flipped, and AP on confirmed errors."""
    pool = pl.read_parquet(data_folder() / "text_pool.parquet")
    flips: Columns = {}
    for title, source in (
        ("newsgroups", "20newsgroups"),
        ("movie snippets", "subj"),
        ("product reviews", "custrev"),
    ):
        say(title)
        part = pool.filter(pl.col("source") == source, pl.col("label").is_not_null())
        part = part.sample(fraction=1, seed=0, shuffle=True).head(limit or part.height)
        classes, codes = np.unique(part["label"].to_numpy(), return_inverse=True)
        rng = np.random.default_rng(0)
        wrong = rng.random(len(codes)) < 0.1
        moved = (codes + rng.integers(1, len(classes), len(codes))) % len(classes)
        y = np.where(wrong, moved, codes)
        found, _ = text_scores(part["text"], y)
        flips[title] = aucs(found, wrong)
    confirmed: Columns = {}
    truth = pl.read_parquet(data_folder() / "20news_test_label_errors.parquet").head(limit or 7_532)
    P = normal(truth["pyx"].to_numpy())
    known = truth["human_label_error"].fill_null(False).to_numpy()
    codes = truth["label"].to_numpy().astype(int)
    found = of_given(codes, P)
    column = {n: float(average_precision_score(known, -s)) for n, s in found.items()}
    confirmed["20news, given probabilities"] = column
    say("20news texts")
    joined = truth.join(pool.select(pl.col("id").alias("text_pool_id"), "text"), "text_pool_id")
    labels = joined["label"].to_numpy().astype(int)
    whole = pool.filter(
        pl.col("source") == "20newsgroups", ~pl.col("id").is_in(joined["text_pool_id"].implode())
    )
    names = dict(zip(truth["label_name"], truth["label"], strict=True))
    whole = whole.filter(pl.col("label").is_in(list(names))).head(limit or whole.height)
    y = np.concatenate([labels, whole["label"].replace_strict(names).to_numpy().astype(int)])
    found, _ = text_scores(pl.concat([joined["text"], whole["text"]]), y)
    wrong = joined["human_label_error"].fill_null(False).to_numpy()
    confirmed["20news, own probabilities"] = {
        n: float(average_precision_score(wrong, -s[: len(wrong)])) for n, s in found.items()
    }
    confirmed["CIFAR-10 test, given probabilities"] = cifar10_test()
    return flips, confirmed


def text_scores(column: pl.Series, y: NDArray[Any]) -> tuple[dict[str, Floats], Floats]:
    """Return all scores of labeled texts."""
    Z = HashedTextEmbedder().fit(column).encode(column)
    graph = SimilarityGraph.from_vectors(Z, k=K)
    P, _ = cross_fitted(column, y, graph)
    alone, _ = cross_fitted(column, y, None)
    neighbors = y[graph.neighbors] == y[:, None]
    found = {"kNN-20 share of equal labels": neighbors.mean(axis=1)}
    found |= assay_scores(column, y, graph, P)
    for name in ("self_confidence", "margin", "pvi"):
        found[f"assay {name}, no graph"] = scored(name, column, y, None, alone)
    found |= cleanlab_scores(y, P, "assay's probabilities")
    if get_label_quality_scores is not None:
        theirs = sparse_or_dense_logistic(Z, y)
        found |= cleanlab_scores(y, theirs, "logistic regression")
    return found, P


def of_given(codes: NDArray[Any], P: Floats) -> dict[str, Floats]:
    """Return the scores that are made of given probabilities alone."""
    found = {
        f"assay {name}": scored(name, None, codes, None, P)
        for name in scorers(labels=True)
        if name != "label_agreement"
    }
    found["assay rank mean: self_confidence + margin"] = rank_mean(
        [found["assay self_confidence"], found["assay margin"]]
    )
    return found | cleanlab_scores(codes, P, "assay's probabilities")


def cifar10_test() -> dict[str, float]:
    """Return the AP on the confirmed errors of the test images, from the probabilities given."""
    truth = pl.read_parquet(data_folder() / "cifar10_test_label_errors.parquet")
    wrong = truth["human_label_error"].fill_null(False).to_numpy()
    P = normal(truth["pyx"].to_numpy())
    found = of_given(truth["label"].to_numpy().astype(int), P)
    return {n: float(average_precision_score(wrong, -s)) for n, s in found.items()}


def normal(P: NDArray[Any]) -> Floats:
    """Return probabilities in float64 that sum to 1."""
    P = P.astype(np.float64)
    return P / P.sum(axis=1, keepdims=True)


def section(limit: int | None = None) -> tuple[Section, Columns]:
    """Measure label errors and difficulty."""
    columns, notes = images(limit)
    flips, confirmed = texts(limit)
    goals = []
    for kind, aim in AIMS.items():
        name, value = best(columns[kind], "assay")
        goals.append(
            goal(f"1. CIFAR-10N {kind}, AUROC", f">= {aim:.2f}", told(name, value), value >= aim)
        )
        goals.append(beside(f"1. CIFAR-10N {kind}, AUROC", columns[kind]))
    for title, column in flips.items():
        if title == "product reviews":
            continue
        name, value = best(column, "assay")
        goals.append(
            goal(f"1. {title}, a tenth flipped, AUROC", ">= 0.93", told(name, value), value >= 0.93)
        )
        goals.append(beside(f"1. {title}, a tenth flipped, AUROC", column))
    goals += [beside(f"1. {title}, AP", column) for title, column in confirmed.items()]
    for kind in AIMS:
        for name in ("pvi", "label_agreement"):
            value, base = (
                columns[kind][f"assay {name}"],
                columns[kind]["kNN-20 share of equal labels"],
            )
            goals.append(
                goal(f"5. {name}, mislabeled rows of {kind} first, AUROC", f">= {base:.3f} (kNN-20)",
                     f"{value:.3f}", value >= base)
            )  # fmt: skip
    text = "\n\n".join(
        (
            "## Label errors and difficulty",
            "AUROC of low scores for rows whose label is wrong. Goals take the best score of each "
            "side, which one can only know afterwards. CIFAR-10N, 192 "
            f"columns, cosine graph of {K} neighbors. " + "; ".join(notes) + ".",
            as_table(columns),
            "Texts, a tenth of the labels changed at random. The movie reviews of the pool have no "
            "labels, so movie snippets (subjective or objective) stand in; product reviews "
            "(positive or negative) are beside, without a goal. cleanlab's logistic regression "
            "sees the text vectors, 128 columns.",
            as_table(flips),
            "Errors that people confirmed, average precision (only candidates of confident "
            "learning were shown to people). Own probabilities: fitted on all newsgroups, judged "
            "on the test part.",
            as_table(confirmed),
        )
    )
    return Section(goals, text), columns


def told(name: str, value: float) -> str:
    """Return a figure with the score it belongs to."""
    return f"{value:.3f} ({name.removeprefix('assay ')})"


def beside(title: str, column: dict[str, float]) -> tuple[str, str, str, str]:
    """Return the goal of being no worse than cleanlab."""
    name, value = best(column, "assay")
    peer, theirs = best(column, "cleanlab")
    if peer == "not installed":
        return title, ">= cleanlab's best", f"{value:.3f}", "- (not installed)"
    aim = f">= {theirs:.3f} ({peer.removeprefix('cleanlab ')})"
    return goal(title, aim, told(name, value), value >= theirs - 1e-9)
