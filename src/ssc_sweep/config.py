"""The config of a run: one section per config group, checked before anything trains.

The YAML files in conf/ hold the values and Hydra composes them; this module has the types, units, bounds and meanings.
`model`, `dataset` and `optimizer` are open groups: their YAML names a Python target with its arguments, and the
signature of that target is their schema.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, Field, model_validator

from ssc_sweep.errors import UserError
from ssc_sweep.fingerprint import sha256
from ssc_sweep.schema import NotNegative, Positive, Section, checked
from ssc_sweep.steering import STUDY_KEYS

# The only Python objects that Hydra itself may call for a config, by exact name. Sweepers and launchers are not listed:
# Hydra makes only its registered plugins, and no targets among their arguments.
HYDRA_TARGETS = ("ssc_sweep.findings.callback.NoteEnd",)

# Environment variable with the default name of a study: set once by the command, so that all processes that work on
# the study agree on it.
UNNAMED_STUDY = "SSC_SWEEP_UNNAMED_STUDY"

PACKAGE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """Return the folder of the config groups: inside an installed wheel, or beside src/ in a checkout."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "conf"


class DatasetSize(Section):
    rows: int | None = Field(ge=4, description="rows drawn at random before the split; null: all, in file order")


class Planted(Section):
    """A change of covariates that a split makes after choosing its rows: a fault, planted to test what finds it."""

    rows: Literal["train", "validation", "all"] = Field(description="rows that change; test rows go with validation")
    columns: list[str] | Literal["coded"] = Field(description="columns that change; coded: those with declared codes")
    share: float = Field(default=1.0, ge=0, le=1, description="share of these rows, drawn by the seed of the run")
    only: float | Literal["code"] | None = Field(
        default=None, description="change only cells that hold this value, or a declared code; null: all"
    )
    value: float | Literal["code", "permuted"] | None = Field(
        description="new value; code: the column's own; permuted: the values of other drawn rows; null: a gap"
    )


def _listed(values: object) -> object:
    """Validate a list of planted changes, each with its own message."""
    if not isinstance(values, list):
        return values
    return [
        one if isinstance(one, Planted) else Planted.read(one, f"split.planted.{i}") for i, one in enumerate(values)
    ]


class Split(Section):
    order: Literal["file_order", "shuffled"] = Field(description="the first rows train, or rows are shuffled first")
    validation_share: float = Field(gt=0, lt=1, description="share of the rows that validate; test rows not counted")
    test_share: float = Field(
        ge=0, lt=1, description="share of all rows that is held back, and measured once at the end"
    )
    planted: Annotated[list[Planted], BeforeValidator(_listed)] = Field(
        default=[], description="faults that are planted into the rows, one after another"
    )


class Covariates(Section):
    keep: Literal["all", "baseline", "confounders"] = Field(description="which roles of columns a model sees")


class Labels(Section):
    mechanism: Literal["all", "mcar", "mar"] = Field(
        description="all: nothing hidden; mcar: hidden at random; mar: more often the larger the first confounder"
    )
    hidden_share: float = Field(ge=0, lt=1, description="share of the training rows whose treatment is hidden")

    @model_validator(mode="after")
    def _hides_by_some_mechanism(self) -> Self:
        if self.mechanism == "all" and self.hidden_share:
            raise ValueError(
                f"labels.hidden_share={self.hidden_share:g} hides nothing under labels.mechanism=all: choose "
                "labels=half_mcar or labels=half_mar with it, or leave it out."
            )
        return self


class Scaling(Section):
    fit_on: Literal["train", "all"] = Field(description="rows that encode columns; all: validation rows too (a leak)")
    rare_share: float = Field(ge=0, lt=1, description="levels of a category with a smaller share of rows are pooled")
    codes: Literal["value", "missing"] = Field(
        default="value", description="how declared codes for a missing value are read: as values, or as gaps"
    )
    clip: Literal["range"] | Positive | None = Field(
        default=None,
        description="numbers are held to the range of the fitted rows, or to so many of their sd around their mean",
    )


class BatchSize(Section):
    size: int = Field(ge=1, description="rows an update")
    drop_last: bool = Field(description="leave out the last batch of an epoch when it is smaller")


class StatsMode(Section):
    mode: Literal["ema", "precomputed"] = Field(description="statistics of the batches, or of all training rows")
    momentum: float = Field(gt=0, le=1, description="weight of the newest batch under ema")
    constant: Literal["floor", "one"] = Field(
        default="floor", description="scale of a column that is constant among the training rows: 1e-6, or 1"
    )


class Precision(Section):
    dtype: Literal["float32", "float64"] = Field(description="precision of weights and arithmetic")


