"""An Optuna search whose trials are several seeds, that confirms what it found, and that goes on after a kill.

    -m experiment=search                        the plan's knobs, until a configuration holds RMSE < target
    -m experiment=search search_space=plan_and_data n_trials=200 study=mine

    <study>/trial=0007/seed=0 ...               one folder a trial, runs as in every study
    <study>/confirm=0007/seed=1000 ...          the same configuration on seeds that no trial has used
    <study>/search.db  best.yaml                the Optuna study; the winner's overrides

All seeds of a batch of trials go to the launcher at once, so they share stacks. Results are read from the run folders.
A trial left behind by a killed process keeps its number, parameters and finished runs, and is taken up where it was.
"""

import functools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import optuna
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.errors import RunsFailed, TargetMissed, UserError
from ssc_sweep.study.best import write_best
from ssc_sweep.study.folder import locked
from ssc_sweep.study.hypothesis import Arm, as_override
from ssc_sweep.study.launcher import StackLauncher
from ssc_sweep.study.plan import Plan, check_rule, study_folder, write_plan
from ssc_sweep.study.rule import read_rule
from ssc_sweep.study.search.owner import Owner
from ssc_sweep.study.search.plugin import FIRST_CONFIRM_SEED, Settings
from ssc_sweep.study.search.pruning import Pruning
from ssc_sweep.study.search.record import FINISHED, Record, mean
from ssc_sweep.study.search.score import read_seeds, score
from ssc_sweep.study.search.space import check_space, find_extender, label, read_space
from ssc_sweep.study.search.storage import copy_to_folder, open_study


