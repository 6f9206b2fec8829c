"""Print lines so that a terminal does not break them in the middle of a word; a pipe or a file gets them whole."""

import os
import sys
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

MOST_NAMED = 5  # of a list of names
NARROW = 80  # a terminal that does not tell its width


def broken(text: str, width: int, indent: str = "") -> str:
    r"""Break lines that are longer than `width` between words; a longer word, such as a path, stays whole.

    Args:
        indent: before the second and later parts of a line, after its own indent.

    >>> broken("batch: b10, b2, b32\n", 12, "  ")
    'batch: b10,\n  b2, b32\n'
    """

    def line(of: str) -> str:
        if len(of) <= width:
            return of
        later = of[: len(of) - len(of.lstrip())] + indent
        return textwrap.fill(of, width, subsequent_indent=later, break_on_hyphens=False, break_long_words=False)

    return "\n".join(line(one) for one in text.split("\n"))


def counted(n: int, word: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def listed(names: Iterable[str], last: str = "", most: int = MOST_NAMED) -> str:
    """List names, each once: the first `most` and how many more there are, or all with the word `last` before the last.

    >>> listed(["a", "b", "c"], "and"), listed(["a", "b", "c"], most=2)
    ('a, b and c', 'a, b and 1 more')
    """
    unique = list(dict.fromkeys(names))
    between = "; " if any(", " in name for name in unique) else ", "  # an arm of several changes has commas of its own
    if len(unique) > most:
        return between.join(unique[:most]) + f" and {len(unique) - most} more"
    if last and len(unique) > 1:
        before = "; " if between == "; " else " "
        return f"{between.join(unique[:-1])}{before}{last} {unique[-1]}"
    return between.join(unique)


def tell(line: str, stream: TextIO | None = None) -> None:
    """Print a line on standard output, or on `stream`."""
    stream = stream or sys.stdout
    print(broken(line, width_of(stream)) if stream.isatty() else line, file=stream)


def width_of(terminal: TextIO) -> int:
    """Return the width of a terminal; COLUMNS goes first, as with other programs."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(terminal.fileno()).columns or NARROW
    except OSError:
        return NARROW


def tell_error(line: str) -> None:
    """Print "error: ..." on standard error, as one line, after all that was printed before."""
    with suppress(BrokenPipeError):  # its reader has left
        sys.stdout.flush()
    tell(" ".join(f"error: {line}".split()), sys.stderr)
