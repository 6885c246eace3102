"""Data sets in: formats, column roles, samples."""
