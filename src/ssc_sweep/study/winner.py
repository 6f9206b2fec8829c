"""The winner of a search as a config: best.yaml, which experiment=best study=<name> applies."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose
from omegaconf import DictConfig

from ssc_sweep.config import RunConfig, check, leaves, without_seed
from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder, read_yaml
from ssc_sweep.study.hypothesis import as_override
from ssc_sweep.study.naming import study_folder

EXPERIMENT = "experiment=best"


def best_path(folder: StudyFolder) -> Path:
    return folder.path / "best.yaml"


def standing_alone(overrides: Sequence[str], composed: RunConfig, job: str) -> list[str]:
    """Return overrides that rebuild a trial's config without its experiment and search space, for experiment=best.

    Args:
        overrides: of the trial; the values that its experiment sets become explicit overrides.
        composed: the trial's config.
        job: name of the primary config.
    """
    kept = [text for text in overrides if not text.startswith(("experiment=", "search_space="))]
    wanted = leaves(without_seed(composed.content()))
    made = leaves(without_seed(check(compose(job, [*kept, EXPERIMENT])).content()))
    gone = [f"~{key}" for key in made if key not in wanted]
    changed = [as_override(f"++{key}", value) for key, value in wanted.items() if key not in made or made[key] != value]
    return [*kept, *gone, *changed]


def with_best(cfg: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Put the winner's overrides first if experiment=best is among `overrides`, which win over them.

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
    return [*_overrides(path), *overrides]


def _overrides(path: Path) -> list[str]:
    """Read the winner's overrides.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    try:
        found = read_yaml(path)["overrides"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise _damaged(path) from error
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _damaged(path)
    return found


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is damaged: it holds no list of overrides. The command that made it writes it again: python -m "
        f"ssc_sweep -m experiment=search study={path.parent.name}."
    )
