"""What the options of the command line say, as the values of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.flows.config.curation import EmbeddingConfig, GraphConfig, IndexConfig
from assay.flows.config.fields import toml_value
from assay.selection import registry
from assay.selection.contract.budgets import parse_budget
from assay.storage.errors import AssayError, ColumnError, ConfigError

# steps that a key of the plan names, with their options beside it
_STEPS_OF_THEIR_OWN = ("leakage", "in_reference")
PARTS = ("graph", "embedding", "index", "mixture", "select")


def assignments(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return the names and values of texts NAME=VALUE.

    Raises
    ------
    ConfigError
        A text is not of that form, or a name is given twice.

    Examples
    --------
    >>> assignments(["web=50%", "law = 10%"], "--quota")
    {'web': '50%', 'law': '10%'}
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and name and value):
            raise ConfigError(f"{option} {text!r} is not of the form NAME=VALUE.")
        if name in values:
            raise ConfigError(f"{option} gives {name!r} twice; give it once.")
        values[name] = value
    return values


def amounts(texts: Iterable[str], option: str) -> dict[str, int | float]:
    """Return groups and their limits: a count of rows, or a share of the budget.

    Raises
    ------
    ConfigError
        A limit is neither.

    Examples
    --------
    >>> amounts(["web=50%", "law=1000"], "--quota")
    {'web': 0.5, 'law': 1000}
    """
    limits = {}
    for name, value in assignments(texts, option).items():
        try:
            limits[name] = 0 if value == "0" else parse_budget(value)
        except AssayError:
            raise ConfigError(
                f"{option} {name}={value}: the limit may be a number of rows (1000) or a share of "
                "the budget (50%)."
            ) from None
    return limits


def weights(texts: Iterable[str], option: str) -> dict[str, float]:
    """Return scores and their weights from texts NAME=WEIGHT, several of which may share a text.

    Raises
    ------
    ConfigError
        A weight is no number.

    Examples
    --------
    >>> weights(["pagerank=1, words=-0.5"], "--blend")
    {'pagerank': 1.0, 'words': -0.5}
    """
    parts = [part for text in texts for part in text.split(",") if part.strip()]
    blend = {}
    for name, value in assignments(parts, option).items():
        try:
            blend[name] = float(value)
        except ValueError:
            raise ConfigError(f"{option} {name}={value}: the weight must be a number.") from None
    return blend


def mixture(texts: Sequence[str]) -> dict[str, float] | str | None:
    """Return the shares of texts SOURCE=SHARE, or the rule that a single text names.

    Examples
    --------
    >>> mixture(["web=50%,law=0.5"]), mixture(["sqrt"]), mixture([])
    ({'web': 0.5, 'law': 0.5}, 'sqrt', None)
    """
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0].strip()
    parts = [part for text in texts for part in text.split(",") if part.strip()]
    shares = {}
    for name, value in assignments(parts, "--mixture").items():
        try:
            shares[name] = float(value[:-1]) / 100 if value.endswith("%") else float(value)
        except ValueError:
            raise ConfigError(
                f"--mixture {name}={value}: the share must be a number (0.5, 50%)."
            ) from None
    return shares


def with_next_options(values: Mapping[str, Any], texts: Iterable[str]) -> dict[str, Any]:
    """Return `with_options`, the selector being that of the next batch to label.

    Examples
    --------
    >>> made = with_next_options({"select": "ccs"}, ["informativeness=0.5", "graph.k=20"])
    >>> made["select"], made["next"], made["graph"]
    ('ccs', {'options': {'informativeness': 0.5}}, {'k': 20})
    """
    own = dict(values.get("next", {}))
    result = with_options(
        {**values, "select": "next_batch", "options": own.get("options", {})}, texts
    )
    options = result.pop("options")
    if options:
        result["next"] = {**own, "options": options}
    for name in ("select", "options"):
        result.pop(name, None)
        if name in values:
            result[name] = values[name]
    return result


def with_options(values: Mapping[str, Any], texts: Iterable[str]) -> dict[str, Any]:
    """Return the values of a configuration, in which texts PART.PARAMETER=VALUE have been put.

    A part is ``graph``, ``embedding``, ``index``, ``mixture`` (what is learned), the selector (by its name, as
    ``select``, or left out), a score, or a step of the plan.

    Raises
    ------
    ConfigError
        A text is not of that form, or its part is not there.

    Examples
    --------
    >>> with_options({"select": "ccs"}, ["cutoff=0.2", "graph.k=20", "pagerank.alpha=0.9"])
    {'select': 'ccs', 'options': {'cutoff': 0.2}, 'graph': {'k': 20}, 'score_options': {'pagerank': {'alpha': 0.9}}}
    """
    result = dict(values)
    for name, text in assignments(texts, "--option").items():
        part, dot, parameter = name.rpartition(".")
        value = toml_value(text)
        if not dot or part in ("select", result.get("select")):
            result["options"] = {**result.get("options", {}), parameter: value}
        elif part == "graph":
            _require(parameter, GraphConfig.model_fields, "the graph")
            result["graph"] = {**result.get("graph", {}), parameter: value}
        elif part == "index":
            _require(parameter, IndexConfig.model_fields, "the index")
            result["index"] = {**result.get("index", {}), parameter: value}
        elif part == "embedding":
            result["embedding"] = _embedding(result.get("embedding", {}), parameter, value)
        elif part == "mixture":
            plan = result.get("plan", {})
            own = {**plan.get("mixture_options", {}), parameter: value}
            result["plan"] = {**plan, "mixture_options": own}
        elif part in _names("scorer"):
            options = result.get("score_options", {})
            result["score_options"] = options | {part: {**options.get(part, {}), parameter: value}}
        elif part in _names("step"):
            result["plan"] = _step(result.get("plan", {}), part, parameter, value)
        elif part in _names("selector"):
            raise ConfigError(
                f"--option {name} is for the selector {part}, which this run does not name. Add "
                f"--select {part}."
            )
        else:
            known = (*PARTS, *_names("selector"), *_names("scorer"), *_names("step"))
            raise ColumnError.missing(part, known, what="part with options")
    return result


def _names(kind: str) -> tuple[str, ...]:
    return tuple(entry.name for entry in registry.entries(kind))


def _require(parameter: str, known: Iterable[str], what: str) -> None:
    if parameter not in known:
        raise ColumnError.missing(parameter, known, what=f"option of {what}")


def _embedding(embedding: Mapping[str, Any], parameter: str, value: Any) -> dict[str, Any]:
    if parameter in EmbeddingConfig.model_fields:
        return {**embedding, parameter: value}
    return {**embedding, "options": {**embedding.get("options", {}), parameter: value}}


def _step(plan: Mapping[str, Any], name: str, parameter: str, value: Any) -> dict[str, Any]:
    """Return a plan in which one of its steps has a parameter more."""
    if name in _STEPS_OF_THEIR_OWN:
        options = f"{name.removeprefix('in_')}_options"
        return {**plan, options: {**plan.get(options, {}), parameter: value}}
    listed = plan.get("deduplicate", ())
    if isinstance(listed, str):
        listed = [part.strip() for part in listed.split(",") if part.strip()]
    steps = [{"name": step} if isinstance(step, str) else dict(step) for step in listed]
    if name not in [step.get("name") for step in steps]:
        raise ConfigError(
            f"--option {name}.{parameter} is for the step {name}, which the plan does not have. Add "
            f"--deduplicate {name}."
        )
    changed = [{**step, parameter: value} if step.get("name") == name else step for step in steps]
    return {**plan, "deduplicate": changed}
