"""DuckDB closed to everything but the query at hand."""
