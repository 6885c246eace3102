"""How a run is spread over threads, Dask or Ray, and what Prefect shows of it."""
