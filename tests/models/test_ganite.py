"""The adversarial step of ganite against one computed by hand, and what each of its objectives trains."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Loss, Objective, Sizes
from ssc_sweep.models.ganite import Ganite
from ssc_sweep.training.history import History
from ssc_sweep.training.loop import descend
from ssc_sweep.training.optimizer import SGD
from tests.models.by_hand import plain

MODE = StatsMode(mode="ema", momentum=0.05)
K = 3


def build(alpha: float = 0.7, inner: int = 2, lr: float | None = None) -> Ganite:
    return Ganite(Sizes(3, 1, K), [0, 1], [MODE, MODE], 8, alpha, inner, lr, scale_y=False).to(torch.float64)


def rows(hidden: bool = False) -> Batch:
    draw = np.random.default_rng(0)
    t = np.array([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    if hidden:
        t[:, 1::2] = -1
    x, y = (torch.from_numpy(draw.standard_normal((2, 5, d))) for d in (3, 1))
    return Batch(x, torch.from_numpy(t), y, any_hidden=hidden)


def z_of(model: Ganite, run: int, n: int) -> Tensor:
    """The noise that the model draws next, from a copy of its stream."""
    state = model.noise.draws[run].bit_generator.state
    copy = np.random.default_rng()
    copy.bit_generator.state = state
    return 2 * torch.from_numpy(copy.random((n, K - 1), dtype=np.float32)).double() - 1


@pytest.mark.parametrize("hidden", [False, True])
def test_every_loss_by_hand(hidden: bool) -> None:
    for name in ("discriminate", "generate", "learn_effects", "classify"):
        model, batch = build(), rows(hidden)
        noise = [z_of(model, run, 5) for run in range(2)]
        total = getattr(model, name)(batch).total
        for run in range(2):
            x, t, y = batch.x[run], batch.t[run].clamp(min=0), batch.y[run]
            seen = batch.t[run] >= 0
            place = torch.eye(K, dtype=torch.float64)[t]
            made = plain(model.g_cf, run, torch.cat([x, place, y, noise[run]], 1))
            completed = made.clone()
            completed[torch.arange(5), t] = y[:, 0]
            ce = -plain(model.d_y, run, torch.cat([x, completed], 1)).log_softmax(1)[torch.arange(5), t]
            error = (made[torch.arange(5), t] - y[:, 0]).square()
            effects = plain(model.g_ite, run, x)
            p = plain(model.c_t, run, torch.cat([x, y], 1)).softmax(1)
            known, unknown = (effects - completed).square().mean(1), (p * (effects - y).square()).sum(1)
            expected = {
                "discriminate": ce[seen].mean(),
                "generate": error[seen].mean() - 0.7 * ce[seen].mean(),
                "learn_effects": torch.where(seen, known, unknown).mean(),
                "classify": -p[torch.arange(5), t].log()[seen].mean(),
            }[name]
            torch.testing.assert_close(total[run], expected)


def test_each_objective_trains_its_own_network_alone() -> None:
    model, batch = build(), rows()
    owners = {"discriminator": "d_y", "generator": "g_cf", "effects": "g_ite", "treatment": "c_t"}
    for objective in model.objectives():
        loss = objective.loss(batch).total.sum()
        named = dict(model.named_parameters())
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        mine = {id(parameter) for parameter in objective.parameters}
        for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
            assert (id(parameter) in mine) == name.startswith(f"{owners[objective.name]}.")
            # The generator's gradient passes through the discriminator; the others reach no other network.
            if id(parameter) not in mine and not (objective.name == "generator" and name.startswith("d_y.")):
                assert gradient is None, (objective.name, name)


def test_inner_steps_at_a_rate_of_their_own_by_hand() -> None:
    """Three steps of gradient descent at 0.1 on |w|^2 / 2: each shrinks w by a tenth; the run's rate is not used."""
    weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
    seen = []

    def loss(_: Batch) -> Loss:
        total = weight.square().sum(dim=1) / 2
        seen.append(total.detach().clone())
        return Loss(total, {})

    objective = Objective("adversary", [weight], loss, steps=3, lr=0.1)
    history = History(2, float("inf"), {"adversary": ["w"]})
    history.begin_step()
    before = weight.detach().clone()
    descend(objective, SGD([weight], [0.1, 0.1], [0.0, 0.0], momentum=0.0), rows(), history)
    torch.testing.assert_close(weight.detach(), 0.9**3 * before)
    assert len(seen) == 3
    # The last inner step is the one that the history has.
    torch.testing.assert_close(history._steps[-1].tensors["adversary.loss"], seen[-1])
