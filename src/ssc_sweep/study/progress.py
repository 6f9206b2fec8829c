"""The progress bar of a study: runs done, elapsed, time left."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stderr_console(quiet: bool = False) -> "Console":
    """The one console on stderr, so that a bar and a table can be shown below each other."""
    # Imported here: --help, which loads this module too, should not wait for it.
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)


def say(lines: Iterable[str]) -> None:
    """Print lines on stderr, beside the progress bar."""
    for line in lines:
        print(line, file=sys.stderr)


@contextmanager
def progress_bar(total: int, epochs: int, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr and give a function advance(epochs, runs) that moves it.

    Args:
        total: how many runs there are.
        epochs: the sum of their epochs; the bar and the time left follow it.
        quiet: show nothing.
    """
    # Imported here: --help, which loads this module too, should not wait for them.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[runs]}/" + f"{total} runs"),
        BarColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done = 0
    progress = Progress(*columns, console=stderr_console(quiet))
    task = progress.add_task("", total=epochs, runs=0)

    def advance(epochs: int, runs: int) -> None:
        nonlocal done
        done += runs
        # Started by the first call, which follows the checks: wrong input is answered with one line and no bar.
        if runs and not progress.live.is_started:
            progress.console.print(f"{runs} of {total} runs were finished before", highlight=False)
        progress.start()
        progress.update(task, advance=epochs, runs=done)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()
