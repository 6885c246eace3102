"""The command that lists methods and embedders, and shows the page of one."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json
from assay.selection import registry
from assay.storage.errors import ColumnError, ConfigError

KINDS = (*registry.KINDS, "embedder")
# sections of a docstring that its page leaves out: parameters have their own form
_SKIPPED = ("Parameters", "Attributes", "Raises", "Examples", "See Also")


def methods(
    name: Annotated[str | None, typer.Argument(help="Show the page of this method.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}.")] = None,
    json: Json = False,
) -> None:
    """List all methods, including those of installed plug-ins, or show the page of one."""
    from assay.flows.printing.output import print_json
    from assay.index.embedding import embedders

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"There is no kind {kind!r}; kinds are: {', '.join(KINDS)}.")
    listed = [method for method in listed_methods() if kind in (None, method["kind"])]
    broken = [
        {"name": plugin.name, "package": plugin.package, "problem": plugin.problem}
        for plugin in (*registry.left_out(), *embedders.left_out())
    ]
    if name is None:
        if json:
            print_json({"methods": listed, "left_out": broken})
        else:
            _print_list(listed)
            for plugin in broken:
                typer.echo(f"left out: {plugin['name']} ({plugin['package']}): {plugin['problem']}")
        return
    pages = [{**method, **method_page(method)} for method in listed if method["name"] == name]
    if not pages:
        raise ColumnError.missing(name, [method["name"] for method in listed], what="method")
    if json:
        print_json({"methods": pages})
        return
    for page in pages:
        _print_page(page)


def listed_methods() -> Iterator[dict[str, Any]]:
    """Yield what the list says about every method and embedder."""
    from assay.index.embedding import embedders

    for entry in registry.entries():
        yield {
            "name": entry.name,
            "kind": entry.kind,
            "help": entry.help,
            "needs": entry.describe_needs(),
            "uses": list(entry.uses),
            "points": entry.points,
            "nested": entry.nested,
            "class": entry.path.replace(":", "."),
            "package": entry.package or "assay",
        }
    for name, path in embedders.embedder_paths().items():
        yield {
            "name": name,
            "kind": "embedder",
            "help": embedders.embedder_help(name),
            "needs": [],
            "uses": [],
            "points": None,
            "nested": False,
            "class": path.replace(":", "."),
            "package": embedders.embedder_package(name) or "assay",
        }


def method_page(method: dict[str, Any]) -> dict[str, Any]:
    """Return the description, parameters and source of one method."""
    if method["kind"] == "embedder":
        from assay.index.embedding import embedders

        target = embedders.embedder_class(method["name"])
    else:
        target = registry.get(method["name"], method["kind"])
    sections = _sections(inspect.cleandoc(target.__doc__ or ""))
    source = sections.pop("References", "")
    return {
        "description": sections.pop(""),
        **{title.lower(): text for title, text in sections.items() if title not in _SKIPPED},
        "parameters": [
            {"name": p.name, "default": p.default, "meaning": p.meaning}
            for p in registry.parameters(target)
        ],
        "source": source,
    }


def _sections(doc: str) -> dict[str, str]:
    """Return the sections of a numpydoc docstring by title; what comes before them under ''."""
    first, *rest = re.split(r"^(\S[^\n]*)\n-{3,}\n", doc, flags=re.MULTILINE)
    titles, texts = rest[::2], rest[1::2]
    return {"": first.strip(), **{t: text.strip() for t, text in zip(titles, texts, strict=True)}}


def _print_list(listed: list[dict[str, Any]]) -> None:
    width = max(len(method["name"]) for method in listed) if listed else 0
    for kind in KINDS:
        of_kind = [method for method in listed if method["kind"] == kind]
        if of_kind:
            typer.echo(f"{kind}s")
        for method in of_kind:
            needs = f" (needs {', '.join(method['needs'])})" if method["needs"] else ""
            other = f" [{method['package']}]" if method["package"] != "assay" else ""
            typer.echo(f"  {method['name']:<{width}}  {method['help']}{needs}{other}")


def _print_page(page: dict[str, Any]) -> None:
    width = min(100, shutil.get_terminal_size().columns)
    typer.echo(f"{page['name']} ({page['kind']}, {page['package']}): {page['class']}\n")
    typer.echo(page["description"])
    facts = {
        "needs": ", ".join(page["needs"]),
        "uses": ", ".join(page["uses"]),
        "points": f"a high score means {page['points']}" if page["points"] else "",
        "nested": "every budget is a prefix of one ranking" if page["nested"] else "",
    }
    typer.echo("")
    for fact, text in facts.items():
        if text:
            typer.echo(f"{fact}: {text}")
    typer.echo("parameters:")
    for parameter in page["parameters"]:
        default = "required" if parameter["default"] is None else f"default {parameter['default']}"
        text = f"{parameter['name']} ({default}): {parameter['meaning']}"
        typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    "))
    for title in ("claims", "notes", "source"):
        if page.get(title):
            typer.echo(f"{title}:\n{textwrap.indent(page[title], '  ')}")


COMMANDS = (methods,)
