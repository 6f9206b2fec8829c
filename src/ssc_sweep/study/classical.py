"""effects.csv of a study: treatment effects by classical estimators, to set beside the models' own estimates."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from ssc_sweep.config import RunConfig
from ssc_sweep.data.effects import estimate_effects
from ssc_sweep.data.source import load
from ssc_sweep.data.splitting import test_rows


def effects_csv(config: RunConfig) -> str:
    """Estimate the effects on all rows of the config's data except test rows, adjusted for its confounders.

    Raises:
        UserError: the data have no confounders, or no estimate for them.
    """
    whole = load(config.dataset).keep("confounders")
    n = len(whole.t)
    cohort = whole.take(np.setdiff1d(np.arange(n), test_rows(n, config.split.test_share)))
    table = pd.DataFrame(cohort.x, columns=cohort.names)
    found = estimate_effects(
        table, cohort.t, cohort.y, cohort.treatments, cohort.outcomes, cohort.adjustment.among(cohort.names)
    )
    return pd.DataFrame([asdict(one) for one in found]).to_csv(index=False)
