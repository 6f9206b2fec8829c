"""The answer of a study in a sentence or two, shown first on the terminal and in the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict, with_unit
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.lines import MOST_NAMED, counted, listed
from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.judge import Matters, Verdict, Works
from ssc_sweep.verdicts.scoring import NamingScore, PlantedStudy

CAUSES = (Cause.CAUSE, Cause.PART, Cause.AT_LEAST_A_PART)


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


def on_hypotheses(verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line with the verdict on each hypothesis; a comparison claims nothing, so there is none."""
    found = conclusions_of(verdicts)
    return [f"{one.name}: {one.cause.value}" for one in found if one.cause is not Cause.COMPARED]


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
        f"Not tested, since the change changes nothing here: {listed(void)}." if void else "",
        _working(verdicts),
    ]
    return " ".join(part for part in told if part)


def lowest(study: Study) -> str:
    """Return the answer of a study without a control: its arm with the lowest median RMSE; "" if no run has one."""
    known = study.runs.dropna(subset=["rmse"])
    medians = {str(arm): float(mine["rmse"].median()) for arm, mine in known.groupby("arm")}
    if not medians:
        return ""
    best = min(medians, key=lambda arm: medians[arm])
    label = next((arm.label for arm in study.plan.arms if arm.folder == best), best)
    number = with_unit(medians[best], study)
    runs = counted(int((known["arm"] == best).sum()), "run")
    which = (
        f"Of {len(medians)} arms, {label} has the lowest median RMSE"
        if len(medians) > 1
        else f"The median RMSE of {label}"
    )
    return f"{which}: {number} over {runs}. No arm has a control, so nothing is judged."


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
        f"{one.at}: {f'named {named}' if (named := ', '.join(one.named)) else one.naming}, planted {one.fault}"
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
        also = f" A part of it: {listed(parts)}." if parts else ""
        return f"The cause: {listed(by[Cause.CAUSE])}.{also}"
    if Cause.AT_LEAST_A_PART in by or (parts and Cause.OPEN in by):
        return f"At least a part of the cause: {listed(parts)}."
    if parts:
        return f"A part of the cause: {listed(parts)}. None is the whole of it."
    claimed = [*by.get(Cause.HARMS, ()), *by.get(Cause.SAME, ())]
    if claimed or Cause.NOT_SO in by:
        told = [f"As claimed: {listed(claimed)}."] if claimed else []
        told += [f"Not as claimed: {listed(by[Cause.NOT_SO])}."] if Cause.NOT_SO in by else []
        return " ".join(told)
    if Cause.OPEN in by:
        return "The cause is open: too few seeds to tell."
    if Cause.NOT_ALONE in by:
        if len(found) == 1:
            return f"{found[0].name} is not the cause by itself; whether changing it helps is open."
        maybe = listed(by[Cause.NOT_ALONE], "or")
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
            parts.append(f"{title}: {listed(labels)}.")
    return " ".join(parts)


def causes_that_may_be_one(verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each control that several changes of different keys make work, each by itself."""
    lines = []
    found = conclusions_of(verdicts)
    for control in dict.fromkeys(one.control for one in found):
        here = [one for one in found if one.control == control and one.cause is Cause.CAUSE]
        keys: dict[str | None, set[str]] = {}
        for v in verdicts:
            if v.arm.control == control and v.cause is Cause.CAUSE:
                keys.setdefault(v.arm.hypothesis, set()).update(v.changes)
        if len(here) > 1 and len(set().union(*keys.values())) == sum(map(len, keys.values())):
            which = "both are" if len(here) == 2 else "all are"
            lines.append(
                f"Each makes it work by itself: {listed([one.name for one in here], 'and')}. So it fails only where "
                f"{which} as in the control, and they may be one cause. Crossed as factors they show what one adds to "
                "the other."
            )
    return lines


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
                f"Tested with {listed(causes, 'and')} as in the control, which may hide an effect: "
                f"{listed(cleared, 'and')}. Test again on top of a change that helps{_in_words(verdicts, control)}."
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
        v
        for v in verdicts
        if v.judgement and v.arm.control == control and v.cause in CAUSES
        if v.judgement.verdict is Verdict.MAKES_IT_WORK or v.judgement.matters.answer is Matters.BETTER
    ]
    best = min(helping, key=_how_much_it_helps)
    cleared = {key for v in verdicts if v.cause in (Cause.NEITHER, Cause.NOT_ALONE) for key in v.changes}
    return "" if cleared & set(best.changes) else f": add {best.words} and another study=<name> to the command"


def _how_much_it_helps(v: ArmVerdict) -> tuple[bool, bool, int]:
    """Return a key that puts first what makes the model work, then what has the control's rows, then few changes."""
    assert v.judgement is not None
    apart = v.judgement.matters.answer is Matters.APART
    return v.judgement.verdict is not Verdict.MAKES_IT_WORK, apart, len(v.changes)


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
        more = f" Whether the {listed(unsure, 'or')} works is open." if unsure else ""
        return f"What works: {listed([*too, *works])}.{more}"
    # An arm that was not judged, because its runs crashed, may work.
    maybe = [
        v.arm.label
        for v in verdicts
        if v.lacks_judgement or (v.judgement is not None and v.judgement.works.answer is Works.OPEN)
    ]
    if len(set(maybe)) > MOST_NAMED:
        return f"Whether any of {len(set(maybe))} arms works is open."
    if maybe:
        return f"Whether {listed(maybe, 'or')} works is open."
    control_works = any(v.judgement and v.judgement.control.answer is Works.YES for v in verdicts)
    return "No change works." if control_works else "Nothing works."
