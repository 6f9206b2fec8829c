"""Findings: which there are, how bad, whom they blame, and that what they advise exists."""

import shlex
from dataclasses import replace
from typing import Any

import pytest

from ssc_sweep.audit import findings as limits
from ssc_sweep.audit.characteristics import RUNS_WITH_ROWS, ColumnAudit, measure
from ssc_sweep.audit.findings import RANK, Finding, Severity, findings
from ssc_sweep.audit.remedies import ABOUT, override
from ssc_sweep.config import GROUPS, RunConfig, conf_dir
from ssc_sweep.data.cohort import Role
from ssc_sweep.data.salvage import Refusal
from tests.audit.splits import by_hand, of
from tests.conftest import MakeConfig
from tests.documents import ROOT


def found(make_config: MakeConfig, *words: str) -> dict[str, Finding]:
    return {one.kind: one for one in findings(measure(of(make_config, *words)), make_config(*words))}


def test_the_document_states_every_limit() -> None:
    page = (ROOT / "docs" / "AUDIT.md").read_text(encoding="utf-8")
    for row in (
        f"| code for missing? | its share changes by more than {limits.STEP:g} from",
        f"| a value new to training | more than {limits.FEW_ROWS:g} of the validation rows have one; severe if one "
        f"column has {limits.MANY_ROWS:g} that",
        f"| beyond {limits.FAR:g} sd | {limits.FEW_ROWS:g} more of the validation rows than of the training rows; "
        f"severe above {limits.MANY_ROWS:g} |",
        f"| out of training's range | {limits.FEW_ROWS:g} of",
        f"| gaps | a column's share changes by more than {limits.STEP:g} |",
        f"| means differ | more than {limits.OUT_OF_BALANCE:g} pooled sd |",
        f"| centre, neighbour | more than {limits.FARTHER:g} times as far, with {limits.FEWEST_FAR} rows",
        f"| told from training rows | AUC above {limits.APART_AUC:g} with a p of {limits.APART_P:g} or less |",
        f"| tell the outcome, the treatment | R2 of {limits.LEAK_R2:g}, AUC of {limits.LEAK_AUC:g} |",
        f"| training rows a column | fewer than {limits.ROWS_PER_COLUMN}; severe below {limits.TOO_FEW_PER_COLUMN} |",
        f"| visible training rows in an arm | fewer than {limits.FEWEST_IN_ARM} |",
        f"by more than {limits.STEP:g}, by more than {limits.OUT_OF_BALANCE:g} sd |",
        f"| run with the row number | absolute correlation above {RUNS_WITH_ROWS:g};",
    ):
        assert row in page, row
    assert limits.ERRORS == 3 and "three standard errors" in page


def test_columns_that_validation_rows_lack_are_blamed_first(make_config: MakeConfig) -> None:
    """Filled from the training rows they do not vary, so they bring rows together instead of apart."""
    gone = "split.planted=[{rows: validation, columns: [x2, x4], value: null}]"
    by_kind = found(make_config, "dataset=synthetic", "dataset.wave_columns=0", "dataset.d_x=6", "split=shuffled", gone)
    assert set(by_kind["domain"].columns[:2]) == {"x2", "x4"}


def worse_than_notes(by_kind: dict[str, Finding]) -> set[str]:
    return {kind for kind, one in by_kind.items() if one.severity is not Severity.NOTE}


def test_nhefs_in_file_order(make_config: MakeConfig) -> None:
    by_kind = found(make_config)
    assert set(by_kind["codes"].columns) == {"hbp", "diabetes", "pica", "hbpmed", "boweltrouble"}
    assert by_kind["codes"].severity is Severity.SEVERE and "98%" in by_kind["codes"].what
    assert by_kind["beyond"].columns[0] == "pica" and by_kind["beyond"].override == "split=shuffled"
    assert by_kind["outcome leak"].columns == ("wt82", "wt71")
    assert by_kind["outcome leak"].override == by_kind["treatment leak"].override == "covariates=baseline"
    assert by_kind["order"].severity is Severity.WARNING and {"seqn", "id"} <= set(by_kind["order"].columns)
    assert by_kind["same"].columns == ("censored",)


def test_shuffled_only_the_leaks_are_left(make_config: MakeConfig) -> None:
    by_kind = found(make_config, "split=shuffled")
    assert {kind for kind, one in by_kind.items() if one.severity is not Severity.NOTE} == {
        "outcome leak",
        "treatment leak",
    }
    assert all("shuffled" not in one.override for one in by_kind.values())


def test_a_healthy_table_is_left_alone(make_config: MakeConfig) -> None:
    assert found(make_config, "dataset=synthetic", "dataset.wave_columns=0", "dataset.d_x=5") == {}


@pytest.mark.parametrize("seed", range(5))
def test_rows_drawn_at_random_have_no_shift(make_config: MakeConfig, seed: int) -> None:
    by_kind = found(make_config, "split=shuffled", "covariates=baseline", f"seed={seed}")
    assert worse_than_notes(by_kind) == set()


def test_the_worst_comes_first(make_config: MakeConfig) -> None:
    measured, config = measure(of(make_config)), make_config()
    ranks = [RANK[one.severity] for one in findings(measured, config, [Refusal("column z is text.", "z")])]
    assert ranks == sorted(ranks) and ranks[0] == 0


