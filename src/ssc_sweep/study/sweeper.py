"""Hydra sweeper: hypotheses and plain grids become arms x seeds.

    -m hypothesis=lr,batch           control and the arms of both hypotheses, `seeds` paired seeds each
    -m optimizer.lr=1e-4,5e-4        a plain grid, as Hydra's basic sweeper has it: one job a point
    -m hypothesis=lr split=file_order,shuffled     the hypothesis at every point of the grid, each with its control

Arms whose configs are equal are trained once. Every job is composed and checked before the first one is launched.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ssc_sweep.config import RunConfig, check, one_choice_each
from ssc_sweep.errors import RunsFailed, UserError
from ssc_sweep.schema import Count, checked
from ssc_sweep.study.best import with_best
from ssc_sweep.study.folder import StudyFolder, write_text
from ssc_sweep.study.hypothesis import CONTROL, Arm, HypothesisConf, arms_at, read_hypothesis
from ssc_sweep.study.job import Job, Outcome, Status, ended, own_scores, run_overrides
from ssc_sweep.study.launcher import StackLauncher
from ssc_sweep.study.plan import Plan, how_to_resume, study_folder, write_plan
from ssc_sweep.study.progress import say
from ssc_sweep.study.rule import read_rule
from ssc_sweep.study.running import KEYS as RUNNING

if TYPE_CHECKING:
    from ssc_sweep.study.prepare import Prepared

SHOWN = 20  # failed runs that are named on the terminal
# Overrides that steer the study; the sweeper sets them for each job.
OWN_KEYS = ("hypothesis", "seeds", "seed", "arm", "study", "outputs")
# Keys that are the same for every run of a study.
ONE_FOR_ALL = ("seeds", "study", "outputs", "target", "rule", "admit", "scores", "effects", *RUNNING)


@dataclass
class HypothesisSweeperConf:
    """Config of `hydra/sweeper=hypothesis`; `params` are overrides in front of those of the command line."""

    _target_: str = "ssc_sweep.study.sweeper.HypothesisSweeper"
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="hypothesis", node=HypothesisSweeperConf, provider="ssc_sweep")


def _values(override: Override) -> list[str]:
    """The values of a sweep, or the one value of a plain override, as they stand in an override."""
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line} is a range without steps: name its values, e.g. a,b,c.")
        return list(override.sweep_string_iterator())
    value = override.value()
    # Hydra's own way to choose several of a group, hypothesis=[lr,ema], means the same here.
    return [str(item) for item in value] if isinstance(value, list) else [override.get_value_element_as_str()]


class HypothesisSweeper(Sweeper):
    """See the module."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params or {}
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None
        self.configs: dict[str, RunConfig] = {}  # of each arm's folder
        self.steering: list[str] = []  # words that say how to train

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Expand, check, launch.

        Raises:
            UserError: a config is wrong; nothing has been trained.
            RunsFailed: some runs raised; the others are finished.
        """
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        arguments = with_best(self.config, arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{k}={v}" for k, v in self.params.items()), *arguments])
        # As everywhere on a command line, the last word on a key counts; an experiment's come first.
        plan = self.plan(list({override.get_key_element(): override for override in overrides}.values()))
        folder = study_folder(self.config.outputs, self.config.study)
        jobs = self.jobs(plan, folder)
        if isinstance(self.launcher, StackLauncher):
            raise_failures(jobs, self.launcher.train(jobs, lambda prepared: self.begin(plan, folder, prepared)))
            return []
        # Imported here: torch takes a second that --help and wrong overrides should not cost.
        from ssc_sweep.study.prepare import prepare

        self.begin(plan, folder, prepare(jobs))
        words = [[*job.overrides, *self.steering] for job in jobs]
        returns = self.launcher.launch(words, initial_job_idx=0)
        raise_failures(jobs, [_outcome(job, one) for job, one in zip(jobs, returns, strict=True)])
        return returns

    def begin(self, plan: Plan, folder: StudyFolder, prepared: "Prepared") -> None:
        """Say what is to be known, and write down the study: the last step before the first run."""
        assert self.config is not None
        estimates = self.effects() if self.config.effects else None
        say([*prepared.notes, *how_to_resume(folder)])
        write_plan(folder, plan)
        if estimates is not None:
            write_text(folder.effects, estimates)

    def effects(self) -> str:
        """What classical estimators say of the study's data, as CSV.

        Raises:
            UserError: the arms have different data, or there is no estimate.
        """
        # Imported here: statistics take a second that a study without them should not cost.
        from ssc_sweep.study.classical import effects_csv

        configs = list(self.configs.values())
        if any(config.dataset != configs[0].dataset for config in configs):
            raise UserError("effects=true takes one data set for a study: leave it out, or name one dataset.")
        return effects_csv(configs[0])

    def plan(self, overrides: Sequence[Override]) -> Plan:
        """Expand overrides into arms and seeds."""
        assert self.config is not None
        own = {o.key_or_group: o for o in overrides if o.key_or_group in OWN_KEYS}
        self.steering = [str(o.input_line) for o in overrides if o.key_or_group in RUNNING]
        rest = [o for o in overrides if o.key_or_group not in (*OWN_KEYS, *RUNNING)]
        if "arm" in own:
            raise UserError(f"{own['arm'].input_line}: a sweep names its arms itself. Name the study: study=<name>.")
        if "seed" in own and "seeds" in own:
            raise UserError(
                f"{own['seed'].input_line} and {own['seeds'].input_line} both say which seeds: allowed is one of them."
            )
        for override in overrides:
            key = override.key_or_group.split(".")[0]
            if key in ONE_FOR_ALL and override.is_sweep_override():
                raise UserError(f"{override.input_line} has several values: {key} takes one for the whole study.")
        names = self._hypothesis_names(own.get("hypothesis"))
        hypotheses = {name: self._read(name) for name in names}
        brought = self._brought_by_experiments([o for o in rest if o.key_or_group == "experiment"])
        if names and brought:
            raise UserError(
                f"experiment={','.join(brought)} and hypothesis={','.join(names)} both bring arms: allowed is one of "
                "them."
            )
        hypotheses |= brought
        swept = [o for o in rest if o.is_sweep_override()]
        fixed = tuple(str(o.input_line) for o in rest if not o.is_sweep_override())
        axes = [[f"{o.get_key_element()}={value}" for value in _values(o)] for o in swept]
        arms: list[Arm] = []
        # Groups whose target is the user's own: Hydra has not seen their keys in any YAML.
        unlisted = tuple(group for group, choice in self.config.hydra.runtime.choices.items() if choice == "own")
        for point in itertools.product(*axes):
            arms.extend(arms_at(fixed, point, hypotheses, str(self.config.arm or CONTROL), unlisted))
        return Plan(
            seeds=self._seeds(own, bool(hypotheses)), arms=self._merge_equal(arms),
            # The winner of a search brings its rule along.
            rule=read_rule(self._compose(fixed)),
            hypotheses=hypotheses,
        )  # fmt: skip

    def jobs(self, plan: Plan, folder: StudyFolder) -> list[Job]:
        """Every run; arms that share a folder are trained once."""
        assert self.config is not None
        scores = own_scores(self.config)
        arms = {arm.folder: arm for arm in reversed(plan.arms)}
        return [
            Job(
                self.configs[arm.folder].with_seed(seed), folder.run(arm.folder, seed),
                tuple(run_overrides(arm, seed, folder)), folder, scores,
            )
            for arm in reversed(arms.values())
            for seed in plan.seeds
        ]  # fmt: skip

    def _hypothesis_names(self, override: Override | None) -> list[str]:
        """Names on the command line, or the one that an experiment has chosen; none for a plain grid."""
        assert self.config is not None and self.hydra_context is not None
        if override is None:
            chosen = self.config.hydra.runtime.choices.get("hypothesis")
            return [] if chosen is None else [str(chosen)]
        names = _values(override)
        if not names:
            allowed = self.hydra_context.config_loader.get_group_options("hypothesis")
            raise UserError(f"{override.input_line} names no hypothesis: allowed is {' | '.join(allowed)}.")
        return names

    def _brought_by_experiments(self, overrides: Sequence[Override]) -> dict[str, HypothesisConf]:
        """The arms of its own that the chosen experiment brings, by its name; empty where it brings none.

        Raises:
            UserError: several experiments are chosen, and one of them brings arms.
        """
        assert self.config is not None
        choice = self.config.hydra.runtime.choices.get("experiment")
        chosen = [value for override in overrides for value in _values(override)] or ([str(choice)] if choice else [])
        found = {}
        for name in chosen:
            composed = self._compose([f"experiment={name}"])
            # One that chooses a hypothesis of conf/hypothesis brings none of its own.
            if "hypothesis" in composed and composed.hydra.runtime.choices.get("hypothesis") is None:
                found[name] = read_hypothesis(name, composed.hypothesis)
        if found and len(chosen) > 1:
            raise UserError(
                f"experiment={','.join(chosen)}: {next(iter(found))} is a study with arms of its own. Allowed is one "
                "experiment a command."
            )
        return found

    def _seeds(self, own: dict[str, Override], study_of_hypotheses: bool) -> tuple[int, ...]:
        assert self.config is not None
        if "seed" in own:
            seeds = _values(own["seed"])
            wrong = [value for value in seeds if not value.isdecimal()]
            if wrong:
                raise UserError(f"seed={wrong[0]} is out of bounds: allowed is a whole number >= 0, or several: 0,1,2.")
            if not seeds:
                raise UserError(f"{own['seed'].input_line} has no values: give seeds, such as seed=0,1,2.")
            return tuple(dict.fromkeys(int(value) for value in seeds))
        count = checked("seeds", Count, self.config.seeds)
        if study_of_hypotheses or "seeds" in own:
            return tuple(range(count))
        return (int(self.config.seed),)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.config is not None and self.hydra_context is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def _read(self, name: str) -> HypothesisConf:
        return read_hypothesis(name, self._compose([f"hypothesis={name}"]).hypothesis)

    def _merge_equal(self, arms: Sequence[Arm]) -> tuple[Arm, ...]:
        """Check every arm's config and give arms of equal configs the folder of the first of them."""
        folders: dict[str, str] = {}
        trained_in: dict[str, str] = {}
        merged = []
        for arm in arms:
            one_choice_each(arm.overrides)
            config = check(self._compose(arm.overrides))
            folder = folders.setdefault(json.dumps(config.content(), sort_keys=True), arm.folder)
            trained_in[arm.folder] = folder
            self.configs[folder] = config
            # The control comes before its arms, and may itself be trained in the folder of an earlier arm.
            control = trained_in[arm.control] if arm.control else None
            merged.append(Arm(folder, arm.label, arm.hypothesis, control, arm.overrides))
        return tuple(merged)


def _outcome(job: Job, returned: JobReturn) -> Outcome:
    """How a job ended under a launcher of Hydra's, which keeps what it raised.

    Raises:
        UserError: that is what it raised.
    """
    error = returned._return_value
    if isinstance(error, UserError):
        raise error
    found = ended(job)
    if found is None:
        return Outcome(Status.FAILED, {}, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return found


def raise_failures(jobs: Sequence[Job], outcomes: Sequence[Outcome | None]) -> None:
    """Name the runs that failed.

    Raises:
        RunsFailed: there are some.
    """
    failed = [(job, one) for job, one in zip(jobs, outcomes, strict=True) if one and one.status is Status.FAILED]
    say(f"failed: {job.folder.path}: {one.error}" for job, one in failed[:SHOWN])
    if len(failed) > SHOWN:
        say([f"and {len(failed) - SHOWN} more: summary.csv names all of them"])
    if failed:
        left = sum(outcome is None for outcome in outcomes)
        ending = f" {left} runs were not begun." if left else ""
        raise RunsFailed(len(failed), len(jobs), str(failed[0][1].error), ending)
