"""Work on a whole store: integrity and cleaning up."""
