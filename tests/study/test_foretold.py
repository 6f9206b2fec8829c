"""What a run is forecast to do: said before it trains, kept with its metrics, shown in the report."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.command import Command, make_command

command = pytest.fixture(make_command)
# Rows that train in the first half of the file; five columns hold a code from half-way down that no training row has.
CODED = ("dataset=synthetic", "dataset.rows=400", "dataset.d_x=10", "epochs=1", "batch.size=50", "model.width=8",
         "study=s", "workers=0", "probes=false", "save_weights=none")  # fmt: skip


def test_a_run_that_is_likely_to_fail_says_so_in_one_line(command: Command) -> None:
    ended = command(*CODED)
    assert ended.code == 0, ended.err
    lines = [line for line in (ended.out + ended.err).splitlines() if line.startswith("forecast:")]
    assert len(lines) == 1 and "flow_ssc fails on these rows with probability" in lines[0]
    (path,) = (command.folder / "outputs" / "s").rglob("metrics.json")
    metrics = json.loads(path.read_text())
    assert metrics["p_fail"] > 0.5 and metrics["p_fail_reasons"]
    assert metrics["fails"] is (metrics["rmse"] > 1.9 * metrics["mean_predictor_rmse"])


def test_a_run_that_is_likely_to_work_says_nothing(command: Command) -> None:
    ended = command(*CODED, "dataset.wave_columns=0", "split=shuffled")
    assert ended.code == 0 and "forecast:" not in ended.out + ended.err


def test_a_study_says_each_warning_once_and_reports_what_came_of_it(command: Command) -> None:
    ended = command("-m", *CODED, "hypothesis=split,lr", "seeds=2")
    assert ended.code == 0, ended.err
    (line,) = [line for line in (ended.out + ended.err).splitlines() if line.startswith("forecast: flow_ssc fails")]
    assert line.endswith(" Arms: control, lr/optimizer.lr=1e-4, lr/optimizer.lr=1e-5.")  # not the shuffled one
    study = command.folder / "outputs" / "s"
    runs = pd.read_csv(study / "summary.csv").set_index(["arm", "seed"])
    assert (runs.loc["control", "p_fail"] > 0.5).all() and (runs.loc["split/split=shuffled", "p_fail"] < 0.5).all()
    page = (study / "report.html").read_text()
    assert "Forecast and result" in page


def test_columns_that_tell_the_outcome_are_named_before_anything_trains(command: Command) -> None:
    """No verdict would show it: with such a column everything works."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"t": random.integers(0, 2, 80), "age": random.normal(size=80)})
    table["before"] = random.normal(70, 10, 80)
    table["y"] = table["t"] + random.normal(size=80)
    table["after"] = table["before"] + table["y"]
    table.to_csv(command.folder / "my.csv", index=False)
    words = [
        "dataset=csv",
        "dataset.path=my.csv",
        "dataset.treatment=t",
        "dataset.outcome=y",
        *CODED[3:],
        "batch.size=10",
    ]
    ended = command("-m", *words, "seed=0,1")
    assert "scaling.codes=missing changes nothing" not in ended.err
    useless = command("-m", *words, "seed=0,1", "scaling.codes=missing", "study=codes", "dry_run=true").err
    assert "scaling.codes=missing changes nothing where no row holds a declared code." in useless
    lines = [line for line in ended.err.splitlines() if line.startswith("audit:")]
    assert ended.code == 0 and len(lines) == 1, ended.err
    assert lines[0].startswith("audit: after, before tell the outcome: R2 1.000. A result with these columns is arith")
    assert lines[0].endswith("Leave them out: 'dataset.drop=[after,before]'")
    assert "audit:" not in command("-m", *words, "seed=0,1", "dataset.drop=[after]", "study=t").err
    assert "audit:" not in command("-m", *words, "seed=0,1").err, "nothing trains"
