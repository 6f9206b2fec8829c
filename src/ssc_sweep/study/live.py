"""The table of a study with seeds=auto, shown while it trains."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import comparison
from ssc_sweep.study.progress import stderr_console
from ssc_sweep.study.rounds import Progress


@contextmanager
def live_table(arms: Sequence[Arm], max_seeds: int) -> Iterator[Callable[[Progress], None]]:
    """Show on stderr where a study stands; yield a function to call after each round.

    A terminal shows a table that is redrawn; a file or a pipe gets one line per round.
    """
    # Imported here, so that --help, which loads this module too, need not wait for it.
    from rich.live import Live

    console = stderr_console()
    if not console.is_terminal:
        yield lambda progress: console.print(in_a_line(progress), highlight=False, soft_wrap=True)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(table(arms, progress, max_seeds), refresh=True)


def in_a_line(progress: Progress) -> str:
    """Return where the study stands, in one line."""
    left = f"{len(progress.open)} of {len(progress.judged)} arms open" if progress.open else "no arm open"
    if progress.contrasts:
        unsettled = sum(not one.settled and not one.hopeless for one in progress.contrasts)
        left += f", {unsettled} of {len(progress.contrasts)} contrasts open"
    return f"{progress.seeds} seeds, {progress.seconds:.0f} s: {left}"


def table(arms: Sequence[Arm], progress: Progress, max_seeds: int):  # type: ignore[no-untyped-def]
    """Return a table of every arm's two answers, interval and seeds, and what is still open."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from ssc_sweep.verdicts.shown import TITLE, forest, ratio_text, share_text

    made = Table(
        title=f"{in_a_line(progress)}, at most {max_seeds} seeds", title_justify="left", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    made.add_column("arm", overflow="fold", min_width=12)
    made.add_column("seeds", justify="right", no_wrap=True)
    made.add_column("works?", justify="right", no_wrap=True)
    made.add_column("matters?", no_wrap=True)
    made.add_column("times control", justify="right", no_wrap=True)
    made.add_column(TITLE, no_wrap=True)
    made.add_column("", no_wrap=True)
    pictures = forest(dict(progress.judged))
    for arm in arms:
        one = progress.judged.get(comparison(arm))
        if one is not None:
            state = "open" if arm.folder in progress.open else "out of reach" if one.hopeless else ""
            made.add_row(
                escape(arm.label), str(one.works.n), share_text(one), one.matters.answer.value, ratio_text(one),
                pictures[comparison(arm)], state,
            )  # fmt: skip
    return made
