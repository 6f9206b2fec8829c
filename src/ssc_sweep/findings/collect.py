"""Read a study folder back: one table row a run, and what each run recorded while it trained.

Nothing on disk is trusted. A run that is half-written, edited by hand or from another version keeps its row, but no
number: its status is "unfinished" or "left out" and the column left_out says why.
"""

import importlib.metadata
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from ssc_sweep.errors import UserError
from ssc_sweep.findings.reading import (
    LEFT_OUT,
    METRICS,
    UNFINISHED,
    Unreadable,
    load_yaml,
    one_line,
    read_model,
    read_overrides,
    read_run,
)
from ssc_sweep.findings.summary import as_csv, read_summary
from ssc_sweep.probe import Probe
from ssc_sweep.schema import admits
from ssc_sweep.study.folder import CONFIRM, TRIAL, StudyFolder, write_text
from ssc_sweep.study.hypothesis import Arm, HypothesisConf, Reference
from ssc_sweep.study.job import Status
from ssc_sweep.study.plan import PROVENANCE, Plan
from ssc_sweep.study.rule import Rule

COLUMNS = ("arm", "seed", *METRICS, "first_bad_step", "first_bad_tensor", "overrides", "folder", "left_out")
# A run with one of these has ended; without an RMSE it is lost, and counts as such in the verdicts.
ENDED = (Status.FINISHED.value, Status.DIVERGED.value, Status.FAILED.value)
PLAN_KEYS = (*PROVENANCE, "rule", "seeds", "hypotheses", "arms")


@dataclass(frozen=True)
class Study:
    """A study as it lies on disk.

    Attributes:
        plan: its hypotheses, arms and seeds; arms are taken from the folders where study.yaml lacks them.
        runs: one row a run, as in summary.csv (columns: COLUMNS).
        history: the history.csv of every run that counts, under each other, with the columns arm and seed.
        provenance: what study.yaml says of command, time, commit, versions and machine.
        remarks: what was wrong with the study as a whole, a sentence each.
        probes: what its models recorded while they trained, by name, as they declare it.
        own_scores: scores of the user's own: name -> (title, unit).
    """

    folder: StudyFolder
    plan: Plan
    runs: pd.DataFrame
    history: pd.DataFrame
    provenance: dict[str, Any]
    remarks: tuple[str, ...]
    probes: dict[str, Probe] = field(default_factory=dict)
    own_scores: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def rule(self) -> Rule | None:
        """What its verdicts follow; None where study.yaml has no usable one."""
        return self.plan.rule

    @property
    def ended(self) -> pd.DataFrame:
        """The runs that have ended; one of them without an RMSE is lost."""
        return self.runs[self.runs["status"].isin(ENDED)]

    @property
    def is_search(self) -> bool:
        """Whether arms of it are the trials of a search."""
        return any(arm.folder.startswith(TRIAL) for arm in self.plan.arms)

    def without_search(self) -> "Study":
        """The study without the runs of a search: what else was trained in its folder, such as its winner's arms."""
        arms = tuple(arm for arm in self.plan.arms if not arm.folder.startswith((TRIAL, CONFIRM)))
        runs = self.runs[~self.runs["arm"].str.startswith((TRIAL, CONFIRM))]
        return replace(self, plan=replace(self.plan, arms=arms), runs=runs)


@dataclass(frozen=True)
class _Runs:
    """What the run folders of a study hold."""

    table: pd.DataFrame
    history: pd.DataFrame
    remarks: list[str]
    probes: dict[str, Probe]
    own_scores: dict[str, tuple[str, str]]


