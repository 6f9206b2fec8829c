"""Hydra sweeper: hypotheses and plain grids become arms x seeds.

    -m hypothesis=lr,batch           control and the arms of both hypotheses, `seeds` paired seeds each
    -m optimizer.lr=1e-4,5e-4        a plain grid, as Hydra's basic sweeper has it: one job a point
    -m hypothesis=lr split=file_order,shuffled     the hypothesis at every point of the grid, each with its control

Arms whose configs are equal are trained once. Every job is composed and checked before the first one is launched.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ssc_sweep.config import RunConfig, check, one_choice_each, shared_settings
from ssc_sweep.errors import UserError
from ssc_sweep.lines import tell
from ssc_sweep.progress import doing, passing, say
from ssc_sweep.schema import checked
from ssc_sweep.steering import AUTO, ONE_FOR_ALL, Limits, Running, Seeds
from ssc_sweep.study.composing import Composer
from ssc_sweep.study.fault import Fault, note, read_fault
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.study.hypothesis import CONTROL, Arm, HypothesisConf, arms_at, check_cells, read_hypothesis
from ssc_sweep.study.job import Job, Outcome, ended, own_scores, raise_failures, run_overrides
from ssc_sweep.study.launcher import StackLauncher, outcome_returned
from ssc_sweep.study.naming import study_folder
from ssc_sweep.study.overrides import MOST_RUNS, last_words, named_seeds, points_of, too_many, values_of
from ssc_sweep.study.plan import Plan, check_plan, how_to_resume, read_plan, write_plan
from ssc_sweep.study.winner import with_best
from ssc_sweep.verdicts.rule import read_rule
from ssc_sweep.writing import write_text

if TYPE_CHECKING:
    from ssc_sweep.study.prepare import Prepared

# Overrides that steer the study; the sweeper sets them for each job.
OWN_KEYS = ("hypothesis", "seeds", "seed", "arm", "study", "outputs", *Limits.model_fields)


@dataclass
class HypothesisSweeperConf:
    """Config of `hydra/sweeper=hypothesis`.

    `params`: overrides before those of the command line. `grids`: the study has the points of all, without keys of it.
    """

    _target_: str = "ssc_sweep.study.sweeper.HypothesisSweeper"
    params: dict[str, str] | None = None
    grids: list[dict[str, str]] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="hypothesis", node=HypothesisSweeperConf, provider="ssc_sweep")


class HypothesisSweeper(Sweeper):
    """See the module."""

    def __init__(self, params: dict[str, str] | None = None, grids: list[dict[str, str]] | None = None) -> None:
        self.params = params or {}
        self.grids = grids or [{}]
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None
        self.configs: dict[str, RunConfig] = {}  # by folder of the arm
        self.faults: dict[str, Fault] = {}  # planted faults, by folder of the control
        self.steering: list[str] = []  # overrides that say how to train

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Expand, check and launch the study.

        Raises:
            UserError: a config is wrong; nothing has been trained.
            RunsFailed: some runs raised; the others are finished.
        """
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        space = self.config.hydra.runtime.choices.get("search_space")
        if space is not None:
            raise UserError(f"search_space={space} is what a search varies: add experiment=search, or leave it out.")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = parser.parse_overrides(with_best(self.config, arguments))
        said = {override.get_key_element().lstrip("+") for override in typed}
        brought = parser.parse_overrides([f"{key}={value}" for key, value in self.params.items()])
        # The command line wins over the experiment.
        brought = [override for override in brought if override.get_key_element().lstrip("+") not in said]
        self._take_over(brought)
        plan = self.plan(last_words([*brought, *typed]))
        folder = study_folder(self.config.outputs, self.config.study)
        check_plan(folder, plan)
        assert plan.rule is not None
        if plan.rule.sequential:
            self._until_decided(plan, folder)
            return []
        jobs = self.jobs(plan, folder)
        outcomes = self._train(jobs, lambda prepared: self.begin(plan, folder, prepared))
        if Running.of(self.config).dry_run:
            say(_too_few_seeds(plan, folder))
        raise_failures(jobs, outcomes)
        return []

    def _train(self, jobs: Sequence[Job], begin: "Callable[[Prepared], None]") -> Sequence[Outcome | None]:
        """Train jobs with the launcher that Hydra was told to use."""
        assert self.launcher is not None and self.config is not None
        if isinstance(self.launcher, StackLauncher):
            return self.launcher.train(jobs, begin)
        # Imported here, so that --help and wrong overrides need not wait a second for torch.
        from ssc_sweep.study.prepare import prepare

        running = Running.of(self.config)
        if running.dry_run:
            raise UserError("dry_run=true needs a launcher of ssc_sweep: leave hydra/launcher=<name of Hydra's> out.")
        begin(prepare(jobs))
        # A launcher that is not ours trains each run as a command of its own: say what depends on how many there are.
        settled = [f"save_weights={running.weights(len(jobs))}", f"run_files={running.files(len(jobs))}"]
        words = [[*job.overrides, *self.steering, *settled] for job in jobs]
        returns = self.launcher.launch(words, initial_job_idx=0)
        return [outcome_returned(job, one) for job, one in zip(jobs, returns, strict=True)]

    def _until_decided(self, plan: Plan, folder: StudyFolder) -> None:
        """Add seeds in rounds until every arm has its answers.

        Raises:
            UserError: the study cannot decide anything.
            RunsFailed: some runs raised; the others are finished.
        """
        # Imported here, so that --help and wrong overrides need not wait a second for statistics.
        with doing("loading the statistics"):
            from ssc_sweep.study.judged import comparison
            from ssc_sweep.study.live import live_table
            from ssc_sweep.study.rounds import check_limits, until_decided

        assert self.config is not None and plan.rule is not None
        limits = Limits.of(self.config)
        family = [*(read_plan(folder).arms if folder.study.exists() else ()), *plan.arms]
        family = list({comparison(arm): arm for arm in family}.values())
        check_limits(family, plan.rule, limits)
        running = Running.of(self.config)
        arms = {arm.folder: arm for arm in reversed(plan.arms)}
        # Which files a round keeps, and how, must depend on the study, not on how many runs the round has.
        OmegaConf.update(self.config, "save_weights", running.weights(len(arms) * limits.max_seeds))
        OmegaConf.update(self.config, "run_files", running.files(len(arms) * limits.max_seeds))
        known: dict[RunFolder, tuple[Job, Outcome | None]] = {}

        def train(wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Outcome | None]:
            jobs = [self._job(arms[name], seed, folder) for name, seed in wanted]
            part = replace(plan, seeds=tuple(sorted({seed for _, seed in wanted})))
            first = not known
            outcomes: Sequence[Outcome | None] = [ended(job) for job in jobs]
            # A round trained by an earlier command needs no message.
            if first or running.retry is not None or None in outcomes:
                outcomes = self._train(jobs, lambda prepared: self.begin(part, folder, prepared, first))
            known.update((job.folder, (job, outcome)) for job, outcome in zip(jobs, outcomes, strict=True))
            return dict(zip(wanted, outcomes, strict=True))

        with live_table(plan.arms, limits.max_seeds) as show:
            # A dry run has nothing to show between rounds.
            told = (lambda _: None) if running.dry_run else show
            until_decided(plan.arms, family, plan.rule, limits, train, told)
        if running.dry_run and any(outcome is None for _, outcome in known.values()):
            most = limits.max_seeds * len(arms)
            tell(f"seeds=auto: this is the next round; more follow until all is answered, {most:,} runs at most.")
        raise_failures([job for job, _ in known.values()], [outcome for _, outcome in known.values()])

    def _job(self, arm: Arm, seed: int, folder: StudyFolder) -> Job:
        assert self.config is not None
        overrides = tuple(run_overrides(arm, seed, folder))
        config = self.configs[arm.folder].with_seed(seed)
        return Job(config, folder.run(arm.folder, seed), overrides, folder, own_scores(self.config))

    def begin(self, plan: Plan, folder: StudyFolder, prepared: "Prepared", first: bool = True) -> None:
        """Write the study's files and print its notes: the last step before the first run of each round.

        Nothing is printed before that, as a study that cannot be written ends with one line.
        """
        assert self.config is not None
        estimates = self.effects() if first and checked("effects", bool, self.config.effects) else None
        write_plan(folder, plan)
        if estimates is not None:
            write_text(folder.effects, estimates)
        if first:
            say([*prepared.notes, *_too_few_seeds(plan, folder), *how_to_resume(folder)])

    def _take_over(self, brought: Sequence[Override]) -> None:
        """Apply an experiment's settings for the whole study as if given on the command line."""
        assert self.config is not None
        for override in brought:
            key = override.get_key_element().lstrip("+")
            # `admit` in a YAML is ignored.
            if key.split(".")[0] in ONE_FOR_ALL and key != "admit" and not override.is_sweep_override():
                OmegaConf.update(self.config, key, override.value(), merge=False)

    def effects(self) -> str:
        """Return classical estimates of the effects in the study's data, as CSV.

        Raises:
            UserError: the arms have different data, or there is no estimate.
        """
        # Imported here, so that a study without estimates need not wait a second for statistics.
        from ssc_sweep.data.effects import effects_csv

        configs = list(self.configs.values())
        if any(config.dataset != configs[0].dataset for config in configs):
            raise UserError("effects=true takes one data set for a study: leave it out, or name one dataset.")
        return effects_csv(configs[0])

    def plan(self, overrides: Sequence[Override]) -> Plan:
        """Expand overrides into arms and seeds."""
        assert self.config is not None and self.hydra_context is not None
        own = {o.key_or_group: o for o in overrides if o.key_or_group in OWN_KEYS}
        self.steering = [str(o.input_line) for o in overrides if o.key_or_group in Running.model_fields]
        rest = [o for o in overrides if o.key_or_group not in (*OWN_KEYS, *Running.model_fields)]
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
        axes = [[*grid, *swept] for grid in self._grids({o.get_key_element().lstrip("+") for o in rest})]
        points = [point for grid in axes for point in points_of(grid, self.hydra_context.config_loader)]
        auto = self._auto(own, bool(hypotheses))
        seeds = self._seeds(own, bool(hypotheses), auto)
        runs = len(points) * (1 + sum(len(conf.changed) for conf in hypotheses.values())) * len(seeds)
        if runs > MOST_RUNS:
            raise too_many(f"this study would have {runs:,} runs or more")
        arms: list[Arm] = []
        # Groups with a target of the user's own: no YAML known to Hydra lists their keys.
        unlisted = tuple(group for group, choice in self.config.hydra.runtime.choices.items() if choice == "own")
        for point in dict.fromkeys(points):
            arms.extend(arms_at(fixed, point, hypotheses, str(self.config.arm or CONTROL), unlisted))
        common = self._compose(fixed)
        return Plan(
            seeds=seeds,
            arms=self._merge_equal(arms, {fixed: common}),
            # The winner of a search has its own rule.
            rule=read_rule(common, auto),
            hypotheses=hypotheses,
            settings=shared_settings(common) if self.config.arm is None else None,
            varied=tuple(dict.fromkeys(o.key_or_group for grid in axes for o in grid)),
            faults=self.faults,
        )

    def _grids(self, said: Collection[str]) -> list[list[Override]]:
        """Return the keys that an experiment's grids vary, without those that other overrides set."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        words = [[f"{key}={values}" for key, values in grid.items() if key not in said] for grid in self.grids]
        return [parser.parse_overrides(grid) for grid in words]

    def jobs(self, plan: Plan, folder: StudyFolder) -> list[Job]:
        """Return every run; arms that share a folder are trained once."""
        arms = {arm.folder: arm for arm in reversed(plan.arms)}
        return [self._job(arm, seed, folder) for arm in reversed(arms.values()) for seed in plan.seeds]

    def _hypothesis_names(self, override: Override | None) -> list[str]:
        """Return the names on the command line, or the one that an experiment chooses; none for a plain grid."""
        assert self.config is not None and self.hydra_context is not None
        if override is None:
            chosen = self.config.hydra.runtime.choices.get("hypothesis")
            return [] if chosen is None else [str(chosen)]
        names = values_of(override)
        if not names:
            allowed = self.hydra_context.config_loader.get_group_options("hypothesis")
            raise UserError(f"{override.input_line} names no hypothesis: allowed is {' | '.join(allowed)}.")
        return names

    def _brought_by_experiments(self, overrides: Sequence[Override]) -> dict[str, HypothesisConf]:
        """Return the chosen experiment's own arms, by its name; empty if it has none.

        Raises:
            UserError: several experiments are chosen, and one of them has arms.
        """
        assert self.config is not None
        choice = self.config.hydra.runtime.choices.get("experiment")
        chosen = [value for override in overrides for value in values_of(override)] or ([str(choice)] if choice else [])
        found = {}
        for name in chosen:
            composed = self._compose([f"experiment={name}"])
            # An experiment that chooses a hypothesis of conf/hypothesis has no arms of its own.
            if "hypothesis" in composed and composed.hydra.runtime.choices.get("hypothesis") is None:
                found[name] = read_hypothesis(name, composed.hypothesis)
        if found and len(chosen) > 1:
            raise UserError(
                f"experiment={','.join(chosen)}: {next(iter(found))} is a study with arms of its own. Allowed is one "
                "experiment a command."
            )
        return found

    def _auto(self, own: dict[str, Override], study_of_hypotheses: bool) -> bool:
        """Return whether to add seeds until the questions are answered.

        Raises:
            UserError: that was asked for, but there is no question to answer.
        """
        assert self.config is not None
        checked("seeds", Seeds, self.config.seeds)
        if "seed" in own or self.config.seeds != AUTO:
            return False
        if "seeds" in own and not study_of_hypotheses:
            raise UserError(
                "seeds=auto adds seeds until arms differ from their control, and a plain grid has no control: name a "
                "number, such as seeds=10, or a hypothesis."
            )
        return study_of_hypotheses

    def _seeds(self, own: dict[str, Override], study_of_hypotheses: bool, auto: bool) -> tuple[int, ...]:
        """Return the seeds; for seeds=auto only the first, as the rounds add the others."""
        assert self.config is not None
        if "seed" in own:
            return named_seeds(own["seed"])
        first = Limits.of(self.config).first_seed
        if auto:
            return (first,)
        if self.config.seeds == AUTO:
            return (int(self.config.seed),)
        count = int(self.config.seeds)
        if count > MOST_RUNS:
            raise too_many(f"seeds={count}")
        if study_of_hypotheses or "seeds" in own:
            return tuple(range(first, first + count))
        return (int(self.config.seed),)

    @cached_property
    def _compose(self) -> Composer:
        assert self.config is not None and self.hydra_context is not None
        return Composer(self.config, self.hydra_context)

    def _read(self, name: str) -> HypothesisConf:
        assert self.config is not None
        choice = self.config.hydra.runtime.choices.get("experiment")
        # Keep the experiment: it has configured Hydra's sweeper, which must not change.
        experiment = [] if choice is None else [f"experiment={choice}"]
        return read_hypothesis(name, self._compose([*experiment, f"hypothesis={name}"]).hypothesis)

    def _merge_equal(self, arms: Sequence[Arm], known: dict[tuple[str, ...], DictConfig]) -> tuple[Arm, ...]:
        """Check every arm's config, and give arms with equal configs the folder of the first.

        Args:
            known: configs that are composed already, by their overrides.
        """
        folders: dict[str, str] = {}
        trained_in: dict[str, str] = {}
        merged = []
        for arm in passing(arms, "configs composed"):
            one_choice_each(arm.overrides)
            composed = known.get(arm.overrides) or self._compose(arm.overrides)
            config = check(composed)
            folder = folders.setdefault(json.dumps(config.content(), sort_keys=True), arm.folder)
            if arm.control is None:
                note(self.faults, folder, read_fault(composed))
            trained_in[arm.folder] = folder
            self.configs[folder] = config
            # The control comes before its arms, and may share the folder of an earlier arm.
            control = trained_in[arm.control] if arm.control else None
            merged.append(replace(arm, folder=folder, control=control))
        check_cells(merged)
        return tuple(merged)


def _too_few_seeds(plan: Plan, folder: StudyFolder) -> list[str]:
    # Imported here, so that --help and wrong overrides need not wait a second for statistics.
    from ssc_sweep.study.judged import too_few_seeds

    assert plan.rule is not None
    before = read_plan(folder) if folder.study.exists() else plan
    known, both = {arm.folder for arm in before.arms}, {*plan.seeds, *before.seeds}
    seeds = {arm.folder: len(both if arm.folder in known else plan.seeds) for arm in plan.arms}
    return too_few_seeds([*before.arms, *plan.arms], seeds, plan.rule)
