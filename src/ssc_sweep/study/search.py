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
from itertools import chain
from typing import Any

import optuna
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.errors import RunsFailed, TargetMissed, UserError
from ssc_sweep.study.best import write_best
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm, as_override, value_text
from ssc_sweep.study.plan import Plan, study_folder, write_plan
from ssc_sweep.study.rule import read_rule
from ssc_sweep.study.search_plugin import Settings
from ssc_sweep.study.search_score import read_seeds, score, works
from ssc_sweep.study.search_space import Space, check_space, read_space
from ssc_sweep.study.search_storage import Owner, copy_to_folder, locked, open_storage

# Seeds below are those of trials, seeds from here on confirm.
FIRST_CONFIRM_SEED = 1000
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Search(OptunaSweeperImpl):  # type: ignore[misc]
    """The sweeper. Reading the space and naming a trial's overrides are hydra-optuna-sweeper's."""

    def __init__(self, settings: Settings, sampler: Any, plugin: dict[str, Any]) -> None:
        super().__init__(sampler=sampler, **plugin)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Search, to the end or until the target is met.

        Raises:
            UserError: wrong input; nothing has been trained.
            RunsFailed: more trials of a batch failed than max_failure_rate allows.
            TargetMissed: the search has ended, and no configuration was confirmed below the target.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        config = self.config
        self.rule = read_rule(config)
        self.directions = self._get_directions()
        _check(self.settings, self.n_trials, self.n_jobs, self.directions)
        extended = self.custom_search_space_extender is not None
        self.space = read_space(self.params or {}, arguments, extended)
        base = check_space(self.space, self._compose)
        self._prepare_grid()
        self.folder = study_folder(config.outputs, config.study)
        self.study = self._open_study(base.content())
        self.owner = Owner(self.folder)
        try:
            ending = self._search()
            self._confirm(self._ranked()[: self.settings.confirm_best])
            self._close(ending)
        finally:
            self.owner.close()
        return []

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def _prepare_grid(self) -> None:
        """GridSampler is told its grid, and has no more trials than points."""
        self.grid = isinstance(self.sampler, functools.partial) and self.sampler.func is optuna.samplers.GridSampler
        if self.grid:
            points = {name: self._to_grid_sampler_choices(d) for name, d in self.space.distributions.items()}
            self.sampler = self.sampler(points)
            self.n_trials = min(self.n_trials, math.prod(len(values) for values in points.values()))

    def _open_study(self, base: dict[str, Any]) -> optuna.Study:
        """Create or load the study, and make sure that it is this search."""
        s = self.settings
        described = {
            "space": self.space.described(), "base": base, "directions": self.directions,
            "objectives": list(s.objectives), "score": s.score, "seeds_per_trial": s.seeds_per_trial,
            "target": self.rule.target, "works_share": self.rule.works_share,
        }  # fmt: skip
        storage = open_storage(self.storage, self.folder)
        name = str(self.study_name or self.folder.path.name)
        with locked(self.folder.path / ".lock"):
            study = optuna.create_study(
                study_name=name, storage=storage, sampler=self.sampler, directions=self.directions, load_if_exists=True
            )
            before = study.user_attrs.get("search")
            if before is None and not study.get_trials(deepcopy=False):
                study.set_user_attr("search", described)
                return study
        changed = [key for key, value in described.items() if before is None or before.get(key) != value]
        if changed:
            raise UserError(
                f"study={self.folder.path.name} belongs to another search: its {changed[0]} differs. "
                "Choose another study=<name>, or give the search as it was."
            )
        # The sampler's seed has proposed its first points already.
        study.sampler.reseed_rng()
        return study

    def _search(self) -> str:
        """Run batches of trials until something ends them; return what did."""
        start = time.monotonic()
        budget = self.settings.time_budget_s
        while True:
            if self.settings.stop_at_target and self._met() is not None:
                return "the target is met"
            if budget is not None and time.monotonic() - start >= budget:
                return f"the time budget of {budget:g} s is spent"
            trials = self._claim()
            if trials:
                self._train(trials)
                if self.settings.stop_at_target:
                    self._confirm(self._promising()[:1])
                self._say(time.monotonic() - start)
            elif any(self.owner.works_beside(trial) for trial in self._trials(TrialState.RUNNING)):
                time.sleep(0.5)  # another process has the last trials; should it die, they are ours
            else:
                return f"n_trials={self.n_trials} trials are done"

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _claim(self) -> list[tuple[Trial, Arm]]:
        """Take the trials that a dead process left, otherwise new ones, and write their arms into study.yaml."""
        with locked(self.folder.path / ".lock"):
            running = self._trials(TrialState.RUNNING)
            lost = [trial for trial in running if self.owner.finds_lost(trial, self.storage is None)]
            trials = [Trial(self.study, trial._trial_id) for trial in lost[: self.n_jobs]]
            if not trials:
                begun = len(running) + len(self._trials(*FINISHED))
                trials = [self.study.ask() for _ in range(min(self.n_jobs, self.n_trials - begun))]
            for trial in trials:
                trial.set_user_attr("owner", self.owner.name)
                trial.set_user_attr("place", self.owner.place)
            overrides = self._configure_trials(trials, self.space.distributions, self.space.fixed, self.space.deleted)
            batch = self._arms(trials, overrides)
            if batch:
                write_plan(self.folder, Plan(self._seeds, tuple(dict.fromkeys(arm for _, arm in batch)), self.rule))
        return batch

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self.settings.seeds_per_trial))

    def _arms(self, trials: Sequence[Trial], overrides: Sequence[Sequence[str]]) -> list[tuple[Trial, Arm]]:
        """The arm of each trial. One that repeats an earlier one's parameters shares its folder and runs."""
        numbers: dict[str, int] = {}
        for trial in self._trials(*FINISHED):
            numbers.setdefault(repr(sorted(trial.params.items())), trial.number)
        batch = []
        for trial, words in zip(trials, overrides, strict=True):
            number = numbers.setdefault(repr(sorted(trial.params.items())), trial.number)
            name = f"trial={number:04d}"
            trial.set_user_attr("folder", str((self.folder.path / name).resolve()))
            batch.append((trial, Arm(name, _label(trial.params), None, None, tuple(words))))
        return batch

    def _jobs(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[str]]:
        study = [as_override("outputs", str(self.folder.path.parent)), as_override("study", self.folder.path.name)]
        return [
            [*arm.overrides, *study, as_override("arm", arm.folder), f"seed={seed}"] for arm in arms for seed in seeds
        ]

    def _launch(self, arms: Sequence[Arm], seeds: Sequence[int]) -> dict[str, UserError]:
        """Train all seeds of all arms. Where a config does not fit its data, only its arm is left out.

        Returns:
            What was wrong with the arms left out, by folder.
        """
        try:
            returns = self.launcher.launch(self._jobs(arms, seeds), initial_job_idx=self.job_idx)
            self.job_idx += len(returns)
        except UserError as error:
            if len(arms) == 1:
                return {arms[0].folder: error}
            # Nothing has been trained: the launcher checks all jobs first.
            return dict(chain.from_iterable(self._launch([arm], seeds).items() for arm in arms))
        return {}

    def _train(self, batch: Sequence[tuple[Trial, Arm]]) -> None:
        """Train a batch of trials and tell Optuna how each ended."""
        wrong = self._launch(list(dict.fromkeys(arm for _, arm in batch)), self._seeds)
        failed = 0
        for trial, arm in batch:
            seeds = read_seeds([self.folder.run(arm.folder, seed) for seed in self._seeds])
            trial.set_user_attr("rmse", list(seeds.rmse))
            reason = str(wrong[arm.folder]) if arm.folder in wrong else seeds.reason
            if reason is None:
                self._tell(trial, values=self._score(trial, seeds))
            else:
                failed += 1
                trial.set_user_attr("reason", reason)
                self._tell(trial, state=TrialState.FAIL)
        if len(wrong) == len({arm.folder for _, arm in batch}) and not self._trials(TrialState.COMPLETE):
            raise next(iter(wrong.values()))
        if failed / len(batch) > self.max_failure_rate:
            first = next(t for t in self._trials(TrialState.FAIL) if t.number in {trial.number for trial, _ in batch})
            raise RunsFailed(failed, len(batch), RuntimeError(first.user_attrs["reason"]))

    def _score(self, trial: Trial, seeds: Any) -> list[float]:
        maximised = [direction == "maximize" for direction in self.directions]
        try:
            return score(seeds, self.settings.objectives, self.settings.score, maximised)
        except UserError:
            self._tell(trial, state=TrialState.FAIL)
            raise

    def _tell(self, trial: Trial, values: list[float] | None = None, state: TrialState | None = None) -> None:
        try:
            self.study.tell(trial, values=values, state=state)
        except RuntimeError:
            # GridSampler stops the study at its last point, which Optuna allows in study.optimize alone.
            if not self.grid:
                raise

    def _ranked(self) -> list[FrozenTrial]:
        """Trials with a score, best RMSE first, one of each configuration; of several objectives the Pareto front."""
        trials = self._trials(TrialState.COMPLETE) if len(self.directions) == 1 else self.study.best_trials
        found: dict[str, FrozenTrial] = {}
        for trial in sorted(trials, key=lambda trial: (trial.values[0], trial.number)):
            found.setdefault(trial.user_attrs["folder"], trial)
        return list(found.values())

    def _promising(self) -> list[FrozenTrial]:
        """Trials with a score below the target that have not been confirmed, the best first."""
        known = self._confirmed()
        return [t for t in self._ranked() if t.values[0] < self.rule.target and t.number not in known]

    def _confirmed(self) -> dict[int, list[float | None]]:
        """RMSE on fresh seeds by trial."""
        attrs = self.study.user_attrs
        return {
            int(key.removeprefix("confirmed:")): rmse for key, rmse in attrs.items() if key.startswith("confirmed:")
        }

    def _met(self) -> int | None:
        """The confirmed trial that holds the target, with the lowest mean RMSE; None if there is none."""
        held = {
            n: rmse for n, rmse in self._confirmed().items() if works(rmse, self.rule.target, self.rule.works_share)
        }
        return min(held, key=lambda n: math.fsum(value or 0.0 for value in held[n])) if held else None

    def _confirm(self, trials: Sequence[FrozenTrial]) -> None:
        """Train these trials' configurations on fresh seeds, unless that was done."""
        seeds = tuple(range(FIRST_CONFIRM_SEED, FIRST_CONFIRM_SEED + self.settings.confirm_seeds))
        with locked(self.folder.path / ".confirm.lock"):
            known = self._confirmed()
            new = [trial for trial in trials if trial.number not in known]
            arms = [
                Arm(f"confirm={t.number:04d}", f"trial={t.number:04d} on fresh seeds", None, None, self._overrides(t))
                for t in new
            ]
            if not arms:
                return
            with locked(self.folder.path / ".lock"):
                write_plan(self.folder, Plan(seeds, tuple(arms), self.rule))
            self._launch(arms, seeds)
            for trial, arm in zip(new, arms, strict=True):
                ended = read_seeds([self.folder.run(arm.folder, seed) for seed in seeds])
                self.study.set_user_attr(f"confirmed:{trial.number}", list(ended.rmse))

    def _overrides(self, trial: FrozenTrial) -> tuple[str, ...]:
        return (*(f"{name}={value}" for name, value in trial.params.items()), *self.space.fixed_overrides)

    def _say(self, seconds: float) -> None:
        """One line a batch on stderr."""
        ranked = self._ranked()
        best = f"best {ranked[0].values[0]:.2f} (trial={ranked[0].number:04d})" if ranked else "no score yet"
        known = self._confirmed()
        print(
            f"{len(self._trials(*FINISHED))}/{self.n_trials} trials, {best}, {len(known)} confirmed, {seconds:.0f} s",
            file=sys.stderr,
        )

    def _close(self, ending: str) -> None:
        """Write best.yaml and the folder's own copy of the study; complain if the target was missed."""
        self.study.set_user_attr("ending", ending)
        ranked, known, met = self._ranked(), self._confirmed(), self._met()
        means = {t.number: sum(r) / len(r) for t in ranked if None not in (r := known.get(t.number, [None])) and r}  # type: ignore[arg-type]
        winner = met if met is not None else min(means, key=lambda n: means[n], default=None)
        if winner is not None:
            trial = next(t for t in self._trials(TrialState.COMPLETE) if t.number == winner)
            write_best(self.folder, winner, self._overrides(trial), trial.values[0], known[winner], met=met is not None)
        if self.storage is not None:
            with locked(self.folder.path / ".lock"):
                copy_to_folder(self.study, self.folder)
        if met is None:
            found = (
                f"the best confirmed is {means[winner]:.2f} (trial={winner:04d})"
                if winner is not None
                else "none has a score"
            )
            raise TargetMissed(
                f"the search ended ({ending}) and no configuration was confirmed below target={self.rule.target:g}: {found}. "
                "Go on with a larger n_trials and the same study, or allow more with search_space=<name>."
            )


