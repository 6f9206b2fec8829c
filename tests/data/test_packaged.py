"""Public tables inside packages."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from ssc_sweep.config import conf_dir
from ssc_sweep.data.packaged import load
from ssc_sweep.data.source import Data
from ssc_sweep.errors import UserError
from tests.conftest import MakeConfig

PACKAGED = sorted(
    path.stem
    for path in (conf_dir() / "dataset").glob("*.yaml")
    if "packaged" in (yaml.safe_load(path.read_text()).get("defaults") or [])
)
NSW = {"file": "causaldata/nsw_mixtape/nsw_mixtape.dta", "treatment": "treat", "outcome": "re78", "above": None}
NSW |= {"rows": None, "drop": ["data_id"], "kinds": {}, "unit": "dollars"}


@pytest.mark.parametrize("name", PACKAGED)
def test_every_table_can_be_split_in_both_orders(make_config: MakeConfig, name: str) -> None:
    for order in ("file_order", "shuffled"):
        config = make_config(f"dataset={name}", f"split={order}")
        data = Data().split(config)
        assert len(data.train.t) >= 100 and np.isfinite(data.train.x).all() and len(data.cohort.treatments) == 2


def test_a_table_as_published() -> None:
    cohort = load(**NSW)
    assert cohort.name == "nsw_mixtape" and cohort.x.shape == (445, 8)
    assert cohort.names == ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
    assert int((cohort.t == 1).sum()) == 185 and cohort.y[0, 0] == pytest.approx(9930.046, abs=1e-3)


def test_fewer_rows_are_spaced_evenly_and_keep_their_order() -> None:
    every, some = load(**NSW), load(**NSW | {"rows": 13})
    assert (some.y == every.y[37 * np.arange(13)]).all()


def test_a_treatment_above_a_number() -> None:
    older = load(**NSW | {"treatment": "age", "above": 30})
    assert older.treatments == ("0", "1") and int((older.t == 1).sum()) == int((load(**NSW).x[:, 0] > 30).sum())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "nowhere/a.csv"}, "needs the package nowhere: pip install 'nowhere'"),
        ({"file": "wooldridgex/a.csv"}, "needs the package wooldridgex"),
        ({"file": "causaldata/none.dta"}, "has no such file"),
        ({"file": "causaldata/none.xlsx"}, "ends in '.xlsx': allowed are .dta, .csv, .bz2"),
        ({"outcome": "re99"}, "has no column 're99'"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(change: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as error:
        load(**NSW | change)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_no_table_is_copied_into_the_repository() -> None:
    assert not [path for path in Path(conf_dir()).rglob("*") if path.suffix in (".csv", ".dta", ".bz2")]
