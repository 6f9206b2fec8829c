"""Tables as cohorts: what is read off the values, what is declared, what is refused. Worked by hand."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ssc_sweep.data.cohort import Cohort, Kind, Role
from ssc_sweep.data.files import Format, read
from ssc_sweep.data.table import cohort_of
from ssc_sweep.errors import DoesNotFit, UserError

NAN = np.nan
FRAME = pd.DataFrame(
    {
        "dose": ["b", "a", None, "b", "a", "a"],
        "weight": [1.0, 2.0, 3.0, NAN, 5.0, 6.0],
        "age": [40, 50, 60, 70, 80, 91],
    }
)


def cohort(**columns: object) -> Cohort:
    return cohort_of(FRAME.assign(**columns), "mine", "dose", "weight")


def column(values: object, **said: object) -> tuple[np.ndarray, Kind, tuple[str, ...], bool]:
    """How a column of six values is read; the fourth row has no outcome."""
    made = cohort_of(FRAME.assign(c=values), "mine", "dose", "weight", **said)  # type: ignore[arg-type]
    found = made.columns[1]
    return made.x[:, 1], found.kind, found.levels, found.indicator


def test_rows_without_an_outcome_go_and_an_unknown_treatment_stays() -> None:
    made = cohort()
    assert made.y.tolist() == [[1], [2], [3], [5], [6]]
    assert made.t.tolist() == [1, 0, -1, 0, 0] and made.treatments == ("a", "b")
    assert made.x.tolist() == [[40], [50], [60], [80], [91]]
    assert made.dropped == 1
    assert made.notes[0] == "mine: 6 rows, 1 without an outcome left out, 1 with an unknown treatment"
    assert made.notes[1] == "kinds: 1 number"


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        ([0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1], ("0", "1")),
        ([1, 2, 2, 1, 1, 2], [0, 1, 1, 0, 1], ("1", "2")),
        ([-1, 1, 1, -1, 1, 1], [0, 1, 1, 1, 1], ("-1", "1")),
        ([0.0, 1.0, NAN, 1.0, 0.0, 1.0], [0, 1, -1, 0, 1], ("0", "1")),
        ([0.5, 10.0, 2.0, 1.0, 0.5, 2.0], [0, 2, 1, 0, 1], ("0.5", "2", "10")),
        ([True, False, None, True, False, True], [1, 0, -1, 0, 1], ("false", "true")),
        (["quit", "stays", "", "quit", "quit", "stays"], [1, 2, 0, 1, 2], ("", "quit", "stays")),
        (pd.Categorical(["b", "a", None, "c", "b", "a"], ["c", "b", "a"]), [1, 0, -1, 1, 0], ("a", "b")),
    ],
)
def test_treatments(values: object, codes: list[int], names: tuple[str, ...]) -> None:
    made = cohort(dose=values)
    assert (made.t.tolist(), made.treatments) == (codes, names)


@pytest.mark.parametrize(
    ("values", "x", "kind", "levels"),
    [
        ([1, 2, 3, 4, 5, 7.5], [1, 2, 3, 5, 7.5], Kind.NUMBER, ()),
        ([1, 2, 1, 1, 2, 1], [1, 2, 1, 2, 1], Kind.NUMBER, ()),
        ([0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0], Kind.NUMBER, ()),  # the only 1 has no outcome
        ([0, 1, NAN, 1, 0, 1], [0, 1, NAN, 0, 1], Kind.YES_NO, ()),
        ([True, False, True, True, True, True], [1, 0, 1, 1, 1], Kind.YES_NO, ()),
        (["Yes", "no", "NO", "no", "yes", None], [1, 0, 0, 1, NAN], Kind.YES_NO, ()),
        (["t", "f", "t", "f", "t", "f"], [1, 0, 1, 1, 0], Kind.YES_NO, ()),
        (["m", "f", "m", "d", "m", None], [1, 0, 1, 1, NAN], Kind.CATEGORY, ("f", "m")),  # d has no outcome
        (pd.Categorical([3, 1, 3, 1, 2, 2]), [3, 1, 3, 2, 2], Kind.NUMBER, ()),
        (["yes"] * 6, [0, 0, 0, 0, 0], Kind.CATEGORY, ("yes",)),
    ],
)
def test_kinds_are_read_off_the_values(values: object, x: list[float], kind: Kind, levels: tuple[str, ...]) -> None:
    found, *about = column(values)
    assert found == pytest.approx(x, nan_ok=True)
    assert about == [kind, levels, bool(np.isnan(x).any())]


@pytest.mark.parametrize(
    ("values", "kind", "x", "levels"),
    [
        ([2, 10, 2, 10, 2.5, NAN], "category", [0, 2, 0, 1, NAN], ("2", "2.5", "10")),
        ([0, 1, 1, 1, 0, 0], "category", [0, 1, 1, 0, 0], ("0", "1")),
        ([0, 1, 1, 1, 0, 0], Kind.NUMBER, [0, 1, 1, 0, 0], ()),
        (["1", "10", "2", "x", "1", "2"], "number", [1, 10, 2, 1, 2], ()),  # x has no outcome
        ([1, 2, 2, 2, 1, 1], "yes_no", [0, 1, 1, 0, 0], ()),
        (["m", "f", "m", "f", "m", None], "yes_no", [1, 0, 1, 1, NAN], ()),
        (["no", "yes", "no", "no", "no", "no"], "category", [0, 1, 0, 0, 0], ("no", "yes")),
    ],
)
def test_kinds_are_declared(values: object, kind: str, x: list[float], levels: tuple[str, ...]) -> None:
    found, read_as, named, _ = column(values, kinds={"c": kind})
    assert found == pytest.approx(x, nan_ok=True)
    assert (read_as, named) == (Kind(kind), levels)


@pytest.mark.parametrize(
    ("values", "codes", "x", "kind"),
    [
        ([0, 1, 2, 0, 1, 2], [2], [0, 1, NAN, 1, NAN], Kind.YES_NO),
        ([0, 1, 2, 0, 1, 2], 2, [0, 1, NAN, 1, NAN], Kind.YES_NO),
        ([0.5, 9.0, 2.0, 0, 99, 7], [9, 99.0], [0.5, NAN, 2, NAN, 7], Kind.NUMBER),
        (["3", "1.5", "unknown", "1", "2", "refused"], ["unknown", "refused"], [3, 1.5, NAN, 2, NAN], Kind.NUMBER),
        (["yes", "no", "?", "no", "yes", "no"], ["?"], [1, 0, NAN, 1, 0], Kind.YES_NO),
        (["lo", "hi", "9", "lo", "mid", "hi"], [9], [1, 0, NAN, 2, 0], Kind.CATEGORY),
    ],
)
def test_codes_are_gaps_with_an_indicator(values: object, codes: object, x: list[float], kind: Kind) -> None:
    found, read_as, _, indicator = column(values, missing={"c": codes})
    assert found == pytest.approx(x, nan_ok=True)
    assert (read_as, indicator) == (kind, True)


def test_a_code_of_the_treatment_hides_it_and_one_of_the_outcome_drops_the_row() -> None:
    frame = FRAME.assign(dose=[0, 1, 9, 0, 1, 0])
    made = cohort_of(frame, "mine", "dose", "weight", missing={"dose": [9], "weight": [6]})
    assert made.t.tolist() == [0, 1, -1, 1] and made.treatments == ("0", "1")
    assert made.dropped == 2


def test_what_looks_like_an_oversight_is_told() -> None:
    made = cohort_of(
        FRAME.assign(sex=list("mfmfmf")), "mine", "dose", "weight", missing={"sex": ["x"]}, kinds={"sex": "yes_no"}
    )
    assert made.notes[1] == "kinds: 1 number, 1 yes_no (sex: 1 is m)"
    assert made.notes[2] == "dataset.missing.sex: no cell holds x. Is it the right code?"
    said = "columns that grow from row to row, as row numbers do: age. Leave row numbers out: dataset.drop=[age]"
    assert made.notes[3] == said


def test_a_word_among_numbers_is_told() -> None:
    values = ["1", "2", "3", "1", "2", "unknown"]
    made = cohort_of(FRAME.assign(c=values, weight=range(6)), "mine", "dose", "weight")
    (told,) = [note for note in made.notes if "category:" in note]
    assert told.startswith("c is read as a category: most of its values are numbers") and "missing.c=[unknown]" in told
    declared = cohort_of(FRAME.assign(c=values, weight=range(6)), "mine", "dose", "weight", kinds={"c": "category"})
    assert not [note for note in declared.notes if "most of its values" in note]


def test_roles_drop_unit_and_what_classical_models_use() -> None:
    made = cohort_of(
        FRAME.assign(sex=list("mfmfmf"), id=range(6)), "mine", "dose", "weight", unit="kg", drop=["id"],
        roles={"age": "confounder", "sex": Role.AFTER, "id": "identifier"}, squared=["age"], modifiers=["sex"],
    )  # fmt: skip
    assert [(one.name, one.role) for one in made.columns] == [("age", Role.CONFOUNDER), ("sex", Role.AFTER)]
    assert made.unit == "kg"
    assert (made.adjustment.squared, made.adjustment.categories, made.adjustment.modifiers) == (
        ("age",), ("sex",), ("sex",),
    )  # fmt: skip


def test_several_outcomes_and_names_of_any_kind() -> None:
    frame = pd.DataFrame(
        {
            "t": [0, 1, 0, 1],
            "row": [1.0, 2, NAN, 4],
            "p(t=0)": [4, 3, 2, 1.0],
            "blood.pressure": [1, 2, 3, 4],
            "größe [cm]": 1.0,
        }
    )
    made = cohort_of(frame, "mine", "t", ["row", "p(t=0)"], kinds={"blood": {"pressure": "category"}})
    assert made.outcomes == ("row", "p(t=0)")
    assert made.y.tolist() == [[1, 4], [2, 3], [4, 1]]
    assert made.names == ["blood.pressure", "größe [cm]"]
    assert made.columns[0].levels == ("1", "2", "4")


def test_an_arrow_table_and_a_pandas_frame_make_the_same_cohort() -> None:
    frame = FRAME.assign(c=pd.Categorical(list("xyxyxy")), d=[True, None, False, True, False, True])
    one, other = (cohort_of(table, "mine", "dose", "weight") for table in (frame, pa.Table.from_pandas(frame)))
    assert np.array_equal(one.x, other.x, equal_nan=True)
    assert (one.columns, one.treatments, one.notes) == (other.columns, other.treatments, other.notes)


MANY = [f"name {i}" for i in range(60)]
LONG = pd.DataFrame({"dose": [0, 1] * 30, "weight": np.arange(60.0), "c": range(60)})


@pytest.mark.parametrize(
    ("frame", "said", "message"),
    [
        (FRAME, {"treatment": "dos"}, "dataset.treatment: mine has no column 'dos' .* Did you mean 'dose'"),
        (FRAME, {"outcome": "nope"}, "dataset.outcome: mine has no column 'nope' .* It has dose, weight, age"),
        (FRAME, {"outcome": ["weight", "dose"]}, "dataset.treatment=dose is also an outcome"),
        (FRAME, {"outcome": ["weight", "weight"]}, "names a column twice"),
        (FRAME, {"outcome": []}, "dataset.outcome names no column"),
        (FRAME, {"kinds": {"agee": "number"}}, "dataset.kinds: mine has no column 'agee' .* Did you mean 'age'"),
        (FRAME, {"kinds": {"dose": "number"}}, "dataset.kinds: mine has no column 'dose' for that"),
        (FRAME, {"kinds": {"age": "numeric"}}, "dataset.kinds.age=numeric .* number | yes_no | category"),
        (FRAME, {"missing": {"agee": [1]}}, "dataset.missing: .* 'agee'"),
        (FRAME, {"missing": {"age": [True]}}, "dataset.missing.age"),
        (FRAME, {"roles": {"agee": "after"}}, "dataset.roles: .* 'agee'"),
        (FRAME, {"roles": {"age": "cause"}}, "dataset.roles.age=cause .* confounder | baseline"),
        (FRAME, {"drop": ["agee"]}, "dataset.drop: .* 'agee'"),
        (FRAME, {"drop": ["weight"]}, "dataset.drop=weight is the treatment or an outcome"),
        (FRAME, {"drop": ["age"]}, "no column left"),
        (FRAME, {"squared": ["agee"]}, "dataset.squared: .* 'agee'"),
        (FRAME.assign(c=list("abcabc")), {"squared": ["c"]}, "dataset.squared: c of mine is of kind category"),
        (FRAME.assign(weight=list("abcdef")), {}, "outcome weight of mine holds text, such as 'a'"),
        (FRAME.assign(weight=3.0), {}, "outcome weight of mine is 3 in every row"),
        (FRAME.assign(weight=NAN), {}, "no row with an outcome"),
        (FRAME.assign(weight=[1, 2, 3, 4, 5, np.inf]), {}, "outcome weight of mine holds an infinity in 1 row:"),
        (FRAME.assign(age=[1, 2, -np.inf, np.inf, np.inf, 3]), {}, "column age of mine holds an infinity in 2 rows"),
        (FRAME.assign(dose=1), {}, "treatment dose of mine has one value, 1 in"),
        (FRAME.assign(dose=["a", "a", None, "b", "a", "a"]), {}, "treatment dose of mine has one value, a in"),
        (FRAME.assign(dose=None), {}, "treatment dose of mine has no value"),
        (LONG.assign(dose=np.arange(60) / 7), {}, "60 distinct values: allowed are 2 to 20. A continuous treatment"),
        (LONG.assign(dose=MANY), {}, "60 distinct values: allowed are 2 to 20. group"),
        (LONG.assign(c=MANY), {}, "column c of mine holds text with 60 distinct values, such as 'name 0': data"),
        (LONG.assign(c=date(2020, 1, 1)), {}, "column c of mine holds dates or times: .* dataset.drop=.c."),
        (LONG.assign(c=[[1]] * 60), {}, "column c of mine holds values of type list"),
        (LONG.assign(c=[1, "a"] * 30), {}, "mine has a column with values of several types"),
        (LONG.assign(c=None), {}, "column c of mine has no value in any row"),
        (LONG.assign(c=["1", "x"] * 30), {"kinds": {"c": "number"}}, "holds 'x', .* dataset.missing.c=.x."),
        (LONG.assign(c=[1, 2, 3] * 20), {"kinds": {"c": "yes_no"}}, "3 distinct values .1, 2, 3., .* allows two"),
        (FRAME.assign(**{f"c{i}": range(6) for i in range(6)}), {}, "7 covariates and only 5 rows .* dataset.drop="),
        (FRAME.assign(**{"": 1}), {}, "a column without a name, number 4"),
        (FRAME.rename(columns={"age": 3}), {}, "a column named 3"),
        (FRAME.rename(columns={"age": "dose"}), {}, "two columns named 'dose'"),
    ],
)  # fmt: skip
def test_what_is_refused(frame: pd.DataFrame, said: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        cohort_of(frame, "mine", **{"treatment": "dose", "outcome": "weight"} | said)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_text_with_many_values_is_a_category_where_it_is_declared_one() -> None:
    made = cohort_of(LONG.assign(c=MANY), "mine", "dose", "weight", kinds={"c": "category"})
    assert len(made.columns[0].levels) == 60


@pytest.mark.parametrize(
    ("text", "how", "rows"),
    [
        ("a,b\n1,x\n2,\n", {}, [(1, "x"), (2, None)]),
        ("a;b\r\n1,5;x\r\n2,25;y\r\n", {"delimiter": "semicolon", "decimal": "comma"}, [(1.5, "x"), (2.25, "y")]),
        ("a\tb\n1\tx, y\n", {"delimiter": "tab"}, [(1, "x, y")]),
        ("a|b\n1|x\n", {"delimiter": "pipe"}, [(1, "x")]),
        ('a,b\n1,"two\nlines"\n3,"""quoted"""\n', {}, [(1, "two\nlines"), (3, '"quoted"')]),
        ("\n\na,b\n\n1,x\n\n", {}, [(1, "x")]),
        ("a,b\nNA,.\n7,nan\n", {}, [(None, None), (7, None)]),
        ("\ufeffa,b\n1,ü\n", {}, [(1, "ü")]),
        ("a,b\n1,ü\n", {"encoding": "latin-1"}, [(1, "ü")]),
        ("a,b\n1,ü\n", {"encoding": "utf-16"}, [(1, "ü")]),
    ],
)
def test_csv_files(tmp_path: Path, text: str, how: dict[str, str], rows: list[tuple[object, ...]]) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(how.get("encoding", "utf-8")))
    table = read(str(tmp_path / "a.csv"), Format(**how))
    assert table.column_names == ["a", "b"]
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (b"", {}, "is empty"),
        (b"\n\n", {}, "is empty"),
        (b"a,b\n", {}, "a header and no rows"),
        (b"a,b", {}, "a header and no rows"),
        (b"a;b\n1;2\n", {}, "separated by ';': give dataset.delimiter=semicolon"),
        (b"a\tb\n1\t2\n", {}, "separated by a tab: give dataset.delimiter=tab"),
        (b"a,b\n1,2\n", {"delimiter": "tab"}, "separated by ',': give dataset.delimiter=comma"),
        (b"a,b\n1,2\n3\n", {}, "1 cells in line 3, and 2 in its header"),
        (b"a,b\n1,2\n3,4,5\n", {}, "3 cells in line 3, and 2 in its header"),
        (b'a,b\n1,"x\n3,y\n4,z\n', {}, "a quote that is not closed"),
        (b'a,b\n1,"x\n3,y\n4,"z\n5,u\n', {}, "a quote that is not closed"),
        ("a,b\n1,ü\n".encode("latin-1"), {}, "not written in utf-8: give dataset.encoding=<another>"),
        ("ä,b\n1,x\n".encode("latin-1"), {}, "not written in utf-8"),
        ("a,b\n1,ü\n".encode(), {"encoding": "ascii"}, "not written in ascii: .* utf-8"),
        (b"a,b\n1,2\n", {"encoding": "utf-99"}, "dataset.encoding=utf-99 is unknown"),
        (b"PK\x03\x04more", {}, "a zip archive, such as an Excel file"),
        (b"\x1f\x8bmore", {}, "is compressed"),
        (b"PAR1 and nothing else", {}, "damaged or cut off Parquet"),
    ],
)
def test_csv_files_that_are_refused(tmp_path: Path, content: bytes, how: dict[str, str], message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as refusal:
        read(str(tmp_path / "a.csv"), Format(**how))
    assert "\n" not in str(refusal.value)


def test_a_parquet_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    frame = FRAME.rename(columns={"age": "age.at start"})
    frame.iloc[::2].to_parquet(file)  # pandas writes the index beside the columns
    table = read(str(file), Format())
    assert table.column_names == ["dose", "weight", "age.at start"]
    assert table.column("age.at start").to_pylist() == [40, 60, 80]


def test_parquet_files_that_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is no Parquet file"):
        read(str(file), Format())
    parquet.write_table(pa.table({"a": range(5000)}), file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match="damaged or cut off Parquet"):
        read(str(file), Format())


def test_a_wrong_value_fails_a_trial_and_a_wrong_name_the_command() -> None:
    with pytest.raises(DoesNotFit):
        cohort(weight=3.0)
    with pytest.raises(UserError) as refusal:
        cohort_of(FRAME, "mine", "dos", "weight")
    assert not isinstance(refusal.value, DoesNotFit)


def test_codes_that_may_be_gaps_are_kept_and_declared() -> None:
    made = cohort_of(
        FRAME.assign(asked=[0, 1, 2, 1, 2, 0], town=["x", "?", "x", "x", "z", "z"]),
        "mine", "dose", "weight", codes={"asked": [2, 7], "town": ["?", "w"]},
    )  # fmt: skip
    asked, town = made.columns[1], made.columns[2]
    assert made.x[:, 1].tolist() == [0, 1, 2, 2, 0] and asked.codes == (2.0,) and asked.kind is Kind.NUMBER
    assert town.levels == ("?", "x", "z") and town.codes == (0.0,)
    assert "dataset.codes.asked: no cell holds 7. Is it the right code?" in made.notes
    assert (
        "rows that hold a declared code: asked 2, town 1. scaling.codes=value keeps codes as values, "
        "scaling.codes=missing makes them gaps" in made.notes
    )
    assert "dataset.codes.town: no cell holds w. Is it the right code?" in made.notes
    read = made.codes_as_gaps()
    np.testing.assert_array_equal(read.x[:, 1], [0, 1, NAN, NAN, 0])
    np.testing.assert_array_equal(read.x[:, 2], [1, NAN, 1, 2, 2])


def test_codes_of_a_column_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"dataset\.codes: mine has no column 'agee' for that\. Did you mean 'age'"):
        cohort_of(FRAME, "mine", "dose", "weight", codes={"agee": [2]})
