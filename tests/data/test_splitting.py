from dataclasses import replace

import numpy as np
import pytest

from ssc_sweep.data import nhefs
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import choose_rows
from ssc_sweep.errors import UserError
from tests.conftest import MakeConfig
from tests.data.rows import split

COHORT = nhefs.load()


def test_file_order_is_two_halves(make_config: MakeConfig) -> None:
    train, val = choose_rows(1566, make_config())
    assert np.array_equal(train, np.arange(783))
    assert np.array_equal(val, np.arange(783, 1566))


@pytest.mark.parametrize(("rows", "share", "val"), [(20, 0.8, 16), (10, 0.9, 9), (1000, 0.9, 900), (7, 0.5, 4)])
def test_the_share_that_validates(make_config: MakeConfig, rows: int, share: float, val: int) -> None:
    train, validation = choose_rows(rows, make_config(f"split.validation_share={share}"))
    assert (len(train), len(validation)) == (rows - val, val)


@pytest.mark.parametrize("overrides", [("split=shuffled",), ("dataset_size=n100",), ("split.validation_share=0.25",)])
def test_no_row_twice(make_config: MakeConfig, overrides: tuple[str, ...]) -> None:
    train, val = choose_rows(1566, make_config(*overrides))
    assert len(np.unique([*train, *val])) == len(train) + len(val)
    assert {("split=shuffled",): 783, ("dataset_size=n100",): 50}.get(overrides, 1174) == len(train)


