"""Verdicts: what runs say, and how surely. Arrays in, records out; nothing here reads a file or trains."""
