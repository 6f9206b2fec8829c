"""Read a study folder back: one table row per run, and what each run recorded while it trained.

Everything on disk is validated. A run that is half-written, edited by hand or from another version keeps its row, but
no numbers: its status is "unfinished" or "left out", and the column left_out says why.
"""

import importlib.metadata
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from ssc_sweep.errors import UserError
from ssc_sweep.findings.reading.run_files import Unreadable, load_yaml, one_line
from ssc_sweep.findings.reading.run_folder import LEFT_OUT
from ssc_sweep.findings.reading.runs import read_runs
from ssc_sweep.findings.reading.summary import as_csv, read_summary
from ssc_sweep.lines import counted
from ssc_sweep.probe import Probe
from ssc_sweep.schema import admits
from ssc_sweep.study.fault import Fault
from ssc_sweep.study.folder import CONFIRM, TRIAL, RunFolder, StudyFolder
from ssc_sweep.study.hypothesis import Arm, HypothesisConf, Reference
from ssc_sweep.study.job import Status
from ssc_sweep.study.plan import PROVENANCE, Plan
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.writing import write_text

# Statuses of ended runs. A run that diverged counts as lost in the verdicts; one that failed does not count.
ENDED = (Status.FINISHED.value, Status.DIVERGED.value, Status.FAILED.value)
PLAN_KEYS = (*PROVENANCE, "rule", "seeds", "hypotheses", "arms")


@dataclass(frozen=True)
class Study:
    """A study as it is on disk.

    Attributes:
        plan: its hypotheses, arms and seeds; if study.yaml lacks arms, they are taken from the folders.
        runs: one row per run, as in summary.csv (columns: `runs.COLUMNS`).
        history: history.csv of every run that counts, concatenated, with the columns arm and seed. `collect` keeps
            only the columns that findings use, `read` keeps all.
        provenance: command, time, commit, versions and machine, from study.yaml.
        remarks: problems with the study as a whole, a sentence each.
        probes: what its models recorded while they trained, by name, as they declare it.
        own_scores: the user's own scores: name -> (title, unit).
        datasets: arm with a run that counts -> name of its data set, which is the module that loads it.
        damaged: names the tables of runs that cannot be read; "" if there are none.
    """

    folder: StudyFolder
    plan: Plan
    runs: pd.DataFrame
    history: pd.DataFrame
    provenance: dict[str, Any]
    remarks: tuple[str, ...]
    probes: dict[str, Probe] = field(default_factory=dict)
    own_scores: dict[str, tuple[str, str]] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    damaged: str = ""

    @property
    def rule(self) -> Rule | None:
        """Return the rule of its verdicts; None if study.yaml has no usable one."""
        return self.plan.rule

    # Cached: verdicts and tables ask for it several times per arm.
    @cached_property
    def unusable(self) -> str:
        """Return a remark on ended runs that count nowhere, in folders or in tables; "" if there are none."""
        lost = self.runs[self.runs["status"] == LEFT_OUT]
        if lost.empty:
            return self.damaged
        first = lost.iloc[0]
        kept_in = RunFolder(self.folder.path / str(first["folder"])).kept_in
        return f"{self.damaged} ".lstrip() + (
            f"{len(lost)} of {len(self.runs)} runs are left out, the first, {first['folder']}: {first['left_out']}. "
            f"Remove {kept_in}, and what holds the others, and give the study's command again; the report lists all."
        )

    @property
    def ended(self) -> pd.DataFrame:
        """Return the runs that have ended; those without an RMSE are lost."""
        return self.runs[self.runs["status"].isin(ENDED)]

    @property
    def counting(self) -> pd.DataFrame:
        """Return the runs that say something about their model: those that ended with an RMSE, and those that diverged.

        A run that failed - raised, ran out of memory or was killed - tells nothing about the model.
        """
        return self.ended[self.ended["status"] != Status.FAILED]

    @property
    def added_seeds(self) -> bool:
        """Return whether a later command added to planned seeds: verdicts may have been looked at before."""
        planned = self.rule is not None and not self.rule.sequential
        return planned and any(start.get("added_seeds") for start in self.provenance["later"])

    @property
    def is_search(self) -> bool:
        """Return whether any arms are trials of a search."""
        return any(arm.folder.startswith(TRIAL) for arm in self.plan.arms)

    def without_search(self) -> "Study":
        """Return the study without its search runs: what else was trained in its folder, such as its winner's arms."""
        arms = tuple(arm for arm in self.plan.arms if not arm.folder.startswith((TRIAL, CONFIRM)))
        runs = self.runs[~self.runs["arm"].str.startswith((TRIAL, CONFIRM))]
        return replace(self, plan=replace(self.plan, arms=arms), runs=runs)


