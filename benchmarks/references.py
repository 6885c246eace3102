"""What does a large reference cost, and what does `assay plan` say beforehand?

    python benchmarks/references.py [--rows 1000000 10000000] [--pool 100000]

Rows are pieces of 20 words of the documents of `text_pool.parquet`, in the folder named by
`ASSAY_TEST_DATA`, else in `shared/data` beside the repository; where there are not enough, the first
half of a piece is joined to the second half of another. Of the pool a twentieth are copies of rows of
the reference, and a twentieth copies whose last word was changed. The run is made, then a second night
with another thousand rows, and `assay plan` is asked, each in a process of its own. Vectors are not
compared (`semantic` is left out) but where `--semantic` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common.data import documents
from common.report import machine, table, write

PIECE, NEW = 20, 1_000


def pieces(rows: int) -> pl.Series:
    """Return different texts of 20 words each, in random order."""
    words = documents()["text"].str.split(" ").explode().drop_nulls()
    words = words.filter(words != "")
    whole = words.head(len(words) // PIECE * PIECE)
    groups = whole.to_frame("word").with_columns(piece=pl.int_range(pl.len()) // PIECE)
    cut = groups.group_by("piece", maintain_order=True).agg("word")["word"]
    if rows > len(cut):
        rng = np.random.default_rng(0)
        first, second = (pl.Series(rng.integers(0, len(cut), rows)) for _ in range(2))
        heads, tails = (
            part.list.join(" ") for part in (cut.list.head(PIECE // 2), cut.list.tail(PIECE // 2))
        )
        return (heads.gather(first) + " " + tails.gather(second)).unique(maintain_order=True)
    texts = cut.list.join(" ").unique(maintain_order=True)
    return texts.sample(min(rows, len(texts)), shuffle=True, seed=0)


def measured(arguments: list[str], workdir: Path) -> tuple[dict[str, Any], float, float]:
    """Return what a command of assay prints, its seconds, and the memory of its process in GiB."""
    # the peak of this process alone, not of the one that forked it
    code = (
        "import re; from assay.flows.cli import app\n"
        "try: app()\n"
        "finally: open('peak', 'w').write("
        "re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json"],
        capture_output=True, text=True, cwd=workdir, env=dict(os.environ),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout), seconds, int((workdir / "peak").read_text()) / 2**20


def section(rows: int, pool_rows: int, semantic: bool) -> str:
    """Make the runs, and return what is said of them."""
    copies = pool_rows // 20
    own = pool_rows - 2 * copies + NEW
    texts = pieces(rows + own)
    old, new = texts[: len(texts) - own], texts[len(texts) - own :]
    exact = old.sample(copies, seed=1)
    near = old.sample(copies, seed=2).str.replace(r"\S+$", "changed")
    kind = np.repeat(["new", "exact", "near"], [own - NEW, copies, copies])
    pool = pl.DataFrame({"text": pl.concat([new[NEW:], exact, near]), "kind": kind})
    pool = pool.with_row_index("id").with_columns(pl.col("id").cast(pl.String))
    late = pl.DataFrame({"text": new[:NEW], "kind": "new"})
    late = late.with_columns(id=pl.format("late-{}", pl.int_range(pl.len())))
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "pool").mkdir()
        pool.write_parquet(here / "pool" / "1.parquet")
        old.to_frame("text").with_row_index("id").write_parquet(here / "old.parquet")
        held = len(old)
        del texts, old
        left_out = "" if semantic else 'reference_options = { semantic = "none" }\n'
        (here / "run.toml").write_text(
            'pool = "pool"\nid = "id"\ntext = "text"\nkeep = ["kind"]\nbudget = "10%"\n'
            'select = "random"\nscores = []\nstore = "store"\n[plan]\n'
            f'reference = {{ old = "old.parquet" }}\n{left_out}'
        )
        _, first, peak = measured(["curate", "run.toml"], here)
        print(f"{held:,} rows: {first:.0f} s, {peak:.2f} GiB", flush=True)
        found, _, _ = measured(
            [
                "sql",
                "select kind, count(*) as n, count(*) filter (reason = 'in_reference') as gone "
                "from latest_decisions join latest_samples using (pool, sample_id) group by all "
                "order by kind",
                "--store",
                "store",
            ],
            here,
        )
        print(found["rows"], flush=True)
        planned, planning, _ = measured(["plan", "run.toml"], here)
        stages = {stage["stage"]: stage for stage in planned["stages"]}
        expected = max(stage["memory"] for stage in planned["stages"]) / 2**30
        print(f"plan: {planning:.0f} s, {expected:.2f} GiB", flush=True)
        late.select(pool.columns).write_parquet(here / "pool" / "2.parquet")
        _, second, later = measured(["curate", "run.toml"], here)
    promised = sum(stage["seconds"] for stage in planned["stages"])
    lines = [
        ["`assay plan`", f"{planning:.0f}", ""],
        ["what it says of the first night", f"{promised:.0f}", f"{expected:.2f}"],
        ["the first night", f"{first:.0f}", f"{peak:.2f}"],
        ["the second, with 1,000 new rows", f"{second:.0f}", f"{later:.2f}"],
    ]
    gone = [[row["kind"], f"{row['n']:,}", f"{row['gone']:,}"] for row in found["rows"]]
    how = "content, MinHash and vectors" if semantic else "content and MinHash"
    return f"""## {held:,} rows

A pool of {pool_rows:,} pieces of {PIECE} words, compared with a reference of {held:,} by {how}.

{table(("", "seconds", "memory, GiB"), lines)}

Of the time that `assay plan` says, the reference takes {stages["refer"]["seconds"]:.0f} s and
{stages["refer"]["disk"] / 2**30:.2f} GiB of disk; the second night finds it made.

{table(("rows of the pool", "rows", "left out as `in_reference`"), gone)}
"""


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--pool", type=int, default=100_000)
    parser.add_argument("--semantic", action="store_true")
    given = parser.parse_args()
    parts = [section(rows, given.pool, given.semantic) for rows in given.rows]
    write(
        "references.md",
        "# A large reference\n\n"
        f"`python benchmarks/references.py`: {machine()}, beside other work\n\n"
        "`new` rows that are left out are nearly the same as a piece of another document.\n\n"
        + "\n".join(parts),
    )


if __name__ == "__main__":
    main()
