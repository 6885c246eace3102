"""The stages of a run, each declared once, and the references they hand on."""
