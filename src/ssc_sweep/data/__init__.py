"""Cohorts, and how their rows are prepared for a model (wing 1). Independent of models."""
