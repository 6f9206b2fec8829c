"""The rows of a run, from a cohort that a test has made."""

from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.splitting import DataSplit, encode, hide_and_check


def split(cohort: Cohort, config: RunConfig) -> DataSplit:
    """Choose, encode and hide, in this order."""
    return hide_and_check(encode(cohort, config), config)
