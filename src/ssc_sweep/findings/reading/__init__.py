"""Read a study from disk: run folders, tables, the study as a whole."""
