"""Findings of a study, read from its folder (wing 5). Never trains."""
