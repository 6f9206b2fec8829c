"""Every model in conf/model keeps the contract. A new YAML is tested here without a line of test code."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import execution_whitelist
from omegaconf import OmegaConf

from ssc_sweep.config import ALLOWED_TARGETS, StatsMode, conf_dir
from ssc_sweep.data.splitting import HIDDEN
from ssc_sweep.models.contract import Batch, Model, Sizes
from ssc_sweep.study.prepare import target

FILES = sorted((conf_dir() / "model").glob("*.yaml"))
MODES = [StatsMode("ema", 0.05), StatsMode("precomputed", 0.05)]
ROWS = 11


def rows(runs: int, sizes: Sizes, any_hidden: bool) -> Batch:
    draw = np.random.default_rng(0)
    t = draw.integers(sizes.treatments, size=(runs, ROWS))
    if any_hidden:
        t[:, ::2] = HIDDEN
    return Batch(
        x=torch.from_numpy(draw.standard_normal((runs, ROWS, sizes.d_x)).astype(np.float32)),
        t=torch.from_numpy(t),
        y=torch.from_numpy(3 * draw.standard_normal((runs, ROWS, sizes.d_y)).astype(np.float32)),
        any_hidden=any_hidden,
    )


def constructor(node: dict[str, Any]) -> Any:
    with execution_whitelist(ALLOWED_TARGETS):
        return target("model", node)


def build(node: dict[str, Any], sizes: Sizes, runs: int) -> Model:
    return constructor(node)(sizes, list(range(runs)), MODES[:runs]).to(torch.float32)


def test_there_are_models() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
@pytest.mark.parametrize("sizes", [Sizes(5, 1, 2), Sizes(4, 2, 3)], ids=["one outcome", "two outcomes"])
@pytest.mark.parametrize("any_hidden", [False, True], ids=["all seen", "some hidden"])
def test_model_keeps_the_contract(file: Any, sizes: Sizes, any_hidden: bool) -> None:
    node: Any = OmegaConf.to_container(OmegaConf.load(file))
    runs = 2 if constructor(node).func.stacks else 1
    model, batch = build(node, sizes, runs), rows(runs, sizes, any_hidden)
    assert (model.sizes, model.runs, model.seeds) == (sizes, runs, tuple(range(runs)))
    for name, tensor in model.state_dict().items():
        assert len(tensor) % runs == 0, name

    model.start(batch)
    model.before_step(batch)
    objectives = model.objectives()
    assert objectives
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for objective in objectives:
        assert objective.name
        loss = objective.loss(batch)
        assert loss.total.shape == (runs,)
        assert torch.isfinite(loss.total).all()
        for part, tensor in loss.parts.items():
            assert not tensor.requires_grad, part
            assert tensor.shape in {(runs,), (runs, ROWS), (runs, ROWS * sizes.treatments)}, part
            assert torch.isfinite(tensor).all(), part
        gradients = torch.autograd.grad(loss.total.sum(), objective.parameters)
        for parameter, gradient in zip(objective.parameters, gradients, strict=True):
            assert torch.isfinite(gradient).all(), names[id(parameter)]
            assert gradient.any(), names[id(parameter)]
    model.after_step()

    # Measuring draws nothing and changes nothing.
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measured = replace(batch, t=batch.t.clamp(min=0))
    with torch.no_grad():
        means, log_probs = (
            [model.outcome_mean(measured.x, measured.t) for _ in range(2)],
            [model.treatment_log_prob(measured.x, measured.y) for _ in range(2)],
        )
    assert means[0].shape == (runs, ROWS, sizes.d_y)
    assert log_probs[0].shape == (runs, ROWS, sizes.treatments)
    assert torch.equal(means[0], means[1])
    assert torch.equal(log_probs[0], log_probs[1])
    with torch.no_grad():
        density = model.outcome_log_prob(measured.x, measured.t, measured.y)
    assert density is None or (density.shape == (runs, ROWS) and torch.isfinite(density).all())
    assert torch.isfinite(means[0]).all()
    torch.testing.assert_close(log_probs[0].exp().sum(-1), torch.ones(runs, ROWS))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name

    for run in range(runs):
        state = model.run_state(run)
        assert state.keys() == before.keys()
        assert sum(a.size for a in state.values()) * runs == sum(t.numel() for t in before.values())


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_run_starts_the_same_alone(file: Any) -> None:
    node: Any = OmegaConf.to_container(OmegaConf.load(file))
    if not constructor(node).func.stacks:
        return
    sizes = Sizes(5, 1, 2)
    stack, alone = build(node, sizes, 2), build(node, sizes, 1)
    mine, theirs = stack.run_state(0), alone.run_state(0)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
