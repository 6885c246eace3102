"""Content to vectors: one file for each embedder."""
