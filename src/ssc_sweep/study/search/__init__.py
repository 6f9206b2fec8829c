"""The Optuna search: a Hydra sweeper whose trials are several seeds, and that confirms what it found."""
