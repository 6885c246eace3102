"""Steps of a plan that leave rows out: duplicates, leaks, a cutoff."""
