"""Bad input: one line that says what is wrong and what is allowed, exit code 2, nothing written."""

from pathlib import Path

import pytest

from tests.command import TINY, Command, make_command, refused

command = pytest.fixture(make_command)

# Words after TINY -> what the line must say.
ONE_RUN = {
    "model=nope": ["model=nope", "flow_ssc"],
    "batch=b99": ["batch=b99 is unknown", "b10 | b2 | b32 | b64"],
    "hypothesis=nope": ["hypothesis=nope", "lr"],
    "nokey=1": ["nokey is unknown", "See --help"],
    "epoch=3": ["epoch is unknown", "Did you mean epochs?"],
    "optimizer.lrr=3": ["optimizer.lrr is unknown", "Did you mean optimizer.lr?"],
    "model.nokey=3": ["model.nokey is unknown", "+model.nokey=<value>"],
    "seeds=3": ["seeds=3", "add -m"],
    "batch=[b10,b32]": ["batch=[b10,b32]", "one batch", "-m batch=b10,b32"],
    "~hypothesis=true": ["~hypothesis=true: the value after ~<group>= is the name of the choice"],
    "~batch=1.5": ["~batch=1.5: the value after ~<group>="],
    "~plugins=x": ["~plugins=x"],
    "labels=1e-3": ["labels=1e-3 is unknown: allowed is"],
    "labels=1e-3 labels=@file": ["labels=1e-3 is unknown: allowed is"],
    "labels=[1]": ["labels=[1]: a run takes one labels"],
    "+fault=[null]": ["a run takes one fault"],
    "optimizer={}": ["optimizer={} changes nothing", "~optimizer.<key>"],
    "dataset.missing={}": ["dataset.missing={} changes nothing", "~dataset.missing.<key>"],
    "experiment=[1]": ["a run takes one experiment"],
    "hydra/launcher=[1]": ["hydra/launcher=[1]: a run takes one hydra/launcher."],
    "split=../../etc": ["../../etc is no choice"],
    "~batch": ["~batch cannot take batch away", "every command needs it"],
    "+nokey=1": ["nokey", "allowed is", "epochs"],
    "batch.nokey=1": ["batch.nokey"],
    "+batch.nokey=1": ["batch.nokey", "allowed is", "drop_last"],
    "+model.nokey=1": ["nokey", "FlowSSC"],
    "+optimizer.nokey=1": ["nokey", "Adam"],
    "nonsense": ["nonsense is no override", "key=value"],
    "optimizer.lr=[1": ["optimizer.lr=[1 cannot be read", "Close what is open"],
    "optimizer.lr=0": ["optimizer.lr=0", "> 0"],
    "optimizer.lr=-1": ["optimizer.lr=-1", "> 0"],
    "optimizer.lr=abc": ["optimizer.lr=abc", "> 0"],
    "optimizer.lr=nan": ["optimizer.lr=nan", "> 0"],
    "optimizer.lr=null": ["optimizer.lr", "> 0"],
    "optimizer.lr=true": ["optimizer.lr", "> 0"],
    "optimizer.weight_decay=-1": ["optimizer.weight_decay=-1", ">= 0"],
    "epochs=0": ["epochs=0", ">= 1"],
    "epochs=1.5": ["epochs=1.5", "whole number"],
    "epochs=abc": ["epochs=abc", "whole number"],
    "epochs=null": ["epochs", "whole number"],
    "probes=maybe": ["probes=maybe", "true or false"],
    "clip_norm=-1": ["clip_norm=-1", "> 0"],
    "target=0": ["target=0", "> 0"],
    "rule=null": ["rule=null", "works_share"],
    "rule=5": ["rule=5", "works_share"],
    "arm=/abs": ["arm=/abs leads out of"],
    "arm=../../x": ["arm=../../x leads out of"],
    "~model.width": ["model.width is missing"],
    "~optimizer.beta1": ["optimizer.beta1 is missing"],
    "~dataset.noise": ["dataset.noise is missing"],
    "seed=-1": ["seed=-1", ">= 0"],
    "batch.size=0": ["batch.size=0", ">= 1"],
    "batch.size=31": ["batch.size=31", "30"],
    "dataset_size.rows=61": ["dataset_size.rows=61", "60"],
    "dataset_size=n100": ["dataset_size.rows=100", "60"],
    "dataset_size.rows=abc": ["dataset_size.rows=abc", "whole number", "null"],
    "dataset.treatments=50": ["treatment", "at least 2", "split=shuffled"],
    "split.validation_share=0": ["split.validation_share=0", "> 0 and < 1"],
    "split.validation_share=1": ["split.validation_share=1", "> 0 and < 1"],
    "split.validation_share=0.99": ["split.validation_share=0.99", "at least 2"],
    "split.order=x": ["split.order=x", "file_order | shuffled"],
    "labels.hidden_share=1": ["labels.hidden_share=1", "< 1"],
    "stats_mode.momentum=0": ["stats_mode.momentum=0", "> 0"],
    "precision.dtype=float16": ["precision.dtype=float16", "float32 | float64"],
    "dataset.wave_columns=21": ["dataset.wave_columns=21", "20"],
    "dataset.rows=abc": ["dataset.rows=abc", "whole number"],
    "model.width=0": ["model.width=0", ">= 1"],
    "model.couplings=1.5": ["model.couplings=1.5", "whole number"],
    "model.samples=0": ["model.samples=0", ">= 1"],
    "model.gamma=-1": ["model.gamma=-1", ">= 0"],
    "model.inert=maybe": ["model.inert=maybe", "true or false"],
    "optimizer.beta1=1.5": ["optimizer.beta1=1.5", "< 1"],
    "optimizer.eps=0": ["optimizer.eps=0", "> 0"],
    "optimizer=sgd optimizer.momentum=abc": ["optimizer.momentum=abc", "< 1"],
    "~optimizer.beta1 ~optimizer.beta2 ~optimizer.eps optimizer._target_=ssc_sweep.streams.stream": ["optimizer"],
    "dataset.d_x=0": ["dataset.d_x=0"],
    "dataset.d_y=0": ["dataset.d_y=0"],
    "dataset.rows=-5": ["dataset.rows=-5"],
    "dataset.noise=-1": ["dataset.noise=-1"],
    "dataset.treatments=0": ["dataset.treatments=0"],
    "model._target_=os.system": ["model._target_=os.system", "ssc_sweep"],
    "dataset._target_=os.system": ["dataset._target_=os.system", "ssc_sweep"],
    "optimizer._target_=os.system": ["optimizer._target_=os.system", "ssc_sweep"],
    "model._target_=ssc_sweep.nope.X": ["ssc_sweep.nope.X"],
    "study=null": ["study=null is empty"],
    "study=.": ["study=. leads out of outputs=outputs"],
    "study=[a]": ["study=['a'] is no name", "text or a number"],
    "study={a:1}": ["is no name"],
    f"study={'a' * 300}": ["study=aaaa", "... is too long", "200 bytes", "300"],
    "outputs=[a]": ["outputs=['a'] is no name"],
    "arm=[a]": ["arm=['a'] is no name"],
    "arm={a:1}": ["is no name"],
    "arm=true": ["arm=true is no name"],
    "arm=.": ["arm=. leads out of"],
    "~study": ["~study cannot take study away", "every command needs it"],
    "~rule": ["~rule cannot take rule away"],
    "~target": ["~target cannot take target away"],
    "~model.nope": ["there is no key model.nope"],
    "epochs=${nothing}": ["epochs=${nothing} refers to nothing"],
    "clip_norm=${oc.env:SSC_NOPE}": ["environment variable SSC_NOPE is not set"],
    "batch=5": ["batch=5 is unknown", "b10 | b2 | b32 | b64"],
    "batch=32": ["batch=32 is unknown", "Did you mean b32?"],
    "batch=true": ["batch=true is unknown"],
    "precision=64": ["precision=64 is unknown", "Did you mean float64?"],
    "experiment=3": ["experiment=3 is unknown", "test_matrix"],
    "seed=007": ["seed='007' (text)", "whole number", "quotes"],
    "seed='7'": ["seed='7' (text)", "oc.decode"],
    "labels.hidden_share=0.5": ["labels.hidden_share=0.5 hides nothing", "half_mcar"],
    "search_space=plan": ["search_space=plan", "experiment=search"],
    "+rule.x=1": ["rule.x is unknown"],
    "+model.widht=3": ["model.widht is unknown", "Did you mean model.width?"],
    "dataset=clinic": ["dataset=clinic is unknown", "--config-dir"],
    "scores=my.X": ["scores=my.X", "Write scores=[my.X]"],
    "admit=nope_pkg": ["admit=nope_pkg", "no such package", "nope_pkg.py"],
    "--batch=b32": ["--batch=b32 is no option", "batch=b32, without dashes"],
    "--helpp": ["--helpp is no option", "Did you mean --help?"],
    "--nope": ["--nope is no option"],
    "--cfg=nope": ["--cfg", "invalid choice: 'nope'"],
    "optimizer=null": ["optimizer=null", "leave the word out"],
}

