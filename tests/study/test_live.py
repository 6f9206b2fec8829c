"""The table that is shown while a study with seeds=auto trains."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ssc_sweep.progress import stderr_console
from ssc_sweep.study import live
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import comparison
from ssc_sweep.study.live import for_a_log, in_a_line, table
from ssc_sweep.study.rounds import Progress
from ssc_sweep.verdicts.rule import Rule
from tests.verdicts.alone import judge

CONTROL = Arm("control", "control", None, None, ())
ARMS = [Arm(f"lr/{i}", f"optimizer.lr=1e-{i}, scaling.codes=missing", "lr", "control", ()) for i in range(40)]
JUDGED = judge(dict.fromkeys(range(9), 40.0), dict.fromkeys(range(9), 50.0), Rule(target=15))


def lines(most: int, width: int) -> list[str]:
    progress = Progress(9, {comparison(arm): JUDGED for arm in ARMS}, ("lr/38", "lr/39"), 12.0)
    return [line.plain for line in table([CONTROL, *ARMS], progress, 100, most).lines(width)]


@pytest.mark.parametrize("width", [80, 120])
def test_every_arm_has_its_answers_at_any_width(width: int) -> None:
    shown = lines(40, width)
    assert max(map(len, shown)) <= width
    assert sum("0/9 no" in line and "times" not in line for line in shown) == 40


def test_a_low_terminal_shows_the_open_arms() -> None:
    shown = lines(10, 120)
    assert "38 arms not shown" in shown[0]
    assert [line.split(",")[0] for line in shown[3:]] == ["optimizer.lr=1e-38", "optimizer.lr=1e-39"]


def test_a_log_names_the_last_open_arms() -> None:
    judged = {comparison(arm): JUDGED for arm in ARMS}
    few = for_a_log(ARMS, Progress(9, judged, ("lr/38", "lr/39"), 12.0))
    shown = [f"optimizer.lr=1e-{i}, scaling.codes=missing" for i in (38, 39)]
    assert few == f"9 seeds, 12 s: 2 of 40 arms open ({'; '.join(shown)})"
    many = for_a_log(ARMS, Progress(9, judged, tuple(arm.folder for arm in ARMS), 12.0))
    assert many == "9 seeds, 12 s: 40 of 40 arms open"


def test_what_stays_open_is_told_apart_from_what_gets_more_seeds() -> None:
    lost, judged = replace(JUDGED, hopeless=True), {comparison(arm): JUDGED for arm in ARMS[:4]}
    some = judged | {comparison(ARMS[0]): lost}
    assert in_a_line(Progress(9, judged, (), 12.0)) == "9 seeds, 12 s: every arm answered"
    assert in_a_line(Progress(9, {}, (), 12.0)) == "9 seeds, 12 s: "
    assert in_a_line(Progress(9, some, (), 12.0)) == "9 seeds, 12 s: 1 of 4 arms cannot be settled within max_seeds"
    assert in_a_line(Progress(9, some, ("lr/1", "lr/2"), 12.0)) == (
        "9 seeds, 12 s: 2 of 4 arms open, 1 more cannot be settled within max_seeds"
    )


def test_a_terminal_shows_the_table_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, height=30, color_system=None)
    monkeypatch.setattr(live, "stderr_console", lambda: console)
    with live.live_table(ARMS[:3], 100) as show:
        show(Progress(9, {comparison(arm): JUDGED for arm in ARMS[:3]}, ("lr/1",), 12.0))
    assert "9 seeds, 12 s: 1 of 3 arms open, at most 100 seeds" in shown.getvalue()
    assert "optimizer.lr=1e-1" in shown.getvalue()


def test_bars_and_the_table_share_a_console() -> None:
    assert stderr_console() is stderr_console()