def test_seeds_draw_other_rows_and_the_same_seed_the_same(make_config: MakeConfig) -> None:
    first, again, other = (choose_rows(1566, make_config("split=shuffled", f"seed={seed}"))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_scaling_sees_training_rows_only(make_config: MakeConfig) -> None:
    data = split(COHORT, make_config())
    spread = data.train.x.std(axis=0)
    constant = spread < 1e-9
    assert np.allclose(data.train.x.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(spread[~constant], 1)
    assert abs(data.val.x.mean(axis=0)).max() > 1
    everywhere = split(COHORT, make_config("scaling=all"))
    both = np.concatenate([everywhere.train.x, everywhere.val.x])
    assert np.allclose(both.mean(axis=0), 0, atol=1e-9)


def test_mcar_hides_exactly_half(make_config: MakeConfig) -> None:
    rows = split(COHORT, make_config("labels=half_mcar")).train
    assert (rows.t_seen == HIDDEN).sum() == round(783 / 2)
    seen = rows.t_seen != HIDDEN
    assert np.array_equal(rows.t_seen[seen], rows.t[seen])


def test_mar_hides_by_the_first_confounder(make_config: MakeConfig) -> None:
    # NHEFS's first confounder is sex: the hidden share must differ by it, and not under mcar.
    def gap(labels: str) -> float:
        data = split(COHORT, make_config(f"labels={labels}"))
        sex = data.train.x[:, data.columns.index("sex")] > 0
        hidden = data.train.t_seen == HIDDEN
        return float(hidden[sex].mean() - hidden[~sex].mean())

    assert gap("half_mar") > 0.4
    assert abs(gap("half_mcar")) < 0.1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("dataset_size.rows=2000",), "larger than the data: 1566 rows"),
        (("dataset_size=n100", "batch=b64"), "batch.size=64 is larger than the training rows: 50"),
        (("dataset_size.rows=5", "batch.size=1", "covariates=confounders"), "has . visible training rows"),
        (("dataset_size.rows=4", "split.validation_share=0.9"), "leaves 0 to train"),
    ],
)
def test_what_does_not_fit(make_config: MakeConfig, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split(COHORT, make_config(*overrides))


def test_test_rows_are_the_same_whatever_else_differs(make_config: MakeConfig) -> None:
    words = ([], ["seed=7"], ["split=shuffled"], ["dataset_size=n100"], ["covariates=confounders"], ["scaling=all"])
    splits = [split(COHORT, make_config("split.test_share=0.2", *some)) for some in words]
    held_back = splits[0].test
    assert held_back is not None and len(held_back.row) == round(0.2 * 1566)
    for data in splits:
        assert data.test is not None
        np.testing.assert_array_equal(data.test.row, held_back.row)
        assert not set(data.test.row) & {*data.train.row, *data.val.row}
    assert len(splits[0].train.row) + len(splits[0].val.row) + len(held_back.row) == 1566
    assert np.all(np.diff(splits[0].train.row) > 0) and splits[0].train.row[-1] < splits[0].val.row[0]


def test_without_test_rows_nothing_changes(make_config: MakeConfig) -> None:
    data = split(COHORT, make_config())
    assert data.test is None
    np.testing.assert_array_equal(data.train.row, np.arange(783))


@pytest.mark.parametrize("fit_on", ["train", "all"])
def test_rows_that_no_encoding_may_see_change_nothing_of_it(make_config: MakeConfig, fit_on: str) -> None:
    """Validation rows under scaling=train, test rows under either, may hold anything."""
    config = make_config("split.test_share=0.2", f"scaling={fit_on}", "split=shuffled")
    before = split(COHORT, config)
    assert before.test is not None
    x = COHORT.x.copy()
    unseen = [before.test.row] + ([before.val.row] if fit_on == "train" else [])
    x[np.concatenate(unseen)] = 1e6
    after = split(replace(COHORT, x=x), config)
    np.testing.assert_array_equal(after.train.x, before.train.x)
    assert after.test is not None and not np.array_equal(after.test.x, before.test.x)


def test_treatments_that_the_source_does_not_know(make_config: MakeConfig) -> None:
    t = COHORT.t.copy()
    t[::3] = HIDDEN
    data = split(replace(COHORT, t=t), make_config("labels=half_mcar"))
    unknown, known = data.train.t == HIDDEN, data.train.t != HIDDEN
    assert (data.train.t_seen[unknown] == HIDDEN).all()
    # Half of those that are known are hidden on top.
    assert (data.train.t_seen[known] == HIDDEN).sum() == round(known.sum() / 2)


def test_runs_that_differ_in_their_seed_share_their_rows(make_config: MakeConfig) -> None:
    data = Data()
    one, other = data.split(make_config()), data.split(make_config("seed=1"))
    assert one.train.x is other.train.x and one.val.y is other.val.y
    hidden = [data.split(make_config("labels=half_mcar", f"seed={seed}")) for seed in (0, 1)]
    assert hidden[0].train.x is one.train.x
    assert not np.array_equal(hidden[0].train.t_seen, hidden[1].train.t_seen)
    shuffled = [data.split(make_config("split=shuffled", f"seed={seed}")) for seed in (0, 1)]
    assert not np.array_equal(shuffled[0].train.row, shuffled[1].train.row)


def test_codes_are_read_as_values_or_as_gaps(make_config: MakeConfig) -> None:
    pica = split(COHORT, make_config()).columns.index("pica")
    as_value = split(COHORT, make_config())
    assert as_value.val.x[:, pica].max() > 5 and len(as_value.columns) == 65
    # In file order no training row has the code of the second wave: its gaps lie at the training mean, no indicator.
    as_gap = split(COHORT, make_config("scaling.codes=missing"))
    coded = COHORT.x[783:, COHORT.names.index("pica")] == 2
    assert np.all(as_gap.val.x[coded, pica] == 0) and "pica is missing" not in as_gap.columns
    flagged = {name.removesuffix(" is missing") for name in as_gap.columns if name.endswith(" is missing")}
    assert flagged == {"birthcontrol", "alcoholtype"}
    shuffled = split(COHORT, make_config("scaling.codes=missing", "split=shuffled"))
    assert "pica is missing" in shuffled.columns


def test_validation_rows_held_to_the_range_of_the_training_rows(make_config: MakeConfig) -> None:
    data = split(COHORT, make_config("scaling.clip=range"))
    assert np.all(data.val.x.max(axis=0) <= data.train.x.max(axis=0))
    assert np.all(data.val.x.min(axis=0) >= data.train.x.min(axis=0))
    np.testing.assert_array_equal(data.train.x, split(COHORT, make_config()).train.x)
    narrow = split(COHORT, make_config("scaling.clip=3"))
    assert abs(narrow.train.x).max() <= 3 + 1e-9 and abs(narrow.val.x).max() <= 3 + 1e-9
