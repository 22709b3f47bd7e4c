"""A study file becomes a run folder and a report."""
