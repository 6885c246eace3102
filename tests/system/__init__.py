"""Whole runs as a user has them: killed, starved of room, waiting for each other."""
