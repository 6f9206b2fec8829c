"""The answer of a study in a sentence or two, shown first on the terminal and in the report."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssc_sweep.findings.judging.arm_verdicts import UNKNOWN_UNIT, ArmVerdict, scaled_rmse_of, unit_of
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.lines import counted
from ssc_sweep.study.job import Status
from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.judge import Matters, Verdict, Works
from ssc_sweep.verdicts.scoring import NamingScore, PlantedStudy

MOST_NAMED = 5
CAUSES = (Cause.CAUSE, Cause.PART, Cause.AT_LEAST_A_PART)
# A run was still learning if its RMSE fell by this share or more in each of the last epochs that are compared: three,
# or the two that a short run has. Fewer epochs, or fewer runs, would call chance a trend.
STILL_FALLING, FALLS, FEWEST_FALLS, FEWEST_RUNS = 0.01, 3, 2, 3
# A median this near the target, over this many runs, says that the target cuts through the runs.
ABOUT, FEWEST_ABOUT = 0.05, 10


@dataclass(frozen=True)
class Conclusion:
    """The verdict on a hypothesis.

    Attributes:
        name: with its letter, and its grid point if there are several.
        control: folder of the control that it was tested against.
    """

    name: str
    claim: str
    cause: Cause
    control: str


def conclusions_of(verdicts: Sequence[ArmVerdict]) -> list[Conclusion]:
    """Return one conclusion for each hypothesis at each grid point."""
    found: dict[tuple[str, str], Conclusion] = {}
    points = {v.arm.control for v in verdicts}
    for v in verdicts:
        at = f" against {v.control_label}" if len(points) > 1 else ""
        if v.cause is not None:
            name = f"{v.letter} {v.arm.hypothesis}".strip() + at
            control = v.arm.control or ""
            found.setdefault((v.arm.hypothesis or "", control), Conclusion(name, v.claim, v.cause, control))
    return list(found.values())


def headline(verdicts: Sequence[ArmVerdict]) -> str:
    """Return the answer in one or two sentences: which suspect is the cause, and whether anything works."""
    found = conclusions_of(verdicts)
    if not found:
        notes = list(dict.fromkeys(v.note for v in verdicts))
        return notes[0] if len(notes) == 1 else "No verdict on any arm." if notes else ""
    void = [one.name for one in found if one.cause is Cause.VOID]
    tested = [one for one in found if one.cause not in (Cause.VOID, Cause.COMPARED)]
    told = [
        _causes(tested) if tested else "",
        _compared([v for v in verdicts if v.cause is Cause.COMPARED]),
        f"Not tested, since the change changes nothing here: {_listed(void)}." if void else "",
        _working(verdicts),
    ]
    return " ".join(part for part in told if part)


def _with_unit(value: float, study: Study) -> str:
    unit = unit_of(study)
    return f"{value:.3g}" + ("" if unit == UNKNOWN_UNIT else f" {unit}")


def lowest(study: Study) -> str:
    """Return the answer of a study without a control: its arm with the lowest median RMSE; "" if no run has one."""
    known = study.runs.dropna(subset=["rmse"])
    medians = {str(arm): float(mine["rmse"].median()) for arm, mine in known.groupby("arm")}
    if not medians:
        return ""
    best = min(medians, key=lambda arm: medians[arm])
    label = next((arm.label for arm in study.plan.arms if arm.folder == best), best)
    number = _with_unit(medians[best], study)
    runs = counted(int((known["arm"] == best).sum()), "run")
    which = (
        f"Of {len(medians)} arms, {label} has the lowest median RMSE"
        if len(medians) > 1
        else f"The median RMSE of {label}"
    )
    return f"{which}: {number} over {runs}. No arm has a control, so nothing is judged."


def trivial(study: Study) -> list[str]:
    """Return a line if predicting the mean meets the target at every seed."""
    rule, means = study.rule, study.ended["mean_predictor_rmse"].dropna()
    if rule is None or rule.target is None or means.empty or means.max() >= rule.target:
        return []
    return [
        f"Predicting the mean meets the target too, with an RMSE of {_with_unit(means.max(), study)} at most. "
        f"target=null counts a run as working only if it beats that by {rule.beats_mean:.0%}."
    ]


def working_so_far(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each control under suspicion whose runs all work, while it is open whether it works."""
    failed = study.runs[study.runs["status"] == Status.FAILED]["arm"]
    failing = {study.plan.labels[arm] for arm in failed if arm in study.plan.labels}
    runs = {v.control_label: v.judgement.control for v in verdicts if v.judgement and v.expect == "improves"}
    return [
        f"All runs of the {label} work so far ({one.n} of {one.n}): there may be nothing to explain."
        for label, one in runs.items()
        if one.answer is Works.OPEN and one.works == one.n >= FEWEST_RUNS and label not in failing
    ]


