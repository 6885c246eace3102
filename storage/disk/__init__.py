"""Safe files and folders: atomic writes, checksums, artifacts, locks."""
