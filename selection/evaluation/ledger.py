"""How good a selection is, beside random subsets of equal size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import stdtrit

from assay.index.threads import one_thread
from assay.selection.algorithms.near_copies import Similarities, copy_threshold, have_copies
from assay.selection.algorithms.representation import lists_nearest
from assay.selection.contract.inputs import Floats, Inputs, Rows, text_series
from assay.selection.evaluation.balance import Representation, balance, duplicates_left, kish_size
from assay.selection.evaluation.divergence import backed_off_divergence, ngram_counts
from assay.selection.evaluation.estimates import Estimate, Figure, mean_of, value_of
from assay.selection.evaluation.negative_flips import NegativeFlips
from assay.selection.evaluation.vectors import (
    Measure,
    Space,
    target_measures,
    target_vectors,
    vector_measures,
)
from assay.selection.evaluation.words import Reader, word_coverage
from assay.storage.errors import InputError
from assay.storage.hashing.rows import first_rows, hash_rows
from assay.storage.interfaces import ArrowArray, ArrowStream, Frame
from assay.storage.limits import MOST_ROUNDS, SEED, Whole, check_parameters

# similarities that are computed for the near copies of one subset
_COMPARED = 20_000_000
_SCHEMA: dict[str, Any] = {
    "name": pl.String,
    "value": pl.Float64,
    "baseline": pl.Float64,
    "after_cutoff": pl.Float64,
    "better": pl.String,
    "verdict": pl.String,
}
_INTERVALS: dict[str, Any] = {"measured": pl.Int64, "low": pl.Float64, "high": pl.Float64}
# what is better, by the last part of a name; other figures describe only
_BETTER = {
    **dict.fromkeys(["auc", "mean_distance", "max_distance"], "lower"),
    **dict.fromkeys(["radius_50", "radius_90", "radius_95", "radius_99"], "lower"),
    **dict.fromkeys(["kl_target", "cmmd_target", "early_enrichment"], "lower"),
    **dict.fromkeys(
        ["vasicek_ratio_error", "largest_share", "duplicates_left", "negative_flips"], "lower"
    ),
    **dict.fromkeys(
        ["facility_location_ratio", "kl_target_reduction", "effective_sample_size"], "higher"
    ),
    **dict.fromkeys(["entropy", "smallest_share"], "higher"),
}
# likewise, where it is the pool that is to be stood for, and not a target
_BETTER_FOR_THE_POOL = {"cmmd_pool": "lower", "words_covered": "higher", "spread.vendi": "higher"}


def evaluate_selection(
    chosen: Any,
    *,
    X: Any = None,
    graph: Any = None,
    y: Any = None,
    groups: Any = None,
    scores: Any = None,
    cutoff_kept: Any = None,
    covered: Any = None,
    target: Any = None,
    ids: Any = None,
    duplicates: Any = None,
    weights: Any = None,
    previous: Any = None,
    texts: Any = None,
    random_state: int = 0,
    sample: int = 5_000,
    draws: int = 5,
    intervals: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> pl.DataFrame:
    """Measure a selection, and the same of random subsets of equal size.

    Each figure stands beside its mean over `draws` uniform random subsets of the pool, and over
    as many of the rows that the cutoff kept, so that what a method adds to chance and to a
    cutoff can be seen. Figures whose input is not given are left out.

    Parameters
    ----------
    chosen : int[k]
        Rows of the selection. A row that is named twice counts once.
    X : array of shape (n, d), or sequence of str, optional
        Vectors, or texts (then only the divergence from `target` and copies are measured).
        Vectors are scaled to length 1 where the graph's metric is cosine.
    graph : SimilarityGraph of the n rows, optional
    y, groups : n values, optional
    scores : n finite numbers, optional
    cutoff_kept : bool[n], optional
        The rows that a cutoff left to choose from.
    covered : bool[n], optional
        Rows that are had already. Each figure is that of them and the selection, or them and a random
        subset of the others, together.
    target : sample of the distribution wanted, of the kind of X, optional
    ids : n unique texts or whole numbers, optional
        Where None, those of the graph; else the positions. All sampling depends on them alone.
    duplicates : n values, optional
        Group of copies of each row, null or -1 where it has none; with vectors and a graph, rows
        that `semantic_duplicates` takes for copies by default are copies too. Where None, rows of X
        with equal bytes are copies.
    weights : float[k], optional
        Weights of the selection, aligned with `chosen`.
    previous : int[p], optional
        Rows of the selection that this one replaces.
    texts : n texts, or a function of ascending row numbers, optional
        Beside vectors: what the vectors were made from. Where X holds texts, these. The function
        returns the texts of the rows, or an iterator over parts of them, so that no others, or no
        more than a part, are held.
    random_state : int, default 0
    sample : int, default 5,000
        Rows of the pool, those whose ids hash smallest, whose distance to the selection is
        measured, and at most so many chosen rows for the measures of spread. The standard error
        of a mean distance is then 1.4 % of its standard deviation, and the selection and the
        random subsets are measured from the same rows.
    draws : int, default 5
        Random subsets. With one there is no verdict.
    intervals : bool, default False
        Whether to say how many rows a figure was measured on, and how sure it is.
    progress : callable, optional
        Called as progress("subset", done, total) with each subset that is measured.

    Returns
    -------
    pl.DataFrame
        `name`, `value`, `baseline` (mean over random subsets), `after_cutoff` (mean over random
        subsets of the rows kept; null without a cutoff), `better` ("higher", "lower"; null where
        a figure only describes), `verdict` ("better than random", "like random", "random is
        better", "random after the cutoff is better", "random is better, also after the cutoff").
        A difference counts where it lies outside the range that holds 99 of 100 further draws
        (by Student's t of the draws).

        With `intervals` also `measured`, the rows that the figure was measured on (null: all that it
        is about), and `low` and `high`, the ends of its 95 % interval: of means, by their standard
        error, and of radii, by the ranks around them. Null where all rows were measured, and where no
        interval is known: of the largest distance, a sample says only that it is no less; which words
        are rare depends on how many rows are looked at; the discrepancies and the measures of spread
        are for comparing with those of random subsets, from samples as large. The interval of
        `negative_flips` is of the judges that learned the sample.

        ``coverage.*``
            distance to the nearest chosen row, see `measures_coverage.coverage`
        ``facility_location_ratio``
            see `assay.selection.evaluation.balance.Representation`
        ``kl_target``, ``kl_target_reduction``
            KL(target || selection) in nats, and how much less that is than KL(target || pool):
            of vectors over k-means cells, one per 10 rows of the target but at most 128; of texts
            over 10,000 hashed n-grams. See `measures_divergence.backed_off_divergence`.
        ``cmmd_pool``, ``cmmd_target``
            unbiased squared maximum mean discrepancy from the pool and from the target, on at
            most 2,048 rows of each; the bandwidth is the median distance in the pool. See
            `discrepancy.squared_discrepancy`. From the pool lower is better where there
            is no target.
        ``spread.early_enrichment``, ``spread.vasicek_ratio_error``, ``spread.vendi``
            see `measures_spread`
        ``class.*``, ``group.*``
            see `measures_balance.balance`
        ``words_covered``
            share of the words of the pool's rows that the selection holds, rare ones counting more:
            see `assay.selection.evaluation.words.word_coverage`. The judge without labels: rows that
            are near all others because they say little show here, and not in the coverage of the
            vectors
        ``negative_flips``
            of the rows that distances are measured from, the share that a judge (ridge regression on
            random features, `assay.selection.algorithms.ridge_judge`) gets right when it learns the
            labels of `previous`, and wrong when it learns those of the selection; at most `sample` rows
            of each are learned. Random subsets replace all rows of `previous`
        ``duplicates_left``
            share of chosen rows that have another chosen row as a copy
        ``effective_sample_size``
            of the weights (Kish)
        ``score_mean``

    Raises
    ------
    InputError
        Nothing was chosen, rows are out of range, or lengths differ.
    ConfigError
        `sample` or `draws` is not a whole number >= 1.

    Notes
    -----
    Time O(draws * sample * k * d): 4 to 6 s on one core for 250,000 rows of 128 numbers, 12,500
    chosen and a cutoff. Memory O(n + sample * d) beside X; nothing of n times k. One BLAS thread
    is used, and rows enter every sum in an order that depends on ids alone.

    Examples
    --------
    >>> import numpy as np
    >>> line = np.arange(1000.0)[:, None]
    >>> found = evaluate_selection(np.arange(10, 1000, 20), X=line)
    >>> dict(found.filter(name="coverage.auc").select("value", "verdict").row(0, named=True))
    {'value': 5.0, 'verdict': 'better than random'}
    """
    check_parameters(
        sample=(sample, Whole(1)),
        draws=(draws, Whole(1, MOST_ROUNDS)),
        random_state=(random_state, *SEED),
    )
    inputs = Inputs(X=X, y=y, graph=graph, groups=groups, scores=scores, ids=ids)
    n = inputs.n
    noise = inputs.given_noise(random_state, "evaluation")
    chosen_rows = _chosen(chosen, n)
    rows = _in_order(np.unique(chosen_rows), noise)
    kept = None if cutoff_kept is None else np.asarray(cutoff_kept, dtype=bool)
    if kept is not None and kept.shape != (n,):
        raise InputError(f"cutoff_kept has shape {kept.shape}; pass one true or false per row.")

    mask = None if covered is None else np.asarray(covered, dtype=bool)
    if mask is not None and mask.shape != (n,):
        raise InputError(f"covered has shape {mask.shape}; pass one true or false per row.")

    measured_rows = first_rows(noise, sample)
    subsets = _subsets(inputs, rows, noise, draws, random_state, kept, mask)
    # sums that do not depend on the number of threads
    with one_thread("blas"):
        measures: list[Measure] = []
        if X is not None and _is_text(X):
            measures += _text_measures(text_series(X), target, measured_rows, duplicates)
        elif X is not None:
            space = Space(X, graph is not None and graph.metric == "cosine")
            pool = inputs.given_noise(random_state, "evaluation/pool")
            measures += vector_measures(space, measured_rows, pool, sample, graph)
            if target is not None:
                measures += target_measures(space, target_vectors(target, space), pool, noise)
            del pool
            if duplicates is None:
                measures.append(
                    lambda some: {"duplicates_left": duplicates_left(space.hashes(some))}
                )
            if inputs.labels is not None and previous is not None and len(previous):
                measures.append(
                    NegativeFlips(
                        space.rows, inputs.as_given(inputs.labels.codes), _chosen(previous, n), noise,
                        sample, random_state,
                    )
                )  # fmt: skip
        if texts is None and X is not None and _is_text(X):
            texts = X
        # found for all subsets at once, in their order
        shares_of_words: Iterator[Floats] = iter(())
        # to read all words of the pool costs as much as to embed it, and with a target it judges nothing
        judged_by_words = texts is not None and target is None
        if judged_by_words:
            measures.append(
                lambda _: {"words_covered": _of_words(next(shares_of_words), sample, n)}
            )
        if graph is not None:
            representation = Representation(graph)
            measures.append(lambda some: {"facility_location_ratio": representation(some)})
        for name, labels in (("class", inputs.labels), ("group", inputs.groups)):
            if labels is not None:
                codes = inputs.as_given(labels.codes)
                measures.append(_balance_of(name, codes, len(labels.classes)))
        if duplicates is not None:
            copies = _copies(duplicates, n)
            near = _near_copies(inputs)
            measures.append(
                lambda some: {"duplicates_left": duplicates_left(copies[some], near(some))}
            )
        if inputs.scores is not None:
            values = inputs.as_given(inputs.scores)
            measures.append(lambda some: {"score_mean": float(np.sort(values[some]).mean())})

        del noise
        if judged_by_words:
            looked_at = [some[:sample] for some in subsets]
            shares_of_words = iter(word_coverage(_parts_of(texts), measured_rows, looked_at))
        figures: list[dict[str, Figure]] = []
        for some in subsets:
            figures.append(
                {name: figure for measure in measures for name, figure in measure(some).items()}
            )
            if progress is not None:
                progress("subset", len(figures), len(subsets))
    measured = figures[0]
    value, *others = ({name: value_of(figure) for name, figure in of.items()} for of in figures)
    random, cut = others[:draws], others[draws:]
    if weights is not None:
        value["effective_sample_size"] = _effective_size(weights, chosen_rows)
        for drawn in (*random, *cut):
            drawn["effective_sample_size"] = float(len(rows))
    lines = [
        _line(name, numbers, [_of(name, drawn) for drawn in random], [_of(name, d) for d in cut],
              target is not None)
        for name, numbers in value.items()
    ]  # fmt: skip
    if not intervals:
        return pl.DataFrame(lines, schema=_SCHEMA, orient="row")
    lines = [(*line, *_interval(measured.get(line[0]))) for line in lines]
    return pl.DataFrame(lines, schema=_SCHEMA | _INTERVALS, orient="row")


def _subsets(
    inputs: Inputs,
    rows: Rows,
    noise: Floats,
    draws: int,
    random_state: int,
    kept: NDArray[np.bool_] | None,
    covered: NDArray[np.bool_] | None,
) -> list[Rows]:
    """Return the selection, as many rows at random, and as many of those that the cutoff kept.

    Covered rows are in all of them. The rows of each are in the order of the noise.
    """
    had = np.empty(0, np.int64) if covered is None else np.flatnonzero(covered)

    def at_random(keys: Floats, allowed: NDArray[np.bool_] | None) -> Rows:
        if covered is not None:
            allowed = ~covered if allowed is None else allowed & ~covered
        if allowed is None:
            return _in_order(first_rows(keys, len(rows)), noise)
        places = np.flatnonzero(allowed)
        return _in_order(places[first_rows(keys[places], len(rows))], noise)

    uniform, cut = [], []
    for draw in range(draws):
        keys = inputs.given_noise(random_state, f"evaluation/random/{draw}")
        uniform.append(at_random(keys, None))
        if kept is not None and kept.any():
            cut.append(at_random(keys, kept))
    subsets = [rows, *uniform, *cut]
    if not len(had):
        return subsets
    return [_in_order(np.union1d(some, had), noise) for some in subsets]


def _near_copies(inputs: Inputs) -> Callable[[Rows], NDArray[np.bool_]]:
    """Return what tells which of some rows (as given) have another of them as a near copy."""
    graph, vectors = inputs.given_graph, inputs.given_graph_vectors()
    if graph is None or vectors is None or inputs.metric == "ip":
        return lambda some: np.zeros(len(some), dtype=np.bool_)
    among = Similarities(vectors, inputs.metric)
    threshold = copy_threshold(
        graph,
        inputs.metric,
        inputs.given_noise(0, "semantic_duplicates"),
        among,
    )
    lists = graph if lists_nearest(graph, inputs.metric) else None
    return lambda some: have_copies(some, threshold, _COMPARED, among, lists)


def _text_measures(texts: pl.Series, target: Any, measured: Rows, duplicates: Any) -> list[Measure]:
    measures: list[Measure] = []
    if duplicates is None:
        measures.append(
            lambda rows: {"duplicates_left": duplicates_left(hash_rows(texts.gather(rows)))}
        )
    if target is not None:
        wanted = ngram_counts(text_series(target, "target"))
        pool = ngram_counts(texts, measured)
        before = backed_off_divergence(wanted, pool, pool)

        def divergence(rows: Rows) -> dict[str, float]:
            after = backed_off_divergence(wanted, ngram_counts(texts, rows), pool)
            return {"kl_target": after, "kl_target_reduction": before - after}

        measures.append(divergence)
    return measures


def _parts_of(texts: Any) -> Reader:
    """Return what reads the texts of ascending rows in parts."""
    if not callable(texts):
        series = text_series(texts, "texts")
        return lambda rows: [series.gather(rows)]

    def read(rows: Rows) -> Iterable[pl.Series]:
        returned = texts(rows)
        return returned if isinstance(returned, Iterator) else [text_series(returned, "texts")]

    return read


def _balance_of(name: str, codes: NDArray[Any], classes: int) -> Measure:
    return lambda rows: {f"{name}.{k}": v for k, v in balance(codes, rows, classes).items()}


def _is_text(X: Any) -> bool:
    if isinstance(X, np.ndarray):
        return X.ndim == 1
    if issparse(X) or isinstance(X, Frame):
        return False
    if isinstance(X, pl.Series | ArrowArray | ArrowStream):
        return pl.Series(X).dtype in (pl.String, pl.Null, pl.Categorical, pl.Enum)
    return any(isinstance(value, str) for value in X[:100])


def _chosen(chosen: Any, n: int) -> Rows:
    rows = np.asarray(chosen)
    if rows.ndim != 1 or len(rows) == 0 or rows.dtype.kind not in "iu":
        raise InputError(f"chosen is {rows.dtype}{list(rows.shape)}; pass at least one row number.")
    if rows.min() < 0 or rows.max() >= n:
        raise InputError(f"chosen holds rows from {rows.min()} to {rows.max()}; the pool has {n}.")
    return rows.astype(np.int64)


def _in_order(rows: Rows, noise: Floats) -> Rows:
    return rows[np.argsort(noise[rows], kind="stable")]


def _copies(duplicates: Any, n: int) -> NDArray[np.integer]:
    """Return one code per group of copies, one of its own for a row without group."""
    series = pl.Series("duplicates", duplicates)
    if len(series) != n:
        raise InputError(f"duplicates has {len(series)} values; the pool has {n} rows.")
    if series.dtype.is_integer() and not series.null_count():
        codes = series.to_numpy()
        alone = np.flatnonzero(codes < 0)
        if len(alone):
            codes = codes.astype(np.int64)
            codes[alone] = codes.max() + 1 + np.arange(len(alone))
        return codes
    rows = pl.DataFrame({"group": series}).with_row_index("row")
    first = rows.select(pl.col("row").first().over("group"))["row"].to_numpy()
    return np.where(series.is_null().to_numpy(), np.arange(n) + n, first).astype(np.int64)


def _effective_size(weights: Any, chosen: Rows) -> float:
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != chosen.shape:
        raise InputError(f"weights has shape {values.shape}; chosen has {len(chosen)} rows.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError("weights holds negative, NaN or infinite values; pass numbers >= 0.")
    _, place = np.unique(chosen, return_inverse=True)
    return kish_size(np.sort(np.bincount(place, weights=values)))


def _of(name: str, figures: dict[str, float]) -> float:
    return figures.get(name, math.nan)


def _of_words(shares: Floats, sample: int, n: int) -> Figure:
    """Return the mean share; of a sample without interval, as rare words depend on the sample's size."""
    mean = mean_of(shares, len(shares))
    return mean if n <= sample else Estimate(value_of(mean), sample)


def _interval(figure: Figure | None) -> tuple[int | None, float | None, float | None]:
    if not isinstance(figure, Estimate):
        return None, None, None
    low, high = (end if math.isfinite(end) else None for end in (figure.low, figure.high))
    return figure.measured, low, high


def _line(
    name: str, value: float, random: Sequence[float], cut: Sequence[float], has_target: bool
) -> tuple[Any, ...]:
    better = _BETTER.get(name.rpartition(".")[2])
    if not has_target:
        better = _BETTER_FOR_THE_POOL.get(name, better)
    verdict = None if better is None else _verdict(value, random, cut, better)
    numbers = (value, float(np.mean(random)), float(np.mean(cut)) if cut else math.nan)
    return (
        name,
        *(number if math.isfinite(number) else None for number in numbers),
        better,
        verdict,
    )


def _verdict(
    value: float, random: Sequence[float], cut: Sequence[float], better: str
) -> str | None:
    """Return how a figure compares with those of random subsets."""
    if len(random) < 2 or not math.isfinite(value):
        return None
    sides = [_compare(value, others, better) for others in (random, cut)]
    if sides == [-1, -1]:
        return "random is better, also after the cutoff"
    if sides[0] < 0:
        return "random is better"
    if sides[1] < 0:
        return "random after the cutoff is better"
    return "better than random" if sides[0] > 0 else "like random"


def _compare(value: float, others: Sequence[float], better: str) -> int:
    """Return 1 where `value` is clearly better than the `others`, -1 where clearly worse."""
    if len(others) < 2 or not math.isfinite(value) or not np.isfinite(others).all():
        return 0
    mean, times = float(np.mean(others)), len(others)
    quantile = float(stdtrit(times - 1, 0.995))
    margin = quantile * float(np.std(others, ddof=1)) * math.sqrt(1 + 1 / times)
    gap = value - mean if better == "higher" else mean - value
    return 0 if abs(gap) <= margin + 1e-9 * abs(mean) else 1 if gap > 0 else -1
