"""The Prefect flow chooses what the direct run chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from assay.flows.export.write import export
from assay.flows.running.results import RunResult
from assay.storage import ScoreStore
from tests.system.comparing import contents, differences


def test_the_flow_in_shards_gives_what_the_direct_run_gives(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (tmp_path / "c.toml").write_text(
        f'pool = "{settings["pool"]}"\nid = "id"\ntext = "text"\nkeep = ["domain"]\n'
        f'target = "{settings["target"]}"\nbudget = "10%"\nstore = "{store}"\n'
        'engine = "threads"\nworkers = 2\nshard_rows = 250\n'
        "[embedding]\ndimensions = 32\nbuckets = 16384\n"
    )
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "assay.flows.deployments", str(tmp_path / "c.toml")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert curated.run_id in done.stdout
    export(curated.store, tmp_path / "direct.csv")
    export(ScoreStore(store), tmp_path / "flow.csv")
    assert (tmp_path / "direct.csv").read_bytes() == (tmp_path / "flow.csv").read_bytes()
    assert differences(contents(store), contents(curated.store.path)) == []
    assert done.stderr.count("Task run 'encode-") == 3


def test_a_wrong_configuration_is_one_paragraph(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("bugdet = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "assay.flows.deployments", str(tmp_path / "c.toml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "unknown key 'bugdet'" in done.stderr
    assert "Traceback" not in done.stderr
