"""Parts of the benchmark of the similarity graph."""
