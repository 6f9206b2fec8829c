"""Judgements as text for a terminal: answers with their numbers, and a forest plot made of characters."""

import math
from collections.abc import Mapping

from ssc_sweep.verdicts.judge import Judgement, Matters

WIDTH = 23  # characters of a forest plot; odd, so that no difference has a place of its own
TITLE = "better | worse".center(WIDTH)


def share_text(judgement: Judgement) -> str:
    """How many runs work, and the answer: "3/12 no"."""
    return f"{judgement.works.works}/{judgement.works.n} {judgement.works.answer.value}"


def ratio_text(judgement: Judgement) -> str:
    """The ratio with its interval: "0.33 [0.21, 0.52]"."""
    seen = judgement.matters
    if seen.answer is Matters.APART:
        return "other rows"
    if not seen.n:
        return "-"
    if seen.low == 0 and math.isinf(seen.high):
        return f"{_short(seen.ratio)} [?]"
    return f"{_short(seen.ratio)} [{_short(seen.low)}, {_short(seen.high)}]"


def _short(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def forest(judgements: Mapping[str, Judgement | None]) -> dict[str, str]:
    """A line of WIDTH characters for each: its interval on a log axis that all share; | is no difference."""
    shown = {
        name: j.matters for name, j in judgements.items() if j and j.matters.n and j.matters.answer is not Matters.APART
    }
    ends = [abs(math.log(end)) for one in shown.values() for end in (one.low, one.ratio, one.high) if _drawable(end)]
    reach = max(ends, default=0.0) or 1.0
    middle = WIDTH // 2

    def place(value: float) -> int:
        if value <= 0:
            return 0
        if math.isinf(value):
            return WIDTH - 1
        return round(middle + math.log(value) / reach * middle)

    lines = {}
    for name in judgements:
        line = [" "] * WIDTH
        line[middle] = "|"
        if name in shown and not (shown[name].low == 0 and math.isinf(shown[name].high)):
            one = shown[name]
            for at in range(place(one.low), place(one.high) + 1):
                line[at] = "-" if line[at] == " " else "+"
            line[place(one.ratio)] = "o"
        lines[name] = "".join(line)
    return lines


def _drawable(value: float) -> bool:
    return value > 0 and math.isfinite(value)
