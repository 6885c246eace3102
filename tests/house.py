"""The rules of rooms, read from the code's own imports: what a tree of sources breaks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx

LAYERS = ("storage", "index", "selection", "flows")
# a room imports rooms to its left only; rooms joined by "|" do not import each other
ROOMS = {
    "storage": "errors, lazy, interfaces, limits, docstrings, names, compiling, heap, notebook < hashing < disk "
    "< reading | sql < runs < store < upkeep",
    "index": "threads, blas, algorithms, vectors, ngrams < embedding | search < knn | layout < graph < nx",
    "selection": "registry, contract < algorithms, tables < base < scorers, steps, selectors, "
    "importance, rankers < evaluation, plan, conformance",
    "flows": "progress < config < stages < report < running < engines < deployments < export "
    "< result < api < estimate < explore < printing < commands < cli",
}
# these hold the writers that all others use, and locks
WRITERS = {
    "storage/disk/atomic.py",
    "storage/disk/artifacts.py",
    "storage/disk/locks.py",
    "storage/disk/refusals.py",
}
_WRITE_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND"}


def places(layer: str) -> dict[str, int]:
    """Return the place of each room of a layer; rooms side by side share one."""
    order, place = {}, 0
    for group in ROOMS[layer].split(" < "):
        for side in group.split(", "):
            order |= dict.fromkeys(side.split(" | "), place)
            place += 1
    return order


def modules(root: Path) -> dict[str, Path]:
    """Return the file of every module of the four layers."""
    found = {}
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*.py")):
            name = "assay." + ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def _parsed(path: Path) -> ast.Module:
    return _tree(path.read_text(encoding="utf-8"))


@cache
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def imported(path: Path) -> dict[str, int]:
    """Return every dotted name that a file imports, wherever in it, with the line."""
    return _imported(path.read_text(encoding="utf-8"))


@cache
def _imported(text: str) -> dict[str, int]:
    names: dict[str, int] = {}
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            names |= {f"{node.module}.{alias.name}": node.lineno for alias in node.names}
    return names


def arrows(root: Path) -> dict[str, dict[str, int]]:
    """Return for every module the modules of the four layers that it imports, with the line."""
    known = modules(root)
    found: dict[str, dict[str, int]] = {}
    for module, path in known.items():
        targets = {}
        for name, line in imported(path).items():
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != module:
                targets[name] = line
        found[module] = targets
    return found


def upward(root: Path) -> Iterator[str]:
    """Yield imports of a layer above, and of Prefect outside flows."""
    for module, path in modules(root).items():
        own = module.split(".")[1]
        for name, line in imported(path).items():
            parts = name.split(".")
            if parts[0] == "assay" and parts[1] in LAYERS:
                if LAYERS.index(parts[1]) > LAYERS.index(own):
                    yield f"{module}:{line} imports upward: {name}"
            elif parts[0] == "prefect" and own != "flows":
                yield f"{module}:{line}: only flows knows Prefect"


def rightward(root: Path) -> Iterator[str]:
    """Yield imports of a room to the right or beside, rooms that have no place, faces that import."""
    found = arrows(root)
    for module, targets in found.items():
        _, layer, *rest = module.split(".")
        if not rest:
            continue
        order = places(layer)
        if rest[0] not in order:
            yield f"{module} is in no room of {layer}"
            continue
        for target, line in targets.items():
            _, other_layer, *other = target.split(".")
            if other_layer != layer or (other and other[0] == rest[0]):
                continue
            if not other:
                yield f"{module}:{line} imports the face of its own layer"
            elif order.get(other[0], -1) >= order[rest[0]]:
                yield f"{module}:{line} imports a room to its right: {target}"
    for module, path in modules(root).items():
        if path.name == "__init__.py" and len(module.split(".")) > 2 and imported(path):
            yield f"{module} imports, but a room's __init__ holds a docstring alone"


def circles(root: Path) -> Iterator[str]:
    """Yield groups of files that import each other, imports inside functions included."""
    graph = nx.DiGraph(
        (module, target) for module, targets in arrows(root).items() for target in targets
    )
    for files in nx.strongly_connected_components(graph):
        if len(files) > 1:
            yield " <-> ".join(sorted(files))


def writers(root: Path) -> Iterator[str]:
    """Yield calls that open a file for writing outside the atomic writer, pickles, global seeds."""
    for module, path in modules(root).items():
        if path.relative_to(root).as_posix() in WRITERS:
            continue
        for name, line in imported(path).items():
            if name.split(".")[0] == "pickle":
                yield f"{module}:{line} imports pickle"
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Call) and _opens_for_writing(node):
                yield f"{module}:{node.lineno} opens a file for writing"
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "np.random.seed":
                yield f"{module}:{node.lineno} seeds the global generator"


def mappings(root: Path) -> Iterator[str]:
    """Yield mapped files that `release_all` does not know of."""
    for module, path in modules(root).items():
        if path.relative_to(root).as_posix() == "storage/disk/pages.py":
            continue
        calls = [node for node in ast.walk(_parsed(path)) if isinstance(node, ast.Call)]
        known = {id(call.args[0]) for call in calls if _named(call) == "noted"}
        for call in calls:
            maps = _named(call) in ("memmap", "open_memmap") or any(
                word.arg == "mmap_mode" for word in call.keywords
            )
            if maps and id(call) not in known:
                yield f"{module}:{call.lineno} maps a file that `noted` is not told of"


def _named(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _opens_for_writing(call: ast.Call) -> bool:
    if _named(call) not in ("open", "fdopen"):
        return False
    if any(isinstance(n, ast.Attribute) and n.attr in _WRITE_FLAGS for n in ast.walk(call)):
        return True
    # the mode: second argument of open(path, mode), first of path.open(mode)
    modes = [*call.args[:2], *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [m.value for m in modes if isinstance(m, ast.Constant) and isinstance(m.value, str)]
    return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)


def code_lines(path: Path) -> int:
    """Count lines of code: docstrings, comments and blank lines left out."""
    tree = _parsed(path)
    docs: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(
        1
        for n, line in lines
        if n not in docs and line.strip() and not line.strip().startswith("#")
    )
