"""Measures of a selection or a pool, and the ledger."""