def _read_runs(study: StudyFolder, arms: Sequence[Arm]) -> _Runs:
    """Read them; of arms that are not planned no number is read, unless nothing is planned."""
    rows: list[dict[str, object]] = []
    histories: dict[int, pd.DataFrame] = {}
    configs: dict[int, str] = {}
    planned, remarks = {arm.folder for arm in arms}, []
    probes: dict[str, Probe] = {}
    own_scores: dict[str, tuple[str, str]] = {}
    for folder in study.runs():
        name = folder.path.relative_to(study.path).as_posix()
        if not re.fullmatch(r"seed=(0|-?[1-9]\d*)", folder.path.name):
            remarks.append(f"The folder {name} is left out: its name is not seed=<number>, so it is no run.")
            continue
        arm = folder.path.parent.relative_to(study.path).as_posix()
        seed = int(folder.path.name.removeprefix("seed="))
        row: dict[str, object] = {"arm": arm, "seed": seed}
        row |= {"overrides": read_overrides(folder), "folder": name}
        if planned and arm not in planned:
            row |= {"status": LEFT_OUT, "left_out": "study.yaml does not name its arm"}
        elif folder.done.exists():
            try:
                run = read_run(folder, seed)
            except Unreadable as error:
                row |= {"status": LEFT_OUT, "left_out": str(error)}
            else:
                row |= run.cells
                configs[len(rows)] = run.config
                histories[len(rows)] = run.history.assign(arm=arm, seed=seed)
                probes |= {probe.name: probe for probe in run.probes}
                own_scores |= run.own_scores
        elif folder.failed.exists():
            row |= {"status": Status.FAILED.value, "model": read_model(folder)}
        else:
            row |= {"status": UNFINISHED, "left_out": "no DONE: it was broken off, or is still running"}
        rows.append(row)
    names = [str(row["arm"]) for row in rows]
    doubted = dict.fromkeys(_copies(names, configs, arms), "its config is that of its control: was the folder copied?")
    strange = "its config is not that of the arm's other runs: was it copied or edited?"
    doubted |= dict.fromkeys(_strangers(names, configs), strange)
    for i, why in doubted.items():
        kept = ("arm", "seed", "overrides", "folder")
        rows[i] = {key: rows[i][key] for key in kept} | {"status": LEFT_OUT, "left_out": why}
        del histories[i]
    empty = pd.DataFrame({"kind": [], "epoch": [], "step": [], "arm": [], "seed": []})
    history = pd.concat(histories.values(), ignore_index=True) if histories else empty
    known = {name for row in rows for name in row}
    columns = [*COLUMNS, *sorted(known - set(COLUMNS))]
    return _Runs(pd.DataFrame(rows, columns=columns), history, remarks, probes, own_scores)


def _strangers(arms: Sequence[str], configs: Mapping[int, str]) -> list[int]:
    """Rows whose config differs from that of most runs of their arm; all of an arm without such a majority."""
    by_arm: dict[str, Counter[str]] = {}
    for i, config in configs.items():
        by_arm.setdefault(arms[i], Counter())[config] += 1
    return [i for i, config in configs.items() if 2 * by_arm[arms[i]][config] <= by_arm[arms[i]].total()]


def _copies(names: Sequence[str], configs: Mapping[int, str], arms: Sequence[Arm]) -> list[int]:
    """Rows of an arm whose config is that of its control. Equal configs share a folder, so this one is a copy."""
    by_arm: dict[str, set[str]] = {}
    for i, config in configs.items():
        by_arm.setdefault(names[i], set()).add(config)
    controls = {arm.folder: by_arm.get(arm.control, set()) for arm in arms if arm.control not in (None, arm.folder)}
    return [i for i, config in configs.items() if config in controls.get(names[i], ())]


def _arm(entry: object) -> Arm | None:
    """An arm as study.yaml has it; what an older version did not write is taken as absent."""
    if not isinstance(entry, dict) or not isinstance(entry.get("folder"), str):
        return None
    hypothesis, control, overrides = entry.get("hypothesis"), entry.get("control"), entry.get("overrides")
    return Arm(
        folder=entry["folder"],
        label=str(entry.get("label", entry["folder"])),
        hypothesis=None if hypothesis is None else str(hypothesis),
        control=None if control is None else str(control),
        overrides=tuple(str(text) for text in overrides) if isinstance(overrides, list) else (),
    )


