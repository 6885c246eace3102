"""The nearest neighbors of every row: built, updated, sharded."""
