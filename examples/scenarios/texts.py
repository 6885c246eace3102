"""Texts: a target, filters, a quota, a second night, what changed, and the file to train on.

    python texts.py                    # half of the pool that ships with assay
    python texts.py --rows 250000      # texts made of it

Follows docs/site/start/texts.md, plans.md and every-night.md.
"""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import polars as pl
from _shell import ask, assay, start

from assay.examples import example_path


def make_pool(rows: int) -> pl.DataFrame:
    """Return the shipped pool, or a larger one: each text begins as one does and ends as another."""
    pool = pl.read_parquet(example_path("pool.parquet"))
    if rows <= pool.height:
        return pool.sample(rows, seed=0)
    rng = np.random.default_rng(0)
    first = pool[rng.integers(0, pool.height, rows)]
    # another text of the same domain
    order = pool.with_row_index("row").group_by("domain").agg("row")
    rows_of = dict(zip(order["domain"], order["row"], strict=True))
    second = np.empty(rows, dtype=np.int64)
    for domain, members in rows_of.items():
        mine = (first["domain"] == domain).to_numpy()
        second[mine] = rng.choice(members.to_numpy(), mine.sum())
    head, tail = first["text"].str.split(" "), pool["text"][second].str.split(" ")
    made = pl.DataFrame({"domain": first["domain"], "head": head, "tail": tail})
    return made.select(
        id=pl.format("made-{}", pl.int_range(pl.len())),
        text=pl.concat_list(
            pl.col("head").list.head(pl.col("head").list.len() // 2),
            pl.col("tail").list.tail(pl.col("tail").list.len() // 2 + 1),
        ).list.join(" "),
        domain="domain",
    )


def main(options: Namespace) -> None:
    """Do what somebody does who has texts, in the current folder."""
    rows: int = options.rows
    pool = make_pool(rows)
    tonight = pool.head(int(0.95 * pool.height))
    tonight.write_parquet("pool.parquet")
    pl.read_parquet(example_path("target.parquet")).write_parquet("target.parquet")

    # the first night; the call is kept as a file
    budget = tonight.height // 20
    assay(
        "curate --pool pool.parquet --id id --text text --keep domain "
        f"--target target.parquet --budget {budget} --store store "
        "--filter 'length(text) > 40' --deduplicate exact_duplicates,near_duplicates "
        "--by domain --quota health_qa=50% --churn 20% --save-config nightly.toml"
    )
    decisions = ask(
        "select domain, selected, reason, count(*) as n "
        "from latest_decisions join latest_samples using (pool, sample_id) group by all"
    )
    chosen = {row["domain"]: row["n"] for row in decisions if row["selected"]}
    assert sum(chosen.values()) == budget
    # the target is of health answers, and the quota lets them have half
    assert chosen["health_qa"] == budget // 2
    assert sum(row["n"] for row in decisions) == tonight.height
    assert {"quota", "filter"} <= {row["reason"] for row in decisions}

    # why is a row out? for people, and for programs
    for reason, keys in (("quota", {"group", "limit"}), ("filter", {"rule", "value", "threshold"})):
        row = ask(
            f"select sample_id, detail from latest_decisions where reason = '{reason}' limit 1"
        )[0]
        print(assay(f"explain {row['sample_id']} --store store"))
        assert keys <= set(json.loads(row["detail"])), row["detail"]

    # the second night: new rows came, and the file of the first night says what to do
    pool.write_parquet("pool.parquet")
    second = json.loads(assay("curate nightly.toml --json"))
    assert second["metrics"]["rows.new"]["value"] == pool.height - tonight.height
    assert second["selected"] == budget

    # what changed: as many rows came in as went out, at most a fifth
    changes = json.loads(assay("diff --store store --json"))["rows"]
    entered = [row for row in changes if row["change"] == "in"]
    left = [row for row in changes if row["change"] == "out"]
    assert len(entered) == len(left) <= budget // 5
    new = set(pool["id"].tail(pool.height - tonight.height))
    assert {row["sample_id"] for row in entered if row["cause"] == "new"} <= new

    # the rows to train on, with their columns
    assay("export --store store --out subset.parquet")
    subset = pl.read_parquet("subset.parquet")
    assert subset.height == budget
    assert subset.columns[:5] == ["id", "text", "domain", "position", "weight"]
    assert subset["text"].str.len_chars().min() > 40
    assert subset.join(pool, on=["id", "text", "domain"]).height == budget
    print(f"{subset.height:,} of {pool.height:,} texts:", dict(chosen))


if __name__ == "__main__":
    start(main, __doc__, rows=3000)