STUDY = {
    "seed=range(5,1)": ["seed=range(5,1) has no values"],
    "hypothesis=ema seed=range(5,5)": ["has no values"],
    "seed=[]": ["seed=[] has no values"],
    "batch=glob(zzz)": ["batch=glob(zzz) has no values", "b10 | b2 | b32 | b64"],
    "experiment=glob(zzz)": ["experiment=glob(zzz) has no values", "test_matrix"],
    "optimizer.lr=range(5,1)": ["optimizer.lr=range(5,1) has no values"],
    "seeds=1000000000": ["seeds=1000000000", "1,000,000 runs"],
    "seed=range(0,1000000000)": ["1,000,000 runs"],
    "hypothesis=lr seeds=400000": ["1,200,000 runs", "1,000,000 runs"],
    "clip_norm=range(1,2000) optimizer.weight_decay=range(0,2000)": ["3,998,000 points"],
    "epochs=1,2 epochs=3": ["epochs=1,2 and epochs=3 both say"],
    "optimizer.lr=1e-4,1e-3 optimizer.lr=1e-4,1e-2": ["both say what optimizer.lr is"],
    "batch=10,32": ["batch=10 is unknown", "Did you mean b10?"],
    "search_space=plan": ["search_space=plan", "experiment=search"],
    "~study": ["~study cannot take study away"],
    "~rule hypothesis=lr": ["~rule cannot take rule away"],
    "hypothesis=lr effects=3": ["effects=3", "true or false"],
    'seeds="2"': ["seeds='2' (text)", "oc.decode"],
    "study=. hypothesis=lr": ["study=. leads out of"],
    "hypothesis=nope": ["hypothesis=nope", "lr"],
    "hypothesis=lr,nope": ["hypothesis=nope", "lr"],
    "hypothesis=glob(zzz*)": ["zzz", "lr"],
    "hypothesis=": ["hypothesis= is unknown", "lr"],
    "hypothesis=lr seeds=0": ["seeds=0", ">= 1"],
    "hypothesis=lr seeds=1.5": ["seeds=1.5", "whole number"],
    "hypothesis=lr seeds=abc": ["seeds=abc", "whole number"],
    "hypothesis=lr seeds=1,2": ["seeds=1,2", "one"],
    "hypothesis=lr seed=a,b": ["seed=a", ">= 0"],
    "seed=0,-1": ["seed=-1", ">= 0"],
    "seed=3 seeds=20": ["seed=3", "seeds=20", "one of them"],
    "hypothesis=lr arm=mine": ["arm=mine", "study=<name>"],
    "--cfg=job": ["--multirun", "--cfg"],
    "seed=1.5": ["seed=1.5", "whole number"],
    "study=a,b": ["study=a,b", "one"],
    "outputs=a,b": ["outputs=a,b", "one"],
    "hypothesis=lr target=10,20": ["target=10,20", "one for the whole study"],
    "hypothesis=lr rule.margin=0.1,0.2": ["rule.margin=0.1,0.2", "one for the whole study"],
    "hypothesis=lr rule=5": ["rule=5"],
    "hypothesis=lr study=../x": ["study=../x leads out of"],
    "hypothesis=lr study=": ["study="],
    "hypothesis=lr outputs=null": ["outputs=null is empty"],
    "hypothesis=glob(*) labels=1": ["labels=1 is unknown: allowed is"],
    "hypothesis=choice(lr,batch) labels=1": ["labels=1 is unknown: allowed is"],
    "labels=choice(all,1)": ["labels=1 is unknown: allowed is"],
    "labels='[1,2],3'": ["labels="],
    "labels=float(1,2)": ["labels=1.0 is unknown"],
    "labels=range(1,3)": ["labels=range(1,3)"],
    "labels=1e-3,@file": ["labels=1e-3 is unknown: allowed is"],
    "optimizer.lr=1e-4,-1": ["optimizer.lr=-1", "> 0"],
    "optimizer.lr=interval(0,1)": ["interval"],
    "optimizer.lr=intervall(0,1)": ["intervall(0,1) cannot be read: Unknown function 'intervall'"],
    "hypothesis=lr experiment=test_matrix": ["hypothesis=lr", "experiment=test_matrix", "one of them"],
    "batch.size=10,31": ["batch.size=31", "30"],
    "batch.size=10,31 hydra/launcher=basic": ["batch.size=31", "30"],
    "hypothesis=lr optimizer._target_=os.system": ["optimizer._target_=os.system", "ssc_sweep"],
}