class RunConfig(Section):
    """One run: one arm with one seed."""

    model: dict[str, Any] = Field(description="a Predictor or an ordinary torch module, with its arguments")
    dataset: dict[str, Any] = Field(description="a function that returns a Cohort, with its arguments")
    dataset_size: DatasetSize
    split: Split
    covariates: Covariates
    labels: Labels
    scaling: Scaling
    optimizer: dict[str, Any] = Field(description="an Optimizer with its arguments")
    batch: BatchSize
    stats_mode: StatsMode
    precision: Precision
    epochs: int = Field(ge=1, description="passes over the training rows")
    clip_norm: float | None = Field(gt=0, description="gradients with a larger norm are scaled down to it; null: never")
    probes: bool = Field(description="also record first steps, the model's probes, validation scores by epoch")
    seed: int = Field(ge=0, description="seeds every random stream of the run")

    def content(self) -> dict[str, Any]:
        """Return the config as plain dicts: two runs with equal content are the same run."""
        return self.model_dump()

    def with_seed(self, seed: int) -> "RunConfig":
        """Return the same run with another seed."""
        return self.model_copy(update={"seed": seed})


GROUPS = tuple(
    name for name, field in RunConfig.model_fields.items() if field.annotation not in (int, bool, float | None)
)


def without_seed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all runs of an arm share."""
    return {key: value for key, value in content.items() if key != "seed"}


def leaves(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def shared_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings that the runs of a command share before any arm changes them, as in the composed config.

    References, and values that only a grid gives, are kept as written: nothing is resolved or checked.
    """
    keys = [key for key in RunConfig.model_fields if key in cfg and key != "seed"]
    plain = OmegaConf.to_container(OmegaConf.masked_copy(cfg, keys), resolve=False)
    assert isinstance(plain, dict)
    # The target belongs to the rule.
    dataset = plain["dataset"].items() if isinstance(plain.get("dataset"), dict) else ()
    return {str(key): value for key, value in plain.items()} | {
        "dataset": {key: value for key, value in dataset if key not in DATASET_KEYS}
    }


# Keys of a data set about judging its outcome. They go to `target` and to the models, not to the loading function.
DATASET_KEYS = ("target", "clamp")
# Keys of a data set with a value per column. The columns are the user's, so Hydra must accept names that no YAML has:
# dataset.kinds.education=category, without a +. A YAML includes them with `defaults: [/open_columns@_here_]`.
BY_COLUMN = ("kinds", "missing", "codes", "roles")
OPEN_COLUMNS = OmegaConf.create({key: DictConfig({}, flags={"struct": False}) for key in BY_COLUMN})
ConfigStore.instance().store(name="open_columns", node=OPEN_COLUMNS, provider="ssc_sweep")


@cache
def _list_of_choices() -> re.Pattern[str]:
    groups = "|".join(sorted(path.name for path in conf_dir().iterdir() if path.is_dir()))
    return re.compile(rf"\+*({groups}|hydra/[\w/]+)=\s*\[(.*)\]\s*", re.DOTALL)


def one_choice_each(overrides: Iterable[str]) -> None:
    """Check that no override gives a group a list, whose choices Hydra would merge; or a key {}, which changes nothing.

    Raises:
        UserError: one does.
    """
    for text in overrides:
        if found := re.fullmatch(r"([\w.]+)=\{\s*\}", text):
            raise UserError(
                f"{text} changes nothing, as a mapping is merged with what is there. Remove a key of it: "
                f"~{found[1]}.<key>"
            )
        if found := _list_of_choices().fullmatch(text):
            several = re.sub(r"['\"\s]", "", found[2])
            compare = "" if found[1].startswith("hydra/") else f" To compare several: -m {found[1]}={several}."
            raise UserError(f"{text}: a run takes one {found[1]}.{compare}")


def check(cfg: DictConfig) -> RunConfig:
    """Turn a composed config into a RunConfig.

    Raises:
        UserError: a value is missing, has the wrong type or is out of bounds; the message names key, value and bounds.
            Or the data set's file is missing, or not the one that the config means.
    """
    # Only these keys: resolving Hydra's own settings is slow.
    keys = [str(key) for key in cfg if key not in STUDY_KEYS]
    masked = OmegaConf.masked_copy(cfg, keys)
    if lacking := sorted(OmegaConf.missing_keys(masked)):
        raise UserError(f"{lacking[0]} is missing: give {' '.join(f'{key}=<...>' for key in lacking)}.")
    plain = OmegaConf.to_container(masked, resolve=True)
    assert isinstance(plain, dict)
    # The description of a planted fault; what it plants is in the groups.
    plain.pop("fault", None)
    config = RunConfig.read(plain)
    checked("optimizer.lr", Positive, config.optimizer.get("lr"))
    checked("dataset.clamp", Positive | None, config.dataset.get("clamp"))
    checked("optimizer.weight_decay", NotNegative, config.optimizer.get("weight_decay"))
    return config.model_copy(update={"dataset": _with_fingerprint(config.dataset)})


def _with_fingerprint(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the loading function, with the hash of its file if any: a changed file is another run.

    Raises:
        UserError: the file cannot be read, or has another hash than in the config.
    """
    arguments = {key: value for key, value in node.items() if key not in DATASET_KEYS}
    if isinstance(node.get("path"), str) and "sha256" in node:
        arguments["sha256"] = sha256(node["path"], node["sha256"])
    return arguments
