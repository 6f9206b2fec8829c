"""The report of hand-made studies: what it says, what it leaves out, and that nothing in a folder can break it."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import yaml

from ssc_sweep.config import UNNAMED_STUDY
from ssc_sweep.errors import IN_STEP
from ssc_sweep.findings import report
from ssc_sweep.findings.__main__ import main
from ssc_sweep.findings.drawing import pictures, views
from ssc_sweep.findings.judging.arm_verdicts import rmse_of
from ssc_sweep.findings.reading.collect import collect
from ssc_sweep.findings.report import build, judge_arms, render, snippet
from ssc_sweep.study.folder import StudyFolder, read_yaml, write_yaml
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import read_plan, write_plan
from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.judge import Verdict
from tests.findings.studies import FAST, SLOW, TRACE, fail, finish, history, make_study


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(folder: StudyFolder) -> Page:
    return Page((folder.path / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = make_study(tmp_path_factory.mktemp("outputs") / "whole")
    build(folder)
    return folder


@pytest.fixture
def damaged(tmp_path: Path) -> StudyFolder:
    folder = make_study(tmp_path / "outputs" / "damaged")
    fail(folder.run("control", 7))
    fail(folder.run(FAST, 7))
    # The same place in another step; the message may name a number.
    folder.run(FAST, 7).failed.write_text(f"{IN_STEP}9\n{TRACE}".replace("& more", "& 7 more"))
    finish(folder.run(SLOW, 6), None)
    folder.run(FAST, 6).done.unlink()
    folder.run(FAST, 5).history.write_text("kind,ep")
    folder.run(FAST, 4).metrics.write_text("{")
    shutil.rmtree(folder.run(SLOW, 0).path)
    return folder


def test_verdicts_come_first_and_in_sentences(whole: StudyFolder) -> None:
    text = " ".join(page(whole).text.split())
    places = [
        text.index(part)
        for part in ("At least a part of the cause: B lr.", Verdict.HELPS_OPEN, Verdict.FAILS, "Does the loss diverge")
    ]
    assert places == sorted(places)
    assert places[-1] < text.index("Every seed.") < text.rindex("All runs")
    # Clopper-Pearson at 1%, for two arms and a control make five claims: 0.005^(1/8) = 0.52.
    assert "8 of 8 runs work (RMSE below 15 kg; share 52% to 100%); of the control 0 of 8." in text
    assert "Rule: a run works if its RMSE is below 15 kg; an arm if more than 80% of its runs do" in text
    assert "Predicting the training rows' mean for every row has an RMSE of 8 kg: a model with a larger RMSE" in text
    assert "Predicting the mean meets the target too, with an RMSE of 8 kg at most. target=null counts a run" in text
    assert "still falling" not in text, "two epochs before the last are too few to tell"
    assert "Does the loss diverge, and when?" in text and "NaN or Inf: 0 of 24 runs" in text
    assert "What went wrong" not in text


def test_verdicts_csv_holds_the_judgements(whole: StudyFolder) -> None:
    table = pd.read_csv(whole.path / "verdicts.csv")
    assert table["arm"].tolist() == [FAST, SLOW]
    assert table["verdict"].tolist() == [Verdict.HELPS_OPEN, Verdict.FAILS]
    assert table["cause"].tolist() == [Cause.AT_LEAST_A_PART] * 2
    assert table["pairs_n"].tolist() == [8, 8]
    assert table.loc[0, "pairs_ratio"] < 0.3


def test_the_snippet_recomputes_the_verdicts(whole: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.search(r'<pre id="snippet".*?>(.*?)</pre>', (whole.path / "report.html").read_text(), re.DOTALL)
    assert shown is not None
    code = Page(shown[1]).text
    study = collect(whole)
    verdicts = judge_arms(study)
    assert code == snippet(study, verdicts)
    monkeypatch.chdir(whole.path)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    assert names["judged"] == {f"{v.arm.folder} against control": v.judgement for v in verdicts}
    assert Verdict.HELPS_OPEN in printed.getvalue()


def test_the_page_needs_nothing_from_outside(whole: StudyFolder) -> None:
    found = page(whole)
    links = [a["href"] or "" for a in found.all("a")]
    assert all(link.startswith(("./", "#")) for link in links)
    assert all((whole.path / unquote(link)).exists() for link in links if link.startswith("./"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert all((image["src"] or "").startswith("data:") for image in found.all("img"))
    assert not [script for script in found.all("script") if "src" in script]


def test_pictures_have_alt_texts_captions_and_files(whole: StudyFolder) -> None:
    found = page(whole)
    assert len(found.all("img")) == 5
    assert all(len(image["alt"] or "") > 20 for image in found.all("img"))
    assert "control: median 43.5 kg over 8 runs, 0 lost" in (found.all("img")[1]["alt"] or "")
    assert "optimizer.lr=1e-4: The change helps" in (found.all("img")[0]["alt"] or "")
    assert all(svg.get("aria-label") for svg in found.all("svg"))
    assert len(found.all("figcaption")) == len(found.all("figure"))
    names = {path.name for path in (whole.path / "figures").iterdir()}
    stems = {"forest"} | {f"lr-{suffix}" for suffix in ("seeds", "curves", "gradients", "statistics")}
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")}


def test_panels_show_what_differs_from_the_control(whole: StudyFolder) -> None:
    text = " ".join(page(whole).text.split())
    assert "optimizer.lr: 0.0005 in the control, 0.0001 here" in text
    assert "val_rmse: first 120, lowest 40, last 40" in text
    assert "End of the log:epoch=1 epoch=2 epoch=3" in text


def test_of_many_runs_the_first_seeds_of_every_arm_and_status_have_a_panel(
    damaged: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_PANELS", 10)
    monkeypatch.setattr(report, "MOST_LISTED", 1)
    study = build(damaged).study
    found = page(damaged)
    text = " ".join(found.text.split())
    assert "Of 23 runs, 10 have details here: the first seeds of every arm" in text
    assert "And 2 more: the column left_out of summary.csv has them all." in text
    rows = [row for row in found.all("tr") if "data-status" in row]
    assert len(rows) == len(study.runs) == 23
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {f"run-{i}" for i in range(23)} <= set(ids)
    # Three arms with eight pairs of arm and status: one panel each, and a second for two of them.
    runs = views.view_runs(study)
    panels = [(run.arm, run.status) for run in runs if run.panel]
    assert set(panels) == set(zip(study.runs["arm"], study.runs["status"], strict=True)) and len(set(panels)) == 8
    assert all(run.curves == () and run.log == "" and run.differences == () for run in runs if not run.panel)
    assert all(run.curves for run in runs if run.panel and run.status == "finished")


@pytest.mark.parametrize(("epochs", "by", "count"), [(0, "step", 1), (2, "step", 1), (3, "epoch", 3)])
def test_a_failed_run_shows_the_curves_that_it_has_left(tmp_path: Path, epochs: int, by: str, count: int) -> None:
    folder = make_study(tmp_path / "s", seeds=2)
    run = folder.run(FAST, 1)
    fail(run)
    run.history.write_text(history(7.0, epochs))
    found = collect(folder)
    shown = next(one for one in views.view_runs(found) if one.status == "failed")
    assert (shown.by, {curve.name: curve.count for curve in shown.curves}["fit.loss"]) == (by, count)
    assert not ((found.history["arm"] == FAST) & (found.history["seed"] == 1)).any(), "no figure shows it"
    for broken in ("", "kind,epoch\n", "kind,epoch,step,fit.loss\nstep,1,1,text\n"):
        run.history.write_text(broken)
        assert next(one for one in views.view_runs(collect(folder)) if one.status == "failed").curves == ()


def test_what_went_wrong_is_listed_first_and_counts_nowhere(damaged: StudyFolder) -> None:
    verdicts = build(damaged).verdicts
    text = page(damaged).text
    flat = " ".join(text.split())
    assert TRACE.strip() in text
    # On the first screen; once for both failed runs, with its last line before it; and for each of them in the list of
    # runs, in its panel, and at the end of its log.
    assert flat.count("boom") == 1 + 2 + 2 * 3
    first = "2 runs failed, for example: control seed 7: RuntimeError: <b>boom</b> & more Traceback"
    assert flat.index(first) < flat.index("Claim: ")
    assert f"control seed 7, {FAST} seed 7 in step 9" in flat
    assert "NaN or Inf at step 7: fit.loss" in flat
    assert "2 failed, 2 left out, 1 unfinished, 1 diverged, 17 finished" in flat
    for reason in ("history.csv is cut off", "metrics.json cannot be read", "no DONE", f"{SLOW}: seed 0"):
        assert reason in flat
    states = [row["data-status"] for row in page(damaged).all("tr") if "data-status" in row]
    assert states[:6] == ["failed", "failed", "left out", "left out", "unfinished", "diverged"]
    fast, slow = (v.judgement for v in verdicts)
    assert fast is not None and slow is not None
    # Failed runs say nothing of the model and count nowhere; the diverged one does.
    assert (fast.works.n, fast.matters.n, fast.matters.lost_alone) == (4, 4, 0)
    assert (slow.works.n, slow.matters.n, slow.matters.lost_alone) == (7, 6, 1)


def test_seeds_that_were_added_after_a_look_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_study(tmp_path / "outputs" / "looked")
    warning = "Each look at the verdicts before seeds were added"
    plan = replace(read_plan(folder), seeds=(0, 1, 2))
    for name, seeds, told in (("retried", (0, 1, 2), False), ("added", (2, 8), True), ("again", (8,), True)):
        monkeypatch.setenv(UNNAMED_STUDY, name)  # another command
        write_plan(folder, replace(plan, seeds=seeds))
        build(folder)
        assert (warning in " ".join(page(folder).text.split())) == told


def test_nothing_in_a_folder_becomes_code_or_a_formula(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "outputs" / "<i>study", seeds=2)
    evil = '=HYPERLINK("x"),<img src=x onerror=alert(1)>'
    content = yaml.safe_load(folder.study.read_text())
    content["arms"][1] |= {"folder": evil, "label": f"{evil}</code>", "hypothesis": "../<u>"}
    content["hypotheses"]["../<u>"] = {"claim": "<script>alert(1)</script>", "expect": "{{ 7 * 7 }}"}
    content |= {"command": "<script>alert(2)</script>", "git": "@cmd", "versions": {"<s>": "</style>"}}
    folder.study.write_text(yaml.safe_dump(content))
    for seed in (0, 1):
        finish(folder.run(evil, seed), 12.0)
        folder.run(evil, seed).log.write_text("</pre><script>alert(3)</script>")
        folder.run(evil, seed).history.write_text(folder.run(evil, seed).history.read_text().replace("fit.", "<q>."))
    build(folder)
    found = page(folder)
    assert len(found.all("script")) == 1
    assert all(tag not in dict(found.tags) for tag in ("i", "u", "s", "q"))
    assert not [image for image in found.all("img") if "onerror" in image]
    for name in ("summary.csv", "verdicts.csv"):
        read = pd.read_csv(folder.path / name, dtype=str)
        assert any(evil in text for text in read["arm"])
        assert not any(text.startswith(("=", "+", "@")) for column in read for text in read[column].dropna())
    assert all(path.parent == folder.path / "figures" for path in folder.path.rglob("*.svg"))


@pytest.mark.parametrize("key", ["command", "rule", "seeds", "hypotheses", "arms", "versions", "machine"])
def test_a_study_of_another_version_still_gets_a_report(tmp_path: Path, key: str) -> None:
    folder = make_study(tmp_path / "study", seeds=2)
    content = yaml.safe_load(folder.study.read_text())
    del content[key]
    folder.study.write_text(yaml.safe_dump(content))
    study = collect(folder)
    assert f"lacks {key}" in render(study, judge_arms(study), (), ())


def test_a_study_without_one_whole_run_still_gets_a_report(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=1)
    for run in folder.runs():
        run.done.unlink()
    folder.study.write_text(folder.study.read_text().replace("target: 15.0\n", ""))
    build(folder)
    assert "study.yaml has no usable rule" in page(folder).text


def test_of_many_arms_the_best_are_in_the_first_figure(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=1)
    content = yaml.safe_load(folder.study.read_text())
    control, arm = content["arms"][:2]
    names = [f"lr/x={i}" for i in range(pictures.FIRST_ARMS + 2)]
    arms = [arm | {"folder": name, "label": name} for name in names]
    folder.study.write_text(yaml.safe_dump(content | {"arms": [control, *arms]}))
    for i, name in enumerate(names):
        finish(folder.run(name, 0), 50.0 - i)
        config = folder.run(name, 0).config
        config.write_text(config.read_text().replace("0.0005", f"0.{i + 1}"))
    build(folder)
    first, whole = ((folder.path / "figures" / f"{name}.svg").read_text() for name in ("forest-best", "forest"))
    assert [name for name in names if f"{name}<" in whole] == names
    assert [name for name in names if f"{name}<" in first] == names[2:]
    text = " ".join(page(folder).text.split())
    assert "The 10 best of 12 arms against their control." in text and "Figure of every arm" in text


def test_a_plain_grid_shows_its_lowest_arm_first(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=3)
    content = yaml.safe_load(folder.study.read_text())
    content |= {"hypotheses": {}, "arms": [{"folder": name} for name in ("control", FAST, SLOW)]}
    folder.study.write_text(yaml.safe_dump(content))
    build(folder)
    text = " ".join(page(folder).text.split())
    answer = f"Of 3 arms, {FAST} has the lowest median RMSE: 10.3 kg over 3 runs. No arm has a control"
    assert text.index(answer) < text.index("Every seed.") < text.index("nothing to judge")
    assert text.count("Every seed.") == 1


def test_configs_are_told_apart_from_one_base(whole: StudyFolder) -> None:
    runs = views.view_runs(collect(whole))
    base = views.base_config(runs)
    for run in runs:
        assert run.config is not None
        apart = views.config_apart(run.config, base)
        assert {key: value for key, value in (dict(base) | apart).items() if value is not None} == run.config
    assert views.config_apart({"a": "1"}, {"b": "2"}) == {"b": None, "a": "1"}


def test_many_arms_are_drawn_in_parts(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=1)
    content = yaml.safe_load(folder.study.read_text())
    content |= {"hypotheses": {}, "arms": [{"folder": f"x={i}"} for i in range(9)]}
    folder.study.write_text(yaml.safe_dump(content))
    for i in range(9):
        finish(folder.run(f"x={i}", 0), 20.0 + i)
    build(folder)
    assert (folder.path / "figures" / "arms-2-seeds.svg").exists()
    assert "nothing to judge" in page(folder).text and "Not drawn" not in page(folder).text


def test_of_very_many_arms_the_first_of_every_hypothesis_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_CHAPTERS", 2)
    folder = make_study(tmp_path / "study", seeds=1)
    content = yaml.safe_load(folder.study.read_text())
    control, arm = content["arms"][:2]
    names = {"a": [f"a/x={i}" for i in range(9)], "b": ["b/x=0"]}
    arms = [arm | {"folder": name, "label": name, "hypothesis": h} for h, found in names.items() for name in found]
    folder.study.write_text(yaml.safe_dump(content | {"arms": [control, *arms]}))
    for name in (*names["a"], *names["b"]):
        finish(folder.run(name, 0), 20.0)
        config = folder.run(name, 0).config
        config.write_text(config.read_text().replace("0.0005", "0.1"))
    build(folder)
    assert {path.name for path in (folder.path / "figures").glob("*-seeds.svg")} == {"a-1-seeds.svg", "b-seeds.svg"}
    assert "Not drawn: 2 arms. The page has room for 2 sets of figures;" in page(folder).text


def test_command_rebuilds_and_makes_an_index(
    whole: StudyFolder, damaged: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole.path, damaged.path.parent / "whole")
    paths = [str(damaged.path.parent / name) for name in ("damaged", "whole")]
    for name in ("report.html", "summary.csv", "verdicts.csv"):
        (damaged.path.parent / "whole" / name).unlink()
    assert main(paths) == 1  # runs that have ended cannot be read
    index = damaged.path.parent / "index.html"
    shown = capsys.readouterr()
    assert shown.out.split() == [f"{path}/report.html" for path in paths] + [str(index)]
    assert shown.err.startswith("error: damaged: 2 of 23 runs are left out, the first, lr/optimizer.lr=1e-4/seed=4: ")
    assert shown.err.count("\n") == 1
    links = [link["href"] for link in Page(index.read_text()).all("a")]
    assert links == ["./damaged/report.html", "./whole/report.html"]
    assert all((damaged.path.parent / "whole" / name).exists() for name in ("report.html", "verdicts.csv"))


def test_what_is_no_study_is_passed_over_and_named(whole: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (whole.path.parent / "empty").mkdir()
    whole.study.unlink()
    assert main([str(whole.path), str(whole.path.parent / "empty"), str(whole.path.parent / "index.html")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{whole.path}/report.html\n"
    assert [line.startswith("left out: ") for line in shown.err.splitlines()] == [True, True]
    assert "study.yaml cannot be read" in page(whole).text


def test_text_that_looks_like_mathematics_stays_text(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=2)
    for run in folder.runs():
        run.metrics.write_text(run.metrics.read_text().replace('"kg"', r'"$\\frac$"'))
        run.history.write_text(run.history.read_text().replace("fit.", r"$\frac$."))
    build(folder)
    assert r"$\frac$" in page(folder).text


def test_a_folder_of_studies_is_all_of_them_and_one_of_configs_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        make_study(tmp_path / "outputs" / name, seeds=1)
    assert main([str(tmp_path / "outputs")]) == 0
    index = (tmp_path / "outputs" / "index.html").read_text()
    assert all(f'href="./{name}/report.html"' in index for name in ("one", "two"))
    capsys.readouterr()
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "config.yaml").write_text("seed: 0")
    assert main([str(configs)]) == 2
    assert not (configs / "report.html").exists()


@pytest.mark.parametrize("make", [False, True])
def test_a_wrong_folder_is_one_line_and_exit_code_2(
    tmp_path: Path, make: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nothing"
    if make:
        path.mkdir()
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ") and str(path) in error


def test_the_report_needs_no_torch() -> None:
    code = "import sys; import ssc_sweep.findings.__main__, ssc_sweep.findings.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_folder_with_two_controls_is_judged_against_each(tmp_path: Path) -> None:
    """At a grid of learning rates the arm of one point is the control of another: equal configs share a folder."""
    folder = make_study(tmp_path / "study")
    plan = collect(folder).plan
    arms = (
        Arm("control", "control (a)", None, None, ()),
        Arm(SLOW, "control (b)", None, None, ()),
        Arm(FAST, "1e-4 (a)", "lr", "control", ()),
        Arm(FAST, "1e-4 (b)", "lr", SLOW, ()),
        Arm(SLOW, "1e-5 (a)", "lr", "control", ()),
        Arm(SLOW, "1e-5 (b)", "lr", SLOW, ()),
    )
    write_yaml(folder.study, read_yaml(folder.study) | {"arms": []})
    write_plan(folder, replace(plan, arms=arms))
    found = build(folder)
    study, verdicts = found.study, found.verdicts
    ratios = [v.judgement.matters.ratio if v.judgement else None for v in verdicts]
    for ratio, control in zip(ratios[:2], ("control", SLOW), strict=True):
        logs = np.log(rmse_of(study, FAST) / rmse_of(study, control))
        assert ratio == pytest.approx(float(np.exp(logs.mean())))
    assert ratios[2] is not None and ratios[3] is None
    assert (
        verdicts[3].note == "No verdict: its config is that of the control."
        and verdicts[3].control_label == "control (b)"
    )
    assert len(list((folder.path / "figures").glob("*-seeds.svg"))) == 2


def test_few_pairs_have_no_interval(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "few", seeds=3)
    build(folder)
    text = " ".join(page(folder).text.split())
    assert "(3 pairs, too few for an interval)" in text and "0 to ∞" not in text.partition("The numbers behind")[0]
