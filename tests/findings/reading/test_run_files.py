"""Files of many runs: read as one by one, but fast."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssc_sweep.config import leaves
from ssc_sweep.findings.reading import run_files
from ssc_sweep.findings.reading.collect import collect
from ssc_sweep.findings.reading.run_files import ConfigFile, RunYamls, Unreadable, read_table
from ssc_sweep.study.folder import RunFolder
from tests.findings.studies import make_study

CONFIG = "epochs: 3\nmodel:\n  width: 8\nseed: {}\n"
# Where the line of a seed is not what it seems, or is not there, each file is parsed for itself.
ODD = {
    "no seed": "epochs: 3\n",
    "no mapping": "- 1\n",
    "empty": "",
    "two seeds": "seed: 1\nseed: 2\n",
    "in a text": 'a: "x\n\nseed: 1\n\ny"\n',
    "within a group": "model:\n  seed: 1\nseed: 2\n",
    "octal": "seed: 010\n",
    "a word": "seed: one\n",
    "a comment": "seed: 4 # four\n",
    "first": "seed: 7\nepochs: 2\n",
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were parsed as YAML by the code under test, one by one."""
    texts: list[str] = []

    class Noting(yaml.CSafeLoader):
        def __init__(self, text: str) -> None:
            texts.append(text)
            super().__init__(text)

    monkeypatch.setattr(run_files, "LOADER", Noting)
    return texts


def folder(path: Path, **texts: str) -> RunFolder:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (path / f"{name}.yaml").write_text(text)
    return RunFolder(path)


def same(read: ConfigFile, text: str) -> None:
    """What was read is what YAML makes of the text alone."""
    content = yaml.safe_load(text)
    assert read.is_config == (isinstance(content, dict) and "seed" in content)
    if isinstance(content, dict):
        assert read.seed == content.get("seed") and read.get("epochs") == content.get("epochs")
    shown = leaves(content if isinstance(content, dict) else {"": content})
    assert read.leaves == {key: str(value) for key, value in shown.items()}


def test_a_config_that_differs_in_its_seed_alone_is_parsed_once(tmp_path: Path, parsed: list[str]) -> None:
    yamls = RunYamls()
    for seed in (0, 3, 10, 2**70):
        text = CONFIG.format(seed)
        same(yamls.config(folder(tmp_path, config=text)), text)
    assert len(parsed) == 1
    other = CONFIG.format(3).replace("8", "16")
    same(yamls.config(folder(tmp_path, config=other)), other)
    assert len(parsed) == 2
    first, second = (yamls.config(folder(tmp_path, config=CONFIG.format(seed))) for seed in (1, 2))
    assert first.without_seed == second.without_seed == '{"epochs": 3, "model": {"width": 8}}'


@pytest.mark.parametrize("name", ODD)
def test_an_odd_config_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    yamls = RunYamls()
    for text in (ODD[name], ODD[name].replace("1", "5"), ODD[name]):
        same(yamls.config(folder(tmp_path, config=text)), text)


def test_a_config_that_is_no_yaml_is_unreadable_each_time(tmp_path: Path) -> None:
    yamls = RunYamls()
    for seed in (1, 2):
        with pytest.raises(Unreadable, match=r"config\.yaml cannot be read"):
            yamls.config(folder(tmp_path, config=f"a: [1\nseed: {seed}\n"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a=1\n- seed={}\n", "a=1 seed={}"),
        ("- seed={}\n- b=[1,2]\n", "seed={} b=[1,2]"),
        ("- seed={}\n- seed={}\n", "seed={} seed={}"),
        ("- seed={}\n", "seed={}"),
        ("[a=1, seed={}]\n", "a=1 seed={}"),
        ("a: 1\n", ""),
        ("- [\n- seed={}\n", ""),
    ],
)
def test_overrides_in_a_line(tmp_path: Path, text: str, line: str) -> None:
    yamls = RunYamls()
    for seed in ("4", "12", "4"):
        read = yamls.overrides(folder(tmp_path, overrides=text.replace("{}", seed)))
        assert read == line.replace("{}", seed)
    assert yamls.overrides(RunFolder(tmp_path / "nothing")) == ""


def test_each_distinct_yaml_of_a_study_is_parsed_once(tmp_path: Path, parsed: list[str]) -> None:
    study = make_study(tmp_path / "study")
    assert collect(study).runs["rmse"].notna().sum() == 24
    assert len(parsed) == 1 + 2 * 3  # study.yaml; config and overrides of three arms


def test_a_table_gives_columns_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"a,b",c,d\n1,,x\n-2e3,inf,1_0\n')
    table = read_table(path)
    assert (list(table.names), table.rows) == (["a,b", "c", "d"], 2)
    np.testing.assert_array_equal(table.numbers(0), [1.0, -2000.0])
    np.testing.assert_array_equal(table.numbers(1), [math.nan, math.inf])
    with pytest.raises(ValueError, match="underscore"):
        table.numbers(2)
    path.write_text("a,b\n")
    assert read_table(path).numbers(1).shape == (0,)
