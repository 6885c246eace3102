"""Parts of the long trials of the service."""
