"""Write best.yaml, from which a search's winner can be repeated, with warnings about the winner."""

from collections.abc import Sequence

from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import Role
from ssc_sweep.data.source import load
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.search.trials import LEAKS, Record, mean
from ssc_sweep.study.winner_config import standing_alone, write_best


def write_winner(
    folder: StudyFolder, record: Record, winner: int, overrides: Sequence[str], config: RunConfig, job: str
) -> None:
    """Write best.yaml of the winner.

    Args:
        winner: its number. Another process may have confirmed a better one since.
        overrides: of the winner; they compose `config`.
        job: name of the primary config.
    """
    leaks = find_leaks(config)
    record.study.set_user_attr(LEAKS, {str(winner): leaks})
    searched = mean(record.trial(winner).user_attrs["rmse"])
    one = record.candidates()[winner]
    share = record.share(one)
    worth = {
        "searched_rmse": searched,
        "seeds": list(one.seeds),
        "confirmed_rmse": list(one.rmse),
        "test_rmse": None if one.test_rmse is None else list(one.test_rmse),
        "works": f"{share.works} of {share.n}",
        "works_share": [share.low, share.high],
        "target_met": record.holds(winner),
    }
    write_best(folder, winner, standing_alone(overrides, config, job), worth, leaks)


def find_leaks(config: RunConfig) -> dict[str, str]:
    """Return covariates of a config that contain the outcome or the treatment, with a phrase for what each does."""
    columns = load(config.dataset).keep(config.covariates.keep).columns
    return {c.name: str(c.role) for c in columns if c.role in (Role.OUTCOME_LEAK, Role.TREATMENT_LEAK)}
