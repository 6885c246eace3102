from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from assay.selection import registry
from assay.storage.errors import ColumnError, ConfigError

ROOT = Path(__file__).resolve().parents[2]
OWN = [entry for entry in registry.entries() if entry.kind in ("selector", "scorer")]


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_class_is_there_and_documented(entry):
    found = registry.get(entry.name, entry.kind)
    assert found.__doc__
    assert callable(found.fit)


@pytest.mark.parametrize("entry", OWN, ids=lambda e: f"{e.kind}-{e.name}")
def test_the_entry_says_what_the_class_says(entry):
    found = registry.get(entry.name, entry.kind)
    assert entry.needs == found.needs
    assert entry.nested == getattr(found, "nested", False)
    if entry.kind == "scorer":
        assert found.points in ("easier", "harder")


def test_names_are_unique_within_a_kind():
    keys = [(entry.kind, entry.name) for entry in registry.entries()]
    assert len(keys) == len(set(keys))


def test_an_unknown_name_suggests_the_likely_one():
    with pytest.raises(ColumnError, match="Did you mean 'pagerank'"):
        registry.get("page_rank", "scorer")
    with pytest.raises(ColumnError, match="selector 'pagerank'"):
        registry.entry("pagerank", "selector")
    with pytest.raises(ConfigError, match="kinds are"):
        registry.entries("selectors")


def test_the_table_names_every_method():
    table = registry.markdown_table()
    assert len(table.splitlines()) == 2 + len(registry.entries())
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_looking_through_the_registry_imports_no_method():
    code = (
        "import sys; from assay.selection import registry; registry.markdown_table();"
        "print([m for m in ('numpy', 'sklearn', 'numba', 'polars', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_class_of_the_table_is_importable_from_the_face():
    import assay.selection

    for entry in registry.entries():
        name = entry.path.partition(":")[2]
        assert getattr(assay.selection, name) is entry.load()
        assert name in assay.selection.__all__


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_what_is_declared_is_declared_once_and_true(entry):
    method = entry.load()
    fields = {field.name for field in dataclasses.fields(registry.Declaration)}
    source = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
    assigned = {
        target.id
        for node in source.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert not assigned & {*fields, "kind"}
    parameters = registry.parameter_defaults(method)
    assert entry.has_cutoff == ("cutoff" in parameters)
    assert entry.has_metric == ("metric" in parameters)
    assert entry.has_hasher == callable(vars(method).get("hasher"))
    assert entry.by_shards == callable(vars(method).get("ratio"))
    for parameter in registry.parameters(method):
        assert parameter.meaning or parameter.name in ("missing", "y"), parameter.name


def test_options_are_checked_by_name():
    entry = registry.entry("ccs", "selector")
    entry.check_options(["cutoff"], {"budget"})
    with pytest.raises(ColumnError, match="Did you mean 'cutoff'"):
        entry.check_options(["cutof"])
    with pytest.raises(ColumnError, match="budget"):
        entry.check_options(["budget"], {"budget"})


@pytest.mark.parametrize(
    "entry", registry.entries(), ids=lambda entry: f"{entry.kind} {entry.name}"
)
def test_help_describes_every_parameter(entry):
    method = entry.load()
    if re.search(r"\n +(All a|A)s in `", method.__doc__) or entry.name == "importance":
        return  # its parameters are those of another method
    for name in registry.parameter_defaults(method):
        described = rf"^(\w+, )*{name}(, \w+)* : "
        assert re.search(described, inspect.cleandoc(method.__doc__), re.MULTILINE), name


def test_what_many_methods_take_is_described_once():
    files = [path.read_text() for path in (ROOT / "selection").rglob("*.py")]
    for path in (ROOT / "selection" / "selectors").glob("*.py"):
        assert "\n    budget : int, float or str" not in path.read_text(), path
    # two rankers count otherwise than their base says
    most = {
        '    n_features_to_select : int, float or "auto", optional': 3,
        '    missing : {"median", "raise"}, default "median"': 3,
        '        "auto": that of the graph, and l2 without one.': 3,
        "    probabilities : array or polars": 3,
    }
    for line, times in most.items():
        assert sum(text.count(f"\n{line}") for text in files) <= times, line


def test_the_types_of_the_face_are_those_of_the_registry():
    command = [sys.executable, ROOT / "docs" / "typed_face.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_method_says_what_is_claimed_and_what_was_measured(entry):
    told = registry.claims(entry.load())
    assert told is not None, "write the section Claims in the docstring"
    for name in re.findall(r"`(\w+\.md)`", told.measured):
        assert (ROOT / "benchmarks" / "results" / name).exists(), name
    row = next(
        line
        for line in registry.claims_table().splitlines()
        if line.startswith(f"| `{entry.name}` ({entry.kind})")
    )
    assert row.count("|") == 6
    assert told.measured in row


def test_claims_that_are_not_whole_are_refused():
    class Half:
        """Half.

        Claims
        ------
        paper
            Much.
        """

    with pytest.raises(ConfigError, match="has paper; write, in this order"):
        registry.claims(Half)

    class None_:
        """No section."""

    assert registry.claims(None_) is None
