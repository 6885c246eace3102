"""Texts as hashed n-grams, and streams of them on disk."""
