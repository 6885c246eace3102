"""The explorer: the report page with all rows, served on loopback."""
