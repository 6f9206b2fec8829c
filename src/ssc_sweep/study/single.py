"""One run, from its composed config to its folder and a line on the terminal.

This is what Hydra calls for `python -m ssc_sweep`, and for every job of a sweep under Hydra's own launchers.
"""

import math

from hydra import compose
from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig

from ssc_sweep.config import shared_settings
from ssc_sweep.data.effects import effects_csv
from ssc_sweep.errors import RunsFailed
from ssc_sweep.lines import tell
from ssc_sweep.progress import say
from ssc_sweep.steering import Running
from ssc_sweep.study.conduct import ThisMachine, conduct
from ssc_sweep.study.job import Job, Outcome, Status, describe, make_job, raise_failures
from ssc_sweep.study.plan import check_settings, how_to_resume
from ssc_sweep.study.prepare import Prepared
from ssc_sweep.study.winner import with_best
from ssc_sweep.verdicts.rule import read_rule
from ssc_sweep.writing import write_text


def run_one(cfg: DictConfig, hydra: HydraConf) -> float:
    """Train the run and return its RMSE, NaN if it diverged.

    Raises:
        UserError: the config is wrong or does not fit the data.
        RunsFailed: the run raised; its folder holds FAILED.
    """
    overrides = with_best(cfg, hydra.overrides.task)
    if overrides != list(hydra.overrides.task):
        cfg = compose(hydra.job.config_name, overrides)
    job = make_job(cfg, overrides)
    running = Running.of(cfg)
    # An arm named by hand may differ from the others.
    settings = shared_settings(cfg) if cfg.arm is None else None
    alone = hydra.mode != RunMode.MULTIRUN
    if alone:
        check_settings(job.study, settings)

    def begin(prepared: Prepared) -> None:
        if not alone:
            describe([job], read_rule(cfg))
            return
        estimates = effects_csv(job.config) if cfg.effects else None
        describe([job], read_rule(cfg), settings)
        if estimates is not None:
            write_text(job.study.effects, estimates)
        say([*prepared.notes, *how_to_resume(job.study)])

    (outcome,) = conduct([job], running, ThisMachine(), begin, quiet=not alone)
    if outcome is None:  # dry_run=true
        return math.nan
    if outcome.error is not None:
        if alone:
            raise_failures([job], [outcome])
        raise RunsFailed(1, 1, outcome.error)
    if alone:
        for line in _lines(job, outcome):
            tell(line)
    return outcome.value


def _lines(job: Job, outcome: Outcome) -> list[str]:
    m = outcome.metrics
    if outcome.status is Status.DIVERGED:
        bad = m["first_bad"]
        return [f"diverged at step {bad['step']}: {bad['tensor']} is NaN or Inf", str(job.folder.path)]
    return [
        f"RMSE {m['rmse']:.2f}{' ' * bool(m['unit'])}{m['unit']} (predict the mean: {m['mean_predictor_rmse']:.2f}), "
        f"treatment accuracy {m['accuracy']:.3f}, {m['seconds']:.1f} s",
        str(job.folder.path),
    ]
