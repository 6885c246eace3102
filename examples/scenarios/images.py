"""A folder of images with one folder for each class: duplicates, wrong labels, a subset to train on.

    python images.py                   # 600 pictures of handwritten digits
    python images.py --rows 20000

The pictures are scikit-learn's digits. Follows docs/site/start/images.md; needs
`assay-curation[images]`.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import polars as pl
from _shell import ask, assay, start
from PIL import Image
from sklearn.datasets import load_digits

COPIES, WRONG = 20, 15


def make_pictures(rows: int) -> set[str]:
    """Write `pictures/<digit>/<name>.png`; return those in a wrong folder."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    order = np.resize(rng.permutation(len(digits.target)), rows)
    for digit in range(10):
        Path("pictures", str(digit)).mkdir(parents=True)
    wrong, names = set(), []
    for i, place in enumerate(order):
        digit = int(digits.target[place])
        if i < WRONG:
            digit = (digit + 1 + int(rng.integers(8))) % 10
            wrong.add(f"{digit}/{i:06}.png")
        # later rounds through the digits are moved and have noise of their own
        pixels = np.kron(digits.images[place] * 15, np.ones((4, 4)))
        if i >= len(digits.target):
            pixels = np.roll(pixels, rng.integers(-2, 3, 2), (0, 1)) + rng.integers(0, 12, (32, 32))
        names.append(f"{digit}/{i:06}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(Path("pictures", names[-1]))
    for i in range(COPIES):
        name = names[-1 - i]
        copy = f"{name.split('/')[0]}/copy-{i}.png"
        Path("pictures", copy).write_bytes(Path("pictures", name).read_bytes())
    return wrong


def main(options: Namespace) -> None:
    """Do what somebody does who has a folder of images, in the current folder."""
    rows: int = options.rows
    wrong = make_pictures(rows)
    budget = rows // 6
    assay(
        f"curate --pool pictures --label folder --budget {budget} --store store "
        "--deduplicate exact_duplicates --scores self_confidence --option graph.k=10"
    )
    decided = ask(
        "select reason, selected, count(*) as n from latest_decisions group by all order by n desc"
    )
    assert sum(row["n"] for row in decided) == rows + COPIES
    assert sum(row["n"] for row in decided if row["selected"]) == budget
    assert {row["n"] for row in decided if row["reason"] == "exact_duplicates"} == {COPIES}

    # every class is there
    classes = ask(
        "select label, count(*) as n from latest_selection "
        "join latest_samples using (pool, sample_id) group by all order by label"
    )
    assert [row["label"] for row in classes] == [str(digit) for digit in range(10)]

    # the pictures in the wrong folder are among those that the score trusts least
    suspects = ask(
        "select source, sample_id from latest_scores join latest_samples using (pool, sample_id) "
        f"order by self_confidence limit {rows // 10}"
    )
    found = {"/".join(Path(row["source"]).parts[-2:]) for row in suspects}
    assert len(wrong & found) >= 0.8 * WRONG, (len(wrong & found), suspects[:3])

    # out as folders of classes
    assay("export --store store --format images --out subset")
    written = list(Path("subset").rglob("*.png"))
    assert len(written) == budget
    assert len({path.parent.name for path in written}) == 10
    table = pl.DataFrame(classes)
    print(f"{budget:,} of {rows + COPIES:,} pictures,", dict(table.iter_rows()))


if __name__ == "__main__":
    start(main, __doc__, rows=600)
