"""The verdict on a hypothesis: what its arms together show about the suspected cause."""

from collections.abc import Sequence
from enum import StrEnum

from ssc_sweep.verdicts.evidence import Matters, Works
from ssc_sweep.verdicts.judge import Judgement, Verdict


class Cause(StrEnum):
    """The values are the sentences in the report; `it` is what the hypothesis suspects."""

    CAUSE = "The cause: changing it makes it work."
    PART = "A part of the cause: changing it helps, but it still fails."
    AT_LEAST_A_PART = "At least a part of the cause: changing it helps; whether that is enough is open."
    NOT_ALONE = "Not the cause by itself: changing it is not enough; whether it helps is open, or not compared."
    NEITHER = "Not the cause: changing it does not help beyond the margin."
    OPEN = "Open: too few seeds to tell."
    NOTHING_WRONG = "Nothing to explain: the control works."
    HARMS = "As claimed: it makes the result worse."
    SAME = "As claimed: it makes no difference beyond the margin."
    NOT_SO = "Not as claimed."
    VOID = "Not tested: the change changes nothing here."
    COMPARED = "A comparison: each arm has its own answer."


def conclude(arms: Sequence[Judgement], expect: str, of: int | None = None) -> Cause | None:
    """Judge a hypothesis by its arms against one control; None if none of its arms was judged.

    A claim that a change has an effect is not tested if every arm equals the control to the last digit: for example a
    missing-value code that no cell holds. Otherwise, for a claim that it improves (`expect`), the first line that
    applies:

    1. The control works -> nothing to explain.
    2. An arm makes it work -> the cause.
    3. An arm is better -> a part if every arm fails, else at least a part.
    4. Every arm is worse or makes no difference -> not the cause.
    5. Every arm fails, is worse or makes no difference -> not the cause by itself.
    6. Else -> open.

    A claim that it worsens, or makes no difference, holds if every arm does so, and fails if one does otherwise. A
    comparison claims nothing.

    Args:
        arms: that were judged.
        of: how many arms it has; None: these. An arm whose runs all crashed is not judged, and no line about every arm
            then applies.
    """
    if not arms:
        return None
    whole = of is None or len(arms) == of
    matters = [arm.matters.answer for arm in arms]
    if expect != "no_difference" and whole and all(arm.changes_nothing for arm in arms):
        return Cause.VOID
    if expect == "nothing":
        return Cause.COMPARED
    if expect in ("worsens", "no_difference"):
        claimed = Matters.WORSE if expect == "worsens" else Matters.SAME
        if whole and all(answer is claimed for answer in matters):
            return Cause.HARMS if claimed is Matters.WORSE else Cause.SAME
        otherwise = set(matters) & ({Matters.BETTER, Matters.WORSE, Matters.SAME} - {claimed})
        return Cause.NOT_SO if otherwise else Cause.OPEN
    if arms[0].control.answer is Works.YES:
        return Cause.NOTHING_WRONG
    if any(arm.verdict is Verdict.MAKES_IT_WORK for arm in arms):
        return Cause.CAUSE
    if Matters.BETTER in matters:
        return Cause.PART if whole and all(arm.works.answer is Works.NO for arm in arms) else Cause.AT_LEAST_A_PART
    if not whole:
        return Cause.OPEN
    useless = [answer in (Matters.WORSE, Matters.SAME) for answer in matters]
    if all(useless):
        return Cause.NEITHER
    if all(no or arm.works.answer is Works.NO for no, arm in zip(useless, arms, strict=True)):
        return Cause.NOT_ALONE
    return Cause.OPEN
