"""What a run will take in rows, memory, disk and time."""
