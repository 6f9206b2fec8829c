"""A hypothesis - a claim and the arms that test it - and the arms of a study."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import OmegaConf
from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Section
from ssc_sweep.steering import changes_a_run
from ssc_sweep.study.crossing import Changed, Levels, check_factors, cross, levels_text
from ssc_sweep.writing import folder_name

CONTROL = "control"


class Reference(Section):
    """A published number, shown beside its arm."""

    arm: str = Field(description="label of the arm, with its point of a grid, as the table has it; or an estimator")
    score: str = Field(description="name of the score it is compared with")
    value: float
    low: float | None = Field(default=None, description="of its 95% interval, where one was published")
    high: float | None = None
    source: str = Field(description="where it stands")
    dataset: str | None = Field(
        default=None, description="module of the data set that it belongs to, such as nhefs; null: shown beside any"
    )
    note: str = Field(default="", description="why ours differs")


class HypothesisConf(Section):
    """A YAML in conf/hypothesis."""

    letter: str = Field(description="any short text, shown before its name")
    claim: str = Field(description="what is suspected, one sentence")
    expect: Literal["improves", "worsens", "no_difference", "nothing"] = Field(
        description="what the claim predicts for RMSE; nothing: a comparison, as of two models"
    )
    arms: list[dict[str, Any]] = Field(
        default=[], description="each a set of overrides: {optimizer.lr: 1e-4} or {batch: b32}"
    )
    factors: dict[str, dict[str, dict[str, Any]]] = Field(
        default={},
        description="instead of arms: factor -> level -> overrides; the first level of each is the control's, {}, and "
        "every combination of levels is an arm",
    )
    references: list[Reference] = Field(default=[], description="published numbers beside ours")

    @property
    def changed(self) -> list[Changed]:
        """Return what each arm changes."""
        return cross(self.factors) if self.factors else [Changed((), arm) for arm in self.arms]


def read_hypothesis(name: str, node: Any) -> HypothesisConf:
    """Check the content of conf/hypothesis/<name>.yaml.

    Raises:
        UserError: a field is missing, unknown or of the wrong type; there are no arms, or an empty or repeated one;
            factors cannot be crossed.
    """
    plain = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    conf = HypothesisConf.read(_with_names(plain) if plain is not None else {}, f"hypothesis.{name}")
    if conf.arms and conf.factors:
        raise UserError(f"hypothesis {name} has arms and factors: allowed is one of them, for factors make the arms.")
    if conf.factors:
        check_factors(name, conf.factors)
    elif not conf.arms or not all(conf.arms):
        raise UserError(
            f"hypothesis {name} has no arms, or an empty one: give each arm at least one override, or give factors."
        )
    twice = [arm for arm in conf.arms if conf.arms.count(arm) > 1]
    if twice:
        raise UserError(f"hypothesis {name} has the arm {value_text(twice[0])} twice: remove one of them.")
    own = [key for arm in conf.changed for key in arm.overrides if not changes_a_run(key)]
    if own:
        raise UserError(f"hypothesis {name}: an arm sets {own[0]}, which belongs to the study. Use another key.")
    return conf


def _with_names(plain: Any) -> Any:
    """Turn names of factors and levels that YAML reads as numbers, such as 32 or 1e-4, into text."""
    factors = plain.get("factors") if isinstance(plain, dict) else None
    if not isinstance(factors, dict):
        return plain
    named = {
        value_text(factor): {value_text(level): changes for level, changes in levels.items()}
        if isinstance(levels, dict)
        else levels
        for factor, levels in factors.items()
    }
    return plain | {"factors": named}


@dataclass(frozen=True)
class Arm:
    """A list of overrides that a study trains with every seed.

    Attributes:
        folder: of its runs, relative to the study; arms of equal config share one.
        label: its overrides for display; "control" for none.
        hypothesis: name of the hypothesis it tests; None for a control or a point of a plain grid.
        control: folder of the arm it is compared with; None for a control or a point of a plain grid.
        overrides: in Hydra's grammar.
        levels: of a hypothesis with factors: (factor, level) where the arm differs from the control.
    """

    folder: str
    label: str
    hypothesis: str | None
    control: str | None
    overrides: tuple[str, ...]
    levels: Levels = ()


def value_text(value: object) -> str:
    """Write a value as in a config: 1e-4 rather than 0.0001, null rather than None, true rather than True."""
    if isinstance(value, float) and value and not 1e-3 <= abs(value) < 1e6:
        # Imported here, so that --help, which loads this module too, need not wait for numpy.
        import numpy as np

        return str(np.format_float_scientific(value, trim="-", exp_digits=1))
    return Override._get_value_element_as_str(value) if isinstance(value, dict | list | bool | None) else str(value)


def as_override(key: str, value: Any) -> str:
    """Write key and value in Hydra's override grammar.

    >>> as_override("optimizer.lr", 0.0001), as_override("scaling.clip", None), as_override("dataset.unit", "kg / year")
    ('optimizer.lr=1e-4', 'scaling.clip=null', "dataset.unit='kg / year'")
    """
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w.-]*", value):
        value = QuotedString(value, Quote.single)
    text = value_text(value) if isinstance(value, float) else Override._get_value_element_as_str(value)
    return f"{key}={text}"


def canonical(overrides: Sequence[str]) -> list[str]:
    """Return the overrides in canonical form, so that a value has one name however it is written.

    >>> canonical(["optimizer.lr=0.0001", "optimizer.lr=1e-4"])
    ['optimizer.lr=1e-4', 'optimizer.lr=1e-4']
    """
    return [_canonical(override) for override in OverridesParser.create().parse_overrides(list(overrides))]


def _canonical(override: Override) -> str:
    if override.is_delete():
        return str(override.input_line)
    value = override.value()
    text = value_text(value) if isinstance(value, float) else override.get_value_element_as_str()
    return f"{override.get_key_element()}={text}"


def arms_at(
    fixed: tuple[str, ...],
    point: tuple[str, ...],
    hypotheses: dict[str, HypothesisConf],
    alone: str,
    unlisted: Sequence[str] = (),
) -> list[Arm]:
    """Return the arms at one grid point: the point itself, which is the control, then those of each hypothesis.

    Args:
        alone: name of the only point of a study without hypotheses and grid.
        unlisted: groups whose keys no YAML lists, so that overriding one adds it.
    """
    prefix = folder_name(point) if point else ""
    base = (*fixed, *point)
    at_point = ", ".join(point)
    if not hypotheses:
        return [Arm(prefix or alone, at_point or alone, None, None, base)]
    control = f"{prefix}/{CONTROL}" if prefix else CONTROL
    arms = [Arm(control, f"{CONTROL} ({at_point})" if point else CONTROL, None, None, base)]
    for name, conf in hypotheses.items():
        for arm in conf.changed:
            changes = arm.overrides
            label = levels_text(arm.levels or tuple((key, value_text(value)) for key, value in changes.items()))
            added = [f"++{key}" if key.split(".")[0] in unlisted and "." in key else key for key in changes]
            overrides = tuple(map(as_override, added, changes.values()))
            folder = "/".join(part for part in (prefix, name, folder_name(label.split(", "))) if part)
            shown = f"{label} ({at_point})" if point else label
            arms.append(Arm(folder, shown, name, control, (*base, *overrides), arm.levels))
    return arms


def check_cells(arms: Sequence[Arm]) -> None:
    """Check that arms change something, after equal configs were given one folder.

    Raises:
        UserError: two combinations of levels have the same config, so that a level changes nothing; or no arm differs
            from its control.
    """
    seen: dict[tuple[str | None, str | None, str | None], Levels] = {}
    for arm in arms:
        if arm.levels:
            seen[arm.hypothesis, arm.control, arm.control] = ()
            other = seen.setdefault((arm.hypothesis, arm.control, arm.folder), arm.levels)
            if other != arm.levels:
                one, same = levels_text(arm.levels), levels_text(other) or CONTROL
                raise UserError(
                    f"hypothesis {arm.hypothesis}: {one} has the config of {same}: a level of a factor has to change "
                    "something. Remove the override or the level that makes them equal."
                )
    tested = [arm for arm in arms if arm.control is not None]
    if tested and all(arm.folder == arm.control for arm in tested):
        names = ",".join(dict.fromkeys(str(arm.hypothesis) for arm in tested))
        raise UserError(
            f"hypothesis={names} changes nothing: every arm has the config of its control. Give it an arm that "
            "differs, or leave out the word that makes them equal."
        )
