"""Only its name is imported."""
