"""Types of a configuration's keys: the values allowed, and how they are converted.

What is said of JSON is for a scheduler's form: it takes what is parsed later, and refuses secrets
before it stores what it was given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, WithJsonSchema

from assay.flows.config.credentials import SECRET_SHAPE, without_secrets
from assay.flows.config.memory_size import parse_memory
from assay.selection.contract.budgets import as_number, parse_budget
from assay.selection.plan.churn import parse_churn
from assay.storage.errors import BudgetError, ConfigError

_OF_BEST = "-of-best"


def as_tuple(value: Any) -> Any:
    """Return the names that a text holds, separated by commas; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[
    tuple[str, ...], BeforeValidator(as_tuple, json_schema_input_type=str | tuple[str, ...])
]
Steps = Annotated[
    tuple[str | dict[str, Any], ...],
    BeforeValidator(as_tuple, json_schema_input_type=str | tuple[str | dict[str, Any], ...]),
]
Budget = Annotated[
    int | float, BeforeValidator(parse_budget, json_schema_input_type=int | float | str)
]


def best_share(budget: Any) -> float | None:
    """Return the share of the best accuracy that a budget of the form "95%-of-best" asks for, else None.

    Raises
    ------
    BudgetError
        The share is not above 0 % and at most 100 %.

    Examples
    --------
    >>> best_share("95%-of-best"), best_share("95%")
    (0.95, None)
    """
    if not isinstance(budget, str) or not budget.strip().lower().endswith(_OF_BEST):
        return None
    share = as_number(budget.strip()[: -len(_OF_BEST)])
    if not isinstance(share, float) or not 0 < share <= 1:
        raise BudgetError(
            f"The budget is {budget!r}; before {_OF_BEST} belongs a share above 0% and at most 100%, as in "
            "95%-of-best."
        )
    return share


def parse_run_budget(budget: Any) -> int | float | str:
    """Return what `parse_budget` does, or a budget of the form "95%-of-best" as it is."""
    return budget.strip() if best_share(budget) is not None else parse_budget(budget)


RunBudget = Annotated[
    int | float | str, BeforeValidator(parse_run_budget, json_schema_input_type=int | float | str)
]
Churn = Annotated[
    int | float, BeforeValidator(parse_churn, json_schema_input_type=int | float | str)
]
MemoryLimit = Annotated[int, BeforeValidator(parse_memory, json_schema_input_type=int | str)]
IS_LOCATION = "names a path or a URL"


def _not_empty(location: str) -> str:
    if not location.strip():
        # as a path it would be the working directory
        raise ValueError("it is empty; give a path or a URL, or leave it out")
    return location


Location = Annotated[
    str,
    IS_LOCATION,
    AfterValidator(_not_empty),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": rf"^(?!.*({SECRET_SHAPE}))"}),
]
Options = Annotated[
    dict[str, Any],
    AfterValidator(without_secrets),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"not": {"type": "string", "pattern": SECRET_SHAPE}},
            "propertyNames": {
                "not": {"pattern": r"[Pp]assw|[Ss]ecret|(api|access)_key$|(^|_)token$"}
            },
        }
    ),
]


def location_keys(form: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a form that hold locations, each as its path of names.

    Examples
    --------
    >>> class Source(BaseModel):
    ...     pool: Location | None = None
    ...     name: str = ""
    >>> list(location_keys(Source))
    [('pool',)]
    """
    for name, field in form.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from location_keys(annotation, (*above, name))
        elif IS_LOCATION in field.metadata or _holds_location(annotation):
            yield *above, name


def _holds_location(annotation: Any) -> bool:
    marked = get_origin(annotation) is Annotated and IS_LOCATION in annotation.__metadata__
    return marked or any(_holds_location(part) for part in get_args(annotation))


def toml_value(text: str) -> Any:
    """Return what a text means as a value in TOML; the text itself where it is none.

    Examples
    --------
    >>> toml_value("0.5"), toml_value("true"), toml_value("cv")
    (0.5, True, 'cv')
    """
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def method_options(given: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the `options` that texts METHOD.PARAMETER=VALUE mean; values are TOML, or text.

    Raises
    ------
    ConfigError
        A text is not of that form.

    Examples
    --------
    >>> method_options(["ecfs.alpha=cv", "inf_fs.supervised=true"])
    {'ecfs': {'alpha': 'cv'}, 'inf_fs': {'supervised': True}}
    """
    options: dict[str, dict[str, Any]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        method, dot, parameter = key.strip().partition(".")
        if not (equals and dot and method and parameter):
            raise ConfigError(f"The option {text!r} is not of the form METHOD.PARAMETER=VALUE.")
        options.setdefault(method, {})[parameter] = toml_value(value)
    return options
