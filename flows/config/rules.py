"""The rules of a plan: which columns they name, and that they can be met before anything is run."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence

from assay.flows.config.curation import CurationConfig, PlanConfig
from assay.selection import registry
from assay.selection.contract.budgets import resolve_budget
from assay.selection.steps.deduplication import deduplicator
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.sql.expressions import columns_named

OF_SAMPLES = ("sample_id", "source", "row", "label", "group_id", "content_hash")


def columns_of_rules(plan: PlanConfig, known: Sequence[str]) -> list[str]:
    """Return the columns that filters, keeper, cost and groups name.

    Raises
    ------
    ConfigError, ColumnError
        A rule is no SQL, or names a column that is not there.
    """
    named: dict[str, None] = {}
    for rule in plan.filters:
        named |= dict.fromkeys(columns_named(rule, known, what="filter"))
    if plan.keeper:
        named |= dict.fromkeys(columns_named(plan.keeper, known, what="keeper order", order=True))
    for column, what in ((plan.cost, "cost column"), (plan.by, "column of groups")):
        if column is not None:
            if column not in known:
                raise ColumnError.missing(column, known, what=what)
            named[column] = None
    return list(named)


def columns_of_expressions(config: CurationConfig, pool: Collection[str]) -> list[str]:
    """Return the columns that the scores of one's own name.

    Raises
    ------
    ConfigError
        An expression is no SQL, names a column that is not there, or has the name of a scorer.
    """
    known = list(dict.fromkeys([*OF_SAMPLES, *config.keep, *pool]))
    taken = {entry.name for entry in registry.entries("scorer")}
    named: dict[str, None] = {}
    for name, expression in config.expressions.items():
        if name in taken or name == "difficulty":
            raise ConfigError(f"The expression {name!r} has the name of a scorer; choose another.")
        named |= dict.fromkeys(columns_named(expression, known, what=f"score {name}"))
    return list(named)


def known_columns(config: CurationConfig, pool: Collection[str]) -> list[str]:
    """Return every column that a rule may name: of the samples, of the scores, of the pool."""
    scores = [*(config.scores or ()), *(["difficulty"] if config.difficulty else [])]
    return list(dict.fromkeys([*OF_SAMPLES, *config.keep, *scores, *pool]))


def check_rules(config: CurationConfig, pool: Collection[str]) -> None:
    """Raise what is wrong with the rules, before anything is computed."""
    columns_of_expressions(config, pool)
    columns_of_rules(config.plan, known_columns(config, pool))
    for name, options in config.plan.steps():
        known = list(inspect.signature(deduplicator(name)).parameters)
        for option in options:
            if option not in known:
                raise ColumnError.missing(option, known, what=f"option of {name}")


def check_budget(config: CurationConfig, n: int) -> None:
    """Raise `BudgetError` where the budget is more than a pool of `n` rows has.

    A budget in cost is known to fit only when the costs are read.
    """
    if config.plan.cost is None:
        resolve_budget(config.budget, n)


def text_steps(plan: PlanConfig) -> bool:
    """Return whether a deduplication step reads texts."""
    return any("texts" in registry.entry(name, "step").needs for name, _ in plan.steps())
