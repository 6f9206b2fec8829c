"""How long a training step takes: python -m tests.bench.steps, about four minutes.

Ours, through the real training loop, against flow_ssc as published: nflows modules, a DataLoader, Adam, one run at a
time. NHEFS with all 65 covariates, batches of 10, single precision. All contestants take turns in one process, round
after round: a time means something only beside the others of its round. Printed are medians of times and of ratios.

The floor of a step is what no code can leave out: for every weight matrix the product of the batch, the two products of
its gradients, and Adam's pass over parameters, gradients and moments. It is measured by the same kernels on the spot,
with one thread, as a worker has it; a step adds statistics, activations, the loss and clipping.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from torch.utils.data import DataLoader, TensorDataset

from ssc_sweep.config import RunConfig, check, conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Batch, Learner, Sizes
from ssc_sweep.study.prepare import optimizer_of
from ssc_sweep.training.loop import Schedule, subnormals_are_zero, train
from ssc_sweep.training.stack import StackRows, assemble
from tests.nflows_reference import Reference

BATCH, STEPS = 10, 78  # the full batches of an epoch of NHEFS
STACKS = (1, 16, 64)
FLOOR_STACKS, MOST_OVER_FLOOR = (16, 32), 1.3
ROUNDS = 7
# No further round begins after this many seconds of a table's part, so that a busy machine does not take for ever.
PATIENCE = 45.0
EPOCHS, MANY_EPOCHS = 10, 30
MOST_FOR_PROBES = 1.1  # what a run with probes may take, beside one without
PUBLISHED, LATE = "as published", f"R=1, epoch {MANY_EPOCHS}"
# (runs, threads) -> how many times faster than published it should be.
AIMS = {(1, 1): 6, (1, 2): 6, (64, 2): 14}


def load() -> tuple[RunConfig, Data]:
    with initialize_config_dir(str(conf_dir())):
        return check(compose("config")), Data()


def first_rows(batch: Batch, rows: int) -> Batch:
    return Batch(batch.x[:, :rows], batch.t[:, :rows], batch.y[:, :rows], batch.any_hidden)


def stack_rows(config: RunConfig, data: Data, runs: int, steps: int | None) -> StackRows:
    """NHEFS for each of the runs; `steps` batches of it, or all."""
    rows = assemble([data.split(config)] * runs, torch.float32, torch.device("cpu"))
    return rows if steps is None else StackRows(first_rows(rows.train, steps * BATCH), first_rows(rows.val, BATCH))


def train_ours(rows: StackRows, config: RunConfig, runs: int, probes: bool, epochs: int) -> list[float]:
    """Train a stack; return when it began and when each epoch's steps were done, s."""
    sizes = Sizes(rows.train.x.shape[2], rows.train.y.shape[2], 2)
    model = choose(config.model).build(sizes, list(range(runs)), [config.stats_mode] * runs).to(torch.float32)
    optimizer = partial(optimizer_of(config.optimizer), lr=[5e-4] * runs, weight_decay=[0.0] * runs)
    ends = [time.perf_counter()]
    schedule = Schedule(epochs, batch_size=BATCH, drop_last=False, clip_norm=1.0, probes=probes)
    # Told after an epoch's steps and before its probes: the time between two calls holds one epoch and one measuring.
    train(model, rows, optimizer, schedule, lambda: ends.append(time.perf_counter()))
    return [*ends, time.perf_counter()]


def second_epoch(rows: StackRows, config: RunConfig, runs: int) -> float:
    """Milliseconds of the second of two epochs of ours; the first one warms up."""
    ends = train_ours(rows, config, runs, probes=False, epochs=2)
    return 1e3 * (ends[2] - ends[1])


def whole_run(rows: StackRows, config: RunConfig, runs: int, probes: bool) -> float:
    """Milliseconds of a run of EPOCHS epochs and its final measuring."""
    ends = train_ours(rows, config, runs, probes, EPOCHS)
    return 1e3 * (ends[-1] - ends[0])


def late_epoch(rows: StackRows, config: RunConfig, runs: int) -> float:
    """Milliseconds of the last of MANY_EPOCHS epochs, beside `second_epoch`: a step should not get slower."""
    ends = train_ours(rows, config, runs, probes=False, epochs=MANY_EPOCHS)
    return 1e3 * (ends[MANY_EPOCHS] - ends[MANY_EPOCHS - 1])


