"""What a run is asked to do: the configuration, its rules and its credentials."""
