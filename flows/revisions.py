"""The revision of each stage: raised by one when the stage's output changes for the same input.

A golden test on a small input fails when output changes and the revision does not.
"""

REVISIONS = {
    "read": 1,
    "embed": 1,
    "hash": 1,
    "graph": 1,
    "index": 2,
    "score": 2,
    "select": 3,
    "judge": 1,
    "persist": 3,
    "features": 1,
}
