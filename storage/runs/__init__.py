"""Finished and unfinished runs, their views, and the published file."""
