"""The similarity graph laid out in the plane."""
