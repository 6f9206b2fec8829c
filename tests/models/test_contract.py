"""What every model keeps: those of conf/model, an ordinary module, and a class outside the package.

A new YAML in conf/model is tested here without a line of test code.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import stats

from ssc_sweep.admission import admitting
from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.source import Data
from ssc_sweep.errors import UserError
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Batch, Learner, Predictor, Sizes, Solver
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.study.job import Job
from ssc_sweep.study.prepare import optimizer_of
from ssc_sweep.training.loop import Schedule, train
from ssc_sweep.training.measure import ask, predict
from ssc_sweep.training.stack import StackRows, assemble
from tests.command import execute
from tests.conftest import MakeConfig

OUTSIDE = "tests.models.outside"
MODELS = {path.stem: [f"model={path.stem}"] for path in sorted((conf_dir() / "model").glob("*.yaml"))}
del MODELS["own"]
MODELS["flow_ssc"] += ["model.width=16", "model.samples=5"]  # of several outcomes each prediction averages samples
MODELS |= {name: ["model=own", f"model._target_={OUTSIDE}.{name}"] for name in ("Ordinary", "Stacked", "Frozen")}
# 37 rows train in batches of 7: the last batch has two rows.
SMALL = [
    *("dataset=synthetic", "dataset.rows=74", "dataset.d_x=5", "dataset.wave_columns=0", "split=shuffled"),
    *("batch.size=7", "epochs=3", "precision=float64", "optimizer.lr=1e-3"),
]
SIZES = {
    "one outcome": ["dataset.d_y=1"],
    "two outcomes, three treatments": ["dataset.d_y=2", "dataset.treatments=3", "dataset.confounding=0"],
}

every_model = pytest.mark.parametrize("model", MODELS)
every_size = pytest.mark.parametrize("size", SIZES)


@pytest.fixture(autouse=True)
def admitted() -> Iterator[None]:
    with admitting(["admit=tests"]):
        yield


@pytest.fixture(params=["all seen", "some hidden"])
def labels(request: pytest.FixtureRequest) -> list[str]:
    return ["labels=half_mcar"] if request.param == "some hidden" else []


def made(configs: list[RunConfig]) -> tuple[Predictor, StackRows]:
    """An untrained model of these runs, and their rows."""
    data = Data()
    splits = [data.split(config) for config in configs]
    first = splits[0]
    sizes = Sizes(first.train.x.shape[1], first.train.y.shape[1], len(first.cohort.treatments))
    torch.manual_seed(configs[0].seed)
    model = choose(configs[0].model).build(sizes, [c.seed for c in configs], [c.stats_mode for c in configs])
    return model.to(torch.float64), assemble(splits, torch.float64, torch.device("cpu"))


def trained(configs: list[RunConfig]) -> tuple[Predictor, StackRows]:
    model, rows = made(configs)
    lr, decay = [c.optimizer["lr"] for c in configs], [c.optimizer["weight_decay"] for c in configs]
    optimizer = partial(optimizer_of(configs[0].optimizer), lr=lr, weight_decay=decay)
    first = configs[0]
    schedule = Schedule(first.epochs, first.batch.size, first.batch.drop_last, first.clip_norm, first.probes)
    train(model, rows, optimizer, schedule, lambda: None)
    return model, rows


@every_model
@every_size
def test_shapes_probabilities_and_gradients(model: str, size: str, labels: list[str], make_config: MakeConfig) -> None:
    words = [*SMALL, *MODELS[model], *SIZES[size], *labels]
    runs = 2 if choose(make_config(*words).model).stacks else 1
    it, rows = made([make_config(*words).with_seed(seed) for seed in range(runs)])
    (_, d_y, k), n = it.sizes, rows.train.x.shape[1]
    if isinstance(it, Solver):
        it.solve(rows.train)
    else:
        assert isinstance(it, Learner)
        it.start(rows.train)
        it.before_step(rows.train)
        objectives = it.objectives()
        assert objectives
        names = {id(parameter): name for name, parameter in it.named_parameters()}
        for objective in objectives:
            assert objective.name and objective.steps >= 1
            loss = objective.loss(rows.train)
            assert loss.total.shape == (runs,) and torch.isfinite(loss.total).all()
            for part, tensor in loss.parts.items():
                assert not tensor.requires_grad, part
                assert tensor.shape in {(runs,), (runs, n), (runs, n * k)}, part
                assert torch.isfinite(tensor).all(), part
            gradients = torch.autograd.grad(loss.total.sum(), objective.parameters, allow_unused=True)
            for parameter, gradient in zip(objective.parameters, gradients, strict=True):
                name = names[id(parameter)]
                assert (gradient is None) == ("idle" in name), name
                assert gradient is None or (torch.isfinite(gradient).all() and gradient.any()), name
        it.after_step()

    # Measuring draws nothing and changes nothing.
    before = {name: tensor.clone() for name, tensor in it.state_dict().items()}
    generator = torch.get_rng_state()
    first, again = ask(it, rows.val), ask(it, rows.val)
    n_val = rows.val.x.shape[1]
    assert first.predictions.outcome.shape == (runs, n_val, d_y)
    assert first.predictions.treatment_log_prob.shape == (runs, n_val, k)
    np.testing.assert_allclose(np.exp(first.predictions.treatment_log_prob).sum(axis=-1), 1)
    for got, same in zip(vars(first.predictions).values(), vars(again.predictions).values(), strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got, same)
    assert first.density is None or (first.density.shape == (runs, n_val) and np.isfinite(first.density).all())
    if first.quantiles is not None:
        assert first.quantiles.shape == (runs, n_val, d_y, 4)
        assert (np.diff(first.quantiles, axis=-1) >= 0).all()
    assert (first.effects is None) == (not it.uses_treatment)
    assert first.effects is None or first.effects.shape == (runs, k - 1, d_y)
    for name, tensor in it.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(torch.get_rng_state(), generator)

    found = it.probe(rows.train, rows.train, rows.val)
    assert set(found) <= {probe.name for probe in it.probes}
    assert all(values.shape in {(runs,), (runs, n)} for values in found.values())


@every_model
@every_size
def test_the_density_and_the_quantiles_agree(model: str, size: str, make_config: MakeConfig) -> None:
    """With one outcome: the mass between two quantiles, integrated from the density, is what they promise."""
    it, rows = trained([make_config(*SMALL, *MODELS[model], *SIZES[size])])
    answers = ask(it, rows.val)
    if answers.quantiles is None or answers.density is None or it.sizes.d_y > 1:
        return
    low, high = (torch.from_numpy(answers.quantiles[:, 0, 0, i]).view(1, 1) for i in (0, 3))
    grid = low + (high - low) * torch.linspace(0, 1, 20001, dtype=torch.float64)
    x, t = (tensor[:, :1].expand(-1, grid.shape[1], *tensor.shape[2:]) for tensor in (rows.val.x, rows.val.t))
    with torch.no_grad():
        density = it.outcome_log_prob(x, t, grid.unsqueeze(-1))
    assert density is not None
    assert torch.trapezoid(density.exp(), grid).item() == pytest.approx(0.9, abs=1e-3)


@every_model
def test_saved_and_loaded_it_predicts_the_same(
    model: str, labels: list[str], make_config: MakeConfig, tmp_path: Path
) -> None:
    words = [*SMALL, *MODELS[model], *labels]
    runs = 2 if choose(make_config(*words).model).stacks else 1
    it, rows = trained([make_config(*words).with_seed(seed) for seed in range(runs)])
    expected = predict(it, rows.val)
    for run in range(runs):
        save_file(it.run_state(run), tmp_path / "model.safetensors")
        # Another seed: nothing but the file says what the model is.
        fresh, _ = made([make_config(*words).with_seed(77)])
        fresh.load_run_state(load_file(tmp_path / "model.safetensors"))
        mine = Batch(rows.val.x[run : run + 1], rows.val.t[run : run + 1], rows.val.y[run : run + 1], False)
        got = predict(fresh, mine)
        # A stack of two may round differently from one run: alone they are equal to the last bit.
        tolerance = {"rtol": 1e-12, "atol": 1e-12} if runs > 1 else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(got.outcome[0], expected.outcome[run], **tolerance)
        np.testing.assert_allclose(got.treatment_log_prob[0], expected.treatment_log_prob[run], **tolerance)


def results(folder: RunFolder) -> tuple[dict[str, object], pd.DataFrame]:
    """What a run says of itself, but for how long it took and beside whom; and its predictions."""
    metrics = json.loads(folder.metrics.read_text())
    return {k: v for k, v in metrics.items() if k not in ("seconds", "stack")}, pd.read_csv(folder.predictions)


def executed(configs: list[RunConfig], folder: Path) -> list[tuple[dict[str, object], pd.DataFrame]]:
    jobs = [Job(config, RunFolder(folder / str(i)), (), StudyFolder(folder)) for i, config in enumerate(configs)]
    for outcome in execute(jobs):
        if outcome.error is not None:
            raise AssertionError(outcome.error)
    return [results(job.folder) for job in jobs]


def assert_same(mine: tuple[dict[str, object], pd.DataFrame], other: tuple[dict[str, object], pd.DataFrame]) -> None:
    assert mine[0].keys() == other[0].keys()
    for name, value in mine[0].items():
        close = pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value
        assert other[0][name] == close, name
    pd.testing.assert_frame_equal(mine[1], other[1], rtol=1e-5, atol=1e-9)


@every_model
@every_size
def test_repeated_stacked_and_without_probes_it_is_the_same_run(
    model: str, size: str, labels: list[str], make_config: MakeConfig, tmp_path: Path
) -> None:
    words = [*SMALL, *MODELS[model], *SIZES[size], *labels]
    configs = [make_config(*words).with_seed(seed) for seed in range(3)]
    stack = executed(configs, tmp_path / "stack")
    again = executed(configs, tmp_path / "again")
    for (metrics, table), (same, same_table) in zip(stack, again, strict=True):
        assert metrics == same
        pd.testing.assert_frame_equal(table, same_table)
    (alone,) = executed(configs[1:2], tmp_path / "alone")
    assert_same(stack[1], alone)
    (unprobed,) = executed([make_config(*words, "seed=1", "probes=false")], tmp_path / "unprobed")
    assert alone[0] == unprobed[0]
    pd.testing.assert_frame_equal(alone[1], unprobed[1])


EFFECT = [
    *("dataset=synthetic", "dataset.rows=2000", "dataset.d_x=4", "dataset.wave_columns=0", "dataset.confounding=0"),
    *("dataset.noise=1", "dataset.effect=3", "split=shuffled", "epochs=20", "batch.size=50", "optimizer.lr=2e-3"),
    "probes=false",
]


@every_model
def test_a_known_effect_is_recovered_within_its_standard_error(
    model: str, make_config: MakeConfig, tmp_path: Path
) -> None:
    """In the 95% interval of the mean over seeds, widened by the error of the 2,000 rows that they all come from."""
    found = executed([make_config(*EFFECT, *MODELS[model]).with_seed(seed) for seed in range(6)], tmp_path)
    effects = np.array([metrics["effect"] for metrics, _ in found], dtype=float)
    if model == "mean":
        assert np.isnan(effects).all()
        return
    of_seeds, of_rows = stats.t.ppf(0.975, 5) * effects.std(ddof=1) / np.sqrt(6), 1.96 * 2 / np.sqrt(2000)
    assert abs(effects.mean() - 3) < np.hypot(of_seeds, of_rows), (effects.mean(), of_seeds, of_rows)


def test_rows_without_a_known_treatment_are_scored_nowhere(make_config: MakeConfig) -> None:
    it, rows = trained([make_config(*SMALL, "model=linear")])
    unknown = rows.val.t.clone()
    unknown[:, ::2] = HIDDEN
    answers = ask(it, replace(rows.val, t=unknown))
    known = ask(it, replace(rows.val, x=rows.val.x[:, 1::2], t=rows.val.t[:, 1::2], y=rows.val.y[:, 1::2]))
    np.testing.assert_allclose(answers.predictions.outcome[:, 1::2], known.predictions.outcome)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (f"{OUTSIDE}.Half", "lacks objectives"),
        (f"{OUTSIDE}.WORDS", "no model"),
        (f"{OUTSIDE}.nn", "no model"),
        (f"{OUTSIDE}.Short", "constructor must take d_x, d_y, treatments"),
        ("torch.nn.Linear", "not admitted"),
        ("ssc_sweep.models.contract.Learner", "lacks objectives, outcome_mean, treatment_log_prob"),
        ("ssc_sweep.models.layers.MLP", "lacks loss"),
        ("ssc_sweep.writing.write_text", "does not belong there"),
        ("ssc_sweep.models.flow_ssc.CouplingFlow", "only imports it"),
    ],
)
def test_what_is_no_model(target: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose({"_target_": target})


def test_a_nested_target_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.width\._target_ names a further target"):
        choose({"_target_": f"{OUTSIDE}.Stacked", "width": {"_target_": "os.system"}})


@pytest.mark.parametrize(("name", "said"), [("Flat", "outcome_mean returned shape"), ("Logits", "do not add up to 1")])
def test_what_an_ordinary_module_returns_is_checked(name: str, said: str, make_config: MakeConfig) -> None:
    it, rows = made([make_config(*SMALL, "model=own", f"++model._target_={OUTSIDE}.{name}")])
    assert isinstance(it, Learner)
    with pytest.raises(ValueError, match=said):
        it.start(rows.train)


def test_a_loss_without_a_gradient_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=r"Detached\.loss depends on no parameter that trains"):
        trained([make_config(*SMALL, "model=own", f"++model._target_={OUTSIDE}.Detached")])


def test_an_objective_descends_at_its_own_rate(make_config: MakeConfig) -> None:
    """The run's rate is so small that nothing moves by it; the discriminator has a rate of its own."""
    words = [*SMALL, "model=ganite", "optimizer.lr=1e-30", "model.discriminator_lr=0.1"]
    start, _ = made([make_config(*words)])
    end, _ = trained([make_config(*words)])
    moved = {
        n for (n, a), b in zip(start.named_parameters(), end.parameters(), strict=True) if not torch.allclose(a, b)
    }
    assert moved == {n for n, _ in start.named_parameters() if n.startswith("d_y.")}
