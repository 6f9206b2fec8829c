"""The winner of a search as a file, and what experiment=best study=<name> makes of it."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder, read_yaml, write_yaml
from ssc_sweep.study.plan import study_folder

EXPERIMENT = "experiment=best"


def best_path(folder: StudyFolder) -> Path:
    return folder.path / "best.yaml"


def write_best(
    folder: StudyFolder,
    trial: int,
    overrides: Sequence[str],
    seeds: Sequence[int],
    rmse: tuple[float, Sequence[float | None]],
    met: bool,
) -> None:
    """Write best.yaml: the overrides that make the winner, and what it is worth.

    Args:
        seeds: those it was confirmed on; with one of them experiment=best repeats that very run.
        rmse: mean over the trial's own seeds, and the RMSE of each fresh seed, None where there is none; in the
            outcome's unit.
        met: whether it holds the target.
    """
    content = {
        "trial": trial,
        "overrides": [text for text in overrides if not text.startswith(("experiment=", "search_space="))],
        "searched_rmse": rmse[0],
        "seeds": list(seeds),
        "confirmed_rmse": list(rmse[1]),
        "target_met": met,
    }
    write_yaml(best_path(folder), content)


def with_best(cfg: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Put the winner's overrides in front of these, which win over them, where experiment=best is among them.

    Raises:
        UserError: the study has no best.yaml.
    """
    if EXPERIMENT not in overrides:
        return list(overrides)
    path = best_path(study_folder(cfg.outputs, cfg.study))
    if not path.exists():
        raise UserError(
            f"{EXPERIMENT}: there is no {path}. Name the folder of a search that has ended, e.g. study=mine; "
            "python -m ssc_sweep -m experiment=search study=mine makes one."
        )
    return [*read_yaml(path)["overrides"], *overrides]