def _arm(entry: object) -> Arm | None:
    """Read an arm of study.yaml; what an older version did not write counts as absent."""
    if not isinstance(entry, dict) or not isinstance(entry.get("folder"), str):
        return None
    hypothesis, control, overrides = entry.get("hypothesis"), entry.get("control"), entry.get("overrides")
    levels = entry.get("levels")
    return Arm(
        folder=entry["folder"],
        label=str(entry.get("label", entry["folder"])),
        hypothesis=None if hypothesis is None else str(hypothesis),
        control=None if control is None else str(control),
        overrides=tuple(str(text) for text in overrides) if isinstance(overrides, list) else (),
        levels=tuple((str(f), str(level)) for f, level in levels.items()) if isinstance(levels, dict) else (),
    )


def _hypotheses(content: Mapping[str, Any], arms: tuple[Arm, ...]) -> dict[str, HypothesisConf]:
    """Return the hypotheses of study.yaml, and a bare one for each that only arms name."""
    found = content.get("hypotheses")
    confs = {str(name): conf for name, conf in found.items()} if isinstance(found, dict) else {}
    names = dict.fromkeys([*confs, *(arm.hypothesis for arm in arms if arm.hypothesis is not None)])
    hypotheses = {}
    for name in names:
        conf = confs.get(name)
        known = conf if isinstance(conf, dict) else {}
        text: dict[str, Any] = {key: str(known.get(key, "")) for key in ("letter", "claim", "expect")}
        references = [Reference.model_construct(**one) for one in known.get("references") or [] if _is_reference(one)]
        # Not validated: text of an older version or an edit is shown as it is.
        declared = {key: known[key] for key in ("arms", "factors") if known.get(key)}
        hypotheses[name] = HypothesisConf.model_construct(references=references, **declared, **text)
    return hypotheses


def _is_reference(entry: object) -> bool:
    return isinstance(entry, dict) and admits(Reference, entry)


def _arms(content: Mapping[str, Any]) -> tuple[Arm, ...]:
    entries = content.get("arms")
    return tuple(arm for entry in (entries if isinstance(entries, list) else []) if (arm := _arm(entry)))


def _read_study_yaml(folder: StudyFolder) -> tuple[dict[str, Any], list[str]]:
    """Read study.yaml as far as possible; return it and what is wrong with it."""
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
    """Make the study's rule; older versions wrote only a target into study.yaml.

    Raises:
        UserError: a value is missing, unknown or out of bounds.
    """
    given = content.get("rule")
    if "rule" not in content and "target" not in content:
        raise UserError("it holds neither rule nor target.")
    return Rule.read(given if isinstance(given, dict) else {"target": content.get("target")}, "rule")


def _make_plan(content: Mapping[str, Any], runs: pd.DataFrame, rule: Rule | None) -> Plan:
    """Make the plan; if study.yaml names no arms or seeds, take them from the folders."""
    arms = _arms(content) or tuple(Arm(name, name, None, None, ()) for name in sorted(runs["arm"].unique()))
    seeds = content.get("seeds")
    numbers = [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else list(runs["seed"])
    seeds = tuple(sorted({int(seed) for seed in numbers}))
    return Plan(seeds, arms, rule, _hypotheses(content, arms), faults=_faults(content))


def _faults(content: Mapping[str, Any]) -> dict[str, Fault]:
    """Return what was planted at each grid point, without unusable entries."""
    found = content.get("faults")
    entries = found.items() if isinstance(found, dict) else ()
    return {str(control): Fault.read(entry) for control, entry in entries if admits(Fault, entry)}


def _versions(runs: pd.DataFrame) -> list[str]:
    """Return a line for each module of the user's own of which these runs have used several versions."""
    counts: dict[str, Counter[str]] = {}
    for said in runs["code"].dropna():
        for one in said.split(", "):
            name, _, version = one.rpartition(" ")
            counts.setdefault(name, Counter())[version] += 1
    return [
        f"{name} changed while the study was trained: "
        + ", ".join(f"{counted(times, 'run')} used version {version}" for version, times in found.most_common())
        + ". summary.csv, column code, has each. To compare runs of one version, train them again under another name."
        for name, found in counts.items()
        if len(found) > 1
    ]


def collect(folder: StudyFolder) -> Study:
    """Read the study and write its summary.csv.

    Raises:
        UserError: it cannot be written.
    """
    study, summary = summarised(folder, every_column=False)
    write_text(folder.summary, summary)
    return study


def read(folder: StudyFolder) -> Study:
    """Read the study, every column of its histories, and write nothing."""
    return summarised(folder, every_column=True)[0]


def summarised(folder: StudyFolder, every_column: bool = False) -> tuple[Study, str]:
    """Return the study and the text of its summary.csv; later steps use the values read back from that text."""
    content, remarks = _read_study_yaml(folder)
    planned = _arms(content)
    if not planned:
        remarks.append("study.yaml names no arms: they are taken from the folders, and nothing says what to compare.")
    found = read_runs(folder, planned, every_column)
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
    remarks += [*found.remarks, *_versions(runs)]
    told = (found.probes, found.own_scores, found.datasets, found.damaged)
    return Study(folder, plan, runs, found.history, provenance, tuple(remarks), *told), summary
