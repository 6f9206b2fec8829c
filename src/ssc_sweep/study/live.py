"""The table of a study with seeds=auto, shown while it trains."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ssc_sweep.lines import counted
from ssc_sweep.progress import shown_above, stderr_console
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import comparison
from ssc_sweep.study.rounds import Progress

if TYPE_CHECKING:
    from ssc_sweep.terminal_table import TerminalTable

FEW = 3  # a log names the open arms once so few are left
AROUND = 6  # lines of a terminal that are not rows of the table: its head, the progress bar


@contextmanager
def live_table(arms: Sequence[Arm], max_seeds: int) -> Iterator[Callable[[Progress], None]]:
    """Show on stderr where a study stands; yield a function to call after each round.

    A terminal shows a table that is redrawn; a file or a pipe gets one line per round.
    """
    # Imported here, so that --help, which loads this module too, need not wait for it.
    from rich.live import Live

    console = stderr_console()
    if not console.is_terminal:
        yield lambda progress: console.print(for_a_log(arms, progress), highlight=False, soft_wrap=True)
        return
    # It also redraws the bars below it, which have no clock of their own.
    live = Live(console=console, transient=True)
    with shown_above(live):
        yield lambda progress: live.update(
            table(arms, progress, max_seeds, max(0, (console.height - AROUND) // 2)), refresh=True
        )


def in_a_line(progress: Progress) -> str:
    """Return where the study stands, in one line."""
    hopeless, n = sum(one.hopeless for one in progress.judged.values()), len(progress.judged)
    left = [f"{len(progress.open)} of {n} arms open"] if progress.open else []
    if hopeless:
        left.append(f"{hopeless}{' more' if left else f' of {n} arms'} cannot be settled within max_seeds")
    if n and not left:
        left.append("every arm answered")
    if progress.contrasts:
        unsettled = sum(not one.settled and not one.hopeless for one in progress.contrasts)
        left.append(f"{unsettled} of {len(progress.contrasts)} contrasts open")
    return f"{counted(progress.seeds, 'seed')}, {progress.seconds:.0f} s: {', '.join(left)}"


def for_a_log(arms: Sequence[Arm], progress: Progress) -> str:
    """Return where the study stands, with the names of the last open arms."""
    names = [arm.label for arm in arms if arm.folder in progress.open]
    named = f" ({'; '.join(names)})" if 0 < len(names) <= FEW else ""
    return in_a_line(progress) + named


def table(arms: Sequence[Arm], progress: Progress, max_seeds: int, most: int) -> "TerminalTable":
    """Return a table of every arm's two answers, interval and seeds, and what is still open.

    Args:
        most: rows. With more arms than that those still open are shown.
    """
    from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable
    from ssc_sweep.verdicts.shown import TITLE, forest, ratio_text, share_text

    columns = (
        TableColumn("seeds", 5), TableColumn("works?"), TableColumn("matters?", 2, right=False),
        TableColumn("times control"), TableColumn(TITLE, 4, right=False), TableColumn("", 3, right=False),
    )  # fmt: skip
    pictures = forest(dict(progress.judged))
    rows, still = [], []
    for arm in arms:
        one = progress.judged.get(comparison(arm))
        if one is not None:
            state = "open" if arm.folder in progress.open else "out of reach" if one.hopeless else ""
            cells = (
                str(one.works.n), share_text(one.works), one.matters.answer.value, ratio_text(one),
                pictures[comparison(arm)], state,
            )  # fmt: skip
            rows.append(TableRow(arm.label, cells))
            still += rows[-1:] if state == "open" else []
    shown = rows if len(rows) <= most else still[:most]
    hidden = f"; {counted(len(rows) - len(shown), 'arm')} not shown" if len(shown) < len(rows) else ""
    return TerminalTable(f"{in_a_line(progress)}, at most {max_seeds} seeds{hidden}", "arm", columns, [shown])
