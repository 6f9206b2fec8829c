"""What a run is made of: one dataclass a config group, checked before anything trains.

The YAML files in conf/ hold the values and Hydra composes them; here stand the types, units and bounds. `model`,
`dataset` and `optimizer` are open groups: their YAML names a Python target with its arguments, and the docstring of
that target is their documentation.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.bounds import ABOVE_ZERO, NOT_NEGATIVE, SHARE, SHARE_OR_ALL, SHARE_OR_NONE, bounded, whole
from ssc_sweep.errors import UserError

# The only Python that a config may name as a _target_.
ALLOWED_TARGETS = ["ssc_sweep.*"]
# The only Python that Hydra itself may call for a config, exact names. Sweepers and launchers are not among it: Hydra
# makes those of its registered plugins only, and nothing that stands among their arguments.
HYDRA_TARGETS = ("ssc_sweep.findings.callback.PrintFindings",)

PACKAGE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """Return the folder of the config groups: inside an installed wheel, or beside src/ in a checkout."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "conf"


@dataclass
class DatasetSize:
    rows: int | None  # rows drawn at random, without replacement, before the split; null: all, in file order


@dataclass
class Split:
    order: str  # file_order: the first rows train; shuffled: the rows are shuffled first
    validation_share: float  # share of the rows that validate, in (0, 1)


@dataclass
class Covariates:
    keep: str  # all | baseline | confounders


@dataclass
class Labels:
    mechanism: str  # all: nothing hidden; mcar: hidden at random; mar: more often the larger the first confounder
    hidden_share: float  # share of the training rows whose treatment the model does not see, in [0, 1)


@dataclass
class Scaling:
    fit_on: str  # train: mean and sd of the training rows; all: of all rows, validation rows included (a leak)


@dataclass
class Batch:
    size: int  # rows per update, >= 1
    drop_last: bool  # leave out the last batch of an epoch when it is smaller


@dataclass
class StatsMode:
    mode: str  # ema: running statistics of the batches; precomputed: once from all training rows
    momentum: float  # weight of the newest batch under ema, in (0, 1]


@dataclass
class Precision:
    dtype: str  # float32 | float64


@dataclass
class RunConfig:
    """One run: one arm with one seed."""

    model: dict[str, Any]
    dataset: dict[str, Any]
    dataset_size: DatasetSize
    split: Split
    covariates: Covariates
    labels: Labels
    scaling: Scaling
    optimizer: dict[str, Any]
    batch: Batch
    stats_mode: StatsMode
    precision: Precision
    epochs: int  # passes over the training rows, >= 1
    clip_norm: float | None  # gradients with a larger Euclidean norm are scaled down to it, > 0; null: never
    probes: bool  # also record first steps, the model's probes and validation scores by epoch; false: losses and norms
    seed: int  # >= 0; seeds every random stream of the run

    def content(self) -> dict[str, Any]:
        """Return the config as plain dicts: two runs with equal content are the same run."""
        return OmegaConf.to_container(OmegaConf.structured(self))  # type: ignore[return-value]


def without_seed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What all runs of an arm have in common."""
    return {key: value for key, value in content.items() if key != "seed"}


def leaves(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


# Keys of a composed config that steer Hydra or the study and leave each of its runs as it is.
STUDY_KEYS = (
    "hydra", "target", "rule", "seeds", "study", "outputs", "arm", "hypothesis", "experiment",
    "search_space", "n_trials", "time_budget_s", "storage",
)  # fmt: skip


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{key}={value} is unknown: allowed is {' | '.join(allowed)}.")


def _explain(cfg: DictConfig, error: OmegaConfBaseException) -> str:
    """What was got and what is allowed, for a key that RunConfig does not have or a value of the wrong type."""
    key = error.full_key or "config"
    *groups, name = key.split(".")
    owner: Any = RunConfig
    for group in groups:
        owner = get_type_hints(owner)[group]
    hints = get_type_hints(owner)
    if name not in hints:
        return f"{key} is unknown: allowed is {', '.join(hints)}. See --help."
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}
    kinds = " or ".join(words.get(kind, "a group") for kind in get_args(hints[name]) or (hints[name],))
    return f"{key}={OmegaConf.select(cfg, key)} has the wrong type: allowed is {kinds}."


def one_choice_each(overrides: Iterable[str]) -> None:
    """Check that no override gives a group a list: Hydra would put the choices on top of each other.

    Raises:
        UserError: one does.
    """
    groups = [name for name, kind in get_type_hints(RunConfig).items() if kind not in (int, bool, float | None)]
    for text in overrides:
        if found := re.fullmatch(rf"\+*({'|'.join(groups)})=\[(.*)\]", text):
            several = re.sub(r"['\"\s]", "", found[2])
            raise UserError(f"{text}: a run takes one {found[1]}. To compare several: -m {found[1]}={several}.")


def check(cfg: DictConfig) -> RunConfig:
    """Turn a composed config into a RunConfig.

    Raises:
        UserError: a value has the wrong type or lies outside its bounds; the message names key, value and bounds.
    """
    plain = {key: value for key, value in cfg.items() if key not in STUDY_KEYS}
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(RunConfig), plain))
    except OmegaConfBaseException as error:
        raise UserError(_explain(cfg, error)) from error
    assert isinstance(config, RunConfig)

    bounded("seed", config.seed, whole(0))
    bounded("epochs", config.epochs, whole(1))
    bounded("clip_norm", config.clip_norm, ABOVE_ZERO, null="no clipping")
    bounded("optimizer.lr", config.optimizer.get("lr"), ABOVE_ZERO)
    bounded("optimizer.weight_decay", config.optimizer.get("weight_decay"), NOT_NEGATIVE)
    bounded("batch.size", config.batch.size, whole(1))
    bounded("dataset_size.rows", config.dataset_size.rows, whole(4), null="all")
    bounded("split.validation_share", config.split.validation_share, SHARE)
    bounded("labels.hidden_share", config.labels.hidden_share, SHARE_OR_NONE)
    bounded("stats_mode.momentum", config.stats_mode.momentum, SHARE_OR_ALL)
    _choice("split.order", config.split.order, ("file_order", "shuffled"))
    _choice("covariates.keep", config.covariates.keep, ("all", "baseline", "confounders"))
    _choice("labels.mechanism", config.labels.mechanism, ("all", "mcar", "mar"))
    _choice("scaling.fit_on", config.scaling.fit_on, ("train", "all"))
    _choice("stats_mode.mode", config.stats_mode.mode, ("ema", "precomputed"))
    _choice("precision.dtype", config.precision.dtype, ("float32", "float64"))
    return config
