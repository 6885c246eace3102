"""The columns that an SQL expression names: found, resolved, and written as a table has them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import duckdb

from assay.storage.errors import ConfigError
from assay.storage.names import Reference, find, fold, listed

TABLE = "pool"
"""The one table that an expression is evaluated over, and its optional qualifier of columns."""

NAN_IS_NULL = (
    "CREATE MACRO _nan_is_null(x) AS CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') "
    "AND x::VARCHAR IN ('nan', '-nan') THEN NULL ELSE x END"
)
"""A macro that expressions need: NaN acts as null does, and DuckDB takes it for the largest number."""

Node = dict[str, Any]
_NULL_OPERATORS = {
    "COMPARE_IN",
    "COMPARE_NOT_IN",
    "OPERATOR_IS_NULL",
    "OPERATOR_IS_NOT_NULL",
    "OPERATOR_COALESCE",
}
_NULL_FUNCTIONS = {"greatest", "least", "nullif"}
# what can be NaN although no column is
_COMPUTED = {"FUNCTION", "CAST", "OPERATOR", "CASE", "SUBQUERY", "WINDOW"}


@dataclass(frozen=True)
class Expression:
    """A parsed expression (or an order: several), whose columns are resolved.

    Attributes
    ----------
    nodes : list of dict
        Its syntax trees as DuckDB writes them.
    columns : dict of Reference to str
        The columns it names, and what each is called in the trees: its own name, unless another
        one differs from it in case only.
    windowed : bool
        Whether it holds a window function, which may hand rows on in another order.
    """

    nodes: list[Node]
    columns: dict[Reference, str]
    windowed: bool


def parse_expression(
    con: duckdb.DuckDBPyConnection,
    text: str,
    own: Collection[str],
    ours: Collection[str] = (),
    *,
    what: str = "expression",
) -> Expression:
    """Parse one SQL expression and resolve its columns; see `assay.storage.names.find`.

    Raises
    ------
    ConfigError
        It is not one valid expression, or names a column that is not there.
    """
    node = _parsed(con, f"SELECT ({text}\n)", text, what)
    nothing = _parsed(con, "SELECT (1\n)", text, what)
    expressions = node.pop("select_list")
    del nothing["select_list"]
    if len(expressions) != 1 or node != nothing:
        raise _not_one(text, what)
    return _resolved(con, [expressions[0]], text, own, ours, what)


def comparison(expression: Expression) -> tuple[Node, float] | None:
    """Return the tree that the expression compares with a number, and the number, None if it does not."""
    node = expression.nodes[0]
    if node["class"] != "COMPARISON":
        return None
    for tree, other in ((node["left"], node["right"]), (node["right"], node["left"])):
        if other["class"] == "CONSTANT" and other["literal"]["kind"] in ("INTEGER", "NUMERIC"):
            try:
                return tree, float(other["literal"]["text"].replace("_", ""))
            except ValueError:  # written as hexadecimal digits
                return None
    return None


def parse_order(
    con: duckdb.DuckDBPyConnection,
    text: str,
    own: Collection[str],
    ours: Collection[str] = (),
    *,
    what: str = "order",
) -> tuple[Expression, list[Node]]:
    """Parse the terms of an ORDER BY; also return the orders that hold the expression's trees.

    Raises
    ------
    ConfigError
        As `parse_expression`.
    """
    node = _parsed(con, f"SELECT row_number() OVER (ORDER BY {text}\n)", text, what)
    plain = _parsed(con, "SELECT row_number() OVER (ORDER BY 1\n)", text, what)
    expressions = node.pop("select_list")
    (window,) = plain.pop("select_list")
    if len(expressions) != 1 or node != plain or expressions[0]["class"] != "WINDOW":
        raise _not_one(text, what)
    orders: list[Node] = expressions[0]["orders"]
    ignored = ("orders", "query_location", "query_location_length")
    if {k: v for k, v in expressions[0].items() if k not in ignored} != {
        k: v for k, v in window.items() if k not in ignored
    }:
        raise _not_one(text, what)
    parsed = _resolved(con, [o["expression"] for o in orders], text, own, ours, what)
    wrap = _wrapper(con)
    for order, tree in zip(orders, parsed.nodes, strict=True):
        order["expression"] = wrap(tree)
    return parsed, orders


def as_sql(con: duckdb.DuckDBPyConnection, query: str, replace: Mapping[str, Any]) -> str:
    """Return `query` with the column `x` replaced by a tree, or `ORDER BY x` by orders.

    Parameters
    ----------
    replace : mapping
        Under ``"expression"`` a tree, under ``"orders"`` a list of orders.
    """
    tree = json.loads(_serialized(con, query))

    def visit(node: Any) -> Any:
        if isinstance(node, dict):
            if "orders" in replace and node.get("class") == "WINDOW":
                return {**node, "orders": [*replace["orders"], *node["orders"]]}
            if "expression" in replace and node.get("column_names") == ["x"]:
                return {**replace["expression"], "alias": node["alias"]}
            return {key: visit(value) for key, value in node.items()}
        return [visit(part) for part in node] if isinstance(node, list) else node

    return _answer(con, "SELECT json_deserialize_sql(?::JSON)", json.dumps(visit(tree)))


def _serialized(con: duckdb.DuckDBPyConnection, query: str) -> str:
    return _answer(con, "SELECT json_serialize_sql(?::VARCHAR)", query)


def _answer(con: duckdb.DuckDBPyConnection, query: str, argument: str) -> str:
    ((answer,),) = con.execute(query, [argument]).fetchall()
    return str(answer)


def _parsed(con: duckdb.DuckDBPyConnection, query: str, text: str, what: str) -> Node:
    try:
        tree = json.loads(_serialized(con, query))
    except duckdb.Error as error:
        raise ConfigError(f"The {what} {text!r} can't be evaluated: {error}.") from error
    if tree["error"]:
        raise ConfigError(
            f"The {what} {text!r} can't be evaluated, as it is not valid SQL: "
            f"{tree['error_message']}."
        )
    if len(tree["statements"]) != 1:
        raise _not_one(text, what)
    node: Node = tree["statements"][0]["node"]
    return node


def _not_one(text: str, what: str) -> ConfigError:
    return ConfigError(
        f"The {what} {text!r} can't be evaluated, as it is more than one expression; pass one, "
        "without ';' or clauses of a query."
    )


def _resolved(
    con: duckdb.DuckDBPyConnection,
    nodes: list[Node],
    text: str,
    own: Collection[str],
    ours: Collection[str],
    what: str,
) -> Expression:
    resolved: list[tuple[Node, Reference, list[str]]] = []
    windowed = False
    for node in nodes:
        for part, bound, nested in _parts(node, frozenset(), False):
            windowed = windowed or part.get("class") == "WINDOW"
            if part.get("class") in ("STAR", "POSITIONAL_REFERENCE") and not nested:
                raise ConfigError(
                    f"The {what} {text!r} can't be evaluated: * stands for all columns; name those "
                    "you mean."
                )
            if part.get("class") != "COLUMN_REF" or part["column_names"][0] in bound:
                continue
            names = part["column_names"]
            column = _find(names, own, ours, nested)
            if column is not None:
                resolved.append((part, *column))
            elif not nested:
                raise ConfigError(
                    f"The {what} {text!r} names {'.'.join(names)!r}, which is not there. "
                    f"Columns are: {', '.join(listed(own, ours))}."
                )
    columns = _apart([reference for _, reference, _ in resolved])
    for part, reference, rest in resolved:
        part["column_names"] = [columns[reference], *rest]
    wrap = _wrapper(con)
    return Expression([_nan_as_null(node, wrap) for node in nodes], columns, windowed)


def _parts(
    node: Any, bound: frozenset[str], nested: bool
) -> Iterator[tuple[Node, frozenset[str], bool]]:
    """Yield every node with the names that lambdas bind there, and whether it is in a subquery."""
    if isinstance(node, dict):
        if node.get("class") == "LAMBDA":
            names = {n for part, *_ in _parts(node["lhs"], bound, nested) for n in _names(part)}
            yield from _parts(node["expr"], bound | names, nested)
            return
        yield node, bound, nested
        nested = nested or node.get("class") == "SUBQUERY"
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _parts(part, bound, nested)


def _names(node: Node) -> list[str]:
    return list(node["column_names"]) if node.get("class") == "COLUMN_REF" else []


def _find(
    names: Sequence[str], own: Collection[str], ours: Collection[str], nested: bool
) -> tuple[Reference, list[str]] | None:
    """Return the column that a dotted name means, and the fields of it that follow."""
    first, rest = names[0], list(names[1:])
    if rest:
        column = find(f"{first}.{rest[0]}", (), ours)
        if column is not None:
            return column, rest[1:]
    column = find(first, own, ours)
    if column is not None:
        return column, rest
    # a table in front: ours, or in a subquery one that it names itself
    if rest and (fold(first) == TABLE or nested):
        column = find(rest[0], own, ours)
        if column is not None:
            return column, rest[1:]
    return None


def _apart(columns: Sequence[Reference]) -> dict[Reference, str]:
    """Return a name for each column that no other has in any case: its own, for all but a few."""
    names: dict[Reference, str] = {}
    taken: set[str] = {fold(column.name) for column in columns}
    used: set[str] = set()
    for column in dict.fromkeys(columns):
        name, n = column.name, 0
        while fold(name) in used or (n and fold(name) in taken):
            n += 1
            name = f"{column.name}_{n}"
        used.add(fold(name))
        names[column] = name
    return names


def _wrapper(con: duckdb.DuckDBPyConnection) -> Any:
    """Return a function that makes NaN null in the value of a tree, where it may be NaN."""
    template = json.loads(_serialized(con, "SELECT _nan_is_null(x)"))
    call = template["statements"][0]["node"]["select_list"][0]

    def put(part: Any, tree: Node) -> Any:
        if isinstance(part, dict):
            if part.get("column_names") == ["x"]:
                return tree
            return {key: put(value, tree) for key, value in part.items()}
        return [put(each, tree) for each in part] if isinstance(part, list) else part

    def wrap(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        field = tree.get("class") == "COLUMN_REF" and len(tree["column_names"]) > 1
        if not field and tree.get("class") not in _COMPUTED:
            return tree
        return put(deepcopy(call), tree)

    return wrap


def _nan_as_null(node: Any, wrap: Any) -> Any:
    """Return a tree in which whatever compares, orders or looks for null finds null for NaN."""
    if isinstance(node, list):
        return [_nan_as_null(part, wrap) for part in node]
    if not isinstance(node, dict):
        return node
    node = {key: _nan_as_null(value, wrap) for key, value in node.items()}
    kind = node.get("class")
    if kind == "COMPARISON":
        node |= {side: wrap(node[side]) for side in ("left", "right")}
    elif kind == "BETWEEN":
        node |= {part: wrap(node[part]) for part in ("input", "lower", "upper")}
    elif kind == "OPERATOR" and node["type"] in _NULL_OPERATORS:
        node["children"] = [wrap(child) for child in node["children"]]
    elif (kind == "FUNCTION" and node["function_name"] in _NULL_FUNCTIONS) or kind == "WINDOW":
        for name in ("arguments", "children"):
            if name in node:
                node[name] = [_wrapped_argument(part, wrap) for part in node[name]]
    if "orders" in node:
        node["orders"] = [{**o, "expression": wrap(o["expression"])} for o in node["orders"]]
    return node


def _wrapped_argument(argument: Node, wrap: Any) -> Node:
    if "expression" in argument and "class" not in argument:
        return {**argument, "expression": wrap(argument["expression"])}
    wrapped: Node = wrap(argument)
    return wrapped
