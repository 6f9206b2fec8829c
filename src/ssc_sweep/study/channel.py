"""A stack reports its progress to the process that sent it and asks whether to go on, through files on its board.

Files work the same between processes of one machine and between machines that share a file system.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ssc_sweep.study.board import Place
from ssc_sweep.study.job import GoOn, Stack
from ssc_sweep.writing import write_text

LOOK_S = 0.01  # between two checks for an answer
LOOKS = 100  # checks before the question is asked again


class Channel(Protocol):
    """What a stack reports to while it is trained."""

    def after_epoch(self) -> None:
        """Report that an epoch of every run has ended."""

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        """Return whether to train another epoch, given each run's RMSE after this one."""


class Silent:
    """The channel of a stack that no process follows, or of a run that is retried alone."""

    def after_epoch(self) -> None:
        pass

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:  # noqa: ARG002
        return True


@dataclass
class Direct:
    """The channel of a stack that is trained in the process that follows it.

    Attributes:
        epochs: that have ended.
    """

    stack: Stack
    advance: Callable[[int], None]
    decide: GoOn | None
    epochs: int = 0

    def after_epoch(self) -> None:
        self.epochs += 1
        self.advance(len(self.stack.jobs))

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        return self.decide is None or self.decide(self.stack.jobs, epoch, rmse)


class Written:
    """The stack's end of a channel to another process. The other end is `Reader`."""

    def __init__(self, place: Place, asks: bool) -> None:
        self.place, self.asks = place, asks
        self.epochs = 0

    def after_epoch(self) -> None:
        self.epochs += 1
        write_text(self.place.progress, str(self.epochs))

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        if not self.asks:
            return True
        while True:
            # Asked repeatedly: a user may remove a study's folder while it trains.
            write_text(self.place.question, json.dumps([epoch, list(rmse)]))
            for _ in range(LOOKS):
                if (answer := _get(self.place.answer)) is not None and answer[0] == epoch:
                    return bool(answer[1])
                time.sleep(LOOK_S)


class Reader:
    """Follows a stack that another process trains.

    Attributes:
        epochs: that have ended.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.epochs = 0
        self._answer: tuple[int, bool] | None = None

    def advanced(self) -> int:
        """Return the epochs that have ended since the last call, summed over the runs."""
        seen = None if self.stack.place is None else _get(self.stack.place.progress)
        if not isinstance(seen, int) or seen <= self.epochs:
            return 0
        new, self.epochs = seen - self.epochs, seen
        return new * len(self.stack.jobs)

    def answer(self, decide: GoOn | None) -> None:
        """Answer the stack's question, if it has asked one."""
        place = self.stack.place
        if decide is None or place is None or (question := _get(place.question)) is None:
            return
        epoch, rmse = question
        if self._answer is None or self._answer[0] != epoch:
            self._answer = epoch, decide(self.stack.jobs, epoch, rmse)
        elif place.answer.exists():
            return
        write_text(place.answer, json.dumps(self._answer))


def _get(path: Path) -> Any:
    """Read what was put there; None if nothing was."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
