"""Lines on a terminal break between words; a pipe or a file gets them whole."""

import io

import pytest

from ssc_sweep.lines import broken, tell


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_words_stay_whole() -> None:
    text = broken("error: model=nope is unknown: allowed is flow | flow_ssc. See outputs/a-long-name/seed=0", 20)
    assert text.split("\n") == [
        "error: model=nope is", "unknown: allowed is", "flow | flow_ssc. See", "outputs/a-long-name/seed=0",
    ]  # fmt: skip


@pytest.mark.parametrize(("stream", "lines"), [(Terminal(), 2), (io.StringIO(), 1)])
def test_only_a_terminal_gets_breaks(stream: io.StringIO, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    tell("twenty runs failed: the same command goes on", stream)
    assert stream.getvalue().count("\n") == lines