HYPOTHESES = {
    "no_letter": ("{claim: c, expect: improves, arms: [{epochs: 2}]}", "letter"),
    "no_arms": ("{letter: X, claim: c, expect: improves, arms: []}", "no arms"),
    "empty_arm": ("{letter: X, claim: c, expect: improves, arms: [{}]}", "empty"),
    "arms_word": ("{letter: X, claim: c, expect: improves, arms: epochs}", "arms"),
    "typo": ("{letter: X, claim: c, expect: improves, armz: 1, arms: [{epochs: 2}]}", "armz"),
    "expects": (
        "{letter: X, claim: c, expect: maybe, arms: [{epochs: 2}]}",
        "improves | worsens | no_difference | nothing",
    ),
    "unknown_key": ("{letter: X, claim: c, expect: improves, arms: [{optimizer.nope: 3}]}", "optimizer.nope"),
    "list_of_choices": ("{letter: X, claim: c, expect: improves, arms: [{batch: [b32, b64]}]}", "one batch"),
    "unknown_choice": ("{letter: X, claim: c, expect: improves, arms: [{batch: b99}]}", "b10 | b2 | b32 | b64"),
    "bad_value": ("{letter: X, claim: c, expect: improves, arms: [{optimizer.lr: -1}]}", "> 0"),
    "sets_seeds": ("{letter: X, claim: c, expect: improves, arms: [{seeds: 5}]}", "seeds"),
    "sets_seed": ("{letter: X, claim: c, expect: improves, arms: [{seed: 5}]}", "seed"),
    "one_level": ("{letter: X, claim: c, expect: improves, factors: {batch: {b10: {}}}}", "has one level, b10"),
    "arms_and_factors": (
        "{letter: X, claim: c, expect: improves, arms: [{epochs: 2}], factors: {batch: {a: {}, b: {batch: b32}}}}",
        "arms and factors",
    ),
    "idle_level": ("{letter: X, claim: c, expect: improves, factors: {f: {a: {}, b: {epochs: 1}}}}", "of control"),
    "idle": ("{letter: X, claim: c, expect: improves, arms: [{epochs: 1}]}", "hypothesis=idle changes nothing"),
    "text_arm": ("{letter: X, claim: c, expect: improves, arms: [epochs=1]}", "Write {epochs: 1}."),
    "a_list": ("[a, b]", "a_list"),
    "empty": ("", "letter"),
    "broken": ("letter: [", "broken.yaml"),
}


