"""The Optuna search: a Hydra sweeper whose trials have several seeds, and that confirms its best trials."""
