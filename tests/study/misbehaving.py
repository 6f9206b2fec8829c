"""Models that fail in all the ways there are, each for one seed, told by the environment variable of its name."""

import ctypes
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ssc_sweep.errors import UserError
from ssc_sweep.models.flow_ssc import FlowSSC

SEED = 1
MODEL = "couplings=6 width=8 x_couplings=3 x_width=8 gamma=1 samples=5 inert=false min_scale=1e-3 clamp=100"


def failing(name: str) -> list[str]:
    values = [f"model.{value}" for value in MODEL.split()]
    return [f"model._target_=tests.study.misbehaving.{name}", "admit=tests", *values]


class Misbehaving(FlowSSC):
    """Does what its subclass says when a stack with the seed begins."""

    def start(self, train: Any) -> None:
        if SEED in self.seeds:
            self.misbehave()
        super().start(train)

    def misbehave(self) -> None:
        raise NotImplementedError


class Raises(Misbehaving):
    def misbehave(self) -> None:
        raise RuntimeError("planted failure")


class Exits(Misbehaving):
    def misbehave(self) -> None:
        sys.exit(3)


class Blames(Misbehaving):
    def misbehave(self) -> None:
        raise UserError("a model is no user")


class Killed(Misbehaving):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Crashes(Misbehaving):
    def misbehave(self) -> None:
        ctypes.string_at(0)


class Greedy(Misbehaving):
    def misbehave(self) -> None:
        raise MemoryError


class KilledOnce(Misbehaving):
    """Killed as by somebody from outside: once, and never again."""

    def misbehave(self) -> None:
        mark = Path(os.environ["SSC_SWEEP_TEST_MARK"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Removes(Misbehaving):
    """The folder of the study is gone, as if somebody had removed it."""

    def misbehave(self) -> None:
        shutil.rmtree("outputs/s")


class Sleeps(FlowSSC):
    """Takes its time in every epoch's first step."""

    def before_step(self, batch: Any) -> None:
        time.sleep(0.3)
        super().before_step(batch)
