"""What moved between two pools and what it cost: closed forms, brute force, planted changes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from assay.selection import explain_shift
from assay.selection.algorithms.change_cost import (
    clipped,
    density_ratio,
    input_cost,
    shapley,
)
from assay.storage.errors import ColumnError, ConfigError, InputError, NonFiniteError
from tests.data import shared


def test_shapley_values_are_the_mean_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    players = 4
    worth = {
        frozenset(p for p in range(players) if mask >> p & 1): float(rng.normal())
        for mask in range(2**players)
    }
    gains = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            gains[player] += worth[frozenset(order[: place + 1])] - worth[frozenset(order[:place])]
    assert shapley(worth, players) == pytest.approx(gains / len(orders))


def test_the_ratio_of_two_mixtures_is_found() -> None:
    rng = np.random.default_rng(1)
    level = np.concatenate(
        [rng.choice(3, 6000, p=[0.5, 0.3, 0.2]), rng.choice(3, 3000, p=[0.2, 0.3, 0.5])]
    )
    of_b = np.repeat([False, True], [6000, 3000])
    found = density_ratio(level[:, None].astype(float), np.array([True]), of_b, rng.random(9000))
    means = [found[level[:6000] == code].mean() for code in range(3)]
    assert means == pytest.approx([0.4, 1.0, 2.5], rel=0.08)
    assert found.mean() == pytest.approx(1)
    assert clipped(np.array([1.0] * 99 + [500.0])).max() < 6


def test_drift_is_the_total_variation_and_its_noise_that_of_random_splits() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.choice(5, 700), rng.choice(5, 400, p=[0.3, 0.1, 0.2, 0.2, 0.2])
    shift = explain_shift({"x": a}, {"x": b})
    p, q = np.bincount(a, minlength=5) / 700, np.bincount(b, minlength=5) / 400
    row = shift.columns.row(0, named=True)
    assert row["drift"] == pytest.approx(np.abs(p - q).sum() / 2)
    assert int(row["value"]) == np.abs(p - q).argmax()
    both, splits = np.concatenate([a, b]), []
    for _ in range(400):
        mixed = rng.permutation(both)
        shares = [np.bincount(part, minlength=5) / len(part) for part in (mixed[:700], mixed[700:])]
        splits.append(np.abs(shares[0] - shares[1]).sum() / 2)
    assert row["noise"] == pytest.approx(np.quantile(splits, 0.95), rel=0.15)


def test_two_draws_of_one_pool_seldom_move() -> None:
    rng = np.random.default_rng(3)
    moved = 0
    for _ in range(20):
        pools = [{f"x{j}": rng.normal(size=300) for j in range(5)} for _ in range(2)]
        moved += len(explain_shift(*pools).report_["moved"])
    assert moved <= 13  # 5 of 100 expected; 13 or more have a chance of 1 in 1,000


def test_cells_name_what_grew_and_the_rows_next_to_it() -> None:
    rng = np.random.default_rng(4)
    centers = np.eye(3, 8) * 6

    def pool(counts: list[int]) -> tuple[np.ndarray, list[str]]:
        of = np.repeat(np.arange(3), counts)
        return centers[of] + rng.normal(size=(len(of), 8)), [f"{k}-{i}" for i, k in enumerate(of)]

    (A, ids_a), (B, ids_b) = pool([200, 100, 100]), pool([100, 100, 200])
    shift = explain_shift(
        {"x": np.zeros(400)}, {"x": np.zeros(400)},
        vectors_a=A, vectors_b=B, ids_a=ids_a, ids_b=ids_b, cells=3,
        loss_a=np.repeat([1.0, 2, 3], [200, 100, 100]), loss_b=np.repeat([1.0, 2, 3], [100, 100, 200]),
    )  # fmt: skip
    cells = shift.cells
    assert cells is not None
    first, last = cells.row(0, named=True), cells.row(-1, named=True)
    assert first["change"] == pytest.approx(0.25, abs=0.03)
    assert last["change"] == pytest.approx(-0.25, abs=0.03)
    assert first["change"] > first["noise"]
    assert all(name.startswith("2-") for name in [*first["near_a"], *first["near_b"]])
    assert all(name.startswith("0-") for name in [*last["near_a"], *last["near_b"]])
    assert first["loss_b"] == pytest.approx(3, abs=0.1)
    assert shift.columns["column"][0] == "(content)"


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    tables = [
        pl.DataFrame(
            {
                "id": [f"r{i}" for i in range(300)],
                "x": rng.normal(m, 1, 300),
                "k": rng.choice(["a", "b"], 300),
            }
        )
        for m in (0, 0.4)
    ]
    losses = [rng.random(300) for _ in tables]
    vectors = [rng.normal(size=(300, 6)) for _ in tables]
    orders = [rng.permutation(300), rng.permutation(300)]

    def explained(orders: list[np.ndarray]) -> Any:
        (a, b), (la, lb), (va, vb) = tables, losses, vectors
        o, p = orders
        return explain_shift(
            a[o].drop("id"), b[p].drop("id"), ids_a=a[o]["id"], ids_b=b[p]["id"], loss_a=la[o],
            loss_b=lb[p], vectors_a=va[o], vectors_b=vb[p], groups={"number": ["x"]},
        )  # fmt: skip

    one, two = explained([np.arange(300)] * 2), explained(orders)
    assert one.columns.equals(two.columns)
    assert one.cells.equals(two.cells)
    assert one.groups.equals(two.groups)
    assert one.cost == two.cost


def test_groups_share_the_whole_cost_of_inputs() -> None:
    rng = np.random.default_rng(6)
    n = 1500
    a = {name: rng.choice(2, n) for name in "xyz"}
    b = {
        "x": rng.choice(2, n, p=[0.2, 0.8]),
        "y": rng.choice(2, n, p=[0.3, 0.7]),
        "z": rng.choice(2, n),
    }
    losses = [pool["x"] * 0.5 + pool["y"] * 0.2 for pool in (a, b)]
    shift = explain_shift(a, b, loss_a=losses[0], loss_b=losses[1], groups={"g": ["x"], "h": ["y"]})
    assert shift.groups is not None
    assert shift.cost is not None
    cost = dict(shift.groups.iter_rows())
    assert sum(cost.values()) == pytest.approx(shift.cost["inputs"])
    assert cost["g"] == pytest.approx(0.15, abs=0.025)
    assert cost["h"] == pytest.approx(0.04, abs=0.015)
    assert cost["others"] == pytest.approx(0, abs=0.01)
    assert shift.cost["labels"] == pytest.approx(0, abs=0.02)
    only = shift.columns.filter(column="x")["cost"].item()
    weights = np.array([0.2, 0.8])[a["x"]] / np.array([0.5, 0.5])[a["x"]]
    assert only == pytest.approx(input_cost(weights, losses[0]), abs=0.02)


def test_what_does_not_fit_is_said() -> None:
    a = {"x": [1.0, 2.0, 3.0]}
    with pytest.raises(InputError, match="one pool only"):
        explain_shift(a, a, loss_a=[1, 2, 3])
    with pytest.raises(InputError, match="one pool only"):
        explain_shift(a, a, vectors_b=np.eye(3))
    with pytest.raises(InputError, match=r"loss_b has shape"):
        explain_shift(a, a, loss_a=[1, 2, 3], loss_b=[1, 2])
    with pytest.raises(NonFiniteError, match="loss_a"):
        explain_shift(a, a, loss_a=[1, 2, np.nan], loss_b=[1, 2, 3])
    with pytest.raises(InputError, match="only A has it"):
        explain_shift(a, {"y": [1.0]})
    with pytest.raises(ColumnError, match="xx"):
        explain_shift(a, a, groups={"g": ["xx"]})
    with pytest.raises(ConfigError, match="twice"):
        explain_shift(a, a, groups={"g": ["x"], "h": ["x"]})
    many = {f"c{j}": [1.0, 2.0] for j in range(9)}
    with pytest.raises(ConfigError, match="9 groups"):
        explain_shift(many, many, groups={name: [name] for name in many})
    mixed = explain_shift(
        {"x": [1, 2], "k": ["1", "2"]}, {"x": [1.5, 2.5], "k": [1, 2], "y": [0, 0]}
    )
    assert mixed.columns["column"].sort().to_list() == ["k", "x"]
    assert mixed.report_["left_out"] == {"y": "only B has it"}


# change, inputs and labels as planted; parts within .012 of the truth: the bar
@pytest.mark.slow
@pytest.mark.parametrize("case", ["none", "married", "flipped", "both"])
@pytest.mark.parametrize("seed", range(2))
def test_planted_changes_of_adult(case: str, seed: int) -> None:
    frame = pl.read_parquet(shared("tabular_adult.parquet")).drop("split")
    rng = np.random.default_rng(seed)
    frame = frame[rng.permutation(frame.height)]
    inputs = frame.drop("income")
    numbers = np.stack(
        [
            (column.rank("dense") if column.dtype == pl.String else column)
            .cast(pl.Float64)
            .to_numpy()
            for column in inputs.get_columns()
        ],
        axis=1,
    )
    rich = (frame["income"].str.contains(">")).to_numpy()
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    wrong_if = model.fit(numbers[:12_000], rich[:12_000]).predict(numbers)
    rest = rng.permutation(np.arange(12_000, len(numbers)))
    a, others = rest[:12_000], rest[12_000:]
    married = (frame["marital_status"] == "Married-civ-spouse").to_numpy()
    weight = np.where(married & (case in ("married", "both")), 3.0, 1.0)
    b = rng.choice(others, 12_000, p=weight[others] / weight[others].sum())
    labels = rich[b].copy()
    flipped = np.zeros(len(b), dtype=bool)
    if case in ("flipped", "both"):
        flipped = (frame["age"].to_numpy()[b] < 30) & (rng.random(len(b)) < 0.25)
        labels[flipped] ^= True
    loss_a, loss_b = (rich[a] != wrong_if[a]) * 1.0, (labels != wrong_if[b]) * 1.0
    shift = explain_shift(inputs[a], inputs[b], loss_a=loss_a, loss_b=loss_b)
    assert shift.cost is not None
    # over all rows that A and B were drawn from, so that the truth has no noise of the draws
    loss = (rich[rest] != wrong_if[rest]) * 1.0
    true_inputs = float(np.average(loss, weights=weight[rest]) - loss.mean())
    true_labels = float(loss_b.mean() - ((rich[b] != wrong_if[b]) * 1.0).mean())
    assert shift.cost["inputs"] == pytest.approx(true_inputs, abs=0.012)
    assert shift.cost["labels"] == pytest.approx(true_labels, abs=0.012)
    first = shift.columns["column"].to_list()
    if case in ("married", "both"):
        assert first[:2] == ["marital_status", "relationship"]
        costs = shift.columns.sort("cost", descending=True)["column"].to_list()
        assert set(costs[:2]) == {"marital_status", "relationship"}
    else:
        assert len(shift.report_["moved"]) <= 3
