"""NHEFS: the effect of quitting smoking between 1971 and 1982 on the weight of 1,566 people.

Data of Hernan & Robins, "Causal Inference: What If", read from the file inside the `causaldata` package (no network).
The file is ordered by `seqn`, and its last rows come from a second survey wave in which five questions were not
asked; `split=file_order` therefore trains on one wave and validates mostly on the other.
"""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd

from ssc_sweep.data.cohort import Adjustment, Cohort, Column, Role

TREATMENT = "qsmk"
OUTCOME = "wt82_71"

# Every covariate whose role is not BASELINE. Source: the study's codebook, and the data itself: `older` is age > 50,
# `school` orders `education`, price71_82 = price71 - price82, smkintensity82_71 is -smokeintensity for all who quit,
# wt82 - wt71 is the outcome to the last digit.
ROLES = {
    **dict.fromkeys(("seqn", "id", "censored"), Role.IDENTIFIER),
    "older": Role.DUPLICATE,
    "wt82": Role.OUTCOME_LEAK,
    "smkintensity82_71": Role.TREATMENT_LEAK,
    **dict.fromkeys(
        ("death", "yrdth", "modth", "dadth", "sbp", "dbp", "price82", "tax82", "hightax82", "price71_82", "tax71_82"),
        Role.AFTER,
    ),
    **dict.fromkeys(
        ("sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active", "wt71"),
        Role.CONFOUNDER,
    ),
}

# Codebook values for "not asked", "unknown" or "does not apply". Five columns have them in the same rows, those of the
# second wave; birthcontrol has them in all men.
CODES = {
    **dict.fromkeys(("hbp", "diabetes", "pica", "hbpmed", "boweltrouble", "birthcontrol", "alcoholpy"), (2.0,)),
    "alcoholfreq": (5.0,),
    "alcoholtype": (4.0,),
    "marital": (8.0,),
}


def read_file() -> pd.DataFrame:
    """Return the table as published: 1,629 rows, 67 columns. Codes stored as text become numbers."""
    # Importing causaldata would load all of its data sets and statsmodels; the file alone is enough.
    path = Path(str(distribution("causaldata").locate_file("causaldata/nhefs/nhefs.dta")))
    return pd.read_stata(path).astype(np.float64)


ADJUSTMENT = Adjustment(
    squared=("age", "smokeintensity", "smokeyrs", "wt71"),
    categories=("education", "exercise", "active"),
    modifiers=("smokeintensity",),
)


def load() -> Cohort:
    """Return the 1,566 rows whose weight in 1982 is known, in file order; d_x = 65, K = 2, d_y = 1 (kg).

    Every covariate is a number, codes included, as in the study under investigation.
    """
    table = read_file()
    known = table.dropna(subset=[OUTCOME])
    covariates = known.drop(columns=[TREATMENT, OUTCOME])
    return Cohort(
        name="nhefs",
        x=covariates.to_numpy(),
        t=known[TREATMENT].to_numpy(np.int64),
        y=known[[OUTCOME]].to_numpy(),
        columns=tuple(
            Column(name, ROLES.get(name, Role.BASELINE), codes=CODES.get(name, ())) for name in covariates.columns
        ),
        treatments=("smokes on", "quit"),
        outcomes=(OUTCOME,),
        unit="kg",
        dropped=len(table) - len(known),
        adjustment=ADJUSTMENT,
        notes=(f"nhefs: {len(known)} rows; {len(table) - len(known)} without an outcome are left out",),
    )
