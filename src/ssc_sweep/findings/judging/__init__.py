"""Judge what was read: verdicts, the answer, factors, questions."""
