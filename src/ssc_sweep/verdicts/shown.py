"""Show judgements on a terminal: answers with their numbers, and a forest plot made of characters."""

import math
from collections.abc import Mapping

from ssc_sweep.verdicts.evidence import Difference, Share
from ssc_sweep.verdicts.judge import Judgement, Matters

WIDTH = 23  # characters of a forest plot; odd, so that no difference has its own place
TITLE = "better | worse".center(WIDTH)


def share_text(share: Share) -> str:
    """Return how many runs work, and the answer: "3/12 no"."""
    return f"{share.works}/{share.n} {share.answer.value}"


def ratio_text(judgement: Judgement) -> str:
    """Return the ratio with its interval: "0.33 [0.21, 0.52]"."""
    return "other rows" if judgement.matters.answer is Matters.APART else interval_text(judgement.matters)


def interval_text(seen: Difference) -> str:
    """Return the same for any difference: "-" without pairs, "[?]" if there are too few for an interval."""
    if not seen.n:
        return "-"
    if seen.low == 0 and math.isinf(seen.high):
        return f"{short(seen.ratio)} [?]"
    # An interval that leaves out 1 by less than it is shown with.
    low = ">1.00" if seen.low > 1 and short(seen.low) == "1.00" else short(seen.low)
    high = "<1.00" if seen.high < 1 and short(seen.high) == "1.00" else short(seen.high)
    return f"{short(seen.ratio)} [{low}, {high}]"


def short(value: float) -> str:
    """Format a ratio: 0.33, 12, ∞.

    >>> short(0.333), short(12.3), short(math.inf)
    ('0.33', '12', '∞')
    """
    if math.isinf(value):
        return "∞"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def forest(judgements: Mapping[str, Judgement | None]) -> dict[str, str]:
    """Draw a line of WIDTH characters for each: its interval on a shared log axis; | is no difference."""
    return forest_of({name: j.matters if j else None for name, j in judgements.items()})


def forest_of(differences: Mapping[str, Difference | None]) -> dict[str, str]:
    """Draw the same for any differences."""
    shown = {name: seen for name, seen in differences.items() if seen and seen.n and seen.answer is not Matters.APART}
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
    for name in differences:
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
