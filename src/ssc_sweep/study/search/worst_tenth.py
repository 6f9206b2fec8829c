"""Which trials are not worth going on."""

import math

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

SHARE = 0.9
FEWEST = 10


class WorstTenth(BasePruner):
    """Stops a trial that is worse after an epoch than nine tenths of those that have ended; less is better.

    Those that were stopped before that epoch count as worse. Optuna's PercentilePruner leaves them out, so that each
    one lowers the bar for the next: at 90 it stops a quarter of equally good trials. Its default, the median,
    stops configurations that begin slowly and end well, and TPE learns to avoid them.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None:
            return False
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        others = [
            other.intermediate_values.get(epoch, math.inf)
            for other in ended
            if epoch in other.intermediate_values or other.state == TrialState.PRUNED
        ]
        better = sum(value < trial.intermediate_values[epoch] for value in others)
        return len(others) >= FEWEST and better >= SHARE * len(others)
