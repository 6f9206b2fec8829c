"""Wing 5: what a study found, read from its folder. Never trains."""
