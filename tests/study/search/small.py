"""A search that takes a moment, and what Optuna keeps of it."""

from pathlib import Path

import optuna

from tests.command import TINY, Ended

RULE = ("rule.works_share=0.1", "rule.alpha=0.4")  # which two seeds that work can show
SMALL = (
    "-m", "experiment=search", *TINY, "hydra.sweeper.seeds_per_trial=2", "hydra.sweeper.confirm_seeds=2",
    "hydra.sweeper.confirm_best=1", "hydra.sweeper.n_jobs=2", "batch=b10", "precision=float32",
    *RULE,
)  # fmt: skip
EASY, IMPOSSIBLE = "target=1000", "target=1e-6"


def said(ended: Ended) -> str:
    """What it printed, in one line."""
    return " ".join(ended.out.split())


def load(folder: Path, storage: str | None = None) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=storage or f"sqlite:///{folder / 'outputs/s/search.db'}")