def _label(params: dict[str, Any]) -> str:
    """Parameters as people read them, numbers to three digits."""
    short = {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in params.items()}
    return ", ".join(f"{key}={value_text(value)}" for key, value in short.items())


def _check(settings: Settings, n_trials: object, n_jobs: object, directions: Sequence[str]) -> None:
    """Check the bounds of the sweeper's own values.

    Raises:
        UserError: one is out of bounds.
    """
    counts = {
        "n_trials": (n_trials, 1, None),
        "n_jobs": (n_jobs, 1, None),
        "seeds_per_trial": (settings.seeds_per_trial, 1, FIRST_CONFIRM_SEED),
        "confirm_best": (settings.confirm_best, 1, None),
        "confirm_seeds": (settings.confirm_seeds, 2, None),
    }
    for name, (value, low, high) in counts.items():
        if not isinstance(value, int) or value < low or (high is not None and value > high):
            bound = f"at least {low}" + (f" and at most {high}" if high else "")
            raise UserError(f"{name}={value} is out of bounds: allowed is a whole number of {bound}.")
    budget, how = settings.time_budget_s, settings.score
    if budget is not None and not budget > 0:
        raise UserError(f"time_budget_s={budget} is out of bounds: allowed is a number of seconds above 0, or null.")
    if how != "mean" and not (isinstance(how, int | float) and 0.5 <= how <= 1):
        raise UserError(f"hydra.sweeper.score={how} is unknown: allowed is mean, or a share from 0.5 to 1.")
    if settings.objectives[:1] != ("rmse",) or len(settings.objectives) != len(directions):
        raise UserError(
            f"hydra.sweeper.objectives={list(settings.objectives)} with direction={list(directions)}: allowed is rmse "
            "first, and one direction an objective."
        )
    if directions[0] != "minimize":
        raise UserError("hydra.sweeper.direction: rmse is the first objective and is minimized.")
