"""Types of a configuration's keys: what may be written, and what is made of it.

What is said of JSON is for a scheduler's form: it takes what is parsed later, and refuses secrets
before it stores what it was given.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from assay.flows.config.credentials import without_password, without_secrets
from assay.flows.config.memory_size import parse_memory
from assay.selection.contract.budgets import parse_budget
from assay.selection.plan.churn import parse_churn


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
Churn = Annotated[
    int | float, BeforeValidator(parse_churn, json_schema_input_type=int | float | str)
]
MemoryLimit = Annotated[int, BeforeValidator(parse_memory, json_schema_input_type=int | str)]
Location = Annotated[
    str,
    AfterValidator(without_password),
    WithJsonSchema({"type": "string", "pattern": r"^(?!.*://[^/@]*:[^/@]*@)"}),
]
Options = Annotated[
    dict[str, Any],
    AfterValidator(without_secrets),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": True,
            "propertyNames": {
                "not": {"pattern": r"[Pp]assw|[Ss]ecret|(api|access)_key$|(^|_)token$"}
            },
        }
    ),
]
