"""The progress bar of a study: runs done, elapsed, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(runs: int, epochs: int) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr and give a function advance(epochs, runs) that moves it.

    Args:
        runs: how many runs there are.
        epochs: the sum of their epochs; the bar and the time left follow it.
    """
    columns = (
        TextColumn("{task.fields[runs]}/" + f"{runs} runs"),
        BarColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs, runs=0)

        def advance(epochs: int, runs: int) -> None:
            nonlocal done
            done += runs
            progress.update(task, advance=epochs, runs=done)

        yield advance