def _hypotheses(content: Mapping[str, Any], arms: tuple[Arm, ...]) -> dict[str, HypothesisConf]:
    """The hypotheses of study.yaml, and a bare one for each that only arms name."""
    found = content.get("hypotheses")
    confs = {str(name): conf for name, conf in found.items()} if isinstance(found, dict) else {}
    names = dict.fromkeys([*confs, *(arm.hypothesis for arm in arms if arm.hypothesis is not None)])
    hypotheses = {}
    for name in names:
        conf = confs.get(name)
        known = conf if isinstance(conf, dict) else {}
        text: dict[str, Any] = {key: str(known.get(key, "")) for key in ("letter", "claim", "expect")}
        references = [Reference.model_construct(**one) for one in known.get("references") or [] if _is_reference(one)]
        # Not validated: what an older version or an edit has left is shown as it is.
        hypotheses[name] = HypothesisConf.model_construct(arms=known.get("arms") or [], references=references, **text)
    return hypotheses


def _is_reference(entry: object) -> bool:
    return isinstance(entry, dict) and admits(Reference, entry)


def _arms(content: Mapping[str, Any]) -> tuple[Arm, ...]:
    entries = content.get("arms")
    return tuple(arm for entry in (entries if isinstance(entries, list) else []) if (arm := _arm(entry)))


def _read_study_yaml(folder: StudyFolder) -> tuple[dict[str, Any], list[str]]:
    """Read study.yaml as far as it goes, and say what is wrong with it."""
    try:
        content = load_yaml(folder.study)
    except Unreadable as error:
        return {}, [f"{error}."]
    if not isinstance(content, dict):
        return {}, ["study.yaml holds no mapping."]
    lacking = [key for key in PLAN_KEYS if key not in content]
    wrong = f"study.yaml lacks {', '.join(lacking)}: it is of another version, or was edited."
    return content, [wrong] if lacking else []


def _make_rule(content: Mapping[str, Any]) -> Rule:
    """Make the study's rule; before there were rules, study.yaml had a target only.

    Raises:
        UserError: a value is missing, unknown or out of bounds.
    """
    given = content.get("rule")
    if "rule" not in content and "target" not in content:
        raise UserError("it holds neither rule nor target.")
    return Rule.read(given if isinstance(given, dict) else {"target": content.get("target")}, "rule")


def _make_plan(content: Mapping[str, Any], runs: pd.DataFrame, rule: Rule | None) -> Plan:
    """Make the plan; where study.yaml names no arms or seeds, they are those of the folders."""
    arms = _arms(content) or tuple(Arm(name, name, None, None, ()) for name in sorted(runs["arm"].unique()))
    seeds = content.get("seeds")
    numbers = [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else list(runs["seed"])
    return Plan(tuple(sorted({int(seed) for seed in numbers})), arms, rule, _hypotheses(content, arms))


def collect(folder: StudyFolder) -> Study:
    """Read the study and write its summary.csv.

    Raises:
        UserError: it cannot be written.
    """
    study, summary = summarised(folder)
    write_text(folder.summary, summary)
    return study


def read(folder: StudyFolder) -> Study:
    """Read the study and write nothing."""
    return summarised(folder)[0]


def summarised(folder: StudyFolder) -> tuple[Study, str]:
    """The study and the text of its summary.csv; everything after this works on what was read back from that."""
    content, remarks = _read_study_yaml(folder)
    planned = _arms(content)
    if not planned:
        remarks.append("study.yaml names no arms: they are taken from the folders, and nothing says what to compare.")
    found = _read_runs(folder, planned)
    summary = as_csv(found.table)
    runs = read_summary(io.StringIO(summary))
    try:
        rule = _make_rule(content)
    except UserError as error:
        rule = None
        remarks.append(f"study.yaml has no usable rule, so there are no verdicts: {one_line(error)}")
    if rule and "rule" not in content:
        remarks.append(f"study.yaml fixes only a target, so the rest of the rule is today's: {rule}.")
    versions, mine = content.get("versions"), importlib.metadata.version("ssc_sweep")
    theirs = versions.get("ssc_sweep", mine) if isinstance(versions, dict) else mine
    if theirs != mine:
        remarks.append(f"The study was begun with ssc_sweep {theirs}; this is {mine}, whose rules may differ.")
    plan = _make_plan(content, runs, rule)
    later = content.get("later")
    starts = [start for start in later if isinstance(start, dict)] if isinstance(later, list) else []
    provenance = {key: content.get(key) for key in PROVENANCE} | {"later": starts}
    remarks += found.remarks
    study = Study(folder, plan, runs, found.history, provenance, tuple(remarks), found.probes, found.own_scores)
    return study, summary
