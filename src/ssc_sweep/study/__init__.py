"""Wing 4: from a command to finished run folders: hypotheses, sweeper, launcher, execution."""
