"""The real data, and the roles of its columns checked against the data itself."""

import numpy as np
import pytest

from ssc_sweep.data import nhefs
from ssc_sweep.data.cohort import Role

TABLE = nhefs.read_file().dropna(subset=[nhefs.OUTCOME])


@pytest.mark.parametrize(("choice", "columns"), [("all", 65), ("baseline", 48), ("confounders", 9)])
def test_choices_of_covariates(choice: str, columns: int) -> None:
    assert nhefs.load().keep(choice).x.shape == (1566, columns)


def test_published_facts() -> None:
    cohort = nhefs.load()
    quit_, stayed = cohort.y[cohort.t == 1, 0], cohort.y[cohort.t == 0, 0]
    # Hernan & Robins, chapter 12: 403 quit and gained 4.5 kg, 1163 went on and gained 2.0 kg.
    assert (len(quit_), len(stayed)) == (403, 1163)
    assert quit_.mean() == pytest.approx(4.5, abs=0.05)
    assert stayed.mean() == pytest.approx(2.0, abs=0.05)


def test_every_named_column_exists() -> None:
    assert set(nhefs.ROLES) <= set(TABLE.columns)


def test_identifiers_and_constants() -> None:
    assert TABLE["seqn"].is_unique and TABLE["seqn"].is_monotonic_increasing
    assert TABLE["id"].is_unique
    assert TABLE["censored"].nunique() == 1


def test_leaks_are_leaks() -> None:
    assert np.allclose(TABLE["wt82"] - TABLE["wt71"], TABLE["wt82_71"], atol=1e-4)
    quitters = TABLE[TABLE["qsmk"] == 1]
    assert (quitters["smkintensity82_71"] == -quitters["smokeintensity"]).all()


def test_duplicates_are_duplicates() -> None:
    assert ((TABLE["age"] > 50) == TABLE["older"]).all()
    gap = (TABLE["price71"] - TABLE["price82"] - TABLE["price71_82"]).abs()
    assert gap.max() < 1e-3
    assert TABLE.groupby("school")["education"].nunique().max() == 1


def test_the_second_survey_wave_starts_in_row_797() -> None:
    unasked = TABLE[["pica", "diabetes", "hbpmed", "boweltrouble", "hbp"]].eq(2).all(axis=1).to_numpy()
    assert unasked.sum() == 769
    assert unasked[797:].mean() == 1.0
    assert not unasked[:796].any()


def test_roles_cover_all_columns() -> None:
    roles = [column.role for column in nhefs.load().columns]
    assert roles.count(Role.CONFOUNDER) == 9
    assert len(roles) == 65


@pytest.mark.parametrize(
    ("column", "code", "rows"),
    [
        *((name, 2, 769) for name in ("pica", "diabetes", "hbpmed", "boweltrouble", "hbp")),
        *(("birthcontrol", 2, 769), ("alcoholpy", 2, 5), ("alcoholfreq", 5, 5)),
        *(("alcoholtype", 4, 396), ("marital", 8, 1)),
    ],
)
def test_codes_for_a_missing_value(column: str, code: float, rows: int) -> None:
    assert nhefs.CODES[column] == (code,)
    assert (TABLE[column] == code).sum() == rows


def test_birthcontrol_is_coded_in_all_men() -> None:
    assert (TABLE.loc[TABLE["sex"] == 0, "birthcontrol"] == 2).all()
