"""The stages composed to a pipeline, run directly, and what a run returns."""
