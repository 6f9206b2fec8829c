"""History worked by hand: means over steps, and where a run's history ends."""

import numpy as np
import pytest
import torch

from ssc_sweep.models.contract import Loss
from ssc_sweep.training.measure import Predictions
from ssc_sweep.training.probes import Bad, History


def record(history: History, totals: list[float], rows: list[list[float]], norms: list[float]) -> None:
    history.record("fit", Loss(torch.tensor(totals), {"ll": torch.tensor(rows)}), torch.tensor(norms))


def test_one_epoch_by_hand() -> None:
    history = History(runs=2, limit=1.0)
    record(history, [1.0, 10.0], [[1.0, 3.0], [0.0, 0.0]], [0.5, 2.0])
    record(history, [3.0, 20.0], [[5.0, 5.0], [0.0, 4.0]], [2.0, 2.0])
    history.close_epoch(1)
    first, second = history.rows[0][0], history.rows[1][0]
    assert first == {
        "epoch": 1, "step": 2, "fit.loss": 2.0, "fit.ll": 3.5, "fit.gradient_norm": 1.25, "fit.ll_sd": 0.5,
        "fit.clipped_share": 0.5,
    }  # fmt: skip
    assert second["fit.clipped_share"] == 1.0
    assert second["fit.ll_sd"] == pytest.approx(1.0)


def test_history_ends_before_the_first_bad_step() -> None:
    history = History(runs=2, limit=1.0)
    for epoch in (1, 2):
        for step in range(3):
            bad = epoch == 2 and step >= 1
            record(history, [1.0, 1.0], [[0.0], [0.0]], [float("nan") if bad else 1.0, 1.0])
        history.close_epoch(epoch)
    assert history.bad == [Bad(step=5, tensor="fit.gradient_norm"), None]
    assert [row["step"] for row in history.rows[0]] == [3, 4]
    assert [row["step"] for row in history.rows[1]] == [3, 6]
    assert not history.all_bad


def test_a_prediction_that_is_not_a_number_is_bad() -> None:
    history = History(runs=1, limit=1.0)
    record(history, [1.0], [[0.0]], [1.0])
    history.close_epoch(1)
    history.measured(
        Predictions(np.full((1, 2, 1), np.nan), np.zeros((1, 2, 2))), np.zeros((1, 2, 1)), np.zeros((1, 2))
    )
    assert history.bad == [Bad(step=1, tensor="prediction")]
    assert "val_rmse" not in history.rows[0][0]
