"""Write ARCHITECTURE.md from the code's own imports, so that it can't be wrong.

python docs/architecture.py            write the page
python docs/architecture.py --check    exit 1 if the page differs from the code
python docs/architecture.py --figures  print files, lines of code, arrows and the longest chain
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
LAYERS = ("flows", "selection", "index", "storage")


def modules() -> dict[str, Path]:
    """Return every module of the layers by its dotted name, without `assay.`."""
    files = (path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


def room_of(module: str) -> str:
    """Return the room that a module stands in: a package of a layer, or the module itself."""
    layer, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    return f"{layer}.{first}" if first else layer


def imports_of(path: Path, files: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports, those inside functions too, types left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if not name.startswith("assay."):
                continue
            own = name.removeprefix("assay.")
            target = own if own in files else own.rpartition(".")[0]
            if target in files:
                yield target


def module_arrows(files: dict[str, Path]) -> dict[str, set[str]]:
    """Return, for every module, the modules that it imports."""
    return {name: set(imports_of(path, files)) - {name} for name, path in files.items()}


def room_arrows(files: dict[str, Path]) -> set[tuple[str, str]]:
    """Return the pairs of rooms of which the first imports the second."""
    return {
        (room_of(name), room_of(target))
        for name, targets in module_arrows(files).items()
        for target in targets
        if room_of(name) != room_of(target)
    }


def code_lines(path: Path) -> int:
    """Count the lines that hold code: no docstring, no comment, no blank."""
    source = path.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def longest_chain(files: dict[str, Path]) -> int:
    """Count the files on the longest chain of imports; circles raise RecursionError."""
    arrows = module_arrows(files)

    @cache
    def length(name: str) -> int:
        return 1 + max((length(target) for target in arrows[name]), default=0)

    return max(map(length, files))


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def picture(layer: str, rooms: list[str], arrows: set[tuple[str, str]]) -> str:
    """Return a Mermaid graph of one layer: its rooms, left to right, and what they import."""
    lines = ["```mermaid", "graph RL"]
    for room in rooms:
        lines.append(f"    {room.replace('.', '_')}[{room.partition('.')[2]}]")
    for source, target in sorted(arrows):
        if source in rooms and target in rooms:
            lines.append(f"    {source.replace('.', '_')} --> {target.replace('.', '_')}")
    return "\n".join([*lines, "```"])


def page() -> str:
    """Return the text of the page."""
    files = modules()
    arrows = room_arrows(files)
    parts = [
        "# Architecture",
        "*A data set goes in; a graph, a set of scores and a reasoned, budgeted subset come out, "
        "kept in tables you can query, safe to rerun every night.*",
        "This page is written by `python docs/architecture.py` from the imports in the code; a "
        'test fails when it differs. An arrow means "imports".',
        "## Layers",
        "```mermaid\ngraph LR\n    flows --> selection --> index --> storage\n```",
        "Imports only point down, and inside a layer only to the rooms on the left of the order "
        "that `tests/test_layers.py` holds. Only `flows` knows Prefect.",
    ]
    for layer in reversed(LAYERS):
        rooms = sorted(
            {room_of(name) for name in files if name.startswith(f"{layer}.")},
        )
        rows = ["| room | holds | files |", "| --- | --- | ---: |"]
        for room in rooms:
            inside = [name for name in files if name == room or name.startswith(f"{room}.")]
            rows.append(f"| `{room}` | {first_line(files[room])} | {len(inside)} |")
        parts += [
            f"## {layer}",
            first_line(files[layer]),
            picture(layer, rooms, arrows),
            "\n".join(rows),
        ]
    parts += ["## The main job", main_job()]
    return "\n\n".join(parts) + "\n"


def main_job() -> str:
    """Return the stages of `assay curate` in the order in which the pipeline calls them."""
    pipeline = ast.parse((ROOT / "flows/running/pipeline.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in pipeline.body if isinstance(node, ast.FunctionDef)}
    names = list(dict.fromkeys(_stage_names(functions["compose"], functions)))
    declared = ast.parse((ROOT / "flows/stages/stage.py").read_text(encoding="utf-8"))
    head = ["| stage | what it does | code |", "| --- | --- | --- |"]
    rows: list[tuple[int, str]] = []
    for node in declared.body:
        if not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]) not in names:
            continue
        call = node.value
        assert isinstance(call, ast.Call)
        where = ast.unparse(call.args[1]).strip("f'\"").replace("{_HERE}", "flows.stages")
        module, _, function = where.partition(":")
        source = ROOT / (module.replace(".", "/") + ".py")
        code = {
            item.name: item
            for item in ast.parse(source.read_text(encoding="utf-8")).body
            if isinstance(item, ast.FunctionDef)
        }
        summary = (ast.get_docstring(code[function]) or "").partition("\n")[0]
        name = ast.literal_eval(call.args[0])
        rows.append(
            (names.index(ast.unparse(node.targets[0])), f"| {name} | {summary} | `{where}` |")
        )
    table = "\n".join([*head, *(line for _, line in sorted(rows))])
    return (
        "`assay curate` (`flows.cli`, `flows.api`) resolves the configuration to a `Run` "
        "(`flows.stages.run`). `flows.running.pipeline` composes the stages below; they are called "
        "directly, or submitted to Prefect (`flows.engines`). A stage takes references to what "
        "earlier stages stored and returns one to what it stored itself. Those that "
        "split or search shards run only where a run is cut into shards.\n\n" + table
    )


def _stage_names(node: ast.AST, functions: dict[str, ast.FunctionDef]) -> Iterator[str]:
    """Yield the stages that a function names, in the order of its lines, helpers followed."""
    inside = [item for item in ast.walk(node) if isinstance(item, (ast.Attribute, ast.Call))]
    for item in sorted(inside, key=lambda item: (item.lineno, item.col_offset)):
        if isinstance(item, ast.Attribute) and ast.unparse(item.value) == "stage":
            yield item.attr
        elif (
            isinstance(item, ast.Call)
            and isinstance(item.func, ast.Name)
            and item.func.id in functions
        ):
            yield from _stage_names(functions[item.func.id], functions)


def figures() -> str:
    """Return the size of the house in one line."""
    files = modules()
    return (
        f"{len(files)} files, {sum(map(code_lines, files.values())):,} lines of code, "
        f"{len(room_arrows(files))} arrows between rooms, longest chain of imports "
        f"{longest_chain(files)} files"
    )


def main() -> None:
    """Write, check or count."""
    if "--figures" in sys.argv:
        print(figures())
    elif "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit("ARCHITECTURE.md differs from the code: run `python docs/architecture.py`.")
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
