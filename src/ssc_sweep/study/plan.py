"""The plan of a study - its hypotheses, arms and seeds - and study.yaml, which holds it on disk."""

import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import yaml

from ssc_sweep.config import PACKAGE, UNNAMED_STUDY, leaves
from ssc_sweep.errors import CannotRead, UserError, given_name
from ssc_sweep.schema import shown
from ssc_sweep.study.board import remove_boards
from ssc_sweep.study.fault import Fault
from ssc_sweep.study.folder import StudyFolder, locked, read_yaml, write_yaml
from ssc_sweep.study.hypothesis import Arm, HypothesisConf
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.writing import remove_leftovers

STARTED = datetime.now().astimezone().isoformat(timespec="seconds")  # this process
_begun: set[str] = set()  # folders of the studies that this command has started or resumed
_PROCESS = uuid.uuid4().hex
PROVENANCE = ("command", "id", "started", "git", "versions", "machine")
PACKAGES = ("ssc_sweep", "torch", "numpy", "pandas", "hydra-core", "omegaconf", "optuna", "causaldata")


@dataclass(frozen=True)
class Plan:
    """What a study trains: every arm with every seed.

    Hypotheses, arms and the rule that judges them are fixed before the first run starts. The rule is None only in the
    findings, when study.yaml has no usable one.

    Attributes:
        settings: what all runs share before an arm or a grid changes it; None if each arm is named on its own, as in
            a search.
        varied: keys and groups that a grid varies.
        faults: what is planted at each grid point, by the folder of its control.
    """

    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    rule: Rule | None
    hypotheses: dict[str, HypothesisConf] = field(default_factory=dict)
    settings: dict[str, Any] | None = None
    varied: tuple[str, ...] = ()
    faults: dict[str, Fault] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """Return folder -> label; an arm that is also a control has the control's name."""
        return {arm.folder: arm.label for arm in sorted(self.arms, key=lambda arm: arm.control is None)}

    @property
    def compares(self) -> bool:
        """Return whether any arm has a control."""
        return any(arm.control is not None for arm in self.arms)


def _git_commit() -> str | None:
    """Return the commit of this checkout, plus "+changes" if files differ from it; None for an installed wheel."""
    root = PACKAGE.parents[1]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")