def failed_beside(study: Study) -> list[str]:
    """Return a line that names the arms of which some runs failed, while others count."""
    failed = study.runs[study.runs["status"] == Status.FAILED]["arm"].value_counts()
    counting = study.counting["arm"].value_counts()
    named = [
        f"{study.plan.labels[arm]} ({failed[arm]} of {failed[arm] + counting[arm]})"
        for arm in dict.fromkeys(arm.folder for arm in study.plan.arms)
        if arm in failed.index and arm in counting.index
    ]
    if not named:
        return []
    return [
        f"Runs that failed count nowhere: {_listed(named, 'and')}. If the model raises only where it does badly, what "
        "is left looks better than it is."
    ]


def near_the_target(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line that names the arms whose runs lie about the target: with another one the answer may change."""
    if study.rule is None:
        return []
    shares = {v.arm.folder: v.judgement.works for v in verdicts if v.judgement}
    shares |= {v.arm.control: v.judgement.control for v in verdicts if v.judgement and v.arm.control}
    named = []
    for arm, share in shares.items():
        median = float(scaled_rmse_of(study, arm).median())
        if share.n >= FEWEST_ABOUT and abs(median / study.rule.threshold - 1) < ABOUT:
            named.append(study.plan.labels[arm])
    if not named:
        return []
    return [
        f"Whether it works hangs on the target: the median RMSE of {_listed(named, 'and')} is within {ABOUT:.0%} of "
        "it. With another target (rule.beats_mean or target=<RMSE>) take seeds that were not looked at: another "
        "first_seed and study=<name>."
    ]


def model_of_controls(study: Study) -> list[str]:
    """Return a line that names the model of each control if the study has several models."""
    models = study.runs.dropna(subset=["model"]).groupby("arm")["model"].first()
    controls = dict.fromkeys(arm.control for arm in study.plan.arms if arm.control)
    if models.nunique() < 2:
        return []
    labels = {name: study.plan.labels[name] for name in controls if name in models}
    return [f"Model of the {label}: {models[name]}." for name, label in labels.items() if "model=" not in label]


def seedless(study: Study) -> list[str]:
    """Return a line that names the arms whose runs have one RMSE at every seed."""
    runs = study.counting.groupby("arm")["rmse"].agg(["size", "count", "nunique"])
    alike = set(runs.index[(runs["count"] == runs["size"]) & (runs["size"] >= FEWEST_RUNS) & (runs["nunique"] == 1)])
    named = [study.plan.labels[arm.folder] for arm in study.plan.arms if arm.folder in alike]
    if not named:
        return []
    return [f"RMSE is the same at every seed of {_listed(named, 'and')}: more seeds are no more evidence there."]


def unfinished(study: Study) -> list[str]:
    """Return a line that names the arms whose RMSE was still falling when training ended, in most of their runs."""
    if "val_rmse" not in study.history:
        return []
    finished = study.ended.loc[study.ended["status"] == Status.FINISHED, ["arm", "seed"]]
    epochs = study.history[study.history["kind"] == "epoch"].merge(finished, on=["arm", "seed"])
    run = ["arm", "seed"]
    # The last epoch is left out: it is measured on all rows, and those before it on a sample where there are many.
    epochs = epochs[epochs.groupby(run).cumcount(ascending=False) > 0]
    by_run = epochs.groupby(run)
    fell = 1 - epochs["val_rmse"] / by_run["val_rmse"].shift() >= STILL_FALLING
    compared = (by_run.cumcount() > 0) & (by_run.cumcount(ascending=False) < FALLS)
    falls = epochs.assign(fell=fell)[compared].groupby(run)["fell"].agg(["size", "all"])
    learning = falls[(falls["size"] >= FEWEST_FALLS) & falls["all"]].groupby(level="arm").size()
    runs = study.counting["arm"].value_counts()
    named = [
        study.plan.labels[arm.folder]
        for arm in study.plan.arms
        if runs.get(arm.folder, 0) >= FEWEST_RUNS and learning.get(arm.folder, 0) > runs[arm.folder] / 2
    ]
    if not named:
        return []
    return [
        f"RMSE was still falling by {STILL_FALLING:.0%} or more in every epoch when training ended, in most runs of "
        f"{_listed(named, 'and')}. More epochs may lower it, and change a verdict."
    ]


def remarks(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return what a reader should know beside the verdicts, a line each."""
    return [
        *model_of_controls(study),
        *trivial(study),
        *failed_beside(study),
        *working_so_far(study, verdicts),
        *near_the_target(study, verdicts),
        *seedless(study),
        *unfinished(study),
    ]


def score_of(study: Study, verdicts: Sequence[ArmVerdict]) -> NamingScore | None:
    """Return how well the verdicts name the planted faults; None if the study has none."""
    named: dict[str, set[str]] = {control: set() for control in study.plan.faults}
    labels = {v.arm.control: v.control_label for v in verdicts}
    unjudged = {v.arm.control for v in verdicts if v.lacks_judgement}
    for v in verdicts:
        if v.cause is Cause.CAUSE and v.arm.control in named:
            named[v.arm.control].add(v.arm.hypothesis or "")
    studies = [
        PlantedStudy(
            str(labels[control]),
            fault.name,
            tuple(fault.named_by),
            tuple(sorted(named[control])),
            judged=control not in unjudged,
        )
        for control, fault in study.plan.faults.items()
        if control in labels
    ]
    return NamingScore(tuple(studies)) if studies else None


def score_lines(score: NamingScore) -> list[str]:
    """Return a line for each study whose fault was not named, or not alone."""
    return [
        f"{one.at}: {f'named {listed}' if (listed := ', '.join(one.named)) else one.naming}, planted {one.fault}"
        + (f" (named by {' or '.join(one.named_by)})" if one.named_by else "")
        for one in score.wrong
    ]


def _causes(found: Sequence[Conclusion]) -> str:
    by: dict[Cause, list[str]] = {}
    for one in found:
        by.setdefault(one.cause, []).append(one.name)
    parts = [*by.get(Cause.PART, ()), *by.get(Cause.AT_LEAST_A_PART, ())]
    if Cause.NOTHING_WRONG in by and len(by) == 1:
        return "The control works: there is nothing to explain."
    if Cause.CAUSE in by:
        also = f" A part of it: {_listed(parts)}." if parts else ""
        return f"The cause: {_listed(by[Cause.CAUSE])}.{also}"
    if Cause.AT_LEAST_A_PART in by or (parts and Cause.OPEN in by):
        return f"At least a part of the cause: {_listed(parts)}."
    if parts:
        return f"A part of the cause: {_listed(parts)}. None is the whole of it."
    claimed = [*by.get(Cause.HARMS, ()), *by.get(Cause.SAME, ())]
    if claimed or Cause.NOT_SO in by:
        told = [f"As claimed: {_listed(claimed)}."] if claimed else []
        told += [f"Not as claimed: {_listed(by[Cause.NOT_SO])}."] if Cause.NOT_SO in by else []
        return " ".join(told)
    if Cause.OPEN in by:
        return "The cause is open: too few seeds to tell."
    if Cause.NOT_ALONE in by:
        if len(found) == 1:
            return f"{found[0].name} is not the cause by itself; whether changing it helps is open."
        maybe = _listed(by[Cause.NOT_ALONE], "or")
        return f"None of the suspects is the cause by itself; whether changing {maybe} helps is open."
    return "None of the suspects is the cause." if len(found) > 1 else f"{found[0].name} is not the cause."


def _compared(verdicts: Sequence[ArmVerdict]) -> str:
    """Say of the arms of comparisons which are better than the control, and which are not."""
    parts = []
    for answer, title in (
        (Matters.BETTER, "Lower RMSE than the control"),
        (Matters.WORSE, "Higher RMSE"),
        (Matters.SAME, "RMSE no different beyond the margin"),
        (Matters.OPEN, "Open"),
        (Matters.APART, "On other rows, not compared"),
    ):
        if labels := [v.arm.label for v in verdicts if v.judgement and v.judgement.matters.answer is answer]:
            parts.append(f"{title}: {_listed(labels)}.")
    return " ".join(parts)


def causes_that_may_be_one(verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each control that several changes of different keys make work, each by itself."""
    lines = []
    found = conclusions_of(verdicts)
    for control in dict.fromkeys(one.control for one in found):
        here = [one for one in found if one.control == control and one.cause is Cause.CAUSE]
        causes = [v for v in verdicts if v.arm.control == control and v.cause is Cause.CAUSE]
        keys = [_keys([v for v in causes if v.arm.hypothesis == name]) for name in {v.arm.hypothesis for v in causes}]
        if len(here) > 1 and len(set().union(*keys)) == sum(map(len, keys)):
            which = "both are" if len(here) == 2 else "all are"
            lines.append(
                f"Each makes it work by itself: {_listed([one.name for one in here], 'and')}. So it fails only where "
                f"{which} as in the control, and they may be one cause. Crossed as factors they show what one adds to "
                "the other."
            )
    return lines


def _keys(verdicts: Sequence[ArmVerdict]) -> set[str]:
    """Return the keys that these arms change."""
    return {word.partition("=")[0] for v in verdicts for word in shlex.split(v.change)}


def cleared_beside_a_cause(verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each control with a cause that names the suspects cleared beside it."""
    lines = []
    found = conclusions_of(verdicts)
    for control in dict.fromkeys(one.control for one in found):
        here = [one for one in found if one.control == control]
        causes = [one.name for one in here if one.cause in CAUSES]
        cleared = [one.name for one in here if one.cause in (Cause.NEITHER, Cause.NOT_ALONE)]
        if causes and cleared:
            lines.append(
                f"Tested with {_listed(causes, 'and')} as in the control, which may hide an effect: "
                f"{_listed(cleared, 'and')}. Test again on top of a change that helps{_in_words(verdicts, control)}."
            )
    return lines


def _in_words(verdicts: Sequence[ArmVerdict], control: str) -> str:
    """Say how to make the change of a named cause part of the control; "" where that may contradict the study.

    The change is that of an arm that makes it work, if there is one, on the same rows, if there is one, with the fewest
    words. A study with several points, or factors, may set the same keys, and so may a suspect that was cleared.
    """
    if len({v.arm.control for v in verdicts}) > 1 or any(v.arm.levels for v in verdicts):
        return ""
    helping = [
        (v.judgement.verdict is not Verdict.MAKES_IT_WORK, v.judgement.matters.answer is Matters.APART, v.change)
        for v in verdicts
        if v.judgement and v.arm.control == control and v.cause in CAUSES
        if v.judgement.verdict is Verdict.MAKES_IT_WORK or v.judgement.matters.answer is Matters.BETTER
    ]
    *_, change = min(helping, key=lambda one: (*one[:2], one[2].count(" ")))
    cleared = _keys([v for v in verdicts if v.cause in (Cause.NEITHER, Cause.NOT_ALONE)])
    if cleared & {word.partition("=")[0] for word in shlex.split(change)}:
        return ""
    return f": add {change} and another study=<name> to the command"


def on_causes(verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return what to test next, a line each: on causes that may be one, and on suspects cleared beside a cause."""
    return [*causes_that_may_be_one(verdicts), *cleared_beside_a_cause(verdicts)]


def _working(verdicts: Sequence[ArmVerdict]) -> str:
    """Say which changes work; an arm whose change changes nothing is none."""
    verdicts = [v for v in verdicts if v.judgement is None or not v.judgement.changes_nothing]
    if not verdicts:
        return ""
    works = [v.arm.label for v in verdicts if v.judgement and v.judgement.works.answer is Works.YES]
    controls = {v.control_label: v.judgement.control.answer for v in verdicts if v.judgement}
    if works:
        compared = any(v.cause is Cause.COMPARED for v in verdicts)
        too = [label for label, answer in controls.items() if compared and answer is Works.YES]
        unsure = [label for label, answer in controls.items() if answer is Works.OPEN]
        more = f" Whether the {_listed(unsure, 'or')} works is open." if unsure else ""
        return f"What works: {_listed([*too, *works])}.{more}"
    # An arm that was not judged, because its runs crashed, may work.
    maybe = [
        v.arm.label
        for v in verdicts
        if v.lacks_judgement or (v.judgement is not None and v.judgement.works.answer is Works.OPEN)
    ]
    if len(set(maybe)) > MOST_NAMED:
        return f"Whether any of {len(set(maybe))} arms works is open."
    if maybe:
        return f"Whether {_listed(maybe, 'or')} works is open."
    control_works = any(v.judgement and v.judgement.control.answer is Works.YES for v in verdicts)
    return "No change works." if control_works else "Nothing works."


def _listed(names: Iterable[str], last: str = "", most: int = MOST_NAMED) -> str:
    unique = list(dict.fromkeys(names))
    between = "; " if any(", " in name for name in unique) else ", "  # an arm of several changes has commas of its own
    if len(unique) > most:
        return between.join(unique[:most]) + f" and {len(unique) - most} more"
    if last and len(unique) > 1:
        before = "; " if between == "; " else " "
        return f"{between.join(unique[:-1])}{before}{last} {unique[-1]}"
    return between.join(unique)
