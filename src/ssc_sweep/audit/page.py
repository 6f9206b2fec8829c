"""audit.html: findings, pictures of the columns, characteristics; one file that needs no network."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ssc_sweep.audit.arrays import some_rows
from ssc_sweep.audit.characteristics import ColumnAudit
from ssc_sweep.audit.definitions import CHARACTERISTICS
from ssc_sweep.audit.findings import RANK, Severity
from ssc_sweep.audit.forecast import FAILING
from ssc_sweep.audit.remedies import ABOUT
from ssc_sweep.audit.split_audit import Audit
from ssc_sweep.data.cohort import Floats
from ssc_sweep.writing import MARK, write_text

MOST_PICTURES = 80
MOST_ROWS = 20_000  # per side, for the pictures
MOST_BARS, BINS = 12, 24
WIDTH, HEIGHT = 240, 56  # of a picture, in its own units


@dataclass(frozen=True)
class ColumnBars:
    """A column: the shares of training and of validation rows by value, as paths of bars.

    Attributes:
        labels: of each bar if `each`, else of the two ends.
    """

    column: ColumnAudit
    train: str
    val: str
    labels: tuple[str, ...]
    each: bool
    remarks: tuple[str, ...]


def write(place: Path, audited: Audit, heading: str, words: Sequence[str]) -> None:
    """Write the page.

    Raises:
        CannotWrite: its folder cannot be written.
    """
    write_text(place, render(audited, heading, words))


def render(audited: Audit, heading: str, words: Sequence[str]) -> str:
    """Return the page as text.

    Args:
        words: of the command line, so that readers can repeat it.
    """
    ranked = worst_first(audited)
    environment = Environment(
        loader=PackageLoader("ssc_sweep.audit"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    return environment.get_template("audit.html.j2").render(
        mark=MARK,
        heading=heading,
        command=shlex.join(["python", "-m", "ssc_sweep.audit", *words]),
        audit=audited,
        counts={severity: sum(one.severity is severity for one in audited.findings) for severity in Severity},
        about=ABOUT,
        failing=FAILING,
        pictures=_pictures(audited, ranked[:MOST_PICTURES]),
        undrawn=len(ranked[MOST_PICTURES:]),
        definitions=[one for one in CHARACTERISTICS if one.name in audited.characteristics],
        width=WIDTH,
        height=HEIGHT,
    )


def number(value: float) -> str:
    """Format a number: 783, 0.982, 25.0; - for none."""
    if not math.isfinite(value):
        return "-"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.3g}"


def worst_first(audited: Audit) -> list[ColumnAudit]:
    """Return the columns by the severity of their findings, then by how many, then by their shift."""
    blame: dict[str, list[int]] = {}
    for finding in audited.findings:
        for name in finding.columns:
            blame.setdefault(name, []).append(RANK[finding.severity])
    none = [len(RANK)]

    def key(column: ColumnAudit) -> tuple[int, int, float]:
        ranks = blame.get(column.name, none)
        return min(ranks), -len(ranks), -abs(column.smd)

    return sorted(audited.columns, key=key)


def _pictures(audited: Audit, columns: Sequence[ColumnAudit]) -> list[ColumnBars]:
    cohort = audited.data.cohort
    place = {name: j for j, name in enumerate(cohort.names)}
    rows = [side.row[some_rows(len(side.row), 1, MOST_ROWS)] for side in (audited.data.train, audited.data.val)]
    at = [place[column.name] for column in columns]
    return [
        picture(one, [cohort.x[side, j] for side in rows], cohort.columns[j].levels)
        for one, j in zip(columns, at, strict=True)
    ]


def picture(column: ColumnAudit, both: Sequence[Floats], levels: Sequence[str]) -> ColumnBars:
    """Draw the shares of rows by value: a bar per value if there are few, else BINS of equal width.

    Args:
        both: the column's values in training and in validation rows, NaN for a gap.
        levels: names of the codes of a category.
    """
    sides = [values[~np.isnan(values)] for values in both]
    every = np.concatenate(sides)
    distinct = np.unique(every)
    if len(distinct) == 0:
        return ColumnBars(column, "", "", (), False, ("no value",))
    each = len(distinct) <= MOST_BARS
    if each:
        shares = [np.array([(side == value).mean() if len(side) else 0.0 for value in distinct]) for side in sides]
        labels = tuple(levels[int(value)] if levels else f"{value:g}" for value in distinct)
    else:
        edges = np.linspace(distinct[0], distinct[-1], BINS + 1)
        shares = [np.histogram(side, edges)[0] / max(len(side), 1) for side in sides]
        ends = (distinct[0], distinct[-1])
        labels = tuple(levels[int(end)] if levels else number(float(end)) for end in ends)
    top = max(float(share.max()) for share in shares) or 1.0
    return ColumnBars(column, _bars(shares[0] / top, 0), _bars(shares[1] / top, 1), labels, each, _remarks(column))


def _bars(heights: Floats, side: int) -> str:
    """Return an SVG path of bars, heights 0 to 1: training in the left half of each slot, validation in the right."""
    place = WIDTH / len(heights)
    wide = min(place * 0.42, 26)
    parts = []
    for i, height in enumerate(heights):
        if height > 0:
            # Keep rare values visible.
            tall = max(float(height) * (HEIGHT - 2), 1.0)
            left = place * (i + 0.5) - (wide if side == 0 else 0)
            parts.append(f"M{left:.1f} {HEIGHT}v-{tall:.1f}h{wide:.1f}v{tall:.1f}z")
    return "".join(parts)


def _remarks(column: ColumnAudit) -> tuple[str, ...]:
    """Return remarks on the numbers of a column, a few words each."""
    found = []
    if column.constant:
        found.append("constant in training")
    if column.code is not None:
        found.append(f"code {column.code:g}? {100 * column.code_train:.0f}% → {100 * column.code_val:.0f}%")
    if math.isfinite(column.max_z):
        found.append(f"|z| up to {number(column.max_z)} (training {number(column.max_z_train)})")
    if abs(column.smd) >= 0.05:
        found.append(f"mean {column.smd:+.2f} sd")
    if column.unseen:
        found.append(f"new: {', '.join(column.unseen[:4])}{' …' if len(column.unseen) > 4 else ''}")
    if max(column.gaps_train, column.gaps_val) > 0:
        found.append(f"gaps {100 * column.gaps_train:.0f}% → {100 * column.gaps_val:.0f}%")
    if abs(column.order) > 0.5:
        found.append(f"row number r {column.order:+.2f}")
    return tuple(found)
