"""What is said and drawn of a study with factors, from a folder written by hand; two studies from command to report."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ssc_sweep.findings.judging.factors import contrast_table, factorials_of, mean_of
from ssc_sweep.findings.print_study import print_study
from ssc_sweep.findings.reading.collect import collect
from ssc_sweep.findings.report import build
from ssc_sweep.study.folder import StudyFolder, write_json, write_yaml
from ssc_sweep.study.hypothesis import arms_at, read_hypothesis
from ssc_sweep.study.plan import Plan, read_plan, write_plan
from ssc_sweep.verdicts.rule import Rule
from tests.command import REPORTED, Command, make_command
from tests.findings.studies import fail, finish

command = pytest.fixture(make_command)
FACTORS = {
    "order": {"file": {}, "shuffled": {"split": "shuffled"}},
    "batch": {"b10": {}, "b32": {"batch": "b32"}, "b64": {"batch": "b64"}},
}
SEEDS = 14
# Shuffling divides RMSE by 4; batches of 32 do nothing, of 64 multiply it by 2, and by 6 in shuffled rows.
RMSE = {
    "control": 40.0, "batch=b32": 40.0, "batch=b64": 80.0, "order=shuffled": 10.0, "order=shuffled, batch=b32": 10.0,
    "order=shuffled, batch=b64": 60.0,
}  # fmt: skip


def make(path: Path, rmse: Mapping[str, float] = RMSE, rule: Rule = Rule(target=15.0)) -> StudyFolder:  # noqa: B008
    """A study of these factors, each run within 1% of the RMSE of its arm."""
    study = StudyFolder(path)
    conf = read_hypothesis("both", {"letter": "X", "claim": "Order?", "expect": "improves", "factors": FACTORS})
    arms = arms_at((), (), {"both": conf}, "control")
    write_plan(study, Plan(tuple(range(SEEDS)), tuple(arms), rule, {"both": conf}))
    rng = np.random.default_rng(0)
    for arm in arms:
        for seed in range(SEEDS):
            run = study.run(arm.folder, seed)
            finish(run, rmse[arm.label] * math.exp(rng.uniform(-0.01, 0.01)))
            # Configs of different arms differ.
            write_yaml(run.config, yaml.safe_load(run.config.read_text()) | {"changed": dict(arm.levels)})
    return study


def diverge(folder: StudyFolder, arm: str, seed: int) -> None:
    run = folder.run(f"both/{arm}", seed)
    config = run.config.read_text()
    finish(run, None)
    run.config.write_text(config)


def test_one_sentence_a_factor_and_one_an_interaction(tmp_path: Path) -> None:
    (found,) = factorials_of(collect(make(tmp_path / "s")))
    order, batch, together = found.sentences
    # Over the three batches: (4 * 4 * 80 / 60) ** (1 / 3).
    assert order.startswith(f"order: shuffled divides RMSE by {(16 * 80 / 60) ** (1 / 3):.2f} [")
    assert batch.startswith("batch: b32 makes no difference beyond the margin: RMSE times 1.00 [0.99, 1.01]; b64 ")
    # Over both orders: sqrt(2 * 6) = 3.46; the two effects, multiplied, would give a third of what both give.
    assert "b64 multiplies RMSE by 3.4" in batch
    # Of each cell by itself, so within 1% of the table above.
    cells = re.fullmatch(
        r"order=shuffled x batch=b64: RMSE in kg is (\S+) with neither, (\S+) with order=shuffled, (\S+) with "
        r"batch=b64, (\S+) with both\. With both that is 3\.0.*",
        together,
    )
    assert cells and [float(cell) for cell in cells.groups()] == pytest.approx([40, 10, 80, 60], rel=0.02)
    assert together.endswith("times what the two effects, multiplied, would give.")
    assert not any("batch=b32" in line for line in found.sentences)


def test_an_interaction_without_a_target_is_over_predicting_the_mean(tmp_path: Path) -> None:
    study = make(tmp_path / "s", rule=Rule(target=None))  # the mean has 8 kg
    together = factorials_of(collect(study))[0].sentences[-1]
    assert re.search(r"RMSE over that of predicting the mean is [45]\.\d+ with neither, 1\.2\d with order", together)
    for seed in range(SEEDS):
        diverge(study, "order=shuffled,batch=b64", seed)
    together = factorials_of(collect(study))[0].sentences[-1]
    assert "unknown (diverged) with both" in together and "nan" not in together


def test_a_level_whose_results_are_the_same_changes_nothing(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    for seed in range(SEEDS):
        for order in ("", "order=shuffled,"):
            one = study.run(f"both/{order.rstrip(',')}" if order else "control", seed)
            other = study.run(f"both/{order}batch=b32", seed)
            metrics = json.loads(one.metrics.read_text())
            config = other.config.read_text()
            finish(other, metrics["rmse"])
            other.config.write_text(config)
    (found,) = factorials_of(collect(study))
    assert "b32 changes nothing: the results are the same to the last digit" in found.sentences[1]


def test_cell_means_by_hand(tmp_path: Path) -> None:
    (found,) = factorials_of(collect(make(tmp_path / "s")))
    assert found.levels == {"order": ["file", "shuffled"], "batch": ["b10", "b32", "b64"]}
    assert mean_of(found, {"order": "shuffled", "batch": "b64"}) == pytest.approx(60, rel=0.01)
    assert mean_of(found, {"order": "file"}) == pytest.approx((40 * 40 * 80) ** (1 / 3), rel=0.01)


def test_table_csv_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "s")
    found = build(folder)
    study, verdicts = found.study, found.verdicts
    print_study(study, verdicts)
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("order=shuffled x batch=b64 "))
    assert line.split()[3] == str(SEEDS) and line.endswith("higher together") and "o" in line
    table = pd.read_csv(folder.path / "contrasts.csv")
    names = ["order=shuffled", "batch=b32", "batch=b64", "order=shuffled x batch=b32", "order=shuffled x batch=b64"]
    assert table["contrast"].tolist() == names
    assert table["answer"].tolist() == ["better", "no difference", "worse", "no difference", "worse"]
    assert (table["n"] == SEEDS).all() and not table["over_predicting_the_mean"].any()
    # 5 arms with two claims each, the control, 5 contrasts.
    assert table["level"].to_numpy() == pytest.approx(0.05 / 16)
    assert pd.read_csv(folder.path / "verdicts.csv")["level"].to_numpy() == pytest.approx(0.05 / 16)
    page = (folder.path / "report.html").read_text()
    assert (
        page.count("order: shuffled divides RMSE by") == 1
        and 'id="factors"' in page
        and "claims={&#39;control&#39;: 16})" in page
    )
    figures = {path.name for path in (folder.path / "figures").iterdir()}
    assert {"factors-both.svg", "factors-both-together.png"} <= figures


def test_a_harder_set_of_rows_is_no_effect(tmp_path: Path) -> None:
    """Shuffled rows are twice as hard to the mean too: the order is compared over it, the batches as they are."""
    twice = {"order=shuffled": 80.0, "order=shuffled, batch=b32": 80.0, "order=shuffled, batch=b64": 160.0}
    folder = make(tmp_path / "s", RMSE | twice)
    for arm in read_plan(folder).arms:
        if "shuffled" in arm.label:
            for seed in range(SEEDS):
                metrics = yaml.safe_load(folder.run(arm.folder, seed).metrics.read_text())
                write_json(
                    folder.run(arm.folder, seed).metrics, metrics | {"val_rows": "b", "mean_predictor_rmse": 16.0}
                )
    (found,) = factorials_of(collect(folder))
    assert found.relative and [one.relative for one in found.contrasts] == [True, False, False, False, False]
    assert found.sentences[0].startswith("order: shuffled makes no difference beyond the margin: RMSE times 1.00")
    assert "over that of predicting the mean" in found.sentences[0] and "predicting" not in found.sentences[1]
    assert "RMSE over that of predicting the mean" in " ".join(map(str, contrast_table(found).lines(120)))
    assert mean_of(found, {"order": "shuffled", "batch": "b10"}) == pytest.approx(5, rel=0.01)


def test_failed_runs_leave_their_seeds_out_and_diverged_ones_do_not(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    fail(folder.run("both/batch=b32", 0))
    diverge(folder, "order=shuffled", 1)
    (found,) = factorials_of(collect(folder))
    counted = {one.contrast.name: (one.seen.n, one.seen.lost_alone) for one in found.contrasts}
    assert counted["order=shuffled"] == (SEEDS - 1, 1) and counted["batch=b32"] == (SEEDS - 1, 0)
    assert f"(diverged runs decide 1 of {SEEDS - 1} seeds)" in found.sentences[0]
    assert counted["batch=b64"] == (SEEDS, 0) and counted["order=shuffled x batch=b64"] == (SEEDS, 0)


def test_a_study_without_any_whole_seed_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    for seed in range(SEEDS):
        fail(folder.run("both/batch=b32", seed))
        diverge(folder, "batch=b64", seed)
    build(folder)
    (found,) = factorials_of(collect(folder))
    assert "b32 is open, for there is no seed at which all its runs count" in found.sentences[1]
    assert math.isnan(found.cells[(("batch", "b64"),)])


def test_an_edited_crossing_is_told(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    content = yaml.safe_load(folder.study.read_text())
    del content["arms"][-1]
    folder.study.write_text(yaml.safe_dump(content))
    (found,) = factorials_of(collect(folder))
    assert found.contrasts == [] and found.rows == []
    assert found.note.startswith("No contrasts: study.yaml lacks arms of the crossing")


# From the command to the report

MINE = """
letter: X
claim: Two changes.
expect: improves
factors:
  lr: {5e-4: {}, 1e-4: {optimizer.lr: 1e-4}}
  batch: {10: {}, 15: {batch.size: 15}}
