"""Scores, probes, published numbers and effects of a study written by hand."""

import json
import math
from pathlib import Path

import pytest

from ssc_sweep.findings.judging.arm_verdicts import judge_arms
from ssc_sweep.findings.judging.comparison import effects, probe_table, published, score_table
from ssc_sweep.findings.print_study import print_study
from ssc_sweep.findings.reading.collect import Study, collect
from ssc_sweep.findings.report import build
from ssc_sweep.study.folder import StudyFolder, read_yaml, write_yaml
from tests.findings.studies import FAST, finish, make_study


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """Control and two arms of 4 seeds; effects 1, 2, 3, 4 of FAST, none of the others; a score of the user's own."""
    study = make_study(tmp_path / "s", seeds=4)
    for run in study.runs():
        metrics = json.loads(run.metrics.read_text())
        arm, seed = run.path.parent.relative_to(study.path).as_posix(), int(run.path.name.removeprefix("seed="))
        metrics |= {"effect": float(seed + 1) if arm == FAST else None, "nll": None, "model": "Flow"}
        if arm == FAST:
            metrics |= {
                "model": "Net",
                "worst": 9.0,
                "own_scores": [{"name": "worst", "title": "worst error", "unit": "y"}],
            }
        run.metrics.write_text(json.dumps(metrics))
    content = read_yaml(study.study)
    content["hypotheses"]["lr"]["references"] = [
        {"arm": "optimizer.lr=1e-4", "score": "rmse", "value": 10.0, "source": "a paper", "note": "other seeds"},
        {"arm": "AIPW", "score": "effect", "value": 2.4, "low": 2.0, "high": 3.0, "source": "a book"},
        {"arm": "nobody", "score": "rmse", "value": 1.0, "source": "a paper"},
    ]
    write_yaml(study.study, content)
    lines = ["estimator,treatment,outcome,effect,low,high,rows", "AIPW,quit,gain,2.5,1.9,3.1,100"]
    study.effects.write_text("\n".join(lines) + "\n")
    return study


@pytest.fixture
def study(folder: StudyFolder) -> Study:
    return collect(folder)


def test_scores_are_means_over_seeds_and_the_best_is_marked(study: Study) -> None:
    table = score_table(study)
    names = [column.name for column in table.columns]
    assert "nll" not in names  # no run has one
    assert table.columns[names.index("worst")].title == "worst error, kg"
    control, fast, _ = table.rows
    assert (control.label, control.runs, control.lost) == ("control", 4, 0)
    rmse = names.index("rmse")
    assert control.cells[rmse].mean == 41.5 and not control.cells[rmse].best  # 40, 41, 42, 43
    assert fast.cells[rmse].mean == pytest.approx(10.45) and fast.cells[rmse].best
    assert fast.cells[rmse].sd == pytest.approx(0.3 * math.sqrt(5 / 3))


def test_a_score_that_some_runs_lack_leaves_none_out(study: Study) -> None:
    """Runs of an older study, or that diverged, have no such number; they stay, and count."""
    table = score_table(study)
    worst = [column.name for column in table.columns].index("worst")
    assert [row.cells[worst] is None for row in table.rows] == [True, False, True]
    assert study.runs["left_out"].isna().all() and [row.runs for row in table.rows] == [4, 4, 4]


def test_a_diverged_run_stays_in_its_arms_count(folder: StudyFolder) -> None:
    finish(folder.run(FAST, 0), None)
    study = collect(folder)
    assert study.runs["left_out"].isna().all()
    (fast,) = [verdict for verdict in judge_arms(study) if verdict.arm.folder == FAST]
    assert fast.judgement is not None and fast.judgement.works.n == 4
    assert fast.judgement.matters.lost_alone == 1 and fast.judgement.works.works == 3
    assert score_table(study).rows[1].lost == 1


def test_probes_are_shown_by_their_titles(study: Study) -> None:
    arms, rows = probe_table(study)
    assert arms == ["control", "optimizer.lr=1e-4", "optimizer.lr=1e-5"]
    assert [row.title for row in rows] == ["scale of x, sd", "largest |z| of a validation row, sd"]
    assert rows[0].cells[0] == pytest.approx((0.5, 0.5 / 3))


