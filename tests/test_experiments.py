"""The experiments that compare models, small: every arm trains, and every published number finds its arm."""

import json

import pandas as pd
import pytest
import yaml

from tests.command import Command, make_command

command = pytest.fixture(make_command)
SMALL = [
    "dataset=synthetic",
    "dataset.rows=140",
    "dataset.d_x=6",
    "dataset.wave_columns=2",
    "epochs=1",
    "seeds=1",
    "study=s",
    "report=false",
    "workers=0",
]


def plan(command: Command) -> dict[str, list[dict[str, object]]]:
    return yaml.safe_load((command.folder / "outputs" / "s" / "study.yaml").read_text())


def runs(command: Command) -> pd.DataFrame:
    return pd.read_csv(command.folder / "outputs" / "s" / "summary.csv")


@pytest.mark.parametrize(("name", "arms"), [("models", 40), ("small_sample", 4), ("effects", 6)])
def test_an_experiment(command: Command, name: str, arms: int) -> None:
    ended = command("-m", f"experiment={name}", *SMALL)
    assert ended.code == 0, ended.err
    table = runs(command)
    assert len(table) == arms and set(table["status"]) == {"finished"}
    said = plan(command)
    labels = {str(arm["label"]) for arm in said["arms"]}
    effects = command.folder / "outputs" / "s" / "effects.csv"
    estimators = set(pd.read_csv(effects)["estimator"]) if effects.exists() else set()
    references = said["hypotheses"][name]["references"]  # type: ignore[call-overload]
    assert references
    for reference in references:
        assert reference["arm"] in (estimators if name == "effects" else labels), reference["arm"]


@pytest.mark.parametrize(("name", "arms"), [("flow", 24), ("flow_labels", 8)])
def test_an_experiment_whose_control_is_flow(command: Command, name: str, arms: int) -> None:
    ended = command("-m", f"experiment={name}", *SMALL)
    assert ended.code == 0, ended.err
    table = runs(command)
    assert len(table) == arms and set(table["status"]) == {"finished"}
    assert set(table.loc[table["arm"].str.endswith("control"), "model"]) == {"Flow"}


def test_a_word_of_the_command_line_wins_over_an_experiments(command: Command) -> None:
    ended = command("-m", "experiment=models", *SMALL, "covariates=all", "split=shuffled")
    assert ended.code == 0, ended.err
    assert len(runs(command)) == 10
    configs = [yaml.safe_load(path.read_text()) for path in command.folder.glob("outputs/s/**/config.yaml")]
    assert {config["split"]["order"] for config in configs} == {"shuffled"}
    assert {config["covariates"]["keep"] for config in configs} == {"all"}


def test_test_rows_are_measured_once_beside_validation(command: Command) -> None:
    words = [word for word in SMALL if not word.startswith(("epochs", "seeds"))]
    ended = command("-m", *words, "epochs=2", "model.width=8", "split=shuffled", "split.test_share=0.25", "seed=0,1")
    assert ended.code == 0, ended.err
    table = runs(command)
    assert (table["rows_test"] == 35).all() and (table["rows_train"] + table["rows_val"] == 105).all()
    assert table["test_rmse"].notna().all() and (table["test_rmse"] != table["rmse"]).all()
    for path in command.folder.glob("outputs/s/**/history.csv"):
        assert not [name for name in pd.read_csv(path).columns if "test" in name]


def test_a_search_without_a_target_fixes_one(command: Command) -> None:
    words = [word for word in SMALL if not word.startswith("seeds")]
    search = ["experiment=search", "optimizer.lr=tag(log,interval(1e-4,1e-3))", "n_trials=1"]
    counts = ["hydra.sweeper.seeds_per_trial=1", "hydra.sweeper.confirm_seeds=2", "model.width=8", "target=null"]
    counts += ["split.test_share=0.05"]  # the space has batches of 64
    counts += ["rule.works_share=0.1", "rule.alpha=0.4"]
    ended = command("-m", *search, *words, *counts)
    assert ended.code in (0, 1), ended.err
    rule = plan(command)["rule"]
    metrics = json.loads(next(command.folder.glob("outputs/s/trial=0000/seed=0/metrics.json")).read_text())
    assert rule["target"] == pytest.approx(0.9 * metrics["mean_predictor_rmse"], rel=1e-5)  # type: ignore[call-overload]
    assert "10% below predicting the mean" in ended.err


def test_what_is_said_of_the_data(command: Command) -> None:
    ended = command("covariates=confounders", "dataset_size=n100", "epochs=1", "model.width=8", "study=s")
    assert ended.code == 0 and "nhefs: 1566 rows; 63 without an outcome are left out" in ended.err
    metrics = json.loads(next(command.folder.glob("outputs/s/**/metrics.json")).read_text())
    assert metrics["rows_without_outcome"] == 63 and metrics["rows_val_known"] == metrics["rows_val"] == 50
