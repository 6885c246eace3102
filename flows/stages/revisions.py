"""The revision of each stage: raised by one when the stage's output changes for the same input.

A golden test on a small input fails when output changes and the revision does not.
"""

REVISIONS = {
    "read": 1,
    "compare": 1,
    "fit": 1,
    "embed": 2,
    "drift": 1,
    "hash": 2,
    "graph": 1,
    "index": 2,
    "score": 2,
    "select": 4,
    "judge": 2,
    "persist": 3,
    "features": 1,
}
