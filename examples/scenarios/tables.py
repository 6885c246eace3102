"""A table with categories and missing values, in scikit-learn's pipelines.

    python tables.py                   # 3,000 people
    python tables.py --rows 250000

Needs pandas and imbalanced-learn. Follows docs/site/start/tables.md.
"""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pandas as pd
from _shell import assay, start
from imblearn.pipeline import make_pipeline as make_resampling_pipeline
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from assay.selection import ECFS, MRMR, StratifiedSelector

TRUE = {"age", "job", "pay"}


def make_people(rows: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return a table of three columns that tell who leaves, and six that tell nothing."""
    rng = np.random.default_rng(0)
    age, pay = rng.integers(18, 80, rows).astype(float), rng.lognormal(10, 1, rows)
    job = rng.choice(["cook", "clerk", "coder", "driver"], rows)
    leaves = (age > 60) | (job == "cook") | (pay < 8_000)
    people = pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.05, np.nan, age),
            "pay": np.where(rng.random(rows) < 0.1, np.nan, pay),
            "job": pd.Categorical(np.where(rng.random(rows) < 0.05, None, job)),
            "city": pd.Categorical(rng.choice(["Bonn", "Graz", "Lyon"], rows)),
            **{f"noise{i}": rng.normal(size=rows) for i in range(5)},
        }
    )
    return people, pd.Series(leaves ^ (rng.random(rows) < 0.03), name="leaves").astype(int)


def prepared() -> object:
    """Return what makes numbers of the columns that are left."""
    return make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        sparse_threshold=0,
    )


def main(options: Namespace) -> None:
    """Do what somebody does who has a table, in the current folder."""
    rows: int = options.rows
    people, leaves = make_people(rows)

    # columns: a ranker is a selector of scikit-learn, and takes the frame as it is
    ranker = MRMR(n_features_to_select=3).set_output(transform="pandas")
    kept = ranker.fit(people, leaves)
    assert set(kept.get_feature_names_out()) == TRUE
    missing = dict(zip(kept.missing_["feature"], kept.missing_["missing"], strict=True))
    assert missing["pay"] == people["pay"].isna().sum()
    pd.testing.assert_frame_equal(kept.transform(people), people[["age", "pay", "job"]])

    model = make_pipeline(ranker, prepared(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(model, {"mrmr__n_features_to_select": [1, 3, 9]}, cv=3)
    search.fit(people, leaves)
    one, three, nine = search.cv_results_["mean_test_score"]
    assert three > one + 0.05
    assert three > nine - 0.02, "three columns tell what nine do"

    # NaN is refused where that was asked for, before any work
    refusal = ""
    try:
        ECFS(missing="raise").fit(people[["age", "pay"]], leaves)
    except ValueError as error:
        refusal = str(error)
    assert "pay" in refusal

    # rows: a selector stands in a pipeline of imbalanced-learn, which uses it while it is fitted
    train, test, of_train, of_test = train_test_split(people, leaves, random_state=0)
    whole = make_pipeline(prepared(), LogisticRegression(max_iter=1000)).fit(train, of_train)
    tenth = make_resampling_pipeline(
        prepared(), StratifiedSelector(budget=0.1), LogisticRegression(max_iter=1000)
    ).fit(train, of_train)
    assert len(tenth[1].sample_indices_) == len(train) // 10
    loss = whole.score(test, of_test) - tenth.score(test, of_test)
    assert loss < 0.06, loss
    assert cross_val_score(tenth, people, leaves, cv=3).mean() > 0.7

    # the same columns and rows by the command line, kept in a store
    people.assign(leaves=leaves, person=[f"p{i}" for i in range(rows)]).to_parquet("people.parquet")
    told = json.loads(
        assay("features people.parquet --label leaves --method mrmr,ecfs --k 3 --json")
    )
    assert {row["feature"] for row in told["features"] if row["method"] == "mrmr"} == TRUE
    assert ("person", "near-unique") in {(r["feature"], r["anomaly"]) for r in told["quality"]}
    columns = ",".join(people.columns[:4])
    chosen = json.loads(
        assay(
            f"curate --pool people.parquet --id person --columns {columns} --keep job "
            "--budget 10% --json"
        )
    )
    assert chosen["selected"] == rows // 10
    shares = {row["job"]: row["chosen"] for row in chosen["shares"]["job"]}
    assert len(shares) == 5, "the four jobs, and people without one"
    print(f"{chosen['selected']:,} of {rows:,} people:", shares)


if __name__ == "__main__":
    start(main, __doc__, rows=3000)
