"""Our flow_ssc against the plain one in nflows, and against what its formulas say."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.splitting import Rows
from ssc_sweep.models.contract import Batch, Sizes
from ssc_sweep.models.flow_ssc import FlowSSC
from ssc_sweep.training.stack import _batch
from tests.nflows_reference import Reference, all_pieces, copy_weights, couplings

EMA, PRECOMPUTED = StatsMode(mode="ema", momentum=0.05), StatsMode(mode="precomputed", momentum=0.05)
D_X, WIDTH, X_WIDTH, ROWS = 5, 16, 8, 12
SIZES = [Sizes(D_X, d_y, treatments) for d_y in (1, 3) for treatments in (2, 3)]
LABELS = ["all", "half", "one run hidden"]

both_sizes = pytest.mark.parametrize("sizes", SIZES, ids=[f"d_y={s.d_y},K={s.treatments}" for s in SIZES])


def build(sizes: Sizes, inert: bool = True, samples: int = 100, gamma: float = 1.0, **more: Any) -> FlowSSC:
    """Two runs: the first with running, the second with precomputed statistics."""
    model = FlowSSC(sizes, [3, 4], [EMA, PRECOMPUTED], 6, WIDTH, 3, X_WIDTH, gamma, samples, inert, 1e-3, 100.0, **more)
    return model.to(torch.float64)


def rows(seed: int, sizes: Sizes, n: int = ROWS) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    return Batch(
        x=2 + 3 * torch.randn(2, n, sizes.d_x, generator=draw, dtype=torch.float64),
        t=torch.randint(sizes.treatments, (2, n), generator=draw),
        y=-1 + 4 * torch.randn(2, n, sizes.d_y, generator=draw, dtype=torch.float64),
        any_hidden=False,
    )


def hide(batch: Batch, labels: str) -> Batch:
    t = batch.t.clone()
    if labels == "half":
        t[0, ::2] = HIDDEN
        t[1, ROWS // 3 :] = HIDDEN
    elif labels == "one run hidden":
        t[0] = HIDDEN
    return replace(batch, t=t, any_hidden=labels != "all")


def prepare(model: FlowSSC, labels: str) -> tuple[list[Batch], Batch]:
    """Start the model, show it three batches, and return what it saw and a batch with outcomes that meet the clamp."""
    train = rows(0, model.sizes, 40)
    seen = [rows(seed, model.sizes) for seed in (1, 2, 3)]
    model.start(train)
    for batch in seen:
        model.before_step(batch)
    last = hide(rows(4, model.sizes), labels)
    last.y[:, :2] *= 100
    return [train, *seen], last


def gradients(model: FlowSSC, total: Tensor) -> dict[str, Tensor]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    (objective,) = model.objectives()
    values = torch.autograd.grad(total.sum(), objective.parameters)
    return {names[id(p)]: value for p, value in zip(objective.parameters, values, strict=True)}


def reference_of(model: FlowSSC, run: int, seen: list[Batch]) -> Reference:
    precomputed = model.stats[run].mode == "precomputed"
    reference = Reference(*model.sizes, precomputed, WIDTH, X_WIDTH).to(torch.float64)
    copy_weights(model, run, reference)
    reference.start(seen[0].x[run], seen[0].y[run])
    for batch in seen[1:]:
        reference.before_step(batch.x[run], batch.y[run])
    return reference


@both_sizes
@pytest.mark.parametrize("labels", LABELS)
def test_loss_and_gradients_equal_the_reference(sizes: Sizes, labels: str) -> None:
    model = build(sizes)
    seen, batch = prepare(model, labels)
    total = model.loss(batch).total
    ours = gradients(model, total)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for run in range(2):
        reference = reference_of(model, run, seen)
        x, y = reference.normalise(batch.x[run], batch.y[run])
        assert (reference.ll_y(x, batch.t[run].clamp(min=0), y) < -100).any(), "the clamp must be put to the test"
        loss = reference.loss(batch.x[run], batch.t[run], batch.y[run])
        torch.testing.assert_close(total[run], loss, rtol=1e-8, atol=1e-8)
        loss.backward()
        compared: Counter[str] = Counter()
        for piece in all_pieces(model, reference):
            name = names[id(piece.ours)]
            if name not in ours:
                # Never learns: x flow and couplings that transform nothing.
                assert piece.theirs.grad is None or not piece.theirs.grad.any(), name
                continue
            mine, theirs = piece.of_ours(ours[name][run]), piece.of_theirs(piece.theirs.grad)
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")
            compared[name] += mine.numel()
        assert compared == {name: gradient[run].numel() for name, gradient in ours.items()}


@both_sizes
@pytest.mark.parametrize("labels", LABELS)
def test_inert_parts_change_neither_loss_nor_gradients(sizes: Sizes, labels: str) -> None:
    model, lean = build(sizes), build(sizes, inert=False)
    _, batch = prepare(model, labels)
    prepare(lean, labels)
    loss, lean_loss = model.loss(batch), lean.loss(batch)
    ll_x, seen = model._ll_x(model.x_stats.normalise(batch.x)), batch.t >= 0
    for run in range(2):
        constant = sum(ll_x[run, mask[run]].mean() for mask in (seen, ~seen) if mask[run].any())
        torch.testing.assert_close(lean_loss.total[run], loss.total[run] + constant, rtol=1e-10, atol=1e-10)
    full, part = gradients(model, loss.total), gradients(lean, lean_loss.total)
    weights, lean_weights = dict(model.named_parameters()), dict(lean.named_parameters())
    if sizes.d_y > 1:
        assert full.keys() == part.keys()
        for name in full:
            assert torch.equal(weights[name], lean_weights[name]), name
            torch.testing.assert_close(full[name], part[name], rtol=1e-9, atol=1e-12)
        return
    # The live couplings 1, 3, 5 stand in one stack of networks, run after run.
    for name in part:
        suffix = name.removeprefix("y_flow.nets.0.")
        if suffix == name:
            pairs = [(weights[name], lean_weights[name]), (full[name], part[name])]
        else:
            by_coupling = [f"y_flow.nets.{i}.{suffix}" for i in (1, 3, 5)]
            pairs = [
                (torch.stack([source[key] for key in by_coupling], dim=1).flatten(0, 1), lean_source[name])
                for source, lean_source in ((weights, lean_weights), (full, part))
            ]
        (weight, lean_weight), (gradient, lean_gradient) = pairs
        assert torch.equal(weight, lean_weight), name
        torch.testing.assert_close(gradient, lean_gradient, rtol=1e-9, atol=1e-12)


@both_sizes
@pytest.mark.parametrize("inert", [True, False])
def test_all_that_should_learn_gets_a_gradient(sizes: Sizes, inert: bool) -> None:
    model = build(sizes, inert)
    _, batch = prepare(model, "half")
    got = gradients(model, model.loss(batch).total)
    for name, gradient in got.items():
        for run, mine in enumerate(gradient.view(2, -1)):
            assert mine.abs().max() > 0, f"{name} of run {run}"
    dead = ("x_flow", *(f"y_flow.nets.{i}." for i in (0, 2, 4) if sizes.d_y == 1 and inert))
    should = {name for name, _ in model.named_parameters() if not name.startswith(dead)}
    assert set(got) == should


def test_parameter_counts_at_the_size_of_nhefs() -> None:
    model = FlowSSC(Sizes(65, 1, 2), [0], [EMA], 6, 128, 3, 64, 1.0, 100, True, 1e-3, 100.0)
    reference = Reference(65, 1, 2)
    assert model.x_flow is not None
    for parts in (
        [model, model.x_flow, *(model.y_flow.nets[i] for i in (0, 2, 4))],
        [reference, reference.x_flow, *(couplings(reference.y_flow)[i].transform_net for i in (0, 2, 4))],
    ):
        total, over_x, *dead = (sum(p.numel() for p in part.parameters()) for part in parts)
        assert (total, over_x, sum(dead)) == (648_330, 68_994, 276_864)


@both_sizes
def test_treatment_probabilities_follow_bayes(sizes: Sizes) -> None:
    model = build(sizes)
    seen, _ = prepare(model, "all")
    batch = rows(5, sizes)
    with torch.no_grad():
        got = model.treatment_log_prob(batch.x, batch.y).exp()
        assert got.shape == (2, ROWS, sizes.treatments)
        torch.testing.assert_close(got.sum(-1), torch.ones(2, ROWS, dtype=torch.float64))
        for run in range(2):
            reference = reference_of(model, run, seen)
            x, y = reference.normalise(batch.x[run], batch.y[run])
            prior = torch.softmax(reference.classifier(x), dim=1)
            for row in range(ROWS):
                here = slice(row, row + 1)
                joint = [
                    float(prior[row, k]) * math.exp(reference.ll_y(x[here], torch.tensor([k]), y[here]))
                    for k in range(sizes.treatments)
                ]
                by_hand = torch.tensor(joint, dtype=torch.float64) / sum(joint)
                torch.testing.assert_close(got[run, row], by_hand, rtol=1e-8, atol=1e-8)


@torch.no_grad()
@both_sizes
@pytest.mark.parametrize("inert", [True, False])
def test_predict_shares_work_and_says_the_same(sizes: Sizes, inert: bool) -> None:
    model = build(sizes, inert, samples=2)
    prepare(model, "all")
    batch = rows(5, sizes)
    mean, log_prob = model.predict(batch.x, batch.t, batch.y)
    torch.testing.assert_close(mean, model.outcome_mean(batch.x, batch.t), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_prob, model.treatment_log_prob(batch.x, batch.y), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_mean_of_one_outcome_is_the_mean_of_its_density() -> None:
    sizes = Sizes(D_X, 1, 2)
    model = build(sizes, inert=False)
    prepare(model, "all")
    batch = rows(5, sizes)
    got = model.outcome_mean(batch.x, batch.t)
    assert got.shape == (2, ROWS, 1)
    grid = torch.linspace(-40, 40, 1001, dtype=torch.float64)
    x = model.x_stats.normalise(batch.x)
    for row in range(ROWS):
        here = x[:, row : row + 1].expand(-1, len(grid), -1)
        t = batch.t[:, row : row + 1].expand(-1, len(grid))
        density = model.y_flow.density(grid.view(1, -1, 1).expand(2, -1, -1), model._context(here, t))[0].exp()
        mean = torch.trapezoid(density * grid, grid).view(2, 1, 1)
        torch.testing.assert_close(model.y_stats.restore(mean)[:, 0], got[:, row], rtol=1e-6, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("d_y", [1, 3])
def test_mean_outcome_is_the_mean_of_many_samples(d_y: int) -> None:
    sizes = Sizes(D_X, d_y, 2)
    model = build(sizes, samples=100)
    seen, _ = prepare(model, "all")
    batch = rows(5, sizes, 6)
    got = model.outcome_mean(batch.x, batch.t)
    noise = torch.randn(2000, d_y, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for run in range(2):
        samples = reference_of(model, run, seen).outcome_samples(batch.x[run], batch.t[run], noise)
        error = samples.std(0) * math.sqrt(1 / len(samples) + (1 / model.samples if d_y > 1 else 0))
        assert ((samples.mean(0) - got[run]).abs() < 4 * error).all()


@torch.no_grad()
def test_the_outcomes_density_has_the_mass_one_in_its_own_unit() -> None:
    model = build(Sizes(D_X, 1, 2))
    _, batch = prepare(model, "all")
    for run in range(2):
        shift, scale = float(model.y_stats.shift[run]), float(model.y_stats.scale[run])
        grid = shift + scale * torch.linspace(-60, 60, 3001, dtype=torch.float64)
        x, t = batch.x[:, :1].expand(-1, len(grid), -1), batch.t[:, :1].expand(-1, len(grid))
        log_prob = model.outcome_log_prob(x, t, grid.view(1, -1, 1).expand(2, -1, -1))
        assert float(torch.trapezoid(log_prob[run].exp(), grid)) == pytest.approx(1.0)


@torch.no_grad()
@pytest.mark.parametrize("d_y", [1, 3])
def test_predictions_are_clamped_to_100_units(d_y: int) -> None:
    model = build(Sizes(D_X, d_y, 2), samples=2)
    _, batch = prepare(model, "all")
    model.y_stats.shift[0], model.y_stats.shift[1] = 1e4, -1e4
    means = model.outcome_mean(batch.x, batch.t)
    assert (means[0] == 100).all()
    assert (means[1] == -100).all()


@pytest.mark.parametrize("inert", [True, False])
def test_a_hidden_treatment_has_no_influence(inert: bool) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((8, D_X)), draw.standard_normal((8, 1))
    seen = np.array([0, HIDDEN, 1, HIDDEN, HIDDEN, 0, 1, HIDDEN])
    losses = []
    for code in (0, 1):
        t = np.where(seen == HIDDEN, code, seen)
        run = Rows(np.arange(8), x, t, seen, y)
        batch = _batch([run, run], True, torch.float64, torch.device("cpu"))
        model = build(Sizes(D_X, 1, 2), inert)
        model.start(batch)
        model.before_step(batch)
        loss = model.loss(batch)
        losses.append([loss.total, *gradients(model, loss.total).values()])
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))


def test_gamma_weighs_the_hidden_rows() -> None:
    model, half = build(Sizes(D_X, 1, 2)), build(Sizes(D_X, 1, 2), gamma=0.5)
    _, batch = prepare(model, "half")
    prepare(half, "half")
    parts, half_parts = model.loss(batch).parts, half.loss(batch).parts
    assert torch.equal(half_parts["unlabelled"], 0.5 * parts["unlabelled"])
    assert torch.equal(half_parts["labelled"], parts["labelled"])


@pytest.mark.parametrize("labels", LABELS)
@both_sizes
def test_parts_of_the_loss_row_by_row(sizes: Sizes, labels: str) -> None:
    """What the probes are told, each row by itself and each treatment by itself."""
    model = build(sizes)
    _, batch = prepare(model, labels)
    batch.y[:, :3] *= 100  # rows beyond the clamp, whatever their treatment
    parts = model.loss(batch).parts
    x, y = model.x_stats.normalise(batch.x), model.y_stats.normalise(batch.y)
    log_p_t = model.classifier(x).log_softmax(dim=-1)
    for run in range(2):
        ll_y, scales, clamped, ce = [], [], [], []
        for row in range(ROWS):
            code = int(batch.t[run, row])
            ll, scale = [], []
            for k in range(sizes.treatments) if code == HIDDEN else [code]:
                context = model._context(x[:, row : row + 1], torch.full((2, 1), k))
                found = model.y_flow.density(y[:, row : row + 1], context)
                ll.append(found[0][run, 0].item())
                scale.append(found[1][run, 0].item())
            scales.append(scale)
            clamped.append(max(ll) < -100)
            if code == HIDDEN:
                ll_y.append(torch.logsumexp(log_p_t[run, row] + torch.tensor(ll, dtype=torch.float64), 0).item())
            else:
                ll_y.append(ll[0])
                ce.append(-log_p_t[run, row, code].item())
        assert parts["ll_y"][run].tolist() == pytest.approx(ll_y)
        assert parts["clamped"][run].item() == pytest.approx(np.mean(clamped)) and 0 < np.mean(clamped) < 1
        assert parts["ce"][run].item() == pytest.approx(np.mean(ce) if ce else 0)
        every = [value for scale in scales for value in scale]
        assert parts["log_scale"][run].min().item() == pytest.approx(min(every))
        assert parts["log_scale"][run].max().item() == pytest.approx(max(every))
        assert parts["log_scale"][run].mean().item() == pytest.approx(np.mean([np.mean(scale) for scale in scales]))


def test_probes_of_the_model_by_hand() -> None:
    model = build(Sizes(1, 1, 2))
    train, val = rows(0, model.sizes, 2), rows(1, model.sizes, 2)
    train.x[:], train.y[:] = torch.tensor([[-1.0], [1.0]]), torch.tensor([[10.0], [14.0]])
    val.x[:] = torch.tensor([[-7.0], [5.0]])
    model.start(train)  # shift 0 and scale 1 of x, 12 and 2 of y; the second run keeps them
    batch = replace(train, x=train.x * 3 + 2, y=train.y * 2)  # shift 2 and scale 3 of x, 24 and 4 of y
    model.before_step(batch)
    found = {name: values.tolist() for name, values in model.probe(batch, train, val).items() if name != "ll_x"}
    assert found == {
        "x_shift": [2, 0], "x_scale": [3, 1], "x_shift_off": [2, 0], "x_scale_off": [2, 0],
        "y_shift": [24, 12], "y_scale": [4, 2], "y_shift_off": [6, 0], "y_scale_off": [1, 0],
        "largest_z_train": [1, 1], "largest_z_val": [3, 7],
    }  # fmt: skip


@pytest.mark.parametrize("inert", [True, False])
@pytest.mark.parametrize("d_y", [1, 3])
def test_run_state_is_that_of_the_run_alone(d_y: int, inert: bool) -> None:
    sizes = Sizes(D_X, d_y, 2)
    model = build(sizes, inert)
    alone = FlowSSC(sizes, [4], [PRECOMPUTED], 6, WIDTH, 3, X_WIDTH, 1.0, 100, inert, 1e-3, 100.0)
    mine, theirs = model.run_state(1), alone.run_state(0)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


@pytest.mark.parametrize("labels", LABELS)
@both_sizes
def test_a_flow_over_x_that_learns_adds_its_density_to_the_loss(sizes: Sizes, labels: str) -> None:
    fixed, trained = build(sizes), build(sizes, px="trained")
    _, batch = prepare(fixed, labels)
    prepare(trained, labels)
    losses = [model.loss(batch) for model in (fixed, trained)]
    assert torch.equal(losses[0].total, losses[1].total)
    plain, more = (gradients(model, loss.total) for model, loss in zip((fixed, trained), losses, strict=True))
    over_x = {name for name in more if name.startswith("x_flow")}
    assert over_x == {name for name, _ in trained.named_parameters() if name.startswith("x_flow")}
    assert plain.keys() == more.keys() - over_x
    for name, gradient in plain.items():
        assert torch.equal(gradient, more[name]), name
    # By hand: what is added is minus the mean of log p(x), over labelled and over unlabelled rows.
    x, seen = trained.x_stats.normalise(batch.x), batch.t >= 0
    assert trained.x_flow is not None
    ll_x = trained.x_flow.density(x, x[..., :0])[0]
    added = sum(ll_x[run, mask[run]].mean() for run in range(2) for mask in (seen, ~seen) if mask[run].any())
    by_name = {name: p for name, p in trained.named_parameters() if name in over_x}
    for name, expected in zip(by_name, torch.autograd.grad(-added, list(by_name.values())), strict=True):
        torch.testing.assert_close(more[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inert", [True, False])
def test_without_a_flow_over_x_all_else_is_the_same(inert: bool) -> None:
    sizes = Sizes(D_X, 1, 2)
    there, absent = build(sizes, inert=False), build(sizes, inert, px="absent")
    _, batch = prepare(there, "half")
    prepare(absent, "half")
    assert absent.x_flow is None and not any(name.startswith("x_flow") for name in absent.state_dict())
    torch.testing.assert_close(absent.loss(batch).total, there.loss(batch).total, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        t = batch.t.clamp(min=0)
        torch.testing.assert_close(absent.outcome_mean(batch.x, t), there.outcome_mean(batch.x, t))
        found, more = (model.probe(batch, batch, batch) for model in (absent, there))
    assert more.keys() - found.keys() == {"ll_x"}


@pytest.mark.parametrize("labels", LABELS)
def test_without_the_clamp_every_row_has_a_gradient(labels: str) -> None:
    sizes = Sizes(D_X, 1, 2)
    clamped, free = build(sizes), build(sizes, min_log_density=None)
    losses = []
    for model in (clamped, free):
        _, batch = prepare(model, labels)
        batch.y[:] = 1e4  # every row lies beyond the clamp
        losses.append(model.loss(batch))
    stopped, flowing = (gradients(m, loss.total) for m, loss in zip((clamped, free), losses, strict=True))
    for name in (name for name in flowing if name.startswith("y_flow.nets.1.last.")):
        assert not stopped[name].any() and flowing[name].any(), name
    assert losses[0].parts["clamped"].tolist() == [1, 1] and losses[1].parts["clamped"].tolist() == [0, 0]


@torch.no_grad()
def test_a_free_scale_lets_the_sd_fall_below_that_of_all_outcomes() -> None:
    sizes = Sizes(D_X, 1, 2)
    for law, below in (("sigmoid", False), ("free", True)):
        model = build(sizes, inert=False, scale_law=law)
        _, batch = prepare(model, "all")
        model.y_flow.nets[0].last.bias[..., 1] += 3.0  # raises u of every coupling
        quantiles = model.outcome_quantiles(batch.x, batch.t, torch.tensor([0.158655, 0.841345]))
        sd = (quantiles[..., 1] - quantiles[..., 0]).squeeze(-1) / 2 / model.y_stats.scale[..., 0]
        assert bool((sd < 0.99).all()) is below and bool((sd > 0.99).all()) is not below


def test_constant_columns_take_the_mode_of_each_run() -> None:
    one = StatsMode(mode="ema", momentum=0.05, constant="one")
    model = FlowSSC(Sizes(2, 1, 2), [3, 4], [EMA, one], 6, WIDTH, 3, X_WIDTH, 1.0, 2, False, 1e-3, 100.0)
    batch = rows(0, model.sizes)
    batch.x[..., 1] = 7.0
    model.start(batch)
    model.before_step(batch)
    assert model.x_stats.scale[:, 0, 1].tolist() == [1e-6, 1.0]
    torch.testing.assert_close(model.x_stats.scale[:, 0, 0], batch.x[..., 0].std(dim=1, correction=0))
