"""Say on stderr what a command is doing: a bar of the runs done, a count, a word."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from ssc_sweep.lines import counted, tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

T = TypeVar("T")
STARTING = "loading torch"
SILENT_S = 1.0  # seconds without a word on a terminal
SILENT_LOG_S = 10.0  # and in a log: a count of what takes a moment would stand above the one line of an error


@cache
def stderr_console() -> "Console":
    """Return the one console on stderr, so that a bar and a table can be shown together."""
    # Imported here: --help, which loads this module too, should not wait for it.
    from rich.console import Console
    from rich.theme import Theme

    # Times and counts in the terminal's own colour: rich's yellow and cyan vanish on a light background.
    plain = ("progress.elapsed", "progress.remaining", "progress.download")
    return Console(stderr=True, theme=Theme(dict.fromkeys(plain, "none")))


def say(lines: Iterable[str]) -> None:
    """Print lines on stderr, beside the progress bar."""
    for line in lines:
        tell(line, sys.stderr)


_above: list["Live"] = []


@contextmanager
def shown_above(live: "Live") -> Iterator[None]:
    """Show a table above all bars; a bar that ends below it leaves no line behind."""
    _above.append(live)
    try:
        with live:
            yield
    finally:
        _above.pop()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Show on a terminal what is being done, until it is done; for what may take more than a second."""
    console = stderr_console()
    if not console.is_terminal:
        yield
        return
    # Imported here: --help, which loads this module too, should not wait for them, and a pipe does not need them.
    from rich.live import Live
    from rich.spinner import Spinner

    shown = Spinner("line", text=what)
    with Live(shown, console=console, transient=True, refresh_per_second=5, redirect_stdout=False):
        yield


def passing(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items one by one; if that takes more than a moment (in a log: some seconds), show a count on stderr.

    Args:
        what: label of the count, such as "runs checked".
    """
    start = time.monotonic()
    silent = SILENT_S if stderr_console().is_terminal else SILENT_LOG_S
    for place, item in enumerate(items):
        if time.monotonic() - start > silent:
            yield from _counted(items, what, place)
            return
        yield item


def _counted(items: Sequence[T], what: str, first: int) -> Iterator[T]:
    """Yield the items from number `first` on, with a count."""
    # Imported here: --help, which loads this module too, should not wait for them.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = stderr_console()
    if not console.is_terminal:
        say([f"{what}: {first:,} of {len(items):,}"])
    columns = (TextColumn(f"{what}:"), MofNCompleteColumn(), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(items[first:], total=len(items), completed=first)


@contextmanager
def progress_bar(total: int, epochs: int, quiet: bool = False) -> Iterator[Callable[[int, int, int], None]]:
    """Show a bar on stderr; yield a function advance(epochs, runs, failed) that moves it; failed runs are runs too.

    Args:
        total: how many runs there are.
        epochs: sum of their epochs, which the bar and the time left follow.
        quiet: show nothing.
    """
    # Imported here: --help, which loads this module too, should not wait for them.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[runs]}/" + counted(total, "run") + "{task.fields[failed]}"),
        BarColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done = failures = 0
    console = stderr_console()
    progress = Progress(*columns, console=console, disable=quiet, transient=bool(_above))
    task = progress.add_task("", total=epochs, runs=0, failed="")

    def advance(epochs: int, runs: int, failed: int) -> None:
        nonlocal done, failures
        done += runs
        failures += failed
        # The first call starts it, after the checks: wrong input gets one line and no bar.
        if runs and not quiet and not progress.live.is_started:
            console.print(
                f"{runs} of {counted(total, 'run')} {'has' if runs == 1 else 'have'} ended before", highlight=False
            )
        progress.start()
        progress.update(task, advance=epochs, runs=done, failed=f", {failures} failed" if failures else "")

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()
