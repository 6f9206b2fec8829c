"""The plan of a study - its hypotheses, arms and seeds - and study.yaml, which holds it on disk."""

import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ssc_sweep.config import PACKAGE
from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder, locked, read_yaml, write_yaml
from ssc_sweep.study.hypothesis import Arm, HypothesisConf
from ssc_sweep.study.rule import Rule

STARTED = datetime.now().astimezone().isoformat(timespec="seconds")  # this process
_begun: set[Path] = set()  # folders of the studies that this process has started, or gone on with
PROVENANCE = ("command", "started", "git", "versions", "machine")
PACKAGES = ("ssc_sweep", "torch", "numpy", "pandas", "hydra-core", "omegaconf", "optuna", "causaldata")


@dataclass(frozen=True)
class Plan:
    """What a study trains: every arm with every seed.

    Hypotheses, arms and the rule that judges them are fixed before the first run starts; the rule is None only in the
    findings of a study.yaml that has none that can be used.
    """

    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    rule: Rule | None
    hypotheses: dict[str, HypothesisConf] = field(default_factory=dict)


def _git_commit() -> str | None:
    """The commit of the checkout that runs, with "+changes" where files differ from it; None for an installed wheel."""
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
    """An address, or any text with one in it, without the password: scheme://user:***@host, host/base?password=***."""
    text = re.sub(r"([?&]\w*(?:password|passwd)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE)
    return re.sub(r"(://[^:/\s]*):\S*@", r"\1:***@", text)


def _start() -> dict[str, Any]:
    words = shlex.join(without_password(word) for word in sys.argv[1:])
    return {"command": f"python -m ssc_sweep {words}", "started": STARTED, "git": _git_commit()}


def provenance() -> dict[str, Any]:
    """Where a study comes from: command, time, commit, versions, machine, and the starts that followed."""
    # Imported here: who only reads plans needs no torch. Sums may depend on how many threads it has.
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
    """Write study.yaml. A study that is started again keeps its provenance; it gains that start, and what it lacks.

    Raises:
        UserError: it was started under another rule, or the folder cannot be written.
    """
    folder.make()
    with locked(folder.path / ".plan.lock"):
        _write_plan(folder, plan)
    _begun.add(folder.path.resolve())


def begun_here(folder: StudyFolder) -> bool:
    """Whether this process has written the study's study.yaml, whatever became of it."""
    return folder.path.resolve() in _begun


def check_rule(folder: StudyFolder, rule: Rule) -> None:
    """Check that a study which is started again is judged by the rule that it had before.

    Raises:
        UserError: it was started under another rule.
    """
    if folder.study.exists():
        _same_rule(folder, read_plan(folder), rule)


def _same_rule(folder: StudyFolder, before: Plan, rule: Rule) -> None:
    if before.rule != rule:
        raise UserError(
            f"{folder.path} was started under another rule: {before.rule}, now {rule}. A rule is fixed before "
            "the first run: choose another study=<name>, or give the rule as it was."
        )


def _write_plan(folder: StudyFolder, plan: Plan) -> None:
    assert plan.rule is not None
    arms = list(plan.arms)
    seeds = set(plan.seeds)
    hypotheses = dict(plan.hypotheses)
    if folder.study.exists():
        content = _read(folder)
        before, origin = _plan(folder, content), _origin(content)
        _same_rule(folder, before, plan.rule)
        known = {(arm.folder, arm.label, arm.hypothesis) for arm in before.arms}
        arms = [*before.arms, *(a for a in arms if (a.folder, a.label, a.hypothesis) not in known)]
        seeds |= set(before.seeds)
        hypotheses = before.hypotheses | hypotheses
        if not _names_this_process(origin):
            origin["later"].append(_start())
    else:
        origin = provenance()
    content = origin | {
        "rule": plan.rule.model_dump(),
        "seeds": sorted(seeds),
        "hypotheses": {name: conf.model_dump() for name, conf in hypotheses.items()},
        "arms": [asdict(arm) | {"overrides": list(arm.overrides)} for arm in arms],
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
            arms=tuple(Arm(**arm | {"overrides": tuple(arm["overrides"])}) for arm in content["arms"]),
            rule=Rule.read(content["rule"], "rule"),
            hypotheses={name: HypothesisConf.read(conf, name) for name, conf in content["hypotheses"].items()},
        )
    except (KeyError, TypeError, AttributeError, UserError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: StudyFolder, error: Exception) -> UserError:
    return UserError(
        f"{folder.study} is damaged, or of another version ({type(error).__name__}: {error}). Choose another "
        "study=<name>, or remove that folder."
    )


def _read(folder: StudyFolder) -> dict[str, Any]:
    try:
        return dict(read_yaml(folder.study))
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from error


def _origin(content: dict[str, Any]) -> dict[str, Any]:
    """What study.yaml says of where the study comes from: PROVENANCE, and the starts that followed under "later"."""
    later = content.get("later")
    return {key: content.get(key) for key in PROVENANCE} | {"later": later if isinstance(later, list) else []}


def _names_this_process(origin: dict[str, Any]) -> bool:
    return origin["started"] == STARTED or any(start.get("started") == STARTED for start in origin["later"])


def started_here(folder: StudyFolder) -> bool:
    """Whether this process has started the study, or has gone on with it.

    Raises:
        UserError: study.yaml is damaged.
    """
    return _names_this_process(_origin(_read(folder)))


def study_folder(outputs: object, study: object) -> StudyFolder:
    """The folder of a study; a name that YAML reads as a number is a name all the same.

    Raises:
        UserError: there is no name, or it leads out of `outputs`.
    """
    for key, value in (("outputs", outputs), ("study", study)):
        if value is None or not str(value).strip():
            raise UserError(f"{key}={'null' if value is None else value} is empty: give a folder, e.g. {key}=mine.")
    if leads_out(str(study)):
        raise UserError(
            f"study={study} leads out of outputs={outputs}: give a name, e.g. study=mine, and outputs=<folder>."
        )
    return StudyFolder(Path(str(outputs)) / str(study))


def leads_out(name: str) -> bool:
    """Whether a folder of this name may lie outside the one it is put in."""
    return Path(name).is_absolute() or ".." in Path(name).parts
