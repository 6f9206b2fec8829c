"""Figures of a factorial study: a forest plot of its contrasts, and RMSE by the levels of two factors."""

import itertools
import math

# isort: split
# Before matplotlib, which this imports without the user's settings.
from ssc_sweep.findings.drawing.style import styled

# isort: split
from matplotlib.figure import Figure

from ssc_sweep.findings.drawing.plots import MOST_ROWS, ROW, WIDTH, draw_ratios, line_style, plain, plain_log, shortened
from ssc_sweep.findings.judging.factors import Factorial, answer_text, mean_of
from ssc_sweep.study.crossing import levels_text
from ssc_sweep.verdicts.rule import Rule

MOST_PANELS = 10  # pairs of factors that are drawn

FOREST = (
    "Above the dotted line: RMSE with a change divided by RMSE without it, over all levels of the other factors. "
    "Below: RMSE with both changes divided by the product of their effects. Within the shaded band a difference does "
    "not matter. Filled marks: answered. Open marks: not yet."
)
TOGETHER = (
    "Geometric mean over seeds and the other factors, log axis. Parallel lines: the two effects multiply. Other lines: "
    "the effect of one change depends on the other. Runs that diverged are not shown."
)


def figures_of(factorial: Factorial, rule: Rule) -> list[tuple[str, str, str, str, Figure]]:
    """Return (suffix, title, caption, alt text, figure) for each figure; empty if nothing is judged."""
    if not factorial.contrasts:
        return []
    answers = "; ".join(f"{one.contrast.name}: {answer_text(one)}" for one in factorial.contrasts)
    forest = contrast_forest(factorial, rule.log_margin)
    found = [("", "What each factor does", FOREST, answers, forest)]
    together = interaction_plot(factorial)
    if together is not None:
        cells = "; ".join(f"{levels_text(c) or 'control'}: {plain(value)}" for c, value in factorial.cells.items())
        found.append(("-together", "Factors two by two", TOGETHER, cells, together))
    return found


def contrast_forest(factorial: Factorial, log_margin: float) -> Figure:
    """Draw main effects, then interactions: ratios with their intervals on a log axis."""
    shown = factorial.contrasts[:MOST_ROWS]
    with styled():
        figure = Figure(figsize=(WIDTH, 0.9 + ROW * len(shown)), layout="constrained")
        ax = figure.add_subplot()
        draw_ratios(ax, [(one.contrast.name, one.seen) for one in shown], log_margin)
        ax.set_title("times RMSE, log axis")
        mains = sum(not one.contrast.is_interaction for one in shown)
        if 0 < mains < len(shown):
            ax.axhline(mains - 0.62, color="#444444", lw=0.8, ls=":")
        return figure


def interaction_plot(factorial: Factorial) -> Figure | None:
    """Draw a panel for each pair of factors: RMSE by the level of one, a line for each level of the other.

    Parallel lines: the two effects multiply. Others: one effect depends on the other factor. None for one factor.
    """
    pairs = list(itertools.combinations(factorial.levels.items(), 2))[:MOST_PANELS]
    if not pairs:
        return None
    with styled():
        figure = Figure(figsize=(WIDTH, 2.9 * len(pairs)), layout="constrained")
        axes = figure.subplots(len(pairs), 1, squeeze=False)[:, 0]
        for ax, ((a, columns), (b, lines)) in zip(axes, pairs, strict=True):
            for i, line in enumerate(lines):
                y = [mean_of(factorial, {a: column, b: line}) for column in columns]
                # Shifted a little, so that equal lines can be seen.
                apart = 0.04 * (i - (len(lines) - 1) / 2)
                known = [(x + apart, value) for x, value in enumerate(y) if math.isfinite(value)]
                colour, marker, style = line_style(i)
                ax.plot(
                    [x for x, _ in known], [value for _, value in known], color=colour, marker=marker, ls=style, lw=1.6,
                    ms=6, label=shortened(f"{b}={line}"),
                )  # fmt: skip
            ax.set_xlim(-0.3, len(columns) - 0.7)
            ax.set_xticks(range(len(columns)), [shortened(f"{a}={column}", 24) for column in columns])
            ax.set_ylabel(f"RMSE, {factorial.unit}")
            ax.legend(loc="best")
            if any(math.isfinite(value) for value in factorial.cells.values()):
                plain_log(ax, "y")
        return figure