class Search(OptunaSweeperImpl):
    """The sweeper. Reading the space and naming a trial's overrides are hydra-optuna-sweeper's."""

    def __init__(self, settings: Settings, sampler: Any, plugin: dict[str, Any]) -> None:
        # hydra-optuna-sweeper would look custom_search_space up among the targets that a config of ours may name.
        super().__init__(sampler=sampler, **plugin | {"custom_search_space": None})
        self.extender_name: str | None = plugin["custom_search_space"]
        self.custom_search_space_extender = find_extender(self.extender_name)
        self.settings = settings
        self.wrong: dict[str, UserError] = {}  # trials whose config does not fit its data, by folder

    def sweep(self, arguments: list[str]) -> None:
        """Search, to the end or until the target is met.

        Raises:
            UserError: wrong input; nothing has been trained.
            RunsFailed: more trials of a batch failed than max_failure_rate allows.
            TargetMissed: the search has ended, and no configuration was confirmed below the target.
        """
        assert self.config is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.rule = read_rule(self.config)
        self.directions = self._get_directions()
        self.settings.check(self.n_trials, self.n_jobs, self.directions)
        self.space = read_space(self.params or {}, arguments, self.custom_search_space_extender is not None)
        base = check_space(self.space, self._compose)
        self._prepare_grid()
        self.folder = study_folder(self.config.outputs, self.config.study)
        check_rule(self.folder, self.rule)
        described = {
            "space": self.space.described(),
            "custom_search_space": self.extender_name,
            "base": base.content(),
            "directions": self.directions,
            "rule": asdict(self.rule),
            **self.settings.described(),
        }
        name = str(self.study_name or self.folder.path.name)
        self.study = open_study(self.storage, self.folder, name, self.sampler, described)
        self.record = Record(self.study, self.rule)
        self.owner = Owner(self.folder)
        try:
            ending = self._search()
            self._confirm(self.record.ranked()[: self.settings.confirm_best])
        finally:
            self.owner.close()
        self._close(ending)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.config is not None and self.hydra_context is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def _prepare_grid(self) -> None:
        """GridSampler is told its grid, and has no more trials than points."""
        self.grid = isinstance(self.sampler, functools.partial) and self.sampler.func is optuna.samplers.GridSampler
        if self.grid:
            points = {name: self._to_grid_sampler_choices(d) for name, d in self.space.distributions.items()}
            self.sampler = self.sampler(points)
            self.n_trials = min(self.n_trials, math.prod(len(values) for values in points.values()))

    def _search(self) -> str:
        """Run batches of trials until something ends them; return what did."""
        start = time.monotonic()
        budget = self.settings.time_budget_s
        while True:
            if self.settings.stop_at_target and self.record.met():
                return "the target is met"
            if budget is not None and time.monotonic() - start >= budget:
                return f"the time budget of {budget:g} s is spent"
            batch = self._claim()
            if batch:
                self._train(batch)
                if self.settings.stop_at_target:
                    self._confirm(self.record.promising()[:1])
                seconds = time.monotonic() - start
                print(f"{self.record.progress(self.n_trials)}, {seconds:.0f} s", file=sys.stderr)
            elif any(self.owner.works_beside(trial) for trial in self.record.trials(TrialState.RUNNING)):
                time.sleep(0.5)  # another process has the last trials; should it die, they are ours
            else:
                return f"n_trials={self.n_trials} trials are done"

    def _claim(self) -> list[tuple[Trial, Arm]]:
        """Take the trials that a dead process left, otherwise new ones, and write their arms into study.yaml."""
        with locked(self.folder.lock):
            running = self.record.trials(TrialState.RUNNING)
            lost = [trial for trial in running if self.owner.finds_lost(trial, self.storage is None)]
            trials = [Trial(self.study, trial._trial_id) for trial in lost[: self.n_jobs]]
            if not trials:
                begun = len(running) + len(self.record.trials(*FINISHED))
                trials = [self.study.ask() for _ in range(min(self.n_jobs, self.n_trials - begun))]
            for trial in trials:
                trial.set_user_attr("owner", self.owner.name)
                trial.set_user_attr("place", self.owner.place)
            space = self.space
            overrides = self._configure_trials(trials, space.distributions, space.fixed, space.deleted)
            batch = self._arms(trials, overrides)
            if batch:
                arms = tuple(dict.fromkeys(arm for _, arm in batch))
                write_plan(self.folder, Plan(self.settings.seeds, arms, self.rule))
        return batch

    def _arms(self, trials: Sequence[Trial], overrides: Sequence[Sequence[str]]) -> list[tuple[Trial, Arm]]:
        """The arm of each trial. One that repeats an earlier one's parameters shares its folder and runs."""
        numbers: dict[str, int] = {}
        for earlier in self.record.trials(*FINISHED):
            numbers.setdefault(repr(sorted(earlier.params.items())), earlier.number)
        batch = []
        for trial, words in zip(trials, overrides, strict=True):
            number = numbers.setdefault(repr(sorted(trial.params.items())), trial.number)
            name = f"trial={number:04d}"
            trial.set_user_attr("folder", str((self.folder.path / name).resolve()))
            batch.append((trial, Arm(name, label(trial.params), None, None, tuple(words))))
        return batch

    def _launch(self, arms: Sequence[Arm], seeds: Sequence[int], prune: Pruning | None = None) -> dict[str, UserError]:
        """Train all seeds of all arms. Where a config does not fit its data, only its arm is left out.

        Returns:
            What was wrong with the arms left out, by folder.
        """
        assert self.launcher is not None
        study = [as_override("outputs", str(self.folder.path.parent)), as_override("study", self.folder.path.name)]
        jobs = [
            [*arm.overrides, *study, as_override("arm", arm.folder), f"seed={seed}"] for arm in arms for seed in seeds
        ]
        if isinstance(self.launcher, StackLauncher):
            self.launcher.go_on = prune
        try:
            self.job_idx += len(self.launcher.launch(jobs, initial_job_idx=self.job_idx))
        except UserError as error:
            if len(arms) == 1:
                return {arms[0].folder: error}
            # Nothing has been trained: the launcher checks all jobs first.
            return dict(chain.from_iterable(self._launch([arm], seeds, prune).items() for arm in arms))
        return {}

    def _train(self, batch: Sequence[tuple[Trial, Arm]]) -> None:
        """Train a batch of trials and tell Optuna how each ended."""
        s = self.settings
        arms = list(dict.fromkeys(arm for _, arm in batch))
        prune = Pruning({arm.folder: trial for trial, arm in batch}, s.seeds)
        wrong = self._launch(arms, s.seeds, prune if s.prune and len(self.directions) == 1 else None)
        reasons = []
        for trial, arm in batch:
            seeds = read_seeds([self.folder.run(arm.folder, seed) for seed in s.seeds], s.objectives)
            trial.set_user_attr("rmse", list(seeds.rmse))
            reason = str(wrong[arm.folder]) if arm.folder in wrong else seeds.reason
            if reason is None:
                self._tell(trial, score(seeds, s.objectives, s.score, self.directions), TrialState.COMPLETE)
            else:
                trial.set_user_attr("reason", reason)
                self._tell(trial, None, TrialState.PRUNED if seeds.pruned else TrialState.FAIL)
                reasons += [] if seeds.pruned else [reason]
        self.wrong |= wrong
        if len(reasons) / len(batch) > self.max_failure_rate:
            raise RunsFailed(len(reasons), len(batch), RuntimeError(reasons[0]))

    def _tell(self, trial: Trial, values: list[float] | None, state: TrialState) -> None:
        try:
            self.study.tell(trial, values=values, state=state)
        except RuntimeError:
            # GridSampler stops the study at its last point, which Optuna allows in study.optimize alone.
            if not self.grid:
                raise

    def _confirm(self, trials: Sequence[FrozenTrial]) -> None:
        """Train these trials' configurations on fresh seeds, unless that was done."""
        seeds = tuple(range(FIRST_CONFIRM_SEED, FIRST_CONFIRM_SEED + self.settings.confirm_seeds))
        with locked(self.folder.path / ".confirm.lock"):
            known = self.record.confirmed()
            arms = {
                t.number: Arm(
                    f"confirm={t.number:04d}", f"trial={t.number:04d} on fresh seeds", None, None, self._overrides(t)
                )
                for t in trials
                if t.number not in known
            }
            if not arms:
                return
            with locked(self.folder.lock):
                write_plan(self.folder, Plan(seeds, tuple(arms.values()), self.rule))
            self._launch(list(arms.values()), seeds)
            for number, arm in arms.items():
                ended = read_seeds([self.folder.run(arm.folder, seed) for seed in seeds], ())
                self.record.confirm(number, ended.rmse)

    def _overrides(self, trial: FrozenTrial) -> tuple[str, ...]:
        return (*(f"{name}={value}" for name, value in trial.params.items()), *self.space.fixed_overrides)

    def _close(self, ending: str) -> None:
        """Write best.yaml and the folder's own copy of the study; complain if the target was missed."""
        if self.wrong and not self.record.trials(TrialState.COMPLETE):
            raise next(iter(self.wrong.values()))
        self.study.set_user_attr("ending", ending)
        winner, known = self.record.winner(), self.record.confirmed()
        found = "none was confirmed"
        if winner is not None:
            found = f"the best has {mean(known[winner]):.2f} on fresh seeds (trial={winner:04d})"
            trial = self.record.trials()[winner]
            rmse = (trial.values[0], known[winner])
            write_best(self.folder, winner, self._overrides(trial), rmse, self.record.holds(winner))
        if self.storage is not None:
            with locked(self.folder.lock):
                copy_to_folder(self.study, self.folder)
        if not self.record.met():
            raise TargetMissed(
                f"the search ended ({ending}), no configuration was confirmed below target={self.rule.target:g}: "
                f"{found}. Go on with a larger n_trials and the same study, or allow more: search_space=<name>."
            )
