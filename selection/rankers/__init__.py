"""Feature rankers: one file for each."""
