"""Make model, optimiser and schedule of a stack from the configs of its runs, and choose its device."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from ssc_sweep.config import RunConfig
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.errors import UserError
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Predictor, Sizes
from ssc_sweep.streams import stream
from ssc_sweep.study.prepare import optimizer_of, sizes_of
from ssc_sweep.training.loop import Schedule
from ssc_sweep.training.optimizer import Optimizer


@dataclass(frozen=True)
class Trainer:
    """See the module.

    Attributes:
        name: of the model, for display.
        make_optimizer: makes the optimiser from the parameters.
    """

    name: str
    sizes: Sizes
    model: Predictor
    make_optimizer: "partial[Optimizer]"
    schedule: Schedule


def make_trainer(configs: Sequence[RunConfig], data: DataSplit, device: torch.device) -> Trainer:
    """Make the trainer of runs that share a stack; `data` are the rows of the first."""
    first = configs[0]
    # Only models that cannot be stacked draw from torch's global generator; they are always alone.
    torch.manual_seed(int(stream(first.seed, "torch").integers(2**63)))
    choice, sizes = choose(first.model), sizes_of(data)
    model = choice.build(sizes, [config.seed for config in configs], [config.stats_mode for config in configs])
    make_optimizer = partial(
        optimizer_of(first.optimizer),
        lr=[config.optimizer["lr"] for config in configs],
        weight_decay=[config.optimizer["weight_decay"] for config in configs],
    )
    schedule = Schedule(first.epochs, first.batch.size, first.batch.drop_last, first.clip_norm, first.probes)
    return Trainer(choice.name, sizes, model.to(device, dtype_of(first)), make_optimizer, schedule)


def dtype_of(config: RunConfig) -> torch.dtype:
    """Return the precision that a run trains in."""
    dtype: torch.dtype = getattr(torch, config.precision.dtype)
    return dtype


def chosen_device(wanted: str) -> str:
    """Return "cpu" or "cuda"; "auto" means cuda if there is one.

    Raises:
        UserError: there is no such device.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError("device=cuda: torch finds no such device here. Use device=cpu, or install torch for CUDA.")
    return "cuda" if there and wanted != "cpu" else "cpu"
