"""Models are scored on items."""
