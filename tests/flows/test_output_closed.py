"""A standard output that is closed, or that nobody reads to its end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASSAY = [sys.executable, "-m", "assay"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="file descriptors are inherited on POSIX")


def test_a_closed_output_is_refused_in_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *ASSAY, "methods"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert done.stderr == ("assay: standard output is closed; send it to a file or to /dev/null\n")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_pipe_closed_early_ends_the_command_quietly(more: list[str]) -> None:
    with subprocess.Popen(
        [*ASSAY, "methods", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        message = running.stderr.read()
    assert running.returncode == 1
    assert message == ""
