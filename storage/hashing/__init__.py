"""What a thing is known by: fingerprints and hashes of rows."""
