"""The stages of a run: each is declared here, once, with everything that is known about it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One step of a run. It is called with its arguments, and may be sent to another process.

    Attributes
    ----------
    name : str
    function : str
        Where its code is, as "module:function".
    revision : int
        Raised by one when the stage's output changes for the same input; a golden test on a small
        input fails when output changes and the revision does not. 0: the stage leaves no artifact
        of its own revision (a shard's artifact has that of the stage it is made for).
    progress : int
        Percent of the run that are done when this stage is.
    holds_lock : bool
        Whether the stage stays in the process that holds the store's lock.
    label : str
        Which of several calls of the stage this is, such as the method that it scores by.
    """

    name: str
    function: str
    revision: int = 0
    progress: int = 0
    holds_lock: bool = False
    label: str = ""

    def labeled(self, label: str) -> Stage:
        """Return this stage with a label."""
        return replace(self, label=label)

    @property
    def title(self) -> str:
        """The name, and the label if there is one."""
        return f"{self.name} {self.label}".strip()

    def resolve(self) -> Any:
        """Import the function."""
        module, _, function = self.function.partition(":")
        return getattr(importlib.import_module(module), function)

    def __call__(self, *args: Any) -> Any:
        """Run the stage."""
        return self.resolve()(*args)


_HERE = "assay.flows.stages"

PLAN = Stage("plan", f"{_HERE}.run:resolve_run", progress=2, holds_lock=True)
READ = Stage("read", f"{_HERE}.artifacts:read", revision=2, progress=10, holds_lock=True)
COMPARE = Stage("compare", f"{_HERE}.changes:compare", revision=1, progress=12)
FIT = Stage("fit", f"{_HERE}.embedding:fit", revision=4, progress=25)
EMBED = Stage("embed", f"{_HERE}.embedding:embed", revision=5, progress=35)
DRIFT = Stage("drift", f"{_HERE}.drift:measure", revision=1, progress=38)
LINK = Stage("link", f"{_HERE}.linking:link", revision=1, progress=39)
HASH = Stage("hash", f"{_HERE}.contents:hash_texts", revision=3)
GRAPH = Stage("graph", f"{_HERE}.graphs:graph", revision=4, progress=50)
INDEX = Stage("index", f"{_HERE}.graphs:index", revision=3, progress=55)
SCORE = Stage("score", f"{_HERE}.scoring:score", revision=6, progress=70)
REFER = Stage("refer", f"{_HERE}.references:refer", revision=1, progress=75)
SELECT = Stage("select", f"{_HERE}.selecting:select", revision=12, progress=85)
JUDGE = Stage("judge", f"{_HERE}.selecting:judge", revision=7, progress=92)
PERSIST = Stage("persist", f"{_HERE}.persisting:persist", revision=3, progress=98, holds_lock=True)
PUBLISH = Stage("publish", f"{_HERE}.persisting:publish", progress=100, holds_lock=True)

# of runs that are cut into shards
SPLIT_CONTENTS = Stage("split", f"{_HERE}.embedding:split")
ENCODE = Stage("encode", f"{_HERE}.embedding:encode")
SPLIT_TEXTS = Stage("split_texts", f"{_HERE}.contents:split_texts")
HASH_SHARD = Stage("hash_shard", f"{_HERE}.contents:hash_shard")
BEGIN_SEARCH = Stage("begin", f"{_HERE}.neighbor_shards:begin")
ASSIGN_CELLS = Stage("assign_cells", f"{_HERE}.neighbor_shards:assign_cells")
LAY_OUT = Stage("lay_out", f"{_HERE}.neighbor_shards:lay_out")
PLAN_SEARCH = Stage("plan_search", f"{_HERE}.neighbor_shards:plan")
VISITS = Stage("visits", f"{_HERE}.neighbor_shards:visits")
JOIN = Stage("join", f"{_HERE}.neighbor_shards:join")
RECALL = Stage("recall", f"{_HERE}.neighbor_shards:recall")
COLLECT = Stage("graph", f"{_HERE}.neighbor_shards:graph", progress=50)
FIT_RATIO = Stage("fit_ratio", f"{_HERE}.weight_shards:fit_ratio")
WEIGH = Stage("weigh", f"{_HERE}.weight_shards:weigh")
SWEEP = Stage("sweep", f"{_HERE}.sharding:sweep", holds_lock=True)

# of the map of a finished run
MAP = Stage("map", f"{_HERE}.maps:lay_out_graph", revision=2, progress=90, holds_lock=True)

# of a split of a finished run's pool
SPLIT = Stage("split", "assay.selection.plan.splitting:split_pool", revision=1, progress=90)

# of runs that rank the columns of a table
FEATURE_PLAN = Stage("plan", f"{_HERE}.features:resolve_run", progress=2, holds_lock=True)
FEATURES = Stage("features", f"{_HERE}.features:rank", revision=3, progress=60)
QUALITY = Stage("quality", f"{_HERE}.features:describe", revision=2, progress=70)
FEATURE_PERSIST = Stage("persist", f"{_HERE}.features:persist", progress=98, holds_lock=True)
FEATURE_PUBLISH = Stage("publish", f"{_HERE}.features:publish", progress=100, holds_lock=True)

# what the id of a run is made of, among other things
REVISIONS = {
    stage.name: stage.revision
    for stage in (
        *(READ, COMPARE, FIT, EMBED, DRIFT, HASH, GRAPH, INDEX),
        *(SCORE, SELECT, JUDGE, PERSIST, FEATURES),
    )
}
