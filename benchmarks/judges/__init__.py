"""Parts of the benchmark of scores and groups that judge samples."""
