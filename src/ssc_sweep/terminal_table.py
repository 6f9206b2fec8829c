"""A table that fits a terminal of any width: no cell is folded or cut, and what tells rows apart is always there."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

NEEDED = 2  # a column of a higher rank is left out rather than a label put on a line of its own
GAP, SMALL_GAP = 2, 1  # cells between columns; the small one where that saves a column that is needed


@dataclass(frozen=True)
class TableColumn:
    """A column of numbers or short texts.

    Attributes:
        rank: which columns are left out where there is no room: those of the highest rank first, those of rank 0 never.
        right: whether its cells stand at its right end.
    """

    title: str
    rank: int = 0
    right: bool = True


@dataclass(frozen=True)
class TableRow:
    """A label and a cell a column, in the order of the columns; a row without cells is a heading."""

    label: str
    cells: Sequence[str | Text] = ()


@dataclass(frozen=True)
class TerminalTable:
    """Rows in sections, with an empty line between two sections.

    A label that is too long to stand beside its cells gets a line of its own above them.

    Attributes:
        labels: title of the column of labels.
    """

    title: str
    labels: str
    columns: Sequence[TableColumn]
    sections: Sequence[Sequence[TableRow]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in self.lines(options.max_width):
            line.no_wrap, line.overflow = True, "ignore"
            yield line

    def lines(self, width: int) -> list[Text]:
        """Return the lines for a terminal with lines of `width` cells."""
        sections = [[_printable(row) for row in section] for section in self.sections]
        rows = [row for section in sections for row in section if row.cells]
        widths = [
            max(cell_len(column.title), *(_length(row.cells[i]) for row in rows), 0)
            for i, column in enumerate(self.columns)
        ]
        label_width, kept, gap = self._layout(rows, widths, width)

        def line(label: str, cells: Sequence[str | Text]) -> Text:
            made = Text(label + " " * (label_width - cell_len(label)))
            for i in kept:
                fill = " " * (widths[i] - _length(cells[i]))
                made.append(" " * gap + fill if self.columns[i].right else " " * gap).append(cells[i])
                if not self.columns[i].right:
                    made.append(fill)
            made.rstrip()
            return made

        head = self.labels if cell_len(self.labels) <= label_width else ""
        titles = line(head, [column.title for column in self.columns])
        titles.stylize("bold")
        lines = [Text(part, style="italic") for part in _wrapped(_shown(self.title), width)]
        lines += [titles, Text("─" * min(label_width + sum(widths[i] + gap for i in kept), width))]
        for number, section in enumerate(sections):
            lines += [Text()] if number else []
            for row in section:
                if not row.cells:
                    lines += [Text(part, style="bold") for part in _wrapped(row.label, width)]
                elif cell_len(row.label) <= label_width:
                    lines.append(line(row.label, row.cells))
                else:
                    lines += [Text(part) for part in _wrapped(row.label, width)]
                    lines.append(line("", row.cells))
        return lines

    def _layout(self, rows: Sequence[TableRow], widths: Sequence[int], width: int) -> tuple[int, list[int], int]:
        """Return the width for labels that stand beside their cells, the columns that are shown, and the gap."""
        needed = sum(widths[i] + SMALL_GAP for i, column in enumerate(self.columns) if column.rank <= NEEDED)
        beside = [cell_len(row.label) for row in rows if cell_len(row.label) <= width - needed]
        label_width = max(beside, default=0)
        kept = list(range(len(widths)))
        for out in sorted(kept, key=lambda i: -self.columns[i].rank):
            for gap in (GAP,) if self.columns[out].rank > NEEDED else (GAP, SMALL_GAP):
                if label_width + sum(widths[i] + gap for i in kept) <= width:
                    return label_width, kept, gap
            if self.columns[out].rank:
                kept.remove(out)
        return label_width, kept, SMALL_GAP


def _printable(row: TableRow) -> TableRow:
    """Replace control characters, which a terminal would obey; rich drops those of a Text."""
    cells = [_shown(cell) if isinstance(cell, str) else cell for cell in row.cells]
    return TableRow(_shown(row.label), cells)


def _shown(text: str) -> str:
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _length(cell: str | Text) -> int:
    return cell_len(cell) if isinstance(cell, str) else cell.cell_len


def _wrapped(text: str, width: int) -> list[str]:
    """Cut a text into lines between words; a word that is longer than a line is cut where the line ends."""
    return textwrap.wrap(text, width, break_on_hyphens=False)
