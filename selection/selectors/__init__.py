"""Selectors of samples: one file for each."""
