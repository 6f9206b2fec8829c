"""Scores of a trial, worked by hand."""

import pytest

from ssc_sweep.study.search.score import Seeds, score


def test_mean_and_the_quantile_on_the_bad_side() -> None:
    metrics = tuple({"rmse": rmse, "accuracy": rmse / 100} for rmse in (10.0, 20.0, 30.0, 40.0, 50.0))
    seeds = Seeds((10.0, 20.0, 30.0, 40.0, 50.0), metrics, None, pruned=False)
    objectives, directions = ("rmse", "accuracy"), ("minimize", "maximize")
    assert score(seeds, objectives, "mean", directions) == pytest.approx([30.0, 0.30])
    assert score(seeds, objectives, 0.75, directions) == pytest.approx([40.0, 0.20])
    assert score(seeds, objectives, 1, directions) == pytest.approx([50.0, 0.10])
