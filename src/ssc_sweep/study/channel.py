"""How a stack tells the process that sent it how far it is, and asks whether to go on: through files in its folder.

Files work alike between processes of one machine and machines with one file system. All of them lie in the folder of
the stack's first run, and go when the stack ends.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ssc_sweep.study.job import GoOn, Stack
from ssc_sweep.writing import write_text

LOOK_S = 0.01  # between two looks for an answer


class Channel(Protocol):
    """What a stack that is being trained talks to."""

    def after_epoch(self) -> None:
        """An epoch of every run has come to its end."""

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        """Whether to train a further epoch, given each run's RMSE after this one."""


class Silent:
    """The channel of a run that is tried once more, alone: its epochs have been counted, as far as they came."""

    def after_epoch(self) -> None:
        pass

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True)
class Direct:
    """The channel of a stack that is trained in the process that wants to know."""

    stack: Stack
    advance: Callable[[int], None]
    decide: GoOn | None

    def after_epoch(self) -> None:
        self.advance(len(self.stack.jobs))

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        return self.decide is None or self.decide(self.stack.jobs, epoch, rmse)


class Written:
    """The channel of a stack in another process: this is its end. The other one is `Reader`."""

    def __init__(self, stack: Stack) -> None:
        self.folder, self.asks = stack.jobs[0].folder, stack.asks
        self.epochs = 0

    def after_epoch(self) -> None:
        self.epochs += 1
        write_text(self.folder.progress, str(self.epochs))

    def go_on(self, epoch: int, rmse: Sequence[float | None]) -> bool:
        if not self.asks:
            return True
        write_text(self.folder.question, json.dumps([epoch, list(rmse)]))
        while (answer := _get(self.folder.answer)) is None or answer[0] != epoch:
            time.sleep(LOOK_S)
        return bool(answer[1])


class Reader:
    """Follows a stack that another process trains."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.folder = stack, stack.jobs[0].folder
        self.epochs = 0
        self.answered = 0

    def advanced(self) -> int:
        """Epochs that have come to an end since the last look, each summed over the runs."""
        seen = _get(self.folder.progress)
        if not isinstance(seen, int) or seen <= self.epochs:
            return 0
        new, self.epochs = seen - self.epochs, seen
        return new * len(self.stack.jobs)

    def answer(self, decide: GoOn | None) -> None:
        """Answer what the stack asks, if it does."""
        if decide is None or (question := _get(self.folder.question)) is None or question[0] == self.answered:
            return
        epoch, rmse = question
        write_text(self.folder.answer, json.dumps([epoch, decide(self.stack.jobs, epoch, rmse)]))
        self.answered = epoch


def _get(path: Path) -> Any:
    """What was put there; None: nothing, or the stack has ended and taken it away."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