def without_password(text: str) -> str:
    """Mask the password of an address in any text: scheme://user:***@host, host/base?password=***."""
    text = re.sub(r"([?&]\w*(?:password|passwd)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE)
    return re.sub(r"(://[^:/\s]*):\S*@", r"\1:***@", text)


def _start() -> dict[str, Any]:
    words = shlex.join(without_password(word) for word in sys.argv[1:])
    return {"command": f"python -m ssc_sweep {words}", "id": _command(), "started": STARTED, "git": _git_commit()}


def _command() -> str:
    """Return an ID of this command, shared by all of its processes: never a time, which clocks may repeat."""
    return os.environ.get(UNNAMED_STUDY, _PROCESS)


def provenance() -> dict[str, Any]:
    """Return a study's provenance: command, time, commit, versions, machine, and the starts that followed."""
    # Imported here, as reading plans needs no torch. Sums may depend on torch's number of threads.
    import torch

    return _start() | {
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "cpu": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "later": [],
    }


def write_plan(folder: StudyFolder, plan: Plan) -> None:
    """Write study.yaml. A study that is started again keeps its provenance; this start and missing parts are added.

    Raises:
        UserError: it was started under another rule or with other settings, or the folder cannot be written.
    """
    folder.make()
    with locked(folder.plan_lock):
        for place in (folder.path, folder.path / "figures", folder.tables):
            remove_leftovers(place)
        remove_boards(folder)
        _write_plan(folder, plan)
    _begun.add(os.path.realpath(folder.path))
    if _unnamed(folder):
        given_name(folder.path.name)


def new_command() -> None:
    """Forget what an earlier command in this process has begun."""
    _begun.clear()
    given_name(None)


def begun_here(folder: StudyFolder) -> bool:
    """Return whether this command has written the study's study.yaml, whatever happened to the file since."""
    return os.path.realpath(folder.path) in _begun


def check_plan(folder: StudyFolder, plan: Plan) -> None:
    """Check that a study which is started again has the same rule and settings as before, except what a grid varies.

    Raises:
        UserError: it was started under another rule, or with other settings.
    """
    assert plan.rule is not None
    if folder.study.exists():
        content = _read(folder)
        _same_settings(folder, content, plan.settings, plan.varied)
        _same_rule(folder, _plan(folder, content), plan.rule, plan.compares)


def check_rule(folder: StudyFolder, rule: Rule) -> None:
    """Check that a study which is started again has the same rule as before.

    Raises:
        UserError: it was started under another rule.
    """
    if folder.study.exists():
        _same_rule(folder, read_plan(folder), rule, compares=False)


def check_settings(folder: StudyFolder, settings: dict[str, Any] | None) -> None:
    """Check that a study which is started again has the same settings as before.

    Raises:
        UserError: settings differ; two different commands must not share a name.
    """
    if folder.study.exists():
        _same_settings(folder, _read(folder), settings, ())


def _same_settings(
    folder: StudyFolder, content: dict[str, Any], settings: dict[str, Any] | None, varied: Sequence[str]
) -> None:
    before = content.get("settings")
    if not isinstance(before, dict) or settings is None:
        return
    old, new = leaves(before), leaves(settings)
    free = (*_varied(content), *varied)
    for key in {**old, **new}:
        if old.get(key, "absent") == new.get(key, "absent") or any(f"{key}.".startswith(f"{one}.") for one in free):
            continue
        was, now = (f"{key}={shown(values[key])}" if key in values else f"no {key}" for values in (old, new))
        raise UserError(
            f"{folder.path} was begun with {was}, and this command has {now}: two different commands cannot share one "
            "name. Choose another study=<name>, or use the original settings; a single run may be an arm of its own: "
            "arm=<name>."
        )


def _varied(content: dict[str, Any]) -> tuple[str, ...]:
    found = content.get("varied")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _same_rule(folder: StudyFolder, before: Plan, rule: Rule, compares: bool) -> None:
    """Check a rule against the study's earlier one. How seeds are chosen matters only where arms are compared."""
    had = before.rule
    if had is not None and not (before.compares and compares):
        had = had.model_copy(update={"sequential": rule.sequential})
    if had != rule:
        was, now = ({} if one is None else one.model_dump() for one in (had, rule))
        apart = [name for name in now if was.get(name, "none") != now[name]]
        told = ("; ".join(_of_rule(name, values.get(name)) for name in apart) for values in (was, now))
        raise UserError(
            f"{folder.path} was started under another rule: {' and now '.join(told)}. A rule is fixed before the first "
            "run: choose another study=<name>, or give the rule as it was."
        )


def _of_rule(name: str, value: object) -> str:
    """Return a part of the rule as the command line has it."""
    if name == "sequential":
        return "seeds=auto" if value else "a planned number of seeds"
    return f"{'target' if name == 'target' else f'rule.{name}'}={shown(value)}"


def _write_plan(folder: StudyFolder, plan: Plan) -> None:
    assert plan.rule is not None
    arms = list(plan.arms)
    seeds = set(plan.seeds)
    hypotheses = dict(plan.hypotheses)
    settings, varied, rule, faults = plan.settings, plan.varied, plan.rule, plan.faults
    if folder.study.exists():
        content = _read(folder)
        before, origin = _plan(folder, content), _origin(content)
        _same_rule(folder, before, rule, plan.compares)
        # A search adds seeds by itself; hypotheses tested on its winner may have a fixed number.
        rule = before.rule if before.rule is not None and not plan.compares else rule
        _same_settings(folder, content, settings, varied)
        settings = before.settings if before.settings is not None else settings
        varied = tuple(dict.fromkeys((*before.varied, *varied)))
        known = {(arm.folder, arm.label, arm.hypothesis) for arm in before.arms}
        arms = [*before.arms, *(a for a in arms if (a.folder, a.label, a.hypothesis) not in known)]
        added = sorted(seeds - set(before.seeds))
        seeds |= set(before.seeds)
        hypotheses = before.hypotheses | hypotheses
        faults = before.faults | faults
        if not _names_this_command(origin):
            origin["later"].append(_start() | {"added_seeds": added})
    else:
        origin = provenance()
    content = origin | {
        "rule": rule.model_dump(),
        "seeds": sorted(seeds),
        "hypotheses": {name: conf.model_dump() for name, conf in hypotheses.items()},
        "settings": settings,
        "varied": list(varied),
        "faults": {control: fault.model_dump() for control, fault in faults.items()},
        "arms": [asdict(arm) | {"overrides": list(arm.overrides), "levels": dict(arm.levels)} for arm in arms],
    }
    write_yaml(folder.study, content)


def read_plan(folder: StudyFolder) -> Plan:
    """Read study.yaml back.

    Raises:
        UserError: it is damaged, or of another version.
    """
    return _plan(folder, _read(folder))


def _plan(folder: StudyFolder, content: dict[str, Any]) -> Plan:
    try:
        return Plan(
            seeds=tuple(content["seeds"]),
            arms=tuple(
                # Older versions did not write this.
                Arm(**arm | {"overrides": tuple(arm["overrides"]), "levels": tuple(arm.get("levels", {}).items())})
                for arm in content["arms"]
            ),
            rule=Rule.read(content["rule"], "rule"),
            hypotheses={name: HypothesisConf.read(conf, name) for name, conf in content["hypotheses"].items()},
            # Do not compare what an older version did not write.
            settings=dict(settings) if (settings := content.get("settings")) is not None else None,
            varied=_varied(content),
            faults={control: Fault.read(fault, "fault") for control, fault in content.get("faults", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: StudyFolder, error: Exception) -> UserError:
    return UserError(
        f"{folder.study} is damaged, or of another version ({type(error).__name__}: {error}). Choose another "
        "study=<name>, or remove that folder."
    )


def _read(folder: StudyFolder) -> dict[str, Any]:
    try:
        return dict(read_yaml(folder.study))
    except OSError as error:
        raise CannotRead(folder.study, error) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from error


def _origin(content: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance in study.yaml: PROVENANCE, and the later starts under "later"."""
    later = content.get("later")
    starts = [start for start in later if isinstance(start, dict)] if isinstance(later, list) else []
    return {key: content.get(key) for key in PROVENANCE} | {"later": starts}


def _names_this_command(origin: dict[str, Any]) -> bool:
    return any(start.get("id") == _command() for start in (origin, *origin["later"]))


def started_here(folder: StudyFolder) -> bool:
    """Return whether this command has started or resumed the study.

    Raises:
        UserError: study.yaml is damaged.
    """
    return _names_this_command(_origin(_read(folder)))


def _unnamed(folder: StudyFolder) -> bool:
    return folder.path.name == os.environ.get(UNNAMED_STUDY)


def how_to_resume(folder: StudyFolder) -> list[str]:
    """Return a line that says how to resume a study that was given no name."""
    if not _unnamed(folder):
        return []
    return [f"study {folder.path.name}; to go on after a break: the same command with study={folder.path.name}"]