def test_probes_of_a_model_that_is_solved_are_shown(folder: StudyFolder) -> None:
    """Its history has one row, of kind solved, and so one number: 1, 2, 3 and 4 of four runs."""
    for seed in range(4):
        run = folder.run(FAST, seed)
        metrics = json.loads(run.metrics.read_text())
        run.metrics.write_text(json.dumps(metrics | {"steps": 0}))
        run.history.write_text(f"kind,epoch,step,x_scale_off,val_rmse\nsolved,0,0,{seed + 1},{metrics['rmse']}\n")
    study = collect(folder)
    assert study.runs["left_out"].isna().all()
    _, (scale, reach) = probe_table(study)
    assert scale.cells[0] == pytest.approx((0.5, 0.5 / 3))
    assert math.isnan(scale.cells[1][0]) and scale.cells[1][1] == 2.5
    assert all(math.isnan(value) for value in reach.cells[1])
    build(folder)
    page = (folder.path / "report.html").read_text().partition('id="probes"')[2]
    assert '<td class="n">2.5</td><td class="n">-</td>' in page


@pytest.mark.parametrize(("dataset", "shown"), [("nhefs", True), ("synthetic", False), (None, True)])
def test_a_published_number_belongs_to_its_data_set(folder: StudyFolder, dataset: str | None, shown: bool) -> None:
    for run in folder.runs():
        write_yaml(run.config, {"dataset": {"_target_": "ssc_sweep.data.nhefs.load"}} | read_yaml(run.config))
    content = read_yaml(folder.study)
    for reference in content["hypotheses"]["lr"]["references"]:
        reference["dataset"] = dataset
    write_yaml(folder.study, content)
    study = collect(folder)
    assert set(study.datasets.values()) == {"nhefs"}
    assert bool(published(study)) == bool(effects(study)[0].published) == shown


def test_published_numbers_stand_beside_ours(study: Study) -> None:
    (one,) = published(study)
    assert (one.arm, one.value, one.ours) == ("optimizer.lr=1e-4", 10.0, pytest.approx(10.45))
    assert (one.source, one.note) == ("a paper", "other seeds")


def test_effects_of_estimators_and_arms(study: Study) -> None:
    aipw, control, fast, slow = effects(study)
    assert (aipw.effect, aipw.published, aipw.of_model) == (2.5, "2.4 (2, 3)", False)
    assert aipw.note == "+0.10 from the published value (a book)"
    assert control.note == slow.note == "does not use the treatment" and math.isnan(control.effect)
    # 1, 2, 3, 4: mean 2.5, sd 1.29, t(0.975, 3) = 3.182: 2.5 +- 2.05.
    assert (fast.effect, fast.low, fast.high) == pytest.approx((2.5, 0.446, 4.554), abs=1e-3)
    assert fast.note == ""


@pytest.mark.parametrize(("robust", "note"), [("5,4.9,5.1", "off: outside"), ("3,2.6,3.4", "its mean is outside")])
def test_an_estimate_that_is_off_is_said_so(folder: StudyFolder, robust: str, note: str) -> None:
    folder.effects.write_text(f"estimator,treatment,outcome,effect,low,high,rows\nAIPW,quit,gain,{robust},9\n")
    assert effects(collect(folder))[2].note.startswith(note)


def test_report_and_terminal_show_them(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    found = build(folder)
    study, verdicts = found.study, found.verdicts
    page = (folder.path / "report.html").read_text()
    for part in ("Effect of treatment", "Scores", "worst error, kg", "Published numbers beside ours", "other seeds"):
        assert part in page, part
    assert (folder.path / "figures" / "effects.svg").exists()
    print_study(study, verdicts)
    text = capsys.readouterr().out
    for part in (
        "Outcome: mean over seeds",
        "Treatment: mean over seeds",
        "Effect of treatment, kg",
        "published 10, ours",
        "Scores of your own: mean over seeds",
        "worst error, kg",
    ):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 120
    assert not {"x_scale_off", "largest_z_val"} & set(page.split())


def test_a_study_without_a_target(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean has 8 kg everywhere: below 7.2 a run works. FAST has 10.0 to 10.9, so none does."""
    content = read_yaml(folder.study)
    content["rule"] |= {"target": None}
    write_yaml(folder.study, content)
    found = build(folder)
    study, verdicts = found.study, found.verdicts
    assert study.rule is not None and study.rule.threshold == 0.9
    judgement = verdicts[0].judgement
    assert judgement is not None and judgement.works.works == 0
    assert judgement.matters.ratio == pytest.approx(0.2518, abs=1e-3)
    print_study(study, verdicts)
    assert "beats mean by 10%" in capsys.readouterr().out
    page = (folder.path / "report.html").read_text()
    assert "a run works if its RMSE is below 90% of that of predicting the mean; an arm" in page
    assert "RMSE below 90% of that of predicting the mean" in page


def test_a_rule_of_an_older_study_is_read(folder: StudyFolder) -> None:
    content = read_yaml(folder.study)
    del content["rule"]["beats_mean"]
    write_yaml(folder.study, content)
    assert collect(folder).rule is not None