@pytest.mark.parametrize(("word", "said"), ONE_RUN.items(), ids=ONE_RUN)
def test_one_run(command: Command, word: str, said: list[str]) -> None:
    refused(command, [*TINY, *word.split()], said)


@pytest.mark.parametrize("many", [[], ["-m", "hypothesis=lr"]])
def test_a_model_that_cannot_be_made(command: Command, many: list[str]) -> None:
    tiny = [word for word in TINY if not word.startswith("model.")]
    words = [*many, *tiny, "model=own", "++model._target_=tests.models.outside.Boom", "admit=tests"]
    said = ["model._target_=tests.models.outside.Boom cannot be used: RuntimeError: no licence file (outside.py, line"]
    refused(command, words, said)


def test_a_list_where_columns_have_lists(command: Command) -> None:
    said = ["dataset.missing=[99] has the wrong form", "dataset.missing.<name>=[99]"]
    refused(command, ["dataset=csv", "dataset.missing=[99]"], said)


@pytest.mark.parametrize(("words", "said"), STUDY.items(), ids=STUDY)
def test_a_study(command: Command, words: str, said: list[str]) -> None:
    refused(command, ["-m", *TINY, *words.split()], said)


def test_a_sweeper_that_knows_no_hypotheses_trains_none(command: Command) -> None:
    ended = command("-m", *TINY, "hypothesis=lr", "hydra/sweeper=basic")
    assert ended.code == 2 and "this sweeper does not know" in ended.err and ended.err.count("\n") == 1
    assert command.done() == []


@pytest.mark.parametrize("name", HYPOTHESES)
def test_a_hypothesis_file(command: Command, name: str) -> None:
    text, said = HYPOTHESES[name]
    folder = command.folder / "mine" / "hypothesis"
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(text)
    refused(command, ["-m", "--config-dir", "mine", *TINY, f"hypothesis={name}"], [said])


@pytest.mark.parametrize("words", [[], ["-m", "hypothesis=lr"], ["-m", "optimizer.lr=1e-4", "hydra/launcher=basic"]])
@pytest.mark.parametrize("outputs", ["a_file", "a_file/below", "/proc/x"])
def test_outputs_that_cannot_be_written(command: Command, words: list[str], outputs: str) -> None:
    (command.folder / "a_file").write_text("in the way")
    refused(command, [*words, *TINY, f"outputs={outputs}"], ["cannot write", outputs, "outputs="])
    assert (command.folder / "a_file").read_text() == "in the way"


def test_a_folder_without_permission(command: Command, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    try:
        (locked / "probe").touch()
    except PermissionError:
        refused(command, [*TINY, "outputs=locked"], ["cannot write", "Permission denied"])
    else:
        pytest.skip("this user may write everywhere")
    finally:
        locked.chmod(0o700)
