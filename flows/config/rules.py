"""The rules of a plan: which columns they name, and that they can be met before anything is run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from assay.flows.config.curation import CurationConfig, PlanConfig
from assay.flows.config.fields import best_share
from assay.flows.config.had import condition_of
from assay.flows.config.slices import check_slices
from assay.selection import registry
from assay.selection.contract.budgets import resolve_budget
from assay.selection.plan.mixtures import check_learned, check_mixture, learner
from assay.selection.steps.deduplication import Deduplicator, deduplicator
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.limits import check_limits
from assay.storage.names import SAMPLE_NAMES, check_kept, check_score_names, find_or_raise
from assay.storage.sql.expressions import Named, names_in

# raised by one when the same SQL of a rule or expression comes to mean something else
RULES_REVISION = 2


class Known(NamedTuple):
    """Every column that a rule may name: the pool's own, which come first, and ours."""

    own: list[str]
    ours: list[str]


def columns_of_rules(plan: PlanConfig, known: Known) -> Named:
    """Return the columns that filters, covered rows, keeper, cost and groups name.

    Raises
    ------
    ConfigError, ColumnError
        A rule is no SQL, or names a column that is not there.
    """
    named = [names_in(rule, *known, what="filter") for rule in plan.filters]
    condition = condition_of(plan.covered)
    if condition is not None:
        named.append(names_in(condition, *known, what="covered condition"))
    if plan.keeper:
        named.append(names_in(plan.keeper, *known, what="keeper order", order=True))
    mixes = plan.mixture is not None or learned_from(plan) is not None
    by_source = mixes and (plan.mixture != "target" or "source" in known.own)
    by = plan.by or ("source" if by_source else None)
    for column, what in ((plan.cost, "cost column"), (by, "column of groups")):
        if column is not None:
            reference = find_or_raise(column, *known, what=what)
            one = [reference.name]
            named.append(Named([], one) if reference.ours else Named(one, []))
    return _joined(named)


def columns_of_expressions(config: CurationConfig, pool: Sequence[str]) -> Named:
    """Return the columns that the scores of one's own name.

    Raises
    ------
    ConfigError
        An expression is no SQL, or names a column that is not there.
    """
    known = Known(list(pool), list(SAMPLE_NAMES))
    expressions = config.expressions.items()
    return _joined([names_in(text, *known, what=f"score {name}") for name, text in expressions])


def _joined(named: Sequence[Named]) -> Named:
    return Named(
        list(dict.fromkeys(name for each in named for name in each.own)),
        list(dict.fromkeys(name for each in named for name in each.ours)),
    )


def known_columns(config: CurationConfig, pool: Sequence[str]) -> Known:
    """Return every column that a rule may name: of the pool, of the samples, of the scores."""
    scores = [*(config.scores or ()), *(["difficulty"] if config.difficulty else [])]
    return Known(list(pool), list(dict.fromkeys([*SAMPLE_NAMES, *scores])))


def check_names(config: CurationConfig) -> None:
    """Raise what is wrong with the names of kept columns and of the scores of one's own."""
    methods = [e.name for kind in ("scorer", "selector") for e in registry.entries(kind)]
    check_score_names(config.expressions, methods)
    check_kept(config.keep, config.scores or ())


def check_rules(config: CurationConfig, pool: Sequence[str]) -> None:
    """Check the rules before anything is computed."""
    check_names(config)
    if config.plan.mixture is not None:
        check_mixture(config.plan.mixture, config.plan.repeat)
        if config.plan.mixture == "target" and config.target is None:
            raise ConfigError('mixture = "target" needs a target (--target).')
    _check_learned(config.plan)
    mixes = config.plan.mixture is not None or learned_from(config.plan) is not None
    if mixes and (config.plan.quotas or config.plan.minima):
        raise ConfigError(
            "A plan has either a mixture, which fixes every source's part, or quotas and minima; "
            "leave one out."
        )
    check_slices(config.slices, (*(config.scores or ()), *config.keep, *_roles(config)))
    if config.shortcuts and config.label is None:
        raise ConfigError(
            "shortcuts = true measures what gives labels away, and there are none; name their column "
            "with --label."
        )
    columns_of_expressions(config, pool)
    columns_of_rules(config.plan, known_columns(config, pool))
    check_options(
        registry.entry("in_reference", "step"), config.plan.reference_options, {"reference"}
    )
    for name, options in config.plan.steps():
        deduplicator(name)  # refuses other steps
        check_options(registry.entry(name, "step"), options)


def _roles(config: CurationConfig) -> list[str]:
    return [name for name in (config.label, config.group) if name is not None]


def learned_from(plan: PlanConfig) -> str | None:
    """Return the table that the plan's mixture is learned from, None where it is not learned."""
    return plan.mixture_from_runs or plan.mixture_from_models


def _check_learned(plan: PlanConfig) -> None:
    """Refuse a table from which no mixture can be learned, whatever the pool holds."""
    check_learned(
        plan.mixture, plan.mixture_from_runs, plan.mixture_from_models, plan.mixture_options
    )
    where = learned_from(plan)
    if where is not None:
        from assay.storage.reading.tables import read_table

        options = {**plan.mixture_options, "bootstraps": 0}
        learner("runs" if plan.mixture_from_runs else "models")(
            read_table(where), options.pop("metric"), **options
        )