def published(rows: StackRows) -> float:
    """Milliseconds of the second of two epochs of the reference."""
    x, t, y = rows.train.x[0], rows.train.t[0], rows.train.y[0]
    model = Reference(x.shape[1], 1, 2)
    model.start(x, y)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    loader = DataLoader(TensorDataset(x, t, y), batch_size=BATCH, shuffle=True)
    ends = []
    for _ in range(2):
        total = 0.0
        for x_batch, t_batch, y_batch in loader:
            model.before_step(x_batch, y_batch)
            optimizer.zero_grad()
            loss = model.loss(x_batch, t_batch, y_batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        assert total == total, "the reference turned NaN"
        ends.append(time.perf_counter())
    return 1e3 * (ends[1] - ends[0])


@dataclass(frozen=True)
class Timing:
    """Times of one contestant over the rounds, in milliseconds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def beside(self, other: "Timing") -> float:
        """How many times as long as the other it took: the median over rounds, which forgives a machine that drifts."""
        return statistics.median(mine / its for mine, its in zip(self.rounds, other.rounds, strict=True))

    @property
    def spoilt(self) -> bool:
        """Whether something else held the machine up in half of the rounds."""
        return self.median > 1.3 * min(self.rounds)


def take_turns(contestants: dict[str, Callable[[], float]]) -> dict[str, Timing]:
    """Run all contestants in every round."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        if time.perf_counter() - begin > PATIENCE:
            break
        for name, run in contestants.items():
            times[name].append(run())
    return {name: Timing(values) for name, values in times.items()}


def verdict(times: float, aim: int | None, spoilt: bool) -> str:
    text = "" if aim is None else f"{aim:>7}x"
    if spoilt:
        return f"{text}  spoilt by other work: run again"
    return text if aim is None else f"{text}  {'reached' if times >= aim else 'missed'}"


def steps(config: RunConfig, data: Data, threads: int) -> None:
    rows = {runs: stack_rows(config, data, runs, STEPS) for runs in STACKS}
    contestants: dict[str, Callable[[], float]] = {PUBLISHED: partial(published, rows[1])}
    contestants |= {f"ours, R={runs}": partial(second_epoch, rows[runs], config, runs) for runs in STACKS}
    contestants[LATE] = partial(late_epoch, rows[1], config, 1)
    took = take_turns(contestants)
    baseline = took[PUBLISHED].median / STEPS
    print(f"{PUBLISHED:<16}{threads:>8}{baseline:>12.2f}{1:>11.1f}x{verdict(1, None, took[PUBLISHED].spoilt)}")
    for name, runs in [*((f"ours, R={runs}", runs) for runs in STACKS), (LATE, 1)]:
        each, faster = took[name].median / STEPS / runs, runs * took[PUBLISHED].beside(took[name])
        aim = None if name == LATE else AIMS.get((runs, threads))
        note = verdict(faster, aim, took[name].spoilt or took[PUBLISHED].spoilt)
        print(f"{name:<16}{threads:>8}{each:>12.2f}{faster:>11.1f}x{note}")


def floor(rows: StackRows, config: RunConfig, runs: int) -> float:
    """Milliseconds of STEPS times the arithmetic and the memory traffic that a step cannot leave out."""
    sizes = Sizes(rows.train.x.shape[2], rows.train.y.shape[2], 2)
    model = choose(config.model).build(sizes, list(range(runs)), [config.stats_mode] * runs).to(torch.float32)
    assert isinstance(model, Learner)
    parameters = model.objectives()[0].parameters
    optimizer = optimizer_of(config.optimizer)(parameters, lr=[5e-4] * runs, weight_decay=[0.0] * runs)
    weights = [p.detach() for p in parameters if p.shape[-2] > 1]  # (members, d_in, d_out); the others are biases
    inputs = [torch.randn(w.shape[0], BATCH, w.shape[1]) for w in weights]
    outputs = [torch.randn(w.shape[0], BATCH, w.shape[2]) for w in weights]
    biases = [torch.zeros(w.shape[0], 1, w.shape[2]) for w in weights]
    gradients = [torch.full((runs, p.numel() // runs), 1e-3) for p in parameters]
    start = time.perf_counter()
    for _ in range(STEPS):
        for bias, x, weight in zip(biases, inputs, weights, strict=True):
            torch.baddbmm(bias, x, weight)
        for x, weight, gradient in zip(inputs, weights, outputs, strict=True):
            torch.bmm(gradient, weight.transpose(1, 2))
            torch.bmm(x.transpose(1, 2), gradient)
        optimizer.step(gradients, torch.ones(runs))
    return 1e3 * (time.perf_counter() - start)


def over_floor(config: RunConfig, data: Data) -> None:
    torch.set_num_threads(1)
    for runs in FLOOR_STACKS:
        rows = stack_rows(config, data, runs, STEPS)
        contestants: dict[str, Callable[[], float]] = {"floor": partial(floor, rows, config, runs)}
        took = take_turns(contestants | {"ours": partial(second_epoch, rows, config, runs)})
        ratio = took["ours"].beside(took["floor"])
        each = [took[name].median / STEPS / runs for name in ("floor", "ours")]
        note = "reached" if ratio <= MOST_OVER_FLOOR else "missed"
        print(f"{f'R={runs}':<16}{each[0]:>12.2f}{each[1]:>12.2f}{ratio:>12.2f}{MOST_OVER_FLOOR:>8}  {note}")


def probe_cost(config: RunConfig, data: Data) -> None:
    for runs in (1, 16):
        rows = stack_rows(config, data, runs, None)
        contestants = {
            name: partial(whole_run, rows, config, runs, probes) for name, probes in (("off", False), ("on", True))
        }
        took = take_turns(contestants)
        off, on, ratio = took["off"].median, took["on"].median, took["on"].beside(took["off"])
        spoilt = any(timing.spoilt for timing in took.values())
        note = "spoilt by other work: run again" if spoilt else "reached" if ratio < MOST_FOR_PROBES else "missed"
        print(f"{f'R={runs}':<16}{off / runs:>12.0f}{on / runs:>12.0f}{ratio:>12.3f}{MOST_FOR_PROBES:>8}  {note}")


def main() -> None:
    begin = time.perf_counter()
    config, data = load()
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, NHEFS, batch {BATCH}")
    print(
        f"load before: {os.getloadavg()[0]:.1f} (above 0.3, other work spoils the figures, most of all two threads)\n"
    )
    print(f"{'':<16}{'threads':>8}{'ms a step':>12}{'faster':>12}{'aim':>8}")
    print(f"{'':<16}{'':>8}{'and model':>12}")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        steps(config, data, threads)
    print(f"\n{'floor':<16}{'floor':>12}{'ours':>12}{'ours / floor':>12}{'aim':>8}   ms a step and model, 1 thread")
    over_floor(config, data)
    torch.set_num_threads(2)
    print(f"\n{'probes':<16}{'off':>12}{'on':>12}{'on / off':>12}{'aim <':>8}   ms a run of {EPOCHS} epochs, 2 threads")
    probe_cost(config, data)
    print(f"\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    with subnormals_are_zero():
        main()
