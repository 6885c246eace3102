"""Which settings decide the result of a run, and so its id."""

from __future__ import annotations

from typing import Any

from assay.flows.config.curation import CurationConfig

# what does not change a run's result
SHOWING = {"report", "map"}
_ENGINE = {
    "store",
    "pool",
    "target",
    "training_log",
    "labels",
    "edges",
    "next",
    "refit",
    "drift_limit",
    "keep_runs",
    "memory_limit",
    "engine",
    "workers",
    "shard_rows",
    "engine_options",
    *SHOWING,
}
# left at their defaults, keys that came later leave the ids of earlier runs as they are
_LATER = ("like", "columns", "score_options", "recipe", "turns", "system", "slices")
_LATER_OF_INDEX = {"storage": None}
_LATER_OF_EMBEDDING = {
    "analyzer": "word",
    "smooth": 0,
    "structure": 0,
    "structure_method": "spectral",
    "storage": "float32",
}
_LATER_OF_GRAPH = {"attribute_weight": None, "kind": "dense"}
_LATER_RULES = {
    **dict.fromkeys(("covered", "reference", "reference_options", "reference_covers", "mixture")),
    **dict.fromkeys(("mixture_from_runs", "mixture_from_models", "mixture_options")),
    "leakage_words": None,
    "repeat": 1,
    "rounding": "largest_remainder",
}


def deciding(config: CurationConfig) -> dict[str, Any]:
    """Return the settings that decide the run's result."""
    settings = config.model_dump(mode="json", exclude=_ENGINE)
    settings["graph"].pop("memory_limit")
    for part, later in (("graph", _LATER_OF_GRAPH), ("embedding", _LATER_OF_EMBEDDING)):
        for name, default in later.items():
            if settings[part][name] == default:
                del settings[part][name]
    if settings["index"] == _LATER_OF_INDEX:
        del settings["index"]
    # left at its default, a key that came later leaves the ids of earlier runs as they are
    for name in _LATER:
        if settings[name] in (None, [], {}):
            del settings[name]
    if not settings["shortcuts"]:
        del settings["shortcuts"]
    for name, default in _LATER_RULES.items():
        if not settings["plan"][name] or settings["plan"][name] == default:
            del settings["plan"][name]
    return settings