def check_options(
    entry: registry.Entry, options: Mapping[str, Any], fixed: Collection[str] = ()
) -> None:
    """Refuse options that a method doesn't have, or whose values are not what they may be.

    Raises
    ------
    ColumnError, ConfigError
        An option is unknown or among the `fixed` ones, or its value is not allowed.
    """
    entry.check_options(options, fixed)
    limits = entry.load().limits
    check_limits({name: limits[name] for name in options if name in limits}, options)


def check_score_options(config: CurationConfig, scores: Sequence[str]) -> None:
    """Refuse options of scores that the run doesn't have, and such as their scorers don't take.

    Raises
    ------
    ColumnError, ConfigError
        A name is none of `scores`, or an option is unknown, or its value is not allowed.
    """
    known = [name for name in scores if name not in config.expressions]
    for name, options in config.score_options.items():
        if name not in known:
            raise ColumnError.missing(name, known, what="score of the run with options")
        check_options(registry.entry(name, "scorer"), options, {"seeds", "log"})


def check_steps(config: CurationConfig, kind: str) -> None:
    """Refuse a deduplication step that can't take the pool's content, and name those that can.

    Raises
    ------
    ConfigError
        A step compares neither what the pool holds nor vectors made of it.
    """
    if kind == "text":
        return
    ready = {"vectors", "graph", "labels", *(["images"] if kind == "image" else [])}
    able = [
        entry.name
        for entry in registry.entries("step")
        if entry.needs and not entry.lacks(ready) and issubclass(entry.load(), Deduplicator)
    ]
    for name, _ in config.plan.steps():
        if "texts" in registry.entry(name, "step").lacks(ready):
            takes = " and ".join(registry.entry(name, "step").describe_needs())
            raise ConfigError(
                f"{name} compares {takes}, and the pool holds {kind}s. Use one that can take them: "
                f"{', '.join(able)}; semantic_duplicates finds near copies by their vectors."
            )


def check_graph(config: CurationConfig, kind: str) -> None:
    """Refuse what does not fit the graph: that of given edges, or of vectors and words.

    Raises
    ------
    ConfigError
        A deduplication step compares rows by the graph of given edges; edges are weighed, or to be put into
        vectors, and there are none, or what has no edges is compared with such vectors; a hybrid graph is
        wanted of what are no texts, or with settings that it does not have.
    """
    _check_hybrid(config, kind)
    _check_linking(config)
    if config.edges is None:
        if config.graph.attribute_weight is not None:
            raise ConfigError(
                "`attribute_weight` of the graph weighs given edges, and there are none: name their file "
                "with --edges, or leave it out."
            )
        return
    for name, _ in config.plan.steps():
        if "graph" in registry.entry(name, "step").needs:
            raise ConfigError(
                f"{name} goes by the similarities of the graph, and those of given edges say nothing of "
                "what rows hold: use near_duplicates, or leave out `edges`."
            )


def _check_hybrid(config: CurationConfig, kind: str) -> None:
    graph = config.graph
    if graph.kind != "hybrid":
        return
    if kind != "text":
        raise ConfigError(
            f"A hybrid graph joins texts by their words, and the pool holds {kind}s: leave `kind` out of "
            "[graph]."
        )
    if config.edges is not None:
        raise ConfigError(
            "`edges` are the graph in place of neighbors: leave `kind` out of [graph], or `edges`."
        )
    fixed = ("metric", "symmetrise", "weights", "robust")
    changed = [
        name for name in fixed if getattr(graph, name) != type(graph).model_fields[name].default
    ]
    if changed:
        raise ConfigError(
            f"A hybrid graph leaves {', '.join(changed)} of [graph] at the default: leave it out, or `kind`."
        )


def _check_linking(config: CurationConfig) -> None:
    how = config.embedding.linking()
    if not how:
        if config.embedding.structure_method != "spectral":
            raise ConfigError(
                "`structure_method` of [embedding] needs `structure`, such as 64; or leave it out."
            )
        return
    if config.edges is None:
        raise ConfigError(
            "`smooth` and `structure` of [embedding] put given edges into the vectors, and there are none: "
            "name their file with --edges, or leave them out."
        )
    plan = config.plan
    compared = {"target": config.target, "reference": plan.reference, "leakage": plan.leakage}
    present = [name for name, given in compared.items() if given]
    if present:
        raise ConfigError(
            f"The rows of `{present[0]}` have no edges, so that their vectors can't be compared with those that "
            f"`smooth` and `structure` of [embedding] make: leave these out, or `{present[0]}`."
        )


def check_budget(config: CurationConfig, n: int) -> None:
    """Raise `BudgetError` where the budget is more than a pool of `n` rows has.

    A budget in cost is known to fit only when the costs are read, and one by a learning curve always fits.
    """
    if config.plan.cost is None and best_share(config.budget) is None:
        resolve_budget(config.budget, n)


def counts_rules(config: CurationConfig, pool: Sequence[str]) -> bool:
    """Return whether a filter names a score that counts broken rules, which reasons then name."""
    if not config.plan.filters:
        return False
    from assay.selection.plan.inputs import rule_counter

    named = columns_of_rules(config.plan, known_columns(config, pool)).ours
    return any(rule_counter(name) is not None for name in named if name in (config.scores or ()))


def text_steps(plan: PlanConfig) -> bool:
    """Return whether a deduplication step reads texts."""
    return any("texts" in registry.entry(name, "step").needs for name, _ in plan.steps())
