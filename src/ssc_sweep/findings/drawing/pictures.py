"""Pictures: a figure with its words, on the page and in figures/; the forest plots of a study's verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

# isort: split
# Before matplotlib, which this imports without the user's settings.
from ssc_sweep.findings.drawing import style  # noqa: F401

# isort: split
from matplotlib.figure import Figure

from ssc_sweep.findings.drawing.plots import ForestRow, as_png, as_svg, verdict_forest
from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.writing import write_file, write_text

FIRST_ARMS = 10  # in the forest plot of the first screen, which has no room for more


@dataclass(frozen=True)
class Picture:
    """A figure in the report and its files in figures/."""

    name: str
    title: str
    caption: str
    alt: str
    source: str  # data URI


def picture(study: Study, name: str, title: str, caption: str, alt: str, figure: Figure) -> Picture:
    """Write a figure to figures/ as SVG and PNG, and prepare it for the page."""
    svg, png, folder = as_svg(figure), as_png(figure), study.folder.path / "figures"
    write_text(folder / f"{name}.svg", svg)
    write_file(folder / f"{name}.png", lambda beside: beside.write_bytes(png))
    return Picture(name, title, caption, alt, "data:image/svg+xml," + quote(svg, safe=" =:;/,()@&?!*+-.'"))


def picture_of_verdicts(study: Study, verdicts: Sequence[ArmVerdict], name: str, title: str) -> Picture | None:
    """Draw the forest plot: ratio and share of runs that work of each arm; None if nothing is judged."""
    judged = [v for v in verdicts if v.judgement is not None]
    if not judged or study.rule is None:
        return None
    rows = [ForestRow(v.arm.label, v.judgement.matters, v.judgement.works) for v in judged if v.judgement]
    wide = " A line across the whole plot: too few seeds for an interval." if any(_endless(v) for v in judged) else ""
    caption = (
        "Left: RMSE of the arm divided by RMSE of its control, seed by seed. Left of 1 is better; within the shaded "
        f"band the difference does not matter.{wide} Right: share of runs that work. An arm works if its whole "
        f"interval lies above {study.rule.works_share:.0%}. Filled marks: answered. Open marks: not yet."
    )
    alt = "; ".join(f"{v.arm.label}: {v.sentence}" for v in judged)
    figure = verdict_forest(rows, study.rule.log_margin, study.rule.works_share)
    return picture(study, name, title, caption, alt, figure)


def _endless(verdict: ArmVerdict) -> bool:
    assert verdict.judgement is not None
    seen = verdict.judgement.matters
    return seen.n > 0 and seen.low == 0 and math.isinf(seen.high)


def pictures_of_verdicts(study: Study, verdicts: Sequence[ArmVerdict]) -> tuple[Picture | None, Picture | None]:
    """Draw the forest plot of the first screen and, where that has no room for every arm, the one of all arms."""
    whole = picture_of_verdicts(study, verdicts, "forest", "Every arm against its control")
    judged = [v for v in verdicts if v.judgement is not None]
    if len(judged) <= FIRST_ARMS:
        return whole, None
    best = sorted(judged, key=_promise)[:FIRST_ARMS]
    title = f"The {FIRST_ARMS} best of {len(judged)} arms against their control"
    return picture_of_verdicts(study, best, "forest-best", title), whole


def _promise(verdict: ArmVerdict) -> tuple[bool, float, float]:
    """Return a key by which arms that are shown to work come first, then those with the lowest ratio."""
    assert verdict.judgement is not None
    works, matters = verdict.judgement.works, verdict.judgement.matters
    ratio = matters.ratio if math.isfinite(matters.ratio) else math.inf
    return works.answer is not Works.YES, ratio, -works.works / max(works.n, 1)
