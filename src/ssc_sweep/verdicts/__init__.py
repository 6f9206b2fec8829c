"""Verdicts: what runs show, and how certainly. Arrays in, records out; nothing here reads a file or trains."""
