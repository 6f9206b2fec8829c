"""An Optuna search whose trials have several seeds, that confirms its best trials, and that resumes after a kill.

    -m experiment=search                        the plan's knobs, until a configuration holds RMSE < target
    -m experiment=search search_space=plan_and_data n_trials=200 study=mine

    <study>/trial=0007/seed=0 ...               one folder a trial, runs as in every study
    <study>/confirm=0007/seed=8000 ...          the same configuration on seeds that nothing else has used: `candidate`
    <study>/search.db  best.yaml                the Optuna study; the winner's overrides

All seeds of a batch of trials go to the launcher at once, so they share stacks. Results are read from the run folders.
A trial abandoned by a killed process keeps its number, parameters and finished runs, and is resumed where it was.
"""

import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import optuna
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.config import RunConfig, check
from ssc_sweep.data.source import Data, load
from ssc_sweep.errors import DoesNotFit, TargetMissed, TrialsFailed, UserError
from ssc_sweep.progress import say
from ssc_sweep.steering import Limits, Running
from ssc_sweep.study.composing import Composer
from ssc_sweep.study.folder import TRIAL, locked, of_search, write_yaml
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.naming import study_folder
from ssc_sweep.study.plan import Plan, check_rule, write_plan
from ssc_sweep.study.search.candidate import check_seeds
from ssc_sweep.study.search.claims import Claims
from ssc_sweep.study.search.confirm import confirm
from ssc_sweep.study.search.owner import Owner
from ssc_sweep.study.search.pruning import Pruning
from ssc_sweep.study.search.score import read_seeds, score
from ssc_sweep.study.search.settings import Settings
from ssc_sweep.study.search.space import check_space, find_extender, grid_points, label, read_space
from ssc_sweep.study.search.storage import copy_to_folder, kept_in, open_study, shared_address
from ssc_sweep.study.search.train_trials import launch
from ssc_sweep.study.search.trials import ENDING, FINISHED, LEAKS, begin
from ssc_sweep.study.winner import best_path, standing_alone
from ssc_sweep.training.metrics import mean_predictor_rmse
from ssc_sweep.verdicts.rule import read_rule

MET = "the target is met"
LOOK_AGAIN_S = 0.5  # while other processes work on the last trials
SAME_ROWS = (
    "split.test_share=0: fresh seeds confirm on the validation rows, which chose the trials. experiment=search keeps "
    "rows for it: split.test_share=0.2."
)


