"""What every benchmark shares: data, timing, memory, reports."""
