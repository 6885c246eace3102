"""Parts of the benchmark of feature rankers."""
