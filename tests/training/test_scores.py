"""Scores on small matrices worked by hand."""

import math

import numpy as np
import pytest

from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.training import metrics
from ssc_sweep.training.scores import NAMES, SCORES, Measured, Score, measure

LOG = np.log


def measured(**changed: object) -> Measured:
    """Four rows, the last with an unknown treatment: errors 1, -1 and 2; the truth is effect 3."""
    given: dict[str, object] = {
        "y": np.array([[1.0], [2.0], [3.0], [50.0]]),
        "outcome": np.array([[2.0], [1.0], [5.0], [0.0]]),
        "t": np.array([0, 1, 1, HIDDEN]),
        "treatment_log_prob": LOG(np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])),
        "density": LOG(np.array([0.5, 0.25, 0.5, 1e-9])),
        "quantiles": np.array([[[0.0, 0.5, 1.5, 2.0]], [[0.0, 2.5, 3.0, 4.0]], [[4.0, 5.0, 6.0, 7.0]], [[0.0] * 4]]),
        "effects": np.array([[2.5]]),
        "y_train": np.array([[0.0], [4.0]]),
        "effect": 3.0,
    }
    return Measured(**given | changed)  # type: ignore[arg-type]


def test_every_score_by_hand() -> None:
    found = measure(measured())
    assert found == pytest.approx(
        {
            "rmse": math.sqrt((1 + 1 + 4) / 3),
            "rmse_per_batch": math.sqrt((1 + 1 + 4) / 3),  # one batch of ten rows holds all
            "mean_predictor_rmse": math.sqrt((1 + 0 + 1) / 3),  # the training mean is 2
            "skill": 1 - 2 / (2 / 3),
            "accuracy": 2 / 3,
            "majority_share": 2 / 3,
            "auroc": 0.5,  # the untreated row has 0.2: above one treated row (0.1), below the other (0.6)
            "log_loss": -(LOG(0.8) + LOG(0.6) + LOG(0.1)) / 3,
            "brier": (0.2**2 + 0.4**2 + 0.9**2) / 3,
            "nll": -(2 * LOG(0.5) + LOG(0.25)) / 3,
            "coverage_50": 1 / 3,
            "coverage_90": 2 / 3,
            "effect": 2.5,
            "effect_error": 0.5,
        }
    )
    assert tuple(found) == NAMES


def test_what_a_model_does_not_have_is_no_number() -> None:
    found = measure(measured(density=None, quantiles=None, effects=None))
    assert [name for name, value in found.items() if value is None] == [
        "nll", "coverage_50", "coverage_90", "effect", "effect_error",
    ]  # fmt: skip


def test_nobody_knows_the_effect_of_real_data() -> None:
    found = measure(measured(effect=None))
    assert found["effect"] == 2.5 and found["effect_error"] is None


def test_without_a_known_treatment_there_is_no_score() -> None:
    assert set(measure(measured(t=np.full(4, HIDDEN))).values()) == {None}


def test_what_is_not_finite_is_no_number() -> None:
    found = measure(measured(outcome=np.full((4, 1), np.nan)))
    assert found["rmse"] is None and found["accuracy"] is not None


def test_effects_of_several_treatments_and_outcomes() -> None:
    # Steps of 3: treatment 1 adds 3, treatment 2 adds 6, to both outcomes.
    found = measure(
        measured(
            effects=np.array([[3.0, 2.0], [6.5, 6.0]]),
            y=np.ones((4, 2)),
            outcome=np.ones((4, 2)),
            quantiles=None,
            y_train=np.ones((2, 2)),
        )
    )
    assert found["effect"] == pytest.approx(6.25) and found["effect_error"] == pytest.approx(1.0)
    assert found["skill"] is None  # the mean makes no error either


@pytest.mark.parametrize("seed", range(3))
def test_auroc_is_that_of_scikit_learn(seed: int) -> None:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    draw = np.random.default_rng(seed)
    t = draw.integers(3, size=60)
    p = draw.dirichlet(np.ones(3), size=60)
    p[::7] = p[3]  # ties
    assert metrics.auroc(t, LOG(p)) == pytest.approx(roc_auc_score(t, p, multi_class="ovo"))
    assert metrics.log_loss(t, LOG(p)) == pytest.approx(log_loss(t, p))
    assert metrics.brier(t, LOG(p)) == pytest.approx(brier_score_loss(t, p, scale_by_half=True))
    two, p2 = t % 2, p[:, :2] / p[:, :2].sum(axis=1, keepdims=True)
    assert metrics.auroc(two, LOG(p2)) == pytest.approx(roc_auc_score(two, p2[:, 1]))


def test_the_mean_of_batches_is_never_above_the_pooled() -> None:
    draw = np.random.default_rng(0)
    y, prediction = draw.standard_normal((100, 1)), np.zeros((100, 1))
    assert metrics.rmse_per_batch(y, prediction, 10) < metrics.rmse(y, prediction)
    assert metrics.rmse_per_batch(y, prediction, 100) == metrics.rmse(y, prediction)


def test_a_score_is_one_function_and_one_line() -> None:
    mine = Score("worst", lambda m: float(np.abs(m.y - m.outcome).max()), "largest error", "y")
    assert measure(measured(), (*SCORES, mine))["worst"] == 2.0


def test_every_score_says_what_it_is() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(score.title and score.title != score.name for score in SCORES)
