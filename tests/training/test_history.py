"""History worked by hand: one row a step and an epoch, and where a run's history ends."""

import numpy as np
import pytest
import torch

from ssc_sweep.models.contract import Batch, Loss
from ssc_sweep.training.history import FIRST_STEPS, Bad, History
from ssc_sweep.training.measure import Predictions, validation


def history(runs: int) -> History:
    return History(runs, limit=5.0, modules={"fit": ["a", "a", "b"]})


def record(h: History, totals: list[float], rows: list[list[float]], norms: list[list[float]]) -> None:
    """One step: totals (R,), a part by row (R, B), gradient norms of three parameters (3, R)."""
    h.begin_step()
    h.record("fit", Loss(torch.tensor(totals), {"ll": torch.tensor(rows)}), torch.tensor(norms).T)


def blank(rows: int) -> Batch:
    return Batch(torch.zeros(1, rows, 1), torch.zeros(1, rows, dtype=torch.int64), torch.zeros(1, rows, 1), False)


def test_one_epoch_by_hand() -> None:
    h = history(2)
    record(h, [1.0, 10.0], [[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 6.0], [4.0, 8.0]])
    record(h, [3.0, 20.0], [[5.0, 5.0], [0.0, 4.0]], [[3.0, 6.0], [0.0, 0.0], [0.0, 8.0]])
    h.close_epoch(1)
    (first,), (second,) = h.rows
    # Norms before clipping: run 0 has 5 and 3; run 1 has 10 and 10, which clipping to 5 halves.
    assert first == pytest.approx(
        {
            "kind": "epoch", "epoch": 1, "step": 2, "fit.loss": 2.0,
            "fit.ll": 3.5, "fit.ll_sd": 0.5, "fit.ll_min": 1.0, "fit.ll_max": 5.0,
            "fit.gradient_norm": 4.0, "fit.gradient_norm.a": 3.0, "fit.gradient_norm.b": 2.0,
            "fit.clipped_norm": 4.0, "fit.clipped_norm.a": 3.0, "fit.clipped_norm.b": 2.0, "fit.clipped_share": 0.0,
        }
    )  # fmt: skip
    assert second["fit.gradient_norm"] == 10.0
    assert (second["fit.clipped_norm"], second["fit.clipped_norm.b"], second["fit.clipped_share"]) == (5.0, 4.0, 1.0)


def test_the_first_steps_have_rows_of_their_own() -> None:
    h = history(1)
    for step in range(1, FIRST_STEPS + 3):
        record(h, [float(step)], [[0.0]], [[1.0]] * 3)
        if h.wants_probes:
            h.probe({"shift": torch.tensor([10.0 * step])})
    h.close_epoch(1)
    kinds = [row["kind"] for row in h.rows[0]]
    assert kinds == ["step"] * 50 + ["epoch"]
    assert (h.rows[0][2]["step"], h.rows[0][2]["fit.loss"], h.rows[0][2]["shift"]) == (3, 3.0, 30.0)


def test_history_ends_before_the_first_bad_step() -> None:
    h = history(2)
    for epoch in (1, 2):
        for step in range(3):
            bad = epoch == 2 and step >= 1
            record(h, [1.0, 1.0], [[0.0], [0.0]], [[float("nan") if bad else 1.0, 1.0]] * 3)
        h.close_epoch(epoch)
    assert h.bad == [Bad(step=5, tensor="fit.gradient_norm"), None]
    assert [row["step"] for row in h.rows[0]] == [3, 4]
    assert [row["step"] for row in h.rows[1]] == [3, 6]
    assert not h.all_bad


def test_a_loss_that_is_not_a_number_is_found_in_its_first_part() -> None:
    h = history(1)
    record(h, [float("nan")], [[float("inf")]], [[float("nan")]] * 3)
    h.close_epoch(1)
    assert h.bad == [Bad(step=1, tensor="fit.ll")]
    assert h.rows == [[]]


def test_predictions_that_are_not_numbers() -> None:
    h = history(1)
    nothing = Predictions(np.full((1, 2, 1), np.nan), np.zeros((1, 2, 2)))
    for epoch, final in ((1, False), (2, True)):
        record(h, [1.0], [[0.0]], [[1.0]] * 3)
        h.close_epoch(epoch)
        h.measured(validation(nothing, blank(2), limit=100.0), final=final)
        assert h.bad == [Bad(step=2, tensor="prediction") if final else None]
    assert "val_rmse" not in h.rows[0][0]


def test_share_of_predictions_at_the_clamp() -> None:
    h = history(1)
    record(h, [1.0], [[0.0]], [[1.0]] * 3)
    h.close_epoch(1)
    predictions = Predictions(np.array([[[100.0], [-100.0], [3.0], [99.0]]]), np.zeros((1, 4, 2)))
    h.measured(validation(predictions, blank(4), limit=100.0), final=True)
    assert h.rows[0][0]["val_clamped"] == 0.5


def test_a_step_has_the_validation_scores_after_it() -> None:
    h = history(1)
    record(h, [1.0], [[0.0]], [[1.0]] * 3)
    off = Predictions(np.array([[[3.0], [4.0]]]), np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]])))
    h.probe({"shift": torch.tensor([2.0])})
    h.probe(validation(off, blank(2), limit=4.0))
    h.close_epoch(1)
    step = h.rows[0][0]
    # Outcomes and treatments are all 0: errors 3 and 4, one treatment of two right, one prediction at the limit.
    assert step["val_rmse"] == pytest.approx(12.5**0.5)
    assert (step["kind"], step["shift"], step["val_accuracy"], step["val_clamped"]) == ("step", 2.0, 0.5, 0.5)


def test_the_last_step_of_a_long_epoch_has_the_models_probes_alone() -> None:
    h = history(1)
    off = Predictions(np.zeros((1, 2, 1)), np.zeros((1, 2, 2)))
    steps = FIRST_STEPS + 3
    for step in range(1, steps + 1):
        record(h, [1.0], [[0.0]], [[1.0]] * 3)
        if h.wants_probes or step == steps:
            h.probe({"shift": torch.tensor([float(step)])})
        if h.wants_probes:
            h.probe(validation(off, blank(2), limit=4.0))
    h.close_epoch(1)
    assert [row["shift"] for row in h.rows[0]] == [*range(1, FIRST_STEPS + 1), steps]
    assert ["val_rmse" in row for row in h.rows[0]] == [True] * FIRST_STEPS + [False]
