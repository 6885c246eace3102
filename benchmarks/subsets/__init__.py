"""Parts of the benchmarks of selectors and of what models learn from their choice."""
