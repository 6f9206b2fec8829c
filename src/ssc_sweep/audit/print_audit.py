"""Show the audit on a terminal: the worst first, one line per finding at any width."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ssc_sweep.audit.findings import Finding, Severity
from ssc_sweep.audit.forecast import FAILING
from ssc_sweep.audit.split_audit import Audit

GAP = INDENT = 2
WIDEST_NAMES, WIDEST_WORD, USUAL_WORD = 60, 40, 24
MOST_LINES = 12  # about what training refuses
# Colours that show on a dark and on a light terminal; yellow and cyan vanish on white, blue on black.
COLOURS = {
    Severity.REFUSED: "bold red", Severity.SEVERE: "bold red", Severity.WARNING: "bold magenta", Severity.NOTE: "bold",
}  # fmt: skip


def render(audited: Audit, heading: str, width: int) -> RenderableType:
    """Build the table for a terminal with lines of this many cells."""
    lines: list[RenderableType] = [Text(heading, style="bold"), Text()]
    if not audited.findings:
        lines.append(Text("Nothing found."))
    refused = [one for one in audited.findings if one.severity is Severity.REFUSED]
    if refused:
        lines.append(Text("refused by training", style=COLOURS[Severity.REFUSED]))
        lines += [indented(one.what) for one in refused[:MOST_LINES]]
        if len(refused) > MOST_LINES:
            lines.append(Text(f"  and {len(refused) - MOST_LINES:,} more: format=json has them all"))
    rest = [one for one in audited.findings if one.severity is not Severity.REFUSED]
    if rest:
        lines += _table(rest, width)
        if long := dict.fromkeys(one.override for one in rest if len(one.override) > _word(rest, width)):
            lines += [
                Text("in full", style="dim"),
                *map(indented, long),
            ]
        if any(one.override.lstrip("'").startswith("dataset.missing") for one in rest):
            lines.append(Text("to test it first: the same with dataset.codes, and hypothesis=codes", style="dim"))
    if audited.p_fail is not None:
        told = f"forecast: {audited.model} fails with probability {audited.p_fail:.2f}"
        lines += [
            Text(),
            Text.assemble((told, "bold"), f" ({FAILING})"),
        ]
        lines += [indented(reason) for reason in audited.reasons]
    return Group(*lines)


def indented(line: str) -> Padding:
    """Return a line that is not filled up with spaces, so that it can be copied."""
    return Padding(Text(line, overflow="fold"), (0, 0, 0, INDENT), expand=False)


def _word(found: Sequence[Finding], width: int) -> int:
    """Return the number of cells for the overrides."""
    return min(max(len("try"), *(len(one.override) for one in found)), WIDEST_WORD, max(width // 4, USUAL_WORD))


def _table(found: Sequence[Finding], width: int) -> list[Text]:
    """Return a line per finding, under its severity."""
    what = max(len(one.what) for one in found) + GAP
    word = _word(found, width)
    names = max(min(width - GAP - what - GAP - word, WIDEST_NAMES), 8)
    lines = [Text(f"  {'finding':<{what}}{'columns':<{names}}{' ' * GAP}try", style="dim", no_wrap=True)]
    for severity, group in groupby(found, key=lambda one: one.severity):
        lines.append(Text(severity.value, style=COLOURS[severity]))
        for one in group:
            line = f"  {one.what:<{what}}{some(one.columns, names):<{names}}{' ' * GAP}{_cut(one.override, word)}"
            lines.append(Text(line.rstrip(), no_wrap=True, overflow="ellipsis"))
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def some(names: Sequence[str], width: int) -> str:
    """Return as many names as fit, and how many more there are; at least the first, cut if it is too long.

    >>> some(["age", "sex", "race"], 8)
    'age +2'
    """
    for count in range(len(names), 0, -1):
        more = f" +{len(names) - count:,}" if count < len(names) else ""
        text = ", ".join(names[:count]) + more
        if len(text) <= width:
            return text
        if count > width:
            continue
    if not names:
        return ""
    more = f" +{len(names) - 1:,}" if len(names) > 1 else ""
    return f"{names[0][: max(width - len(more) - 1, 1)]}…{more}"


def show(audited: Audit, heading: str) -> None:
    """Print the audit."""
    console = Console(highlight=False)
    console.print(render(audited, heading, console.width), soft_wrap=False)
