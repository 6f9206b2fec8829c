"""What each planted fault does to the rows, worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from ssc_sweep.config import Planted
from ssc_sweep.data.cohort import Cohort, Column, Kind, Role
from ssc_sweep.data.planting import plant
from ssc_sweep.data.splitting import same_rows_for_all_seeds
from ssc_sweep.data.synthetic import load
from ssc_sweep.errors import UserError
from tests.conftest import MakeConfig
from tests.data.generated import PARAMETERS
from tests.data.rows import split

COLUMNS = (
    Column("age", Role.BASELINE),
    Column("asked", Role.BASELINE, codes=(2.0, 9.0)),
    Column("town", Role.BASELINE, Kind.CATEGORY, ("a", "b", "?"), codes=(2.0,)),
)
X = np.array([[10, 0, 0], [11, 1, 1], [12, 2, 0], [13, 9, 1], [14, 0, 2], [15, 1, 0]], dtype=float)
COHORT = Cohort("c", X, np.zeros(6), np.zeros((6, 1)), COLUMNS, ("a", "b"), ("y",), "kg")
TRAIN, VALIDATION = np.array([4, 0, 1]), np.array([2, 5, 3])


def planted(*changes: dict[str, object], seed: int = 0) -> np.ndarray:
    made = plant(COHORT, TRAIN, VALIDATION, [Planted(**change) for change in changes], seed)  # type: ignore[arg-type]
    np.testing.assert_array_equal(COHORT.x, X)  # the source stays as it is
    return made.x


def test_nothing_planted_is_the_cohort_itself() -> None:
    assert plant(COHORT, TRAIN, VALIDATION, [], 0) is COHORT


def test_a_value_in_rows_that_train() -> None:
    x = planted({"rows": "train", "columns": ["age"], "value": 40})
    assert x[:, 0].tolist() == [40, 40, 12, 13, 40, 15]
    np.testing.assert_array_equal(x[:, 1:], X[:, 1:])


def test_codes_in_rows_that_validate() -> None:
    x = planted({"rows": "validation", "columns": "coded", "value": "code"})
    assert x[:, 1].tolist() == [0, 1, 2, 2, 0, 2] and x[:, 2].tolist() == [0, 1, 2, 2, 2, 2]
    assert x[:, 0].tolist() == X[:, 0].tolist()


def test_gaps_where_a_code_was() -> None:
    x = planted({"rows": "all", "columns": "coded", "only": "code", "value": None})
    np.testing.assert_array_equal(x[:, 1], [0, 1, np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(x[:, 2], [0, 1, 0, 1, np.nan, 0])
    x = planted({"rows": "train", "columns": ["asked"], "only": 0, "value": 7})
    assert x[:, 1].tolist() == [7, 1, 2, 9, 7, 1]


def test_values_of_other_rows() -> None:
    changed = [
        planted({"rows": "validation", "columns": ["age", "asked"], "value": "permuted"}, seed=s) for s in (0, 1)
    ]
    for x in changed:
        np.testing.assert_array_equal(x[TRAIN], X[TRAIN])
        assert sorted(x[VALIDATION, 0]) == [12, 13, 15]
        # A row gets both of its columns from the same row.
        assert {tuple(row) for row in x[VALIDATION, :2]} == {tuple(row) for row in X[VALIDATION, :2]}
    assert any((x != X).any() for x in changed)


def test_a_larger_share_holds_the_rows_of_a_smaller_one() -> None:
    n = 200
    big = Cohort("c", np.zeros((n, 1)), np.zeros(n), np.zeros((n, 1)), COLUMNS[:1], ("a", "b"), ("y",), "kg")
    rows = np.arange(n)
    before: set[int] = set()
    for share, count in ((0.0, 0), (0.01, 1), (0.05, 5), (0.25, 25), (1.0, 100)):
        change = Planted(rows="validation", columns=["age"], share=share, value=1)
        x = plant(big, rows[:100], rows[100:], [change], seed=3).x
        hit = set(np.flatnonzero(x[:, 0]).tolist())
        assert len(hit) == count and before <= hit and all(row >= 100 for row in hit)
        before = hit
    other = plant(big, rows[:100], rows[100:], [Planted(rows="validation", columns=["age"], share=0.25, value=1)], 4)
    assert set(np.flatnonzero(other.x[:, 0]).tolist()) - before == set()
    assert not np.array_equal(
        other.x,
        plant(big, rows[:100], rows[100:], [Planted(rows="validation", columns=["age"], share=0.25, value=1)], 3).x,
    )


def test_one_change_after_another() -> None:
    x = planted(
        {"rows": "all", "columns": ["asked"], "only": "code", "value": 0},
        {"rows": "validation", "columns": ["asked"], "only": 0, "value": 5},
    )
    assert x[:, 1].tolist() == [0, 1, 5, 5, 0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": ["agee"], "value": 1}, r"split\.planted\.0 of c: there is no column 'agee'\. Did you mean age\?"),
        ({"columns": ["age"], "value": "code"}, "column age has no declared code"),
        ({"columns": ["town"], "value": 2}, "column town is a category, and 2 is none of its levels"),
    ],
)
def test_what_does_not_fit(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planted({"rows": "all", **change})


def test_a_table_without_codes() -> None:
    bare = replace(COHORT, x=X[:, :1], columns=COLUMNS[:1])
    with pytest.raises(UserError, match="no column has declared codes"):
        plant(bare, TRAIN, VALIDATION, [Planted(rows="all", columns="coded", value=1)], 0)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("[{rows: vali, columns: [x1], value: 1}]", r"split\.planted\.0\.rows=vali is out of bounds: allowed is train"),
        ("[{rows: all, columns: [x1]}]", r"split\.planted\.0\.value is missing"),
        ("[{rows: all, columns: [x1], value: 1, share: 2}]", r"split\.planted\.0\.share=2 is out of bounds"),
        ("5", r"split\.planted=5 is out of bounds: allowed is a list"),
    ],
)
def test_what_a_config_may_not_say(make_config: MakeConfig, word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_config(f"split.planted={word}")


SYNTHETIC = ("dataset=synthetic", "dataset.wave_columns=0", "dataset.rows=100", "dataset.d_x=4")


def test_faults_reach_the_rows_of_a_split(make_config: MakeConfig) -> None:
    config = make_config(*SYNTHETIC, "split.planted=[{rows: train, columns: [x3], value: 0}]", "split.test_share=0.2")
    cohort = load(**PARAMETERS | {"rows": 100, "d_x": 4})
    data = split(cohort, config)
    j = data.columns.index("x3")
    assert not data.train.x[:, j].any() and data.val.x[:, j].std() > 0.5
    assert data.test is not None and data.test.x[:, j].std() > 0.5
    assert same_rows_for_all_seeds(config)


def test_rows_that_are_drawn_differ_by_seed(make_config: MakeConfig) -> None:
    word = "split.planted=[{rows: validation, columns: [x3], share: 0.5, value: 8}]"
    cohort = load(**PARAMETERS | {"rows": 100, "d_x": 4})
    found = [split(cohort, make_config(*SYNTHETIC, word, f"seed={seed}")).val.x[:, 2] for seed in (0, 1)]
    assert not np.array_equal(*found)
    assert not same_rows_for_all_seeds(make_config(*SYNTHETIC, word))


def test_a_column_that_is_left_out_may_be_planted(make_config: MakeConfig) -> None:
    word = "split.planted=[{rows: validation, columns: [leak], value: permuted}]"
    cohort = load(**PARAMETERS | {"rows": 100, "d_x": 4, "leak": True})
    assert "leak" not in split(cohort, make_config(*SYNTHETIC, word, "covariates=baseline")).columns
    both = split(cohort, make_config(*SYNTHETIC, word))
    j = both.columns.index("leak")
    assert np.corrcoef(both.train.x[:, j], both.train.y[:, 0])[0, 1] == pytest.approx(1)
    assert abs(np.corrcoef(both.val.x[:, j], both.val.y[:, 0])[0, 1]) < 0.5
    assert sorted(both.val.x[:, j]) == pytest.approx(sorted(split(cohort, make_config(*SYNTHETIC)).val.x[:, j]))


def test_codes_that_are_planted_are_read_as_gaps_where_asked(make_config: MakeConfig) -> None:
    words = ("dataset=synthetic", "dataset.rows=100", "dataset.d_x=4", "dataset.wave_columns=1", "split=shuffled")
    cohort = load(**PARAMETERS | {"rows": 100, "d_x": 4, "wave_columns": 1, "wave_share": 0.5})
    removed = "{rows: all, columns: coded, only: code, value: null}"
    put_in = "{rows: validation, columns: coded, value: code}"
    planted_ = f"split.planted=[{removed}, {put_in}]"
    as_value = split(cohort, make_config(*words, planted_))
    assert len(np.unique(as_value.val.x[:, 3])) == 1 and as_value.val.x[0, 3] > as_value.train.x[:, 3].max()
    as_gap = split(cohort, make_config(*words, planted_, "scaling.codes=missing"))
    assert "x4 is missing" in as_gap.columns and not as_gap.val.x[:, 3].any()
