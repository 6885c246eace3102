"""Writing rows to files: formats, the card beside them, and where a command may write."""
