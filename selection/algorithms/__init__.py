"""Algorithms that several methods share, as plain functions of arrays."""
