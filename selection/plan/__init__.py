"""The selection plan: filters, deduplication, cutoff, blend, constraints around any selector."""
