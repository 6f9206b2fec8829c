"""The interface between a model and training and measuring.

A `Predictor` predicts. It is one of two kinds: a `Learner` descends objectives step by step; a `Solver` finds its
parameters in closed form. An ordinary torch module needs neither: see `ssc_sweep.models.ordinary`.

All tensors have a leading run axis R: R runs of equal shapes train side by side, each with its own weights, seed,
statistics and rows, and no operation mixes them. A model without a run axis sets `stacks = False` and always gets
R = 1.

Shapes below: R runs, B rows of a batch, d_x covariates, d_y outcomes, K treatments.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.probe import Probe, Tells


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
        t: treatments as codes, `data.cohort.HIDDEN` if the model must not see them, shape (R, B), int64.
        y: outcomes in their unit, shape (R, B, d_y).
        any_hidden: whether any treatment of the stack's training rows is HIDDEN (known without reading t).
        last: whether it is the last batch of an epoch.
        row: positions among the training rows of each run, shape (R, B); None for rows not used in training.
    """

    x: Tensor
    t: Tensor
    y: Tensor
    any_hidden: bool
    last: bool = False
    row: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """`total`, shape (R,), is what a step minimises.

    `parts` are its named parts without gradient, for the probes: one number per run (R,), per row (R, B), or per row
    and treatment (R, B K).
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """One loss and the parameters that minimise it. A model with adversaries has several; a step visits each in turn.

    Attributes:
        steps: updates per batch; adversaries often take several.
        lr: its own learning rate; None: the run's.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch], Loss]
    steps: int = 1
    lr: float | None = None


class Predictor(nn.Module, ABC):
    """What every model offers. Constructor: (sizes, seeds, stats, **arguments of its YAML), a seed and mode per run.

    The signature of the constructor is the schema of the YAML. A model that stacks gives every parameter and buffer a
    leading axis whose length is a multiple of R, run after run, and draws the weights of each run from
    `streams.stream(seed, name)`. One that does not may draw from torch's global generator, which is seeded with the
    run's seed before the model is made. Training converts the model to the precision of the run, and sets train mode
    for steps and eval mode for measuring.
    """

    stacks: ClassVar[bool] = True
    # Whether predictions depend on the treatment; if not, the model has no estimate of its effect.
    uses_treatment: ClassVar[bool] = True
    # Probes that `probe` may return, by name.
    probes: ClassVar[tuple[Probe, ...]] = ()
    # Packages that the project does not require -> the extra that installs them.
    needs: ClassVar[Mapping[str, str]] = {}
    # Whether a prediction passes each row through the networks once for every treatment.
    every_treatment: ClassVar[bool] = False
    # Predictions are clamped to +- this many units of the outcome.
    outcome_limit: float = float("inf")

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
    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """E[Y | X=x, T=t] in the outcome's unit: (R, B, d_x), (R, B) -> (R, B, d_y)."""

    @abstractmethod
    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log P(T=k | X=x, Y=y): (R, B, d_x), (R, B, d_y) -> (R, B, K)."""

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor | None:
        """log p(Y=y | X=x, T=t), a density in the outcome's unit: (R, B, d_x), (R, B), (R, B, d_y) -> (R, B).

        None if the model has no density.
        """
        return None

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor | None:
        """Quantiles of each outcome given x and t, in its unit: (R, B, d_x), (R, B), (Q,) -> (R, B, d_y, Q).

        None if the model has no distribution.
        """
        return None

    def predict(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return (outcome_mean, treatment_log_prob) of the same rows; override it if they share work."""
        return self.outcome_mean(x, t), self.treatment_log_prob(x, y)

    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        """Describe the current model: numbers named in `probes`, one per run (R,) or one per row (R, B).

        Draws nothing, changes nothing.

        Args:
            some: training rows: those of the last step, or after an epoch a fixed sample.
            train, val: two rows with the smallest and the largest value of every column of all training or validation
                rows.
        """
        return {}

    def run_state(self, run: int) -> dict[str, np.ndarray]:
        """Return the weights and statistics of one run by name, without the run axis."""
        if not self.stacks:
            return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}
        state: dict[str, np.ndarray] = {}
        for name, tensor in self.state_dict().items():
            mine = tensor.unflatten(0, (self.runs, len(tensor) // self.runs))[run]
            state[name] = (mine[0] if len(mine) == 1 else mine).cpu().numpy().copy()
        return state

    def load_run_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Load what `run_state` returned. For a model of one run."""
        assert self.runs == 1
        mine = self.state_dict()
        self.load_state_dict({name: torch.from_numpy(state[name]).view(mine[name].shape) for name in state})


class Learner(Predictor):
    """A model that descends objectives, batch by batch."""

    @abstractmethod
    def objectives(self) -> list[Objective]:
        """Return the losses in the order in which a step visits them."""

    def start(self, train: Batch) -> None:
        """See all training rows once, before the first step. Statistics over all of them belong here."""

    def before_step(self, batch: Batch) -> None:
        """See the rows of the next step. Running statistics belong here, so that a loss changes nothing."""

    def after_step(self) -> None:
        """Do what follows an update, e.g. move an averaged copy of the weights."""


class Solver(Predictor):
    """A model that finds its parameters at once, from all training rows."""

    @abstractmethod
    def solve(self, train: Batch) -> None:
        """Set the parameters of every run from its training rows; hidden treatments are HIDDEN."""


# The farthest rows, by covariates as a model normalises them.
LARGEST_Z = (
    Probe("largest_z_train", "largest |z| of a training row", "sd", Tells.REACH_TRAIN),
    Probe("largest_z_val", "largest |z| of a validation row", "sd", Tells.REACH_VAL),
)


def largest_z(normalise: Callable[[Tensor], Tensor], train: Batch, val: Batch) -> dict[str, Tensor]:
    """Return the probes LARGEST_Z, (R,) each."""
    found = (normalise(rows.x).abs().amax(dim=(1, 2)) for rows in (train, val))
    return dict(zip((probe.name for probe in LARGEST_Z), found, strict=True))


def one_hot(t: Tensor, treatments: int, dtype: torch.dtype) -> Tensor:
    """Codes (R, B) -> indicators (R, B, K) of the given dtype."""
    return nn.functional.embedding(t, torch.eye(treatments, dtype=dtype, device=t.device))


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the rows where mask is True, 0 if there are none: (R, B), (R, B) -> (R,)."""
    return torch.where(mask, values, 0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
