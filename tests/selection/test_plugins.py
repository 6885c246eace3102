"""Methods and embedders that other packages add: found, run, fingerprinted, left out if broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import curate
from assay.flows.cli import app
from assay.index.embedding import embedders
from assay.selection import registry
from assay.selection.conformance import ConformanceError, check
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.lazy import PluginWarning

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"
RUN = CliRunner()


def forget():
    registry._added.cache_clear()
    embedders._added.cache_clear()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The example package, built as pip builds it."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source)
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(source)], cwd=source, check=True, capture_output=True
    )
    return next(source.glob("*.whl"))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder where packages can be installed for one test."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "site").mkdir()
    before = set(sys.modules)
    forget()
    yield tmp_path / "site"
    forget()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("assay_word_scores", "broken_plugin"):
            del sys.modules[name]


@pytest.fixture
def installed(site, wheel):
    zipfile.ZipFile(wheel).extractall(site)
    return site


def install(site, entry_points, code, name="broken-plugin", group="assay.methods"):
    """Install a package of one module."""
    (site / "broken_plugin.py").write_text(code)
    info = site / f"{name.replace('-', '_')}-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    lines = "\n".join(f"{key} = {value}" for key, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")


@pytest.fixture
def pool(tmp_path):
    words = ["cat", "dog", "rose", "fell", "stock"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 3 + row % 7)) for row in range(60)]
    path = tmp_path / "pool.parquet"
    pl.DataFrame({"id": [f"{row:02}" for row in range(60)], "text": texts}).write_parquet(path)
    return path


def test_the_example_is_listed_with_its_help_and_package(installed):
    scorer = registry.entry("word_variety", "scorer")
    assert scorer.help == "Share of the words of a text that are different words"
    assert (scorer.package, scorer.points) == ("assay-word-scores 1.0", "harder")
    assert registry.entries("scorer")[-1] == scorer
    assert registry.get("longest", "selector").__name__ == "LongestSelector"
    assert registry.entry("longest", "selector").nested
    assert embedders.embedder_class("letters").__name__ == "LetterEmbedder"
    listed = json.loads(RUN.invoke(app, ["methods", "--json"]).stdout)
    names = {(m["kind"], m["name"]): m["package"] for m in listed["methods"]}
    for kind, name in (
        ("scorer", "word_variety"),
        ("selector", "longest"),
        ("embedder", "letters"),
    ):
        assert names[kind, name] == "assay-word-scores 1.0"
    assert names["scorer", "pagerank"] == "assay"
    assert "word_variety" not in registry.markdown_table()
    with pytest.raises(ColumnError, match="Did you mean 'word_variety'"):
        registry.get("word_varity", "scorer")


def test_the_example_conforms(installed):
    check(registry.get("word_variety", "scorer"))
    check(registry.get("longest", "selector"))


def test_the_example_curates_and_its_version_is_part_of_the_run(installed, pool, tmp_path):
    settings = {
        "pool": str(pool), "id": "id", "text": "text", "budget": 12, "select": "longest",
        "scores": ["word_variety", "pagerank"], "embedding": {"name": "letters"},
        "graph": {"k": 4}, "store": str(tmp_path / "store"),
    }  # fmt: skip
    first = curate(**settings)
    scores = first.sql("SELECT method, count(*) n FROM scores GROUP BY 1 ORDER BY 1")
    assert scores.rows() == [("pagerank", 60), ("word_variety", 60)]
    chosen = first.sql("SELECT s.sample_id FROM latest_selection s ORDER BY position")
    table = pl.read_parquet(pool).with_columns(size=pl.col("text").str.len_chars())
    longest = table.sort("size", "id", descending=[True, False])["id"][:12]
    assert chosen["sample_id"].to_list() == longest.to_list()
    versions = first.sql("SELECT versions FROM runs")["versions"][0]
    assert "assay-word-scores" in str(versions)
    assert curate(**settings).run_id == first.run_id
    # another version is another run, and nothing that the old one scored is taken over
    (info,) = installed.glob("*.dist-info")
    metadata = (info / "METADATA").read_text().replace("Version: 1.0", "Version: 1.1")
    (info / "METADATA").write_text(metadata)
    module = installed / "assay_word_scores" / "__init__.py"
    module.write_text(module.read_text().replace("n_unique() /", "n_unique() * 0 /"))
    info.rename(info.with_name("assay_word_scores-1.1.dist-info"))
    del sys.modules["assay_word_scores"]
    shutil.rmtree(module.parent / "__pycache__", ignore_errors=True)
    forget()
    second = curate(**settings)
    assert second.run_id != first.run_id
    newest = second.sql("SELECT word_variety FROM latest_scores")["word_variety"]
    assert (newest == 0).all()


BASE = "from assay.selection.base import Scorer\nclass Mine(Scorer):\n"
BROKEN = {
    "does not import": ("import no_such_module_at_all", "no_such_module_at_all"),
    "leaves": ("raise SystemExit(3)", "SystemExit"),
    "has no such class": ("Other = 1", "Mine"),
    "is no method": ("class Mine:\n    'What it is.'", "is no method"),
    "no kind": (f"{BASE}    'It.'\n    points = 'harder'", "kind is None"),
    "no points": (f"{BASE}    'It.'\n    kind = 'scorer'", "points is None"),
    "no help": (f"{BASE}    kind = 'scorer'\n    points = 'easier'", "docstring"),
    "unknown need": (
        f"{BASE}    'It.'\n    kind = 'scorer'\n    points = 'easier'\n    needs = ('text',)",
        "needs is",
    ),
    "a text for needs": (
        f"{BASE}    'It.'\n    kind = 'scorer'\n    points = 'easier'\n    needs = 'texts'",
        "needs is",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_named_and_left_out(fault, site):
    code, problem = BROKEN[fault]
    install(site, {"mine": "broken_plugin:Mine"}, code)
    with pytest.warns(PluginWarning, match=r"'mine' of the package broken-plugin 0\.3") as warned:
        assert len(registry.entries("scorer")) == sum(e.kind == "scorer" for e in registry._TABLE)
    assert len(warned) == 1
    with warnings.catch_warnings():  # once
        warnings.simplefilter("error")
        assert registry.get("pagerank", "scorer")
    (left,) = registry.left_out()
    assert problem in left.problem
    listed = RUN.invoke(app, ["methods"])
    assert listed.exit_code == 0
    assert "left out: mine (broken-plugin 0.3)" in listed.stdout


def test_a_plugin_takes_no_name_that_is_taken(site):
    code = f"{BASE}    'It.'\n    kind = 'scorer'\n    points = 'easier'"
    install(site, {"pagerank": "broken_plugin:Mine", "mine": "broken_plugin:Mine"}, code)
    with pytest.warns(PluginWarning, match="that name already"):
        assert registry.entry("mine", "scorer").package == "broken-plugin 0.3"
    assert registry.get("pagerank", "scorer").__name__ == "PageRank"


def test_a_broken_embedder_is_named_and_left_out(site):
    install(
        site, {"mine": "broken_plugin:Mine", "text": "broken_plugin:Mine"},
        "class Mine:\n    def encode(self, batch): ...", group="assay.embedders",
    )  # fmt: skip
    with pytest.warns(PluginWarning) as warned:
        assert embedders.embedder_class("text").__name__ == "HashedTextEmbedder"
    assert sorted(str(w.message).split("'")[1] for w in warned) == ["mine", "text"]
    with pytest.raises(ColumnError, match="mine"):
        embedders.embedder_class("mine")


@pytest.mark.parametrize(
    ("base", "kind", "body", "where"),
    [
        ("rankers.base", "ranker", "    _uses_labels = False\n    def __init__(self, n_features_to_select=None):\n        self.n_features_to_select = n_features_to_select\n    def _score(self, X, y): return X.var(axis=0)", "FeatureRanker"),
        ("steps.deduplication", "step", "    duplicate_kind = 'mine'\n    def _keepers(self, inputs, order):\n        import numpy as np\n        return np.arange(inputs.n), np.ones(inputs.n), {}", "Deduplicator"),
    ],
)  # fmt: skip
def test_rankers_and_steps_are_added_likewise(base, kind, body, where, site):
    code = f"from assay.selection.{base} import {where}\nclass Mine({where}):\n    'It.'\n    kind = '{kind}'\n{body}"
    install(site, {"mine": "broken_plugin:Mine"}, code)
    made = registry.get("mine", kind)
    check(made)
    assert registry.entry("mine", kind).help == "It"


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_method_of_assay_conforms(entry):
    parameters = {
        "leakage": {"evaluation": {"quiz": ["the share fell again"]}},
        "hard_cutoff": {"cutoff": 0.2},
        "in_reference": {"reference": {"old": ["the share fell again"]}},
    }
    check(entry.load(), **parameters.get(entry.name, {}))


def test_conformance_names_what_is_broken():
    from assay.selection.base import Scorer, Selector
    from assay.selection.contract.outcomes import Choice

    class Places(Scorer):
        """Where a row stands."""

        kind, points, needs = "scorer", "harder", ("vectors",)

        def _score(self, inputs):
            return inputs.as_given(np.arange(inputs.n)).astype(float), {}

    class Greedy(Selector):
        """One row too few."""

        kind = "selector"

        def _select(self, inputs, budget):
            return Choice(chosen=np.arange(budget - 1), scores=np.zeros(inputs.n), outcomes=[])

    class Wild(Scorer):
        """NaN."""

        kind, points = "scorer", "easier"

        def _score(self, inputs):
            return np.full(inputs.n, np.nan), {}

    with pytest.raises(ConformanceError, match="Places: the scores depend on the order"):
        check(Places)
    with pytest.raises(ConformanceError, match="a budget of 7 gives 6 rows"):
        check(Greedy)
    with pytest.raises(ConformanceError, match="NaN"):
        check(Wild)
    with pytest.raises(ConfigError, match="is no method"):
        check(dict)
