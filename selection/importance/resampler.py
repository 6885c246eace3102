"""Importance resampling: a subset of the pool that reads like the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.algorithms.density_ratio import Mode, Weighting
from assay.selection.algorithms.top_k import top_k
from assay.selection.base import Selector
from assay.selection.contract.budgets import parse_budget, resolve_budget
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.contract.outcomes import Decision
from assay.selection.importance.composed import composition_of, report_of
from assay.selection.importance.draws import check_temperature
from assay.selection.importance.fit import fit_evidence, need
from assay.selection.importance.report import (
    Decided,
    group_shares,
    random_rows,
    summary,
    target_reports,
)
from assay.selection.importance.targets import (
    Temperature,
    best,
    checked_proportions,
    choose,
    choose_as_published,
)
from assay.selection.importance.texts import TEXT_LIMITS, TextSettings, Tokenizer
from assay.storage.errors import ConfigError
from assay.storage.limits import Flag, Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class ImportanceResampler(Selector):
    r"""Draw texts in proportion to how much likelier they are under a target than in the pool.

    Texts are bags of hashed word 1- to `ngrams`-grams. With c the counts of the buckets b and n
    their sum, in the pool and (t) in the target, the mean log ratio of a text of N n-grams is

    .. math:: m = \frac{\sum_b r_b + \kappa \bar r}{N + \kappa}, \quad
              r = \log \frac{p_t}{p}, \quad p = \frac{c}{n}, \quad
              p_t = \frac{c_t + \mu p}{n_t + \mu}

    with the sum over its n-grams, the mean r over the pool's, mu = `smoothing` n_t and kappa =
    `shrinkage`. So a bucket that the target never uses is unlikely rather than impossible, long
    texts are not extreme for being long, and short ones not for being short. The log weight is m
    plus, on the scale of m, the score of a logistic regression of target against pool on which
    buckets a text holds. The rows with the largest log weight / temperature + Gumbel noise are
    taken, which is sampling without replacement in proportion to exp(log weight / temperature).
    The noise of a row depends on (`random_state`, id) alone.

    Parameters
    ----------
    budget
    mode : {"calibrated", "dsir"}, default "calibrated"
        "dsir" repeats the published package: SHA-256 buckets, log(p + 1e-8) ratios, weights
        summed over the n-grams, temperature 1, and noise drawn from
        ``np.random.RandomState(random_state)`` in the order in which the rows are given (so this
        mode alone depends on that order, and on that of the targets); texts without content are
        never chosen here. It neither composes Unicode (NFC) nor takes scripts without spaces apart,
        so that two spellings of a letter are strangers; `min_example_length` is 100 there.
    ngrams : int, default 2
        Longest n-gram. In mode "calibrated" runs of letters of a script without spaces (Chinese,
        Japanese, Thai, ...) are taken apart into characters, whose n-grams these then are.
    buckets : int, optional
        Hash buckets; where None 131,072, or the published 10,000 in mode "dsir". (With 10,000 a
        selection as large as the target's domain holds about .03 less of it.)
    tokenizer : {"auto", "re", "regex"}, default "auto"
        Whose ``\w`` tells tokens apart: Python's `re`, which "auto" means, or the package
        `regex`, which the published package uses through nltk 3.10 and later.
    weighting : {"joint", "backoff", "logistic"}, default "joint"
        What log weights are made of: both parts above, m alone, or the logistic score alone. The
        first and the last find about .1 more of a target's domain than m; "joint" is the steadier
        over domains. Not used in mode "dsir".
    smoothing : float > 0, default 1
        mu above, as a share of the target's n-grams.
    shrinkage : float >= 0, default 10
        kappa above: n-grams of the pool's mean that every text is taken to hold besides its own.
        0 is the plain mean, which prefers texts of a few words.
    embedding : bool, default False
        Whether a logistic regression of target against pool on text vectors (those of
        `assay.index.HashedTextEmbedder`, fitted on the pool) is added, on the same scale. It costs
        several times the rest.
    temperature : float >= 0 or "auto", default "auto"
        0 takes the largest log weights without noise: the purest subset, and the least varied.
        "auto" tries 0, 1/16, 1/8, 1/4, 1/2 and 1 times the standard deviation of the log weights,
        on a sample of at most 50,000 rows, and takes the least whose draws come about as near, in
        KL, to held-out halves of the target as any do: within a standard error, or a tenth of what
        the nearest gain.
        The target is halved in three ways, and `random_state` has no part in the choice. What is
        drawn is backed off to the pool, with thrice its n-grams, because a small draw lacks most
        of the target's rare ones however it is made. Where the target is a narrow part of a large
        pool the temperature is 0 or next to it, because noise then brings in rows of the rest;
        where the budget is much of the pool, or the target is broad, it is larger. Not used in
        mode "dsir".
    replace : bool, default False
        Whether rows are drawn with replacement. `indices_` then holds each row drawn once, and
        `weights_` how often it was drawn: the budget is their sum, and may be above the rows with
        content (though not above all rows).
    proportions : mapping of str to float, optional
        With several targets the share of the budget of each; in proportion to their n-grams where
        None. Shares are rounded by largest remainder (in mode "dsir" down, the rest to the last).
    composition : {"auto"}, optional
        "auto" keeps the mix of a target of several kinds: `estimate_composition` gives the shares in
        the target of the pool's groups (those given to `fit`, else 32 cells of similar rows), each
        group gets its share of the budget, and the draw is made within each. Without it a draw
        prefers the kinds that differ most from the pool. For one target, drawn without replacement,
        from texts or vectors; in a run the plan's ``mixture = "target"`` does it round any selector.
    min_example_length : int, default 0
        Tokens that a text must have to be chosen; those of fewer still count as part of the pool.
        The published package leaves out texts of fewer than 100 unless told otherwise.
    threads : int, optional
        For hashing and weighing; all processors where None. They change nothing but the time.
    random_state : int, default 0
    strict : bool, default False
        Whether fewer rows with content than the budget are an error.

    Attributes
    ----------
    indices_ : int64[min(budget, rows with content)], or the different rows drawn with `replace`
    ranking_ : int64[rows with content]
        One target, drawn without replacement at a temperature that was given, only: every budget
        is a prefix.
    weights_ : float64, aligned with `indices_`
        All 1 (the draw itself carries the weights), or how often each was drawn.
    log_weights_ : float64[n], or [targets, n] with named targets
        Higher = more like the target; NaN for a text without content, or of fewer tokens than
        `min_example_length`.
    scores_ : float64[n]
        The log weights, of several targets the largest.
    log_ratio_ : float64[buckets], or [targets, buckets] with named targets
        r above.
    targets_ : tuple of str
        The names of the targets.
    report_ : dict
        `kl_pool`, `kl_selected` (KL from the target's n-gram distribution to that of the pool and
        of the selection, in nats, over the buckets that the pool uses, subsets backed off to the
        pool by a quarter), `kl_reduction`, `effective_sample_size` of the weights drawn by (None
        at temperature 0), `temperature`, `topk_overlap` (share of the selection that plain top-k
        takes too), `log_weight_quantiles` (also `_selected`), `groups`, `dropped` (rows by
        reason), `replaced` (texts with lone surrogates), `target_rows`, `target_dropped`,
        `target_replaced`, `target_unseen` (share of the target's n-grams that the pool never
        uses). What ends in `_random` is the same of a random subset of equal size (the rows with
        content where it is the effective sample size, as all of them weigh the same). With named
        targets `targets` holds the report of each, with its `quota` and `selected`, and `kl_...`
        and overlaps are means over the budget.

    Raises
    ------
    MissingInputError
        `X` or `target` was not given.
    ConfigError
        A parameter is not what it may be.
    InputError
        No text of the pool, or none of the target, has any content, or no text of the pool has
        `min_example_length` tokens.

    Notes
    -----
    `X` may be a column or sequence of texts; a `Pool` of `assay.storage.read_pool`, which is read
    as a stream, with its own ids and groups; a `BucketStream` (made with `hasher()`), so that a
    further target costs no hashing; or vectors, float[n, d], with vectors as target: then log
    weights are the logistic score, `buckets` are coordinates, and KL is that between normal
    distributions with independent coordinates.

    Where rows are covered, the target is thinned to what they and the draw lack of it: an n-gram (of
    vectors, a row) with the share p of the target and c of the covered rows stays in proportion to
    max(0, p - c H / (H + B)) / p, with H the mass of the covered rows and B that of the draw. Then
    rows are weighed as above. The divergences reported are those of both together.

    Time linear in the text: one pass of hashing, a few over what was hashed. Hashed n-grams beyond
    32 MiB lie in temporary files. Memory beyond that is at most 32 bytes per row (and the ids,
    where there are any), 16 more for each further target; `decisions` takes more.

    Claims
    ------
    paper
        DSIR: resampling by hashed n-gram weights makes a pool like a target; 2 to 2.5 points of
        GLUE over random selection.
    here
        Weights of the same n-grams, the ratio backed off to the pool, the mean of a text's log
        ratios shrunk, the temperature fitted. `mode="dsir"` is the paper's own.
    deviates
        By default no sum over a text (long ones would be extreme), no filter by length, and a
        fitted temperature. On good rows as target it is a quality classifier.
    measured
        Precision with 200 target documents .935, the authors' package .598
        (`importance_quality.md`); mode dsir within 4.8e-10 of its log weights (`importance.md`).

    References
    ----------
    Xie, Santurkar, Ma, Liang, "Data selection for language models via importance resampling",
    2023. Kool, van Hoof, Welling, "Stochastic beams and where to find them", 2019.

    Examples
    --------
    >>> pool = ["the cat sat", "a dog ran", "stocks fell again", "shares rose"] * 5
    >>> selector = ImportanceResampler(budget=5, temperature=0).fit(pool, target=["stocks rose"])
    >>> sorted({pool[i] for i in selector.indices_})
    ['shares rose']
    >>> both = {"pets": ["a cat ran"], "money": ["stocks rose"]}
    >>> shares = {"pets": 1, "money": 1}
    >>> selector = ImportanceResampler(budget=10, temperature=0, proportions=shares)
    >>> selector = selector.fit(pool, target=both)
    >>> sorted({pool[i] for i in selector.indices_})
    ['a dog ran', 'shares rose']
    """

    limits: ClassVar[Limits] = {
        **TEXT_LIMITS,
        "embedding": (Flag(),),
        "temperature": (Number("[0, inf)"), "auto"),
        "replace": (Flag(),),
        "composition": ("auto", None),
    }

    mode: Mode = "calibrated"
    ngrams: int = 2
    buckets: int | None = None
    tokenizer: Tokenizer = "auto"
    weighting: Weighting = "joint"
    smoothing: float = 1.0
    shrinkage: float = 10.0
    embedding: bool = False
    temperature: Temperature = "auto"
    replace: bool = False
    proportions: Mapping[str, float] | None = None
    composition: Literal["auto"] | None = None
    min_example_length: int = 0
    threads: int | None = None

    def hasher(self) -> NGramHasher:
        """Return what hashes the texts, to make a `BucketStream` with."""
        self.check_parameters()
        return TextSettings.of(self).hasher()

    def _decide(self, **arguments: Any) -> Decision:
        """Draw rows; X may be a `Pool` or a stream, of which no more than is needed is held."""
        check_temperature(self.temperature, replace=self.replace)
        if self.replace and self.mode == "dsir":
            raise ConfigError("mode 'dsir' draws without replacement; set replace=False.")
        X, target = arguments.pop("X"), arguments.pop("target")
        need(X, target, type(self).__name__)
        self._check_composition(X, target)
        # a budget that is no budget is said before the work
        parse_budget(self.budget)
        fitted = fit_evidence(
            X,
            target,
            TextSettings.of(self),
            embedding=self.embedding,
            budget=self.budget,
            **arguments,
        )
        rows, evidence = fitted.rows, fitted.evidence
        proportions = checked_proportions(self.proportions, fitted.names)
        budget = resolve_budget(self.budget, rows.n)
        composition = None
        if self.composition is not None:
            composition = composition_of(X, target, rows, self.random_state)
        if self.mode == "dsir":
            chosen = choose_as_published(
                fitted, budget, proportions=proportions, random_state=self.random_state
            )
        else:
            chosen = choose(
                fitted,
                budget,
                proportions=proportions,
                temperature=self.temperature,
                replace=self.replace,
                random_state=self.random_state,
                composition=composition,
            )
        scores = best(evidence.log_weights)
        random = random_rows(fitted, self.random_state, len(chosen.rows))
        reports = target_reports(fitted, chosen, random)
        self.log_weights_ = evidence.log_weights if fitted.named else evidence.log_weights[0]
        self.log_ratio_ = evidence.log_ratio if fitted.named else evidence.log_ratio[0]
        self.targets_ = fitted.names
        keys = [drawn.keys for drawn in chosen.by_target.values()]
        # within groups there is no one order of keys
        own_keys = keys[0] if len(keys) == 1 and composition is None else None
        fixed = self.mode == "dsir" or self.temperature != "auto"
        self._ranked_by: Floats | None = own_keys if fixed and not self.replace else None
        self._in_order = rows.in_order
        labels = rows.groups()
        return Decision(
            n=rows.n,
            budget=budget,
            chosen=chosen.rows,
            times=chosen.times,
            scores=scores,
            outcomes=Decided(
                rows.in_order,
                evidence.usable,
                scores,
                own_keys,
                chosen,
                self.replace,
                fitted.covered,
            ),
            ids=rows.ids,
            report={
                **evidence.report(),
                **summary(reports, chosen.quota, named=fitted.named),
                **({} if composition is None else {"composition": report_of(composition)}),
                **({"covered": int(fitted.covered.sum())} if fitted.covered.any() else {}),
            },
            groups=None
            if labels is None
            else group_shares(labels, chosen.rows, chosen.times, random),
        )

    def _check_composition(self, X: Any, target: Any) -> None:
        if self.composition is None:
            return
        if isinstance(target, Mapping) or self.replace or self.mode == "dsir":
            raise ConfigError(
                "composition='auto' is for one target, drawn without replacement in mode "
                "'calibrated'; for several targets give `proportions`."
            )
        if isinstance(X, BucketStream):
            raise ConfigError(
                "composition='auto' needs texts or vectors, and X is a bucket stream; pass the texts, "
                "or let a plan keep the mix with mixture='target'."
            )

    @property
    def ranking_(self) -> Rows:  # type: ignore[override]
        """All usable rows in order of preference, where every budget is a prefix of it."""
        keys = vars(self).get("_ranked_by")
        if keys is None:
            raise AttributeError(
                "ranking_ is there for one target, drawn without replacement at a fixed temperature"
            )
        return top_k(keys, len(keys), self._in_order)
