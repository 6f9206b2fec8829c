"""One optimiser for a stack equals torch's own, one for each run, with gradients clipped to a norm."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssc_sweep.training.loop import gradient_norms
from ssc_sweep.training.optimizer import SGD, Adam, AdamW, Optimizer

RUNS, STEPS, LIMIT = 3, 8, 1.0
LR, DECAY = [1e-3, 1e-2, 0.1], [0.0, 0.1, 0.01]
# The last one has two members a run.
SHAPES = [(RUNS, 4, 3), (RUNS, 1, 3), (2 * RUNS, 3, 2)]

PAIRS = {
    "adam": (partial(Adam, beta1=0.8, beta2=0.99, eps=1e-8), partial(torch.optim.Adam, betas=(0.8, 0.99))),
    "adamw": (partial(AdamW, beta1=0.9, beta2=0.999, eps=1e-6), partial(torch.optim.AdamW, eps=1e-6)),
    "sgd": (partial(SGD, momentum=0.9), partial(torch.optim.SGD, momentum=0.9)),
    "sgd without momentum": (partial(SGD, momentum=0.0), torch.optim.SGD),
}


def gradients(step: int, dtype: torch.dtype) -> list[Tensor]:
    """Different in size from run to run, so that some are clipped and some are not."""
    draw = np.random.default_rng(step)
    size = np.repeat([0.01, 1.0, 50.0], 2)
    values = [draw.standard_normal(shape) * size[:: 2 * RUNS // shape[0], None, None] for shape in SHAPES]
    return [torch.from_numpy(value).to(dtype) for value in values]


def gradient_norm(values: list[Tensor], runs: int) -> Tensor:
    return torch.linalg.vector_norm(gradient_norms([value.view(runs, -1) for value in values]), dim=1)


def of_run(tensor: Tensor, run: int) -> Tensor:
    return tensor.view(RUNS, -1, *tensor.shape[1:])[run].clone()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("limit", [LIMIT, float("inf")])
@pytest.mark.parametrize("together", [False, True], ids=["run by run", "together, as on a GPU"])
def test_stack_equals_torch(name: str, dtype: torch.dtype, tolerance: float, limit: float, together: bool) -> None:
    make_ours: Callable[..., Optimizer]
    make_ours, make_theirs = PAIRS[name]
    draw = np.random.default_rng(99)
    start = [torch.from_numpy(draw.standard_normal(shape)).to(dtype) for shape in SHAPES]

    ours = [nn.Parameter(p.clone()) for p in start]
    optimizer = make_ours(ours, lr=LR, weight_decay=DECAY)
    assert not optimizer.together
    optimizer.together = together
    clipped = []
    for step in range(STEPS):
        values = gradients(step, dtype)
        norm = gradient_norm(values, RUNS)
        clipped.append(norm > limit)
        optimizer.step([value.view(RUNS, -1) for value in values], (norm / limit).clamp(min=1))
    share = torch.stack(clipped).double().mean(0)
    assert (share[0], share[2]) == (0, float(limit == LIMIT))

    for run in range(RUNS):
        theirs = [nn.Parameter(of_run(p, run)) for p in start]
        alone = make_theirs(theirs, lr=LR[run], weight_decay=DECAY[run])
        for step in range(STEPS):
            parts = [of_run(g, run) for g in gradients(step, dtype)]
            norm = torch.cat([g.flatten() for g in parts]).norm()
            for parameter, gradient in zip(theirs, parts, strict=True):
                parameter.grad = gradient / max(1.0, float(norm / limit))
            alone.step()
        for mine, other, first in zip(ours, theirs, start, strict=True):
            got = of_run(mine.detach(), run)
            assert not torch.equal(got, of_run(first, run))
            torch.testing.assert_close(got, other.detach(), rtol=tolerance, atol=tolerance)


def test_clipping_is_that_of_torch() -> None:
    """torch adds 1e-6 to the norm it divides by; but for that, the two agree."""
    values = gradients(0, torch.float64)
    norm = gradient_norm(values, RUNS)
    for run in range(RUNS):
        parameters = [nn.Parameter(torch.zeros_like(of_run(g, run))) for g in values]
        for parameter, gradient in zip(parameters, values, strict=True):
            parameter.grad = of_run(gradient, run)
        total = torch.nn.utils.clip_grad_norm_(parameters, LIMIT)
        torch.testing.assert_close(norm[run], total)
        for parameter, gradient in zip(parameters, values, strict=True):
            expected = of_run(gradient, run) / (norm[run] / LIMIT).clamp(min=1)
            torch.testing.assert_close(parameter.grad, expected, rtol=2e-6, atol=0)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_run_that_turned_nan_leaves_the_others_alone(name: str, dtype: torch.dtype) -> None:
    make_ours = PAIRS[name][0]
    results = []
    for poison in (1.0, float("nan")):
        parameters = [nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in SHAPES]
        optimizer = make_ours(parameters, lr=LR, weight_decay=DECAY)
        for step in range(3):
            values = gradients(step, dtype)
            for value in values:
                value.view(RUNS, -1)[1] *= poison
            optimizer.step([value.view(RUNS, -1) for value in values], gradient_norm(values, RUNS).clamp(min=1))
        results.append([torch.cat([of_run(p.detach(), run).flatten() for p in parameters]) for run in range(RUNS)])
    sound, poisoned = results
    assert torch.equal(sound[0], poisoned[0])
    assert torch.equal(sound[2], poisoned[2])
    assert poisoned[1].isnan().all()
