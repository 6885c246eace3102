"""The similarity graph: building, updating, weighting and storing it."""
