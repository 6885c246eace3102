"""The fuzz target of stores: one of their files is changed, and what they say must stay true."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import strategies as st

from assay.storage import ScoreStore
from assay.storage.errors import AssayError
from assay.storage.upkeep.check import check_store
from tests.security.mutations import changes, mutated
from tests.storage.nights import info, night_id, run_night

NIGHTS = 3
TRUE = {night_id(night): "abcd"[night % 4] for night in range(NIGHTS)}
SAID = "SELECT run_id, sample_id FROM selections"
LATEST = "SELECT run_id, sample_id FROM latest_selection"


@cache
def whole_store() -> Path:
    """Return the folder of a store of three runs, the newest one published, and a run under way."""
    folder = Path(tempfile.mkdtemp(prefix="assay-fuzz-"))
    atexit.register(shutil.rmtree, folder, True)
    store = ScoreStore(folder / "store", create=True)
    for night in range(NIGHTS):
        run_night(store, night)
    store.publish()
    store.begin(info(NIGHTS))
    return store.path


def parts() -> list[str]:
    """Return the files of that store, by their paths in it."""
    root = whole_store()
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(str(path.relative_to(root)) for path in files if path.suffix != ".lock")


@st.composite
def stores(draw: Any) -> dict[str, Any]:
    """Return which file is changed, how, and whether its time of change is kept."""
    # by kind, so that the many small notes do not leave the run files out
    kinds = sorted({Path(name).parent.as_posix() + Path(name).suffix for name in parts()})
    kind = draw(st.sampled_from(kinds))
    names = [n for n in parts() if Path(n).parent.as_posix() + Path(n).suffix == kind]
    made = [[*change[:3], change[3].hex()] for change in draw(changes)]
    return {"file": draw(st.sampled_from(names)), "changes": made, "time": draw(st.booleans())}


def check_changed_store(case: dict[str, Any], folder: Path) -> str:
    """Read the changed store, mend it and read it again: never is a run given what is another's."""
    path = folder / "changed store"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole_store(), path, symlinks=True)
    file = path / case["file"]
    status, before = file.stat(), file.read_bytes()
    made = [(*change[:3], bytes.fromhex(change[3])) for change in case["changes"]]
    content = mutated(before, made, most=2 * len(before) + 100)
    file.chmod(0o644)
    file.write_bytes(content)
    if case["time"]:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        said = _said(path)
        check_store(ScoreStore(path), repair=True)
        left = [f for f in check_store(ScoreStore(path)) if f.level == "damage"]
    except AssayError:
        # without what says that it is a store, none of its versions can be told
        assert case["file"] == "store.json"
        return "refused"
    assert not left, left
    if content == before:
        assert said == night_id(NIGHTS - 1)
    mended = _said(path)
    published = path / "published" / "latest.duckdb"
    with duckdb.connect(str(published), read_only=True) as con:
        assert con.sql(LATEST).fetchall() == [(mended, TRUE[mended])]
    return "whole" if len(_runs(path)) == NIGHTS else "a run less"


def _said(path: Path) -> str | None:
    """Return the newest run; assert that all runs say what is true."""
    store = ScoreStore(path)
    for run, sample in store.sql(SAID).rows():
        assert TRUE[run] == sample, (run, sample)
    latest = store.sql(LATEST).rows()
    assert len(latest) <= 1, latest
    for run, sample in latest:
        assert TRUE[run] == sample, (run, sample)
        return str(run)
    return None


def _runs(path: Path) -> list[str]:
    return list(ScoreStore(path).sql("SELECT run_id FROM runs WHERE status = 'done'")["run_id"])
