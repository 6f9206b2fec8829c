"""effects.csv of a study: what classical estimators say of the treatment's effect, beside the models' own estimates."""

from dataclasses import asdict

import pandas as pd

from ssc_sweep.config import RunConfig
from ssc_sweep.data.effects import estimate_effects
from ssc_sweep.data.source import load
from ssc_sweep.study.folder import StudyFolder, write_text


def write_effects(folder: StudyFolder, config: RunConfig) -> None:
    """Estimate the effects on all rows of the config's data, adjusted for its confounders, and write them.

    Raises:
        UserError: the data have no confounders, or no estimate for them; the folder cannot be written.
    """
    cohort = load(config.dataset).keep("confounders")
    table = pd.DataFrame(cohort.x, columns=cohort.names)
    found = estimate_effects(
        table, cohort.t, cohort.y, cohort.treatments, cohort.outcomes, cohort.adjustment.among(cohort.names)
    )
    write_text(folder.effects, pd.DataFrame([asdict(one) for one in found]).to_csv(index=False))
