"""What a model offers to the training loop, and what it is given.

All tensors carry a leading run axis R: R runs of equal shapes train side by side, each with its own weights, seed,
statistics and rows, and no operation mixes them. An ordinary module that knows nothing of R says `stacks = False`
and is always given R = 1.

Shapes below: R runs, B rows of a batch, d_x covariates, d_y outcomes, K treatments.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ssc_sweep.bounds import Bounds
from ssc_sweep.config import StatsMode


class Sizes(NamedTuple):
    """Sizes of the data: d_x covariates, d_y outcomes, K treatments."""

    d_x: int
    d_y: int
    treatments: int


@dataclass(frozen=True)
class Batch:
    """Rows for all runs of a stack.

    Attributes:
        x: covariates, shape (R, B, d_x).
        t: treatments as codes, `data.splitting.HIDDEN` where the model must not look, shape (R, B), int64.
        y: outcomes in their unit, shape (R, B, d_y).
        any_hidden: whether any treatment of the stack's training rows is HIDDEN (known without looking at t).
        last: whether it is the last batch of an epoch.
    """

    x: Tensor
    t: Tensor
    y: Tensor
    any_hidden: bool
    last: bool = False


@dataclass(frozen=True)
class Loss:
    """`total`, shape (R,), is what a step descends.

    `parts` are its named pieces without gradient, for the probes: one number a run (R,), one a row (R, B), or one
    a row and treatment (R, B K).
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """One loss and the parameters that descend it. A model with adversaries has several; a step visits each in turn."""

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch], Loss]


class Model(nn.Module, ABC):
    """The contract. Constructor: (sizes, seeds, stats, **hyperparameters of its YAML), one seed and stats mode a run.

    A model that stacks gives every parameter and buffer a leading axis whose length is a multiple of R, run after run,
    and draws the weights of each run from `streams.stream(seed, name)`. An ordinary module has leading axes of its own
    choice and may draw from torch's global generator, which is seeded with the run's seed before it is made.
    The training loop brings it to the precision of the run.
    """

    stacks: ClassVar[bool] = True
    # What the values of its YAML may be, by name; checked before anything trains.
    bounds: ClassVar[Mapping[str, Bounds]] = {}
    # Predictions are clamped to +- this many units of the outcome.
    outcome_limit: ClassVar[float] = float("inf")

    def __init__(self, sizes: Sizes, seeds: Sequence[int], stats: Sequence[StatsMode]) -> None:
        assert len(seeds) == len(stats) and (self.stacks or len(seeds) == 1)
        super().__init__()
        self.sizes = sizes
        self.seeds = tuple(seeds)
        self.stats = tuple(stats)

    @property
    def runs(self) -> int:
        """R, the number of runs in the stack."""
        return len(self.seeds)

    @abstractmethod
    def start(self, train: Batch) -> None:
        """See all training rows once, before the first step. Statistics over all of them belong here."""

    @abstractmethod
    def before_step(self, batch: Batch) -> None:
        """See the rows of the step that comes. Running statistics belong here, so that a loss changes nothing."""

    @abstractmethod
    def objectives(self) -> list[Objective]:
        """The losses in the order in which a step visits them."""

    @abstractmethod
    def after_step(self) -> None:
        """Do what follows an update, e.g. move an averaged copy of the weights."""

    @abstractmethod
    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """E[Y | X=x, T=t] in the outcome's unit: (R, B, d_x), (R, B) -> (R, B, d_y)."""

    @abstractmethod
    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log P(T=k | X=x, Y=y): (R, B, d_x), (R, B, d_y) -> (R, B, K)."""

    @abstractmethod
    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor | None:
        """log p(Y=y | X=x, T=t), a density in the outcome's unit: (R, B, d_x), (R, B), (R, B, d_y) -> (R, B).

        None from a model that has no density.
        """

    def predict(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(outcome_mean, treatment_log_prob) of the same rows, for a model to override where they share work."""
        return self.outcome_mean(x, t), self.treatment_log_prob(x, y)

    @abstractmethod
    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        """Describe the model as it stands, for the history: named numbers, one a run (R,) or one a row (R, B).

        Draws nothing, changes nothing.

        Args:
            some: training rows: those of the step that was just taken, or after an epoch a fixed draw of them.
            train, val: two rows that hold the smallest and the largest value of every column of all training or
                validation rows.
        """

    def run_state(self, run: int) -> dict[str, np.ndarray]:
        """Return the weights and statistics of one run by name, without the run axis."""
        if not self.stacks:
            return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}
        state: dict[str, np.ndarray] = {}
        for name, tensor in self.state_dict().items():
            mine = tensor.unflatten(0, (self.runs, len(tensor) // self.runs))[run]
            state[name] = (mine[0] if len(mine) == 1 else mine).cpu().numpy().copy()
        return state


def one_hot(t: Tensor, treatments: int, dtype: torch.dtype) -> Tensor:
    """Codes (R, B) -> indicators (R, B, K) of the given dtype."""
    return nn.functional.embedding(t, torch.eye(treatments, dtype=dtype, device=t.device))
