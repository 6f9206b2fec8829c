"""Wing 1: cohorts and what happens to their rows before a model sees them. Knows nothing of models."""
