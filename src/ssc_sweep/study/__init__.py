"""Turn a command into finished run folders (wing 4): hypotheses, sweeper, launcher, execution."""