class SearchDriver(OptunaSweeperImpl):
    """The sweeper. hydra-optuna-sweeper reads the space and names a trial's overrides."""

    def __init__(self, settings: Settings, sampler: Any, plugin: dict[str, Any]) -> None:
        # hydra-optuna-sweeper would look up custom_search_space among the targets that our configs may name.
        super().__init__(sampler=sampler, **plugin | {"custom_search_space": None})
        self.extender_name: str | None = plugin["custom_search_space"]
        self.custom_search_space_extender = find_extender(self.extender_name)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> None:
        """Search until the end or until the target is met.

        Raises:
            UserError: wrong input; nothing has been trained. DoesNotFit: no trial fits the data.
            TrialsFailed: more trials of a batch failed than max_failure_rate allows.
            StorageLost: the storage was lost.
            TargetMissed: the search has ended, and no configuration was confirmed below the target.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._read(arguments)
        self._open()
        with kept_in(self.storage, self.folder):
            self.record = begin(self.study, self.rule, self.settings.confirm_seeds)
            owner = Owner(self.folder, self.study, shared=self.storage is not None)
            self.claims = Claims(self.study, self.record, owner, self.n_trials, self.n_jobs)
            try:
                ending = self._search()
                if ending != MET:  # if met, one holds already, and more candidates would only add a choice
                    self._confirm(self.record.ranked()[: self.settings.confirm_best])
            finally:
                owner.close()
            self._close(ending)

    def _read(self, arguments: list[str]) -> None:
        """Read and check what is searched, how, and by which rule.

        Raises:
            UserError: it is wrong.
        """
        assert self.config is not None and self.hydra_context is not None
        running = Running.of(self.config)
        if running.run_files == "tables":
            raise UserError("run_files=tables: a search reads the folders of its runs. Leave it out.")
        OmegaConf.update(self.config, "run_files", "folders")
        if running.dry_run:
            raise UserError(
                "dry_run=true: a search chooses its runs while it trains, so they cannot be listed in advance. "
                "Leave it out, or list one configuration: python -m ssc_sweep -m <its overrides> seeds=5 dry_run=true."
            )
        self.limits = Limits.of(self.config)
        self.rule = read_rule(self.config, sequential=True)
        self.directions = self._get_directions()
        self.settings.check(self.n_trials, self.n_jobs, self.directions)
        check_seeds(self.settings.confirm_seeds, self.rule)
        if "search_space" in self.config:
            raise UserError(
                f"search_space={self.config.hydra.runtime.choices.search_space}: its file is no search space. It must "
                "begin with the line '# @package hydra.sweeper.params'."
            )
        extended = self.extender_name is not None
        self.space = read_space(self.params or {}, arguments, extended, self.hydra_context.config_loader)
        self.base = check_space(self.space, self._compose)
        self.tested = self.base.split.test_share > 0
        if self.rule.target is None:
            self._fix_target(self.base)
        self._prepare_grid()

    def _open(self) -> None:
        """Open the study and its folder, and write this start into study.yaml, even if nothing is left to train.

        Raises:
            UserError: the storage cannot be reached, or the study has another rule or belongs to another search.
        """
        assert self.config is not None
        self.folder = study_folder(self.config.outputs, self.config.study)
        self.storage = shared_address(self.storage, self.folder)
        check_rule(self.folder, self.rule)
        described = {
            "space": self.space.described(),
            "custom_search_space": self.extender_name,
            "base": self.base.content(),
            "directions": self.directions,
            "rule": self.rule.model_dump(),
            **self.settings.described(),
        }
        named = None if self.study_name is None else str(self.study_name)
        self.study = open_study(self.storage, self.folder, named, self.sampler, described)
        write_plan(self.folder, Plan((), (), self.rule))
        if not self.tested:
            say([SAME_ROWS])

    def _fix_target(self, base: RunConfig) -> None:
        """For data without a target, set one for all trials: the rule's share of the RMSE of predicting the mean."""
        split = Data().split(base)
        floor = mean_predictor_rmse(split.train.y, split.val.y)
        target = float(f"{self.rule.threshold * floor:.6g}")
        self.rule = self.rule.model_copy(update={"target": target})
        self.space.fixed["target"] = target
        say([f"target={target:g}: {self.rule.beats_mean:.0%} below predicting the mean, {floor:.4g}"])

    @functools.cached_property
    def _compose(self) -> Composer:
        assert self.config is not None and self.hydra_context is not None
        return Composer(self.config, self.hydra_context)

    def _prepare_grid(self) -> None:
        """Give GridSampler its grid, and limit trials to the number of points."""
        if isinstance(self.sampler, functools.partial) and self.sampler.func is optuna.samplers.GridSampler:
            points = grid_points(self.space)
            self.sampler = self.sampler(points)
            self.n_trials = min(self.n_trials, math.prod(len(values) for values in points.values()))

    def _search(self) -> str:
        """Confirm, resume and train trials until something ends the search; return what did."""
        start = time.monotonic()
        # With several objectives the target concerns only the first: the search goes on for the others.
        budget, until_met = self.limits.time_budget_s, self.settings.stop_at_target and len(self.directions) == 1
        while True:
            if until_met and not self.record.met():
                self._confirm(self.record.promising()[:1])
            met = until_met and self.record.met()
            spent = budget is not None and time.monotonic() - start >= budget
            # Whatever ends the search, finish abandoned trials first.
            batch = self._claim(new=not (met or spent))
            if batch:
                self._train(batch)
                seconds = time.monotonic() - start
                say([f"{self.record.progress(self.n_trials)}, {seconds:.0f} s"])
            elif met:
                return MET
            elif spent:
                return f"the time budget of {budget:g} s is spent"
            elif until_met and self.record.promising():
                continue
            elif len(self.record.trials(*FINISHED)) >= self.n_trials:
                return f"n_trials={self.n_trials} trials are done"
            else:
                time.sleep(LOOK_AGAIN_S)  # other processes have the last trials; if they die, we take over

    def _claim(self, new: bool) -> list[tuple[Trial, Arm]]:
        """Claim trials and write their arms into study.yaml."""
        with locked(self.folder.lock):
            batch = self._arms(self.claims.claim(new, self._configure))
            if batch:
                arms = tuple(dict.fromkeys(arm for _, arm in batch))
                write_plan(self.folder, Plan(self.settings.seeds, arms, self.rule))
        return batch

    def _configure(self, trial: Trial) -> Sequence[str]:
        """Return the overrides of a trial.

        Raises:
            UserError: custom_search_space suggests an invalid config; the trial does not count.
        """
        if self.extender_name is None:
            return self._overrides_of(trial)
        try:
            words = self._overrides_of(trial)
            check(self._compose(words))
        except (ValueError, HydraException, UserError) as error:
            self.record.give_up(trial)
            raise UserError(f"hydra.sweeper.custom_search_space={self.extender_name}: {error}") from error
        return words

    def _overrides_of(self, trial: Trial) -> Sequence[str]:
        (words,) = self._configure_trials([trial], self.space.distributions, self.space.fixed, self.space.deleted)
        return words

    def _arms(self, claimed: Sequence[tuple[Trial, Sequence[str]]]) -> list[tuple[Trial, Arm]]:
        """Return the arm of each trial. A trial that repeats an earlier, ended one's parameters shares its runs.

        Parameters that another process is training at the moment may be proposed again, and are then trained twice.
        """
        numbers: dict[str, int] = {}
        for earlier in self.record.trials(*FINISHED):
            numbers.setdefault(repr(sorted(earlier.params.items())), earlier.number)
        batch = []
        for trial, words in claimed:
            number = numbers.setdefault(repr(sorted(trial.params.items())), trial.number)
            name = of_search(TRIAL, number)
            trial.set_user_attr("folder", str((self.folder.path / name).resolve()))
            batch.append((trial, Arm(name, label(trial.params), None, None, tuple(words))))
        return batch

    def _train(self, batch: Sequence[tuple[Trial, Arm]]) -> None:
        """Train a batch of trials and tell Optuna how each ended."""
        assert self.launcher is not None
        s = self.settings
        runs = [(arm, seed) for arm in dict.fromkeys(arm for _, arm in batch) for seed in s.seeds]
        prune = Pruning({arm.folder: trial for trial, arm in batch}, s.seeds, s.score)
        wrong = launch(self.launcher, self.folder, runs, prune if s.prune and len(self.directions) == 1 else None)
        reasons = []
        for trial, arm in batch:
            seeds = read_seeds([self.folder.run(arm.folder, seed) for seed in s.seeds], s.objectives)
            unfit = arm.folder in wrong
            reason = str(wrong[arm.folder]) if unfit else seeds.reason
            said = {"rmse": list(seeds.rmse), "unfit": unfit}
            if reason is None:
                values = score(seeds, s.objectives, s.score, self.directions)
                self.record.tell(trial, values, TrialState.COMPLETE, said)
            else:
                state = TrialState.PRUNED if seeds.pruned else TrialState.FAIL
                self.record.tell(trial, None, state, said | {"reason": reason})
                reasons += [] if seeds.pruned else [reason]
        if len(reasons) / len(batch) > self.max_failure_rate:
            raise TrialsFailed(len(reasons), len(batch), self.max_failure_rate, reasons[0])

    def _confirm(self, trials: Sequence[FrozenTrial]) -> None:
        assert self.launcher is not None
        confirm(self.launcher, self.folder, self.record, {t.number: self._overrides(t) for t in trials}, self.tested)

    def _overrides(self, trial: FrozenTrial) -> tuple[str, ...]:
        return (*(f"{name}={value}" for name, value in trial.params.items()), *self.space.fixed_overrides)

    def _close(self, ending: str) -> None:
        """Write best.yaml and the folder's own copy of the study; raise if the target was missed."""
        assert self.config is not None
        self.study.set_user_attr(ENDING, ending)
        winner, found = self.record.winner(), "none was confirmed"
        if winner is not None:
            share = self.record.share(self.record.candidates()[winner])
            found = (
                f"the best works in {share.works} of {share.n} fresh seeds, so in {share.low:.0%} to {share.high:.0%} "
                f"of all ({of_search(TRIAL, winner)})"
            )
            overrides = self._overrides(self.record.trial(winner))
            config = check(self._compose(overrides))
            leaks = load(config.dataset).keep(config.covariates.keep).leaks
            self.study.set_user_attr(LEAKS, {str(winner): leaks})  # another process may have confirmed a better one
            best = {"trial": winner, "overrides": standing_alone(overrides, config, self.config.hydra.job.config_name)}
            write_yaml(best_path(self.folder), best | self.record.worth(winner) | {"leaks": leaks})
        if self.storage is not None:
            with locked(self.folder.lock):
                copy_to_folder(self.study, self.folder, self.storage)
        ended = self.record.trials(*FINISHED)
        if ended and all(trial.user_attrs.get("unfit") for trial in ended):
            raise DoesNotFit(ended[0].user_attrs["reason"])
        if not self.record.met():
            more = "a larger n_trials" + (" or time_budget_s" if self.limits.time_budget_s is not None else "")
            raise TargetMissed(
                f"the search ended ({ending}), no configuration was shown to have RMSE below target="
                f"{self.rule.threshold:g} in more than {self.rule.works_share:.0%} of its seeds: {found}. Go on with "
                f"{more} and the same study, or allow more: search_space=<name>."
            )
