"""The characteristics of a split: a small one by hand, and NHEFS against what is known of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssc_sweep.audit.characteristics import characteristics, measure
from ssc_sweep.audit.definitions import BY_NAME, CHARACTERISTICS
from ssc_sweep.data.splitting import DataSplit
from tests.audit.splits import T, Y, by_hand, of
from tests.conftest import MakeConfig

PLACE = np.arange(8)
# Standardised mean differences: a 0, d 0; see test_columns.
SMD_B, SMD_C = 0.25 / np.sqrt(0.1875 / 2), 0.25 / np.sqrt((0.25 + 0.6875) / 2)
HAND = {
    "rows_train": 4,
    "rows_validation": 4,
    "columns": 4,
    "rows_per_column": 1,
    "smallest_arm": 1,  # yes is seen in one training row
    "hidden_share": 0.25,
    "constant_columns": 1,  # b: 5, then a 6; d is 1 wherever it is known
    "max_z": 4,  # a = -3, mean 1, sd 1
    "p99_z": 3.97,  # of 1, 3, 4, 1
    "max_z_train": 1,
    "share_beyond_5": 0,
    "share_beyond_5_train": 0,
    "outside_box": 0.5,  # the second row by a, the third by a, b and c
    "unseen_columns": 3,
    "unseen_rows": 0.75,  # a: 1, 4, -3
    "code_columns": 1,  # c: 2 beside 0 and 1
    "code_shift": 0.25,
    "gap_shift": 0.25,
    "max_smd": SMD_B,
    "mean_smd": (SMD_B + SMD_C) / 4,
    "neighbour_ratio": np.sqrt(5) / 2,  # z of a and c; see below
    "outcome_r2": np.nan,  # ten rows at least
    "treatment_auc": np.nan,
    "treatment_shift": 0.25,
    "outcome_shift": 1.5,
    "outcome_max_z": 4,
    "largest_outcome": 6,
    "max_order": np.corrcoef([5, 5, 5, 5, 5, 5, 6, 5], PLACE)[0, 1],
    "order_columns": 0,
    "treatment_order": np.corrcoef(T, PLACE)[0, 1],
    "outcome_order": np.corrcoef(Y[:, 0], PLACE)[0, 1],
    "domain_auc": np.nan,  # ten rows at least
    "domain_p": np.nan,
}


def test_every_characteristic_by_hand() -> None:
    """Training rows are the corners (-1 or 1, -1 or 1) in z: the nearest other one is 2 away.

    Validation rows (0, -1), (3, 1), (-4, 3), (1, -1) are 1, 2, sqrt(13), 0 from the nearest: median 1.5.
    """
    found = characteristics(by_hand())
    assert set(found) == set(BY_NAME)
    expected = HAND | {"neighbour_ratio": 1.5 / 2}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_the_distance_from_the_centre_by_hand() -> None:
    """On a line, both halves of training +-1 around 0: every training row is 1 sd away, validation rows are 3."""
    split = by_hand()
    sign = np.resize([1.0, 1.0, -1.0, -1.0], 2000)[:, None]
    train = replace(split.train, x=np.random.default_rng(0).permutation(sign))
    found = characteristics(_one_column(split, train.x, 3 * sign))
    # Each half has a mean that is not exactly 0, and as many rows above it as below.
    assert found["mahalanobis_ratio"] == pytest.approx(3, abs=0.15)


def _one_column(split: DataSplit, train: np.ndarray, val: np.ndarray) -> DataSplit:
    n = len(train)
    x = np.concatenate([train, val])
    t, y = np.resize([0, 1], 2 * n), np.arange(2.0 * n)[:, None]
    cohort = replace(split.cohort, x=x, t=t, y=y, columns=split.cohort.columns[:1])
    sides = [
        replace(split.train, row=at, x=x[at], t=t[at], t_seen=t[at], y=y[at])
        for at in (np.arange(n), np.arange(n, 2 * n))
    ]
    return replace(split, cohort=cohort, columns=("a",), train=sides[0], val=sides[1])


def test_definitions_are_of_what_is_measured() -> None:
    assert len({one.name for one in CHARACTERISTICS}) == len(CHARACTERISTICS)
    assert all(one.meaning and one.meaning[-1] != "." for one in CHARACTERISTICS)
    assert set(characteristics(by_hand(), quick=True)) == {one.name for one in CHARACTERISTICS if one.quick}


def test_measuring_is_pure(make_config: MakeConfig) -> None:
    split = of(make_config, "dataset=synthetic", "dataset.rows=200")
    before = split.train.x.copy(), split.val.x.copy(), split.cohort.x.copy()
    first, again = characteristics(split), characteristics(split)
    assert first == again
    for kept, now in zip(before, (split.train.x, split.val.x, split.cohort.x), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_the_quick_ones_are_those_of_the_whole(make_config: MakeConfig) -> None:
    split = of(make_config)
    whole, quick = characteristics(split), characteristics(split, quick=True)
    for name, value in quick.items():
        drawn = name in ("mahalanobis_ratio", "neighbour_ratio")  # from fewer rows
        assert value == (pytest.approx(whole[name], rel=0.15) if drawn else whole[name]), name


def test_the_units_of_a_column_do_not_matter(make_config: MakeConfig) -> None:
    split = of(make_config, "covariates=confounders")
    factor = 10.0 ** np.arange(9)
    other = replace(
        split,
        train=replace(split.train, x=split.train.x * factor + 3),
        val=replace(split.val, x=split.val.x * factor + 3),
    )
    mine, theirs = characteristics(split), characteristics(other)
    for name, value in mine.items():
        assert theirs[name] == pytest.approx(value, rel=1e-6), name


FIVE = {"pica", "diabetes", "hbpmed", "boweltrouble", "hbp"}


def test_nhefs_in_file_order(make_config: MakeConfig) -> None:
    """Code 2 in five columns, only where rows validate, up to 25 sd away; wt82 - wt71 is the outcome."""
    found = measure(of(make_config))
    c = found.characteristics
    assert (c["rows_train"], c["rows_validation"], c["columns"]) == (783, 783, 65)
    assert c["max_z"] == pytest.approx(25, abs=0.1) and c["constant_columns"] == 0
    by_name = {column.name: column for column in found.columns}
    assert {name for name in FIVE if by_name[name].code == 2 and by_name[name].unseen == ("2",)} == FIVE
    assert all(by_name[name].code_train == 0 and by_name[name].code_val == 769 / 783 for name in FIVE)
    assert max(by_name[name].max_z for name in FIVE) == c["max_z"]
    assert set(found.far[:5]) == FIVE
    assert c["unseen_rows"] == pytest.approx(769 / 783) and c["share_beyond_5"] > 0.98
    assert c["outcome_r2"] > 0.99999 and set(found.outcome_leak) == {"wt82", "wt71"}
    assert c["treatment_auc"] > 0.95 and found.treatment_leak[0] == "smkintensity82_71"
    assert c["max_order"] > 0.999 and c["mahalanobis_ratio"] > 3 and c["neighbour_ratio"] > 3
    assert c["domain_auc"] > 0.99 and c["domain_p"] == 0.005


def test_nhefs_shuffled_has_the_leaks_and_no_shift(make_config: MakeConfig) -> None:
    found = measure(of(make_config, "split=shuffled"))
    c = found.characteristics
    assert c["outcome_r2"] > 0.99999 and set(found.outcome_leak) == {"wt82", "wt71"}
    assert c["unseen_rows"] < 0.02 and c["code_shift"] < 0.1 and c["max_smd"] < 0.25
    assert c["mahalanobis_ratio"] == pytest.approx(1, abs=0.1) and c["neighbour_ratio"] == pytest.approx(1, abs=0.1)
    assert 0.45 < c["domain_auc"] < 0.55 and c["domain_p"] > 0.01


def test_nhefs_without_what_leaks(make_config: MakeConfig) -> None:
    """The domain classifier is near .59 on the confounders and saturated on the baseline columns."""
    confounders, baseline = (
        characteristics(of(make_config, f"covariates={kept}")) for kept in ("confounders", "baseline")
    )
    assert confounders["domain_auc"] == pytest.approx(0.59, abs=0.04) and confounders["max_z"] == pytest.approx(
        5, abs=0.5
    )
    assert confounders["outcome_r2"] < 0.2 and baseline["outcome_r2"] < 0.2
    assert baseline["domain_auc"] > 0.98 and baseline["max_z"] == pytest.approx(25, abs=0.1)


def test_a_hundred_rows_have_constant_columns(make_config: MakeConfig) -> None:
    found = measure(of(make_config, "dataset_size=n100"))
    assert found.characteristics["constant_columns"] == len([one for one in found.columns if one.constant]) > 0
    assert found.characteristics["rows_per_column"] == pytest.approx(50 / 65)


def test_a_planted_wave_is_seen_and_a_healthy_table_is_not(make_config: MakeConfig) -> None:
    planted = measure(of(make_config, "dataset=synthetic", "dataset.wave_columns=3", "dataset.wave_share=0.3"))
    assert {one.name for one in planted.columns if one.code == 2} == {"x18", "x19", "x20"}
    healthy = characteristics(of(make_config, "dataset=synthetic", "dataset.wave_columns=0"))
    assert (healthy["code_columns"], healthy["constant_columns"], healthy["unseen_columns"]) == (0, 0, 0)
    assert healthy["share_beyond_5"] == 0 and healthy["outcome_r2"] < 0.5


def test_several_outcomes_treatments_and_hidden_ones(make_config: MakeConfig) -> None:
    words = ("dataset=synthetic", "dataset.d_y=3", "dataset.treatments=4", "labels=half_mcar")
    found = characteristics(of(make_config, *words))
    assert found["hidden_share"] == 0.5 and np.isfinite(list(found.values())).all()


def test_the_docs_say_what_each_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "AUDIT.md").read_text(encoding="utf-8")
    for one in CHARACTERISTICS:
        assert f"| `{one.name}` | {one.unit} | {one.meaning}{'' if one.quick else ' (not quick)'} |\n" in text
