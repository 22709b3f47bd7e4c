"""A generated English with dials."""