"""


def declare(command: Command, text: str = MINE) -> list[str]:
    folder = command.folder / "mine" / "hypothesis"
    folder.mkdir(parents=True)
    (folder / "both.yaml").write_text(text)
    return ["-m", "--config-dir", "mine", *REPORTED, "hypothesis=both"]


def test_from_the_command_to_the_report(command: Command) -> None:
    words = declare(command)
    ended = command(*words, "seeds=2")
    assert ended.code == 0, ended.err
    assert len(command.done()) == 8 and "lr=1e-4 x batch=15" in ended.out and "lr: 1e-4 changes nothing" in ended.out
    study = command.folder / "outputs" / "s"
    said = yaml.safe_load((study / "study.yaml").read_text())
    assert list(said["hypotheses"]["both"]["factors"]["lr"]) == ["5e-4", "1e-4"]
    assert said["arms"][3]["levels"] == {"lr": "1e-4", "batch": "15"}
    before = (study / "contrasts.csv").read_text()
    # More seeds to the same study, and findings from disk alone.
    assert command(*words, "seeds=3").code == 0 and len(command.done()) == 12
    assert pd.read_csv(study / "contrasts.csv")["n"].tolist() == [3, 3, 3] and before.count("\n") == 4


def test_seeds_are_added_until_max_seeds(command: Command) -> None:
    words = declare(command)
    ended = command(*words, "seeds=auto", "max_seeds=12", "target=1000")
    assert ended.code == 0, ended.err
    assert "contrasts open" in ended.err
    assert pd.read_csv(command.folder / "outputs" / "s" / "contrasts.csv")["n"].max() == 12
