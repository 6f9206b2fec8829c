"""Study folders written by hand, with the layout that training leaves behind."""

from pathlib import Path

from ssc_sweep.findings.reading.run_folder import METRICS
from ssc_sweep.study.fault import Fault
from ssc_sweep.study.folder import RunFolder, StudyFolder, write_json, write_yaml
from ssc_sweep.study.hypothesis import Arm, HypothesisConf
from ssc_sweep.study.plan import Plan, write_plan
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.writing import write_text

COLUMNS = (
    "kind,epoch,step,fit.loss,fit.gradient_norm,fit.gradient_norm.net,x_scale_off,y_scale_off,largest_z_val,val_rmse"
)
EPOCHS, STEPS = 3, 30
FAST = "lr/optimizer.lr=1e-4"
SLOW = "lr/optimizer.lr=1e-5"
TRACE = 'Traceback (most recent call last):\n  File "loop.py", line 3\nRuntimeError: <b>boom</b> & more\n'


def history(rmse: float, epochs: int = EPOCHS) -> str:
    """A history.csv: one step, then `epochs` epochs of 10 steps that end at `rmse`."""
    lines = [COLUMNS, f"step,1,1,9,{rmse},{rmse},0.5,0.4,100,"]
    for epoch in range(1, epochs + 1):
        here = rmse * (epochs + 1 - epoch)
        lines.append(f"epoch,{epoch},{10 * epoch},{5 / epoch},{here},{here / 2},{0.5 / epoch},0.4,{90 / epoch},{here}")
    return "\n".join(lines) + "\n"


def predictions(rmse: float | None) -> str:
    """A predictions.csv of four rows that are all off by `rmse`; three of the treatments are guessed right."""
    off = "" if rmse is None else rmse
    rows = [f"{row},{t},{p0},{1 - p0},0,{off}" for row, (t, p0) in enumerate(((0, 0.9), (0, 0.2), (1, 0.3), (1, 0.4)))]
    return "\n".join(["row,t,p(t=0),p(t=1),gain,gain_predicted", *rows]) + "\n"


def finish(folder: RunFolder, rmse: float | None) -> None:
    """Write a whole run; without an RMSE it diverged at step 7. Its learning rate is that of its arm's name."""
    arm = folder.path.parent.name
    lr = float(arm.removeprefix("optimizer.lr=")) if arm.startswith("optimizer.lr=") else 5e-4
    seed = int(folder.path.name.removeprefix("seed="))
    write_yaml(folder.config, {"epochs": EPOCHS, "optimizer": {"lr": lr}, "batch": {"size": 10}, "seed": seed})
    write_yaml(folder.overrides, [f"optimizer.lr={lr}", f"seed={seed}"])
    metrics: dict[str, object] = dict.fromkeys(METRICS, 1)
    metrics |= {"status": "finished" if rmse else "diverged", "rmse": rmse, "accuracy": 0.75 if rmse else None}
    metrics |= {"code": "", "unit": "kg", "mean_predictor_rmse": 8.0, "steps": STEPS, "seconds": 1.5, "rows_val": 4}
    metrics |= {
        "probes": [
            {"name": "x_scale_off", "title": "scale of x", "unit": "sd", "tells": "distance"},
            {"name": "largest_z_val", "title": "largest |z| of a validation row", "unit": "sd", "tells": "reach_val"},
        ]
    }
    metrics |= {"first_bad": None if rmse else {"step": 7, "tensor": "fit.loss"}}
    write_json(folder.metrics, metrics)
    write_text(folder.history, history(rmse) if rmse else f"{COLUMNS}\nepoch,1,6,9,1,1,0.5,0.4,100,\n")
    write_text(folder.predictions, predictions(rmse))
    write_text(folder.log, "epoch=1\nepoch=2\nepoch=3\n")
    write_text(folder.done, "")


def fail(folder: RunFolder) -> None:
    finish(folder, 1.0)
    folder.done.unlink()
    write_text(folder.log, TRACE)
    write_text(folder.failed, TRACE)


def make_study(
    path: Path, seeds: int = 8, rule: Rule | None = None, faults: dict[str, Fault] | None = None
) -> StudyFolder:
    """A control at 40 kg and two arms: one at 10 kg for every seed, one like the control; all whole."""
    study = StudyFolder(path)
    arms_of = [{"optimizer.lr": 1e-4}, {"optimizer.lr": 1e-5}]
    conf = HypothesisConf(letter="B", claim="The rate is too high.", expect="improves", arms=arms_of)
    arms = (
        Arm("control", "control", None, None, ()),
        Arm(FAST, "optimizer.lr=1e-4", "lr", "control", ("optimizer.lr=1e-4",)),
        Arm(SLOW, "optimizer.lr=1e-5", "lr", "control", ("optimizer.lr=1e-5",)),
    )
    write_plan(study, Plan(tuple(range(seeds)), arms, rule or Rule(target=15.0), {"lr": conf}, faults=faults or {}))
    for seed in range(seeds):
        finish(study.run("control", seed), 40.0 + seed)
        finish(study.run(FAST, seed), 10.0 + 0.3 * seed)
        finish(study.run(SLOW, seed), 40.0 + seed + (-1) ** seed * 9)
    return study
