"""The selection that a run's own replaces."""

from __future__ import annotations

from assay.flows.stages.run import Run


def previous_selection(run: Run) -> list[str] | None:
    """Return the ids that the pool's last run chose, None where nothing bounds their replacement."""
    return None if run.config.plan.churn is None else replaced_selection(run)


def replaced_selection(run: Run) -> list[str]:
    """Return the ids that the pool's last run chose, in order; none where there was no run."""
    store = run.store
    previous = store.newest_run(run.config.name or "pool", before=run.run_id)
    if previous is None:
        return []
    chosen = store.run_table(
        previous["run_id"], "SELECT sample_id FROM selections JOIN samples USING (key) ORDER BY 1"
    )
    return chosen["sample_id"].to_list()
