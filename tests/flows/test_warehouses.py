"""The example projects of dbt and SQLMesh read a store, where these programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from assay.flows.running.results import RunResult

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# program -> its arguments, and the schema of its tables
PROGRAMS = {
    "dbt": (["build", "--project-dir", ".", "--profiles-dir", "."], "main"),
    "sqlmesh": (["plan", "--auto-apply", "--no-prompts"], "assay"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_project_reads_a_store(name: str, curated: RunResult, tmp_path: Path) -> None:
    variable = f"ASSAY_TEST_{name.upper()}"
    program = os.environ.get(variable) or shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed; {variable} may name its command")
    arguments, schema = PROGRAMS[name]
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    done = subprocess.run(
        [program, *arguments],
        cwd=tmp_path / name,
        env=os.environ
        | {
            "ASSAY_STORE": str(curated.store.path),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(tmp_path / name / "warehouse.duckdb"), read_only=True) as con:
        rows = con.execute(
            f"SELECT sample_id, position, weight FROM {schema}.training_rows ORDER BY position"
        ).fetchall()
        (counted,) = con.execute(f"SELECT sum(n) FROM {schema}.reasons_by_pool").fetchone() or ()
    expected = "SELECT sample_id, position, weight FROM latest_selection ORDER BY position"
    assert rows == curated.sql(expected).rows()
    assert counted == curated.summary()["samples"]
