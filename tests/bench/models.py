"""How long a step of a model takes: python -m tests.bench.models, about two minutes.

Sixteen runs side by side, through the real training loop, against the same modules one run at a time in a plain loop
with a DataLoader, torch's own Adam and clipping. NHEFS with all 65 covariates, batches of 10, single precision. Both
take turns in one process, round after round; printed are medians of times and of ratios.
"""

import statistics
import time
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from torch.utils.data import DataLoader, TensorDataset

from ssc_sweep.config import RunConfig, check, conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Batch, Learner, Predictor, Sizes
from ssc_sweep.study.prepare import optimizer_of
from ssc_sweep.training.loop import Schedule, subnormals_are_zero, train
from ssc_sweep.training.stack import StackRows, assemble

RUNS, ROUNDS, AIM = 16, 7, 8
STEPS = 79  # an epoch: 783 rows in batches of 10
MODELS = ("mean_teacher", "ganite", "flow", "flow_ssc")


def build(config: RunConfig, runs: int) -> tuple[Predictor, StackRows]:
    data = Data().split(config)
    sizes = Sizes(data.train.x.shape[1], 1, 2)
    model = choose(config.model).build(sizes, list(range(runs)), [config.stats_mode] * runs)
    return model.to(torch.float32), assemble([data] * runs, torch.float32, torch.device("cpu"))


def side_by_side(config: RunConfig) -> float:
    """Milliseconds of the second of two epochs of RUNS runs."""
    model, rows = build(config, RUNS)
    optimizer = partial(optimizer_of(config.optimizer), lr=[1e-3] * RUNS, weight_decay=[0.0] * RUNS)
    ends = [time.perf_counter()]
    schedule = Schedule(2, config.batch.size, False, 1.0, probes=False)
    train(model, rows, optimizer, schedule, lambda: ends.append(time.perf_counter()))
    return 1e3 * (ends[2] - ends[1])


def one_at_a_time(config: RunConfig) -> float:
    """Milliseconds of the second of two epochs of one run."""
    model, rows = build(config, 1)
    assert isinstance(model, Learner)
    model.start(rows.train)
    objectives = model.objectives()
    optimizers = [torch.optim.Adam(objective.parameters, lr=1e-3) for objective in objectives]
    assert rows.train.row is not None
    tensors = TensorDataset(rows.train.x[0], rows.train.t[0], rows.train.y[0], rows.train.row[0])
    loader = DataLoader(tensors, batch_size=config.batch.size, shuffle=True)
    ends, total = [], 0.0
    for _ in range(2):
        for x, t, y, row in loader:
            x, t, y, row = (each.unsqueeze(0) for each in (x, t, y, row))
            batch = Batch(x, t, y, any_hidden=False, row=row)
            model.before_step(batch)
            for objective, optimizer in zip(objectives, optimizers, strict=True):
                for _ in range(objective.steps):
                    optimizer.zero_grad()
                    loss = objective.loss(batch).total.sum()
                    loss.backward(inputs=objective.parameters)
                    torch.nn.utils.clip_grad_norm_(objective.parameters, 1.0)
                    optimizer.step()
                    total += loss.item()
            model.after_step()
        ends.append(time.perf_counter())
    assert total == total, "the loop turned NaN"
    return 1e3 * (ends[1] - ends[0])


def main() -> None:
    print(f"{'':<16}{'threads':>8}{'one, ms a run':>16}{f'of {RUNS}, ms':>12}{'a step':>9}{'faster':>10}   aim {AIM}x")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name in MODELS:
            with initialize_config_dir(str(conf_dir())):
                config = check(compose("config", [f"model={name}"]))
            rounds = [(one_at_a_time(config), side_by_side(config) / RUNS) for _ in range(ROUNDS)]
            one, many = (statistics.median(times) for times in zip(*rounds, strict=True))
            faster = statistics.median(a / b for a, b in rounds)
            verdict = "reached" if faster >= AIM else "missed"
            print(f"{name:<16}{threads:>8}{one:>16.0f}{many:>12.1f}{many / STEPS:>9.2f}{faster:>9.1f}x   {verdict}")


if __name__ == "__main__":
    with subnormals_are_zero():
        main()
