"""A config composed by way of another is the one that Hydra composes."""

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from ssc_sweep.config import conf_dir
from ssc_sweep.study.composing import Composer


class Counting:
    """Hydra's loader, and how often it was asked."""

    def __init__(self) -> None:
        self.loader, self.calls = GlobalHydra.instance().config_loader(), 0
        self.config = self.loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)

    def get_group_options(self, group: str) -> list[str]:
        return self.loader.get_group_options(group)

    def load_sweep_config(self, config: DictConfig, overrides: list[str]) -> DictConfig:
        self.calls += 1
        return self.loader.load_sweep_config(config, overrides)

    def directly(self, words: list[str]) -> DictConfig:
        return self.loader.load_sweep_config(self.config, words)


@pytest.fixture
def hydra() -> Iterator[Counting]:
    with initialize_config_dir(str(conf_dir())):
        yield Counting()


@pytest.fixture
def compose(hydra: Counting) -> Composer:
    return Composer(hydra.config, HydraContext(config_loader=hydra, callbacks=None))  # type: ignore[arg-type]


def content(config: DictConfig) -> object:
    """All but what Hydra notes on how it was composed."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    choices = plain.pop("hydra")["runtime"]["choices"]
    return plain, choices


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer.lr=1e-4"],
        ["batch=b32", "optimizer.lr=1e-4"],
        ["optimizer.lr=1e-4", "batch=b32", "epochs=3", "epochs=4"],
        ["batch.size=20", "batch=b32"],  # a value counts after a choice, wherever it stands
        ["dataset=csv", "dataset.path=my.csv", "+dataset.missing.age=[9]", "dataset.treatment=t", "dataset.outcome=y"],
        ["+dataset.new=1", "dataset.new=2", "++dataset.new=3", "dataset.new=4"],
        ["dataset.missing={a: [1, 2]}", "dataset=csv"],
        ["~batch.drop_last", "epochs=2"],
        ["epochs=2", "~batch.drop_last"],
        ["model=flow", "seed=7", "study=mine", "target=null", "rule.alpha=0.1"],
        ["model.width='a b'", "optimizer.lr=null", "scores=[a.B]", "outputs=${study}"],
        ["fault=leak", "dataset=planted", "split.validation_share=0.3"],
        ["case=ganite_linear", "model.width=9"],
    ],
)
def test_it_is_what_hydra_composes(hydra: Counting, compose: Composer, words: list[str]) -> None:
    compose(["epochs=9"])
    found = compose(words)
    assert content(found) == content(hydra.directly(words))
    found.epochs = 99
    assert content(compose(words)) == content(hydra.directly(words)), "each is the caller's own"


def test_values_take_no_further_composition(hydra: Counting, compose: Composer) -> None:
    for lr in range(1, 20):
        for size in (5, 10):
            config = compose([f"optimizer.lr={lr}", "split=shuffled", f"batch.size={size}"])
            assert (config.optimizer.lr, config.batch.size, config.split.order) == (lr, size, "shuffled")
    assert hydra.calls == 1
    compose(["split=file_order", "epochs=2"])
    assert hydra.calls == 2


@pytest.mark.parametrize("word", ["optimizer.lrr=1", "nokey=1", "optimizer.lr.x=1", "hydra.sweeper.params={}"])
def test_what_hydra_refuses_is_refused_by_hydra(hydra: Counting, compose: Composer, word: str) -> None:
    with pytest.raises(HydraException) as theirs:
        hydra.directly([word])
    compose(["epochs=2"])
    with pytest.raises(HydraException) as ours:
        compose([word])
    assert str(ours.value) == str(theirs.value)
