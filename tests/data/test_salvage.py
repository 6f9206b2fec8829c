"""What can still be read of a table that a run refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ssc_sweep.config import DATASET_KEYS, conf_dir
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.salvage import salvage
from ssc_sweep.data.table import load
from ssc_sweep.errors import UserError

N = 30
DRAW = np.random.default_rng(0)
GOOD = {
    "age": [str(value) for value in DRAW.integers(20, 70, N)],
    "town": [str(value) for value in DRAW.choice(["a", "b"], N)],
    "t": [str(i % 2) for i in range(N)],
    "y": [f"{value:.3f}" for value in DRAW.standard_normal(N)],
}


def node(path: Path, columns: dict[str, list[str]] | list[tuple[str, list[str]]], **changes: Any) -> dict[str, Any]:
    """The arguments of `table.load` for a file with these columns; what is not given is that of csv.yaml."""
    pairs = list(columns.items()) if isinstance(columns, dict) else columns
    lines = [",".join(name for name, _ in pairs), *map(",".join, zip(*(cells for _, cells in pairs), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    file = yaml.safe_load((conf_dir() / "dataset" / "csv.yaml").read_text())
    rest = {key: value for key, value in file.items() if key not in ("defaults", "_target_", *DATASET_KEYS)}
    return rest | {"path": str(path), "treatment": "t", "outcome": "y", "unit": "kg"} | changes


def test_a_good_table_is_read_as_a_run_reads_it(tmp_path: Path) -> None:
    words = {"missing": {"age": [30]}, "codes": {"age": [int(GOOD["age"][0])], "town": ["a"]}}
    said = node(tmp_path / "a.csv", GOOD, roles={"age": "confounder"}, kinds={"town": "category"}, **words)
    mine, faults = salvage(said)
    theirs = load(**said)
    assert faults == () and all(column.codes for column in mine.columns)
    np.testing.assert_array_equal(mine.x, theirs.x)
    np.testing.assert_array_equal(mine.t, theirs.t)
    np.testing.assert_array_equal(mine.y, theirs.y)
    assert (mine.columns, mine.treatments, mine.outcomes) == (theirs.columns, theirs.treatments, theirs.outcomes)


BAD = {
    "gone": ([""] * N, "no value in any row"),
    "inf": (["inf"] * N, "infinity in 30 rows"),
    "name": ([f"person {i}" for i in range(N)], "text with 30 distinct values"),
    "day": ([f"2020-01-{i + 1:02d}" for i in range(N)], "dates or times"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_column_that_cannot_be_used_costs_itself_alone(tmp_path: Path, name: str) -> None:
    cells, said = BAD[name]
    cohort, faults = salvage(node(tmp_path / "a.csv", GOOD | {name: cells}))
    assert cohort.names == ["age", "town"]
    assert [fault.column for fault in faults] == [name] and said in faults[0].line


def test_names_that_occur_twice_or_not_at_all(tmp_path: Path) -> None:
    pairs = [*GOOD.items(), ("age", GOOD["age"]), ("", GOOD["age"]), ("sex", GOOD["t"])]
    cohort, faults = salvage(node(tmp_path / "a.csv", pairs))
    assert cohort.names == ["town", "sex"]
    assert sorted(fault.column for fault in faults) == ["", "age"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [(["x"] * N, "holds text"), (["inf"] * N, "infinity"), ([""] * N, "no value in any row")],
)
def test_an_outcome_that_is_none_is_left_out_and_is_no_covariate(tmp_path: Path, cells: list[str], said: str) -> None:
    cohort, (fault,) = salvage(node(tmp_path / "a.csv", GOOD | {"y": cells}))
    assert cohort.y.shape == (N, 0) and cohort.names == ["age", "town"] and said in fault.line


def test_one_outcome_of_two_remains(tmp_path: Path) -> None:
    cohort, (fault,) = salvage(node(tmp_path / "a.csv", GOOD | {"z": ["x"] * N}, outcome=["y", "z"]))
    assert cohort.outcomes == ("y",) and fault.column == "z" and cohort.names == ["age", "town"]


@pytest.mark.parametrize("cells", [["1"] * N, [f"{i}.5" for i in range(N)], [""] * N])
def test_a_treatment_that_is_none_is_unknown_in_every_row(tmp_path: Path, cells: list[str]) -> None:
    cohort, (fault,) = salvage(node(tmp_path / "a.csv", GOOD | {"t": cells}))
    assert (cohort.t == HIDDEN).all() and cohort.treatments == () and fault.column == "t"


def test_a_constant_outcome_and_more_columns_than_rows_are_told(tmp_path: Path) -> None:
    _, (fault,) = salvage(node(tmp_path / "a.csv", GOOD | {"y": ["1"] * N}))
    assert "nothing to predict" in fault.line
    many = {f"c{j}": [str(value) for value in DRAW.standard_normal(N)] for j in range(40)}
    cohort, (fault,) = salvage(node(tmp_path / "b.csv", GOOD | many))
    assert len(cohort.columns) == 42 and "42 covariates and only 30 rows" in fault.line


@pytest.mark.parametrize(
    ("columns", "changes", "said"),
    [
        (GOOD, {"treatment": "nope"}, "no column 'nope'"),
        (GOOD, {"outcome": "nope"}, "no column 'nope'"),
        ([*GOOD.items(), ("t", GOOD["t"])], {}, "2 columns named 't'"),
        ({"t": GOOD["t"], "y": GOOD["y"]}, {}, "no column that can be used"),
        ({"a": [""] * N, "t": GOOD["t"], "y": GOOD["y"]}, {}, "no column that can be used"),
    ],
)
def test_nothing_can_be_saved(tmp_path: Path, columns: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        salvage(node(tmp_path / "a.csv", columns, **changes))
