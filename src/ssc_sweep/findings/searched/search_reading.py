"""Read a search from disk: search.db, of which only numbers with a complete run on disk are used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from ssc_sweep.errors import UserError
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.findings.reading.run_files import Unreadable, one_line
from ssc_sweep.study.folder import CONFIRM, TRIAL, of_search
from ssc_sweep.study.search.candidate import Candidate, from_json
from ssc_sweep.study.search.storage import DATABASE, address
from ssc_sweep.study.search.trials import CONFIRMED, ENDING, NOT_ENDED, Record, read
from ssc_sweep.verdicts.rule import Rule


@dataclass(frozen=True)
class Search:
    """A search within the study `of`.

    Attributes:
        study: the Optuna study, without the numbers of runs that are missing or left out.
        rule: of the search, even if the study's has changed since.
        missing: a sentence for each arm with such runs.
    """

    study: optuna.Study
    rule: Rule
    ending: str
    of: Study
    missing: tuple[str, ...] = ()

    @property
    def record(self) -> Record:
        return read(self.study, self.rule)


def read_search(of: Study) -> Search | None:
    """Read the search of this study; None if there is none.

    Raises:
        Unreadable: search.db is damaged, of another version, or missing although there are trials.
    """
    path = of.folder.path / DATABASE
    if not path.exists() and of.is_search:
        raise Unreadable(f"{DATABASE} is not here: it was removed, or the search is kept elsewhere and has not ended")
    if not path.exists() or of.rule is None:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = address(path)
    try:
        names = optuna.get_all_study_names(storage)
        if not names:
            return None
        study, missing = as_on_disk(optuna.load_study(study_name=names[0], storage=storage), of)
        rule = read(study, of.rule).rule
        return Search(study, rule, study.user_attrs.get(ENDING, NOT_ENDED), of, tuple(missing))
    except (SQLAlchemyError, RuntimeError, ValueError, UserError) as error:
        raise Unreadable(f"{DATABASE} cannot be read, so nothing is said of the search: {one_line(error)}") from error


def as_on_disk(told: optuna.Study, of: Study) -> tuple[optuna.Study, list[str]]:
    """Return a copy of the Optuna study with only numbers whose run counts, and what is missing.

    A trial of another folder, as with machines that share a storage, is copied as it is.
    """
    here = {arm.folder for arm in of.plan.arms}
    counted = of.ended[of.ended["left_out"].isna()]
    whole = set(zip(counted["arm"], counted["seed"], strict=True))
    missing: dict[str, str] = {}

    def believed(arm: str, seeds: Sequence[int], rmse: Sequence[float | None]) -> list[float | None]:
        if arm not in here:
            return list(rmse)
        kept = [value if (arm, seed) in whole else None for seed, value in zip(seeds, rmse, strict=True)]
        if lost := kept.count(None) - list(rmse).count(None):
            missing[arm] = (
                f"{arm}: {lost} of its {len(rmse)} runs are missing or left out, so it has no figure here; the search "
                "itself went by what they were."
            )
        return kept

    study = optuna.create_study(directions=told.directions)
    for trial in told.get_trials(deepcopy=False):
        rmse = trial.user_attrs.get("rmse", [])
        arm = str(trial.user_attrs.get("folder", of_search(TRIAL, trial.number))).rpartition("/")[2]
        study.add_trial(_with_rmse(trial, believed(arm, range(len(rmse)), rmse)))
    for key, value in told.user_attrs.items():
        number = key.removeprefix(CONFIRMED)
        if number != key:
            one = from_json(int(number), value)
            rmse = believed(of_search(CONFIRM, one.trial), one.seeds, one.rmse)
            value = rmse if isinstance(value, list) else _without_lost(one, rmse).as_json()
        study.set_user_attr(key, value)
    return study, list(missing.values())


def _without_lost(one: Candidate, rmse: Sequence[float | None]) -> Candidate:
    """Return the candidate with these RMSE: a seed that lost its RMSE is missing."""
    lost = {seed for seed, before, now in zip(one.seeds, one.rmse, rmse, strict=True) if now != before}
    test = one.test_rmse
    if test is not None:
        test = tuple(None if seed in lost else value for seed, value in zip(one.seeds, test, strict=True))
    return replace(one, rmse=tuple(rmse), test_rmse=test, missing=tuple(sorted(lost)))


def _with_rmse(trial: FrozenTrial, rmse: list[float | None]) -> FrozenTrial:
    """Return the trial with these RMSE; if they differ from its own, it counts as failed."""
    if trial.user_attrs.get("rmse", []) == rmse:
        return trial
    return create_trial(
        state=TrialState.FAIL,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs | {"rmse": rmse},
        intermediate_values=trial.intermediate_values,
    )
