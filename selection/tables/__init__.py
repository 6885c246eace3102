"""A table as a matrix, and what its columns say about classes."""