def test_shuffling_does_not_help_rows_that_were_drawn(make_config: MakeConfig) -> None:
    by_kind = found(make_config, "dataset_size=n100")
    assert by_kind["rows"].override == "dataset_size=full"
    assert all(one.override != "split=shuffled" for one in by_kind.values())
    assert by_kind["rows"].severity is Severity.SEVERE


CHANGES = {
    "arm": {"smallest_arm": 9.0},
    "rows": {"rows_per_column": 9.0},
    "treatment": {"treatment_shift": 0.2},
    "outcome": {"outcome_shift": 0.5},
    "far": {"neighbour_ratio": 1.6},
    "domain": {"domain_auc": 0.8, "domain_p": 0.005},
    "outcome leak": {"outcome_r2": 0.995},
    "treatment leak": {"treatment_auc": 0.96},
    "beyond": {"share_beyond_5": 0.1, "share_beyond_5_train": 0.0},
    "outside": {"outside_box": 0.5},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_characteristic_beyond_its_threshold_is_found(make_config: MakeConfig, kind: str) -> None:
    words = ("dataset=synthetic", "dataset.wave_columns=0", "dataset.d_x=5")
    measured, config = measure(of(make_config, *words)), make_config(*words)
    assert findings(measured, config) == ()
    worse = replace(measured, characteristics=measured.characteristics | CHANGES[kind])
    assert [one.kind for one in findings(worse, config)] == [kind]


def test_the_clamp(make_config: MakeConfig) -> None:
    measured, config = measure(by_hand()), make_config()
    kinds = [one.kind for one in findings(measured, config, extra={"clamp": 5.0})]
    assert "clamp" in kinds and "clamp" not in [one.kind for one in findings(measured, config, extra={"clamp": 6.0})]


def test_no_characteristic_at_all_is_no_finding(make_config: MakeConfig) -> None:
    measured = measure(by_hand())
    unknown = replace(measured, characteristics={**measured.characteristics, "treatment_auc": float("nan")})
    assert "treatment leak" not in [one.kind for one in findings(unknown, make_config())]


@pytest.mark.parametrize("seed", range(3))
def test_values_that_are_rare_on_both_sides_are_no_finding(make_config: MakeConfig, seed: int) -> None:
    """Of 50 rows many have a value that no other has, and so have the 50 that validate."""
    assert "unseen" not in found(make_config, "dataset_size=n100", f"seed={seed}")


def columns(roles: dict[str, Role], **changes: Any) -> dict[str, ColumnAudit]:
    some = measure(by_hand()).columns[0]
    return {name: replace(some, name=name, role=role, **changes) for name, role in roles.items()}


def every_word() -> list[str]:
    return sorted({word for about in ABOUT.values() for word in about.overrides if "{" not in word})


def known(word: str, config: RunConfig) -> bool:
    key, _, text = word.partition("=")
    if key in GROUPS:
        return (conf_dir() / key / f"{text}.yaml").is_file()
    group, _, name = key.partition(".")
    return name in config.content()[group] or name in ("clamp",)


@pytest.mark.parametrize("word", every_word())
def test_what_is_advised_composes_or_is_never_said(make_config: MakeConfig, word: str) -> None:
    config = make_config()
    if known(word, config):
        make_config(word)
    else:
        for kind, about in ABOUT.items():
            alone = replace(about, overrides=(word,))
            assert word not in override(kind, config, {}, (), {}) and alone.overrides == (word,)


def test_words_for_a_table_of_ones_own(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("own") / "my.csv"
    path.write_text("a,t,y\n1,0,1\n")
    words = ("dataset=csv", f"dataset.path={path}", "dataset.treatment=t", "dataset.outcome=y")
    config, names = make_config(*words), ("pica", "blood pressure", "it's")
    used = columns(dict.fromkeys(names, Role.BASELINE), code=2.0)
    (said,) = shlex.split(override("codes", config, {}, names[:2], used))
    assert make_config(*words, said).dataset["missing"] == {"pica": [2], "blood pressure": [2]}
    dropping = make_config(*words, "dataset.drop=[id]")
    (said,) = shlex.split(override("outcome leak", dropping, {}, names, used))
    assert make_config(*words, said).dataset["drop"] == ["id", *names]


def test_baseline_columns_help_only_where_they_take_a_leak_away(make_config: MakeConfig) -> None:
    used = columns({"leak": Role.OUTCOME_LEAK, "age": Role.CONFOUNDER, "sex": Role.BASELINE})
    assert override("outcome leak", make_config(), {}, ("leak", "age"), used) == "covariates=baseline"
    assert override("outcome leak", make_config(), {}, ("sex", "age"), used) == ""
    assert override("outcome leak", make_config("covariates=baseline"), {}, ("leak",), used) == ""


def test_codes_are_read_as_gaps_only_where_they_are_declared(make_config: MakeConfig) -> None:
    for declared, said in ((True, "scaling.codes=missing"), (False, "split=shuffled")):
        used = columns({"pica": Role.BASELINE}, code=2.0, declared=declared)
        assert override("codes", make_config(), {}, ("pica",), used) == said
