"""Scorers of samples: one file for each."""
