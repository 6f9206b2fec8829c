"""python -m ssc_sweep.audit: find what may go wrong with the rows of a run, before anything trains."""

from ssc_sweep import stop

if __name__ == "__main__":
    stop.end_fast()  # before the imports below

import os
import re
import sys
from pathlib import Path
from typing import Literal, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.admission import admitting
from ssc_sweep.command_line import at_home, check_options, own_choices, readable_help
from ssc_sweep.config import DATASET_KEYS, HYDRA_TARGETS, RunConfig, check, conf_dir, one_choice_each
from ssc_sweep.config_folders import spare_plain_keys
from ssc_sweep.errors import UserError, message
from ssc_sweep.explain import OF_HYDRA, explain, is_bug
from ssc_sweep.lines import tell_error
from ssc_sweep.progress import doing
from ssc_sweep.schema import Section
from ssc_sweep.writing import check_ours, folder_name

CONFIG = "audit"  # conf/audit.yaml
# Keys of words that say nothing of the rows.
NOT_OF_THE_ROWS = ("format", "page", "outputs", "admit", "hydra")


class Output(Section):
    """How to show the audit."""

    format: Literal["table", "json"] = Field(description="what is printed")
    page: str | None = Field(
        min_length=1, description="file of the page; null: <outputs>/audit/<data>-<rows>,<changes>/audit.html"
    )
    outputs: str = Field(min_length=1, description="folder of all studies")


_composed: list[tuple[DictConfig, str]] = []  # a config, and which dataset it has chosen


@hydra.main(config_path=str(conf_dir()), config_name=CONFIG, execution_whitelist=HYDRA_TARGETS)
def compose(cfg: DictConfig) -> None:
    """Keep the composed config. Do not raise here: Hydra would add its own lines to the error."""
    _composed.append((cfg, str(HydraConfig.get().runtime.choices["dataset"])))


def run(cfg: DictConfig, chosen: str) -> None:
    """Audit the rows that a run of this config would have; print, then write the page.

    Args:
        chosen: the dataset.

    Raises:
        UserError: the config is wrong, the data cannot be audited, or the page cannot be written.
    """
    # Imported here, so that --help and wrong input need not wait half a second for numpy and pandas.
    with doing("loading the statistics"):
        from ssc_sweep.audit import page, print_audit
        from ssc_sweep.audit.split_audit import as_json, audit, title

    shown = OmegaConf.to_container(OmegaConf.masked_copy(cfg, list(Output.model_fields)), resolve=True)
    output = Output.read(shown)
    config = check(cfg)
    beside = OmegaConf.to_container(cfg.dataset, resolve=True)
    assert isinstance(beside, dict)
    extra = {str(key): value for key, value in beside.items() if key in DATASET_KEYS}
    usual = _place(output.outputs, config, chosen, beside.get("path"))
    place = Path(output.page).expanduser() if output.page else usual
    check_ours(place, "give another file with page=")
    with doing("reading the data and measuring the rows"):
        audited = audit(config, extra)
    heading = title(audited, config)
    if output.format == "json":
        print(as_json(audited, config))
    else:
        print_audit.show(audited, heading)
    with doing("drawing the page"):
        page.write(place, audited, heading, sys.argv[1:])
    if output.format == "table":
        print(f"page: {place}")


def _place(outputs: str, config: RunConfig, chosen: str, path: object) -> Path:
    """Return the default path of the page: named after the data and the rows, then every word that these do not say."""
    file = Path(str(path or ""))
    safe = re.sub(r"[^\w.-]+", "_", file.stem or chosen).strip(".")[:100] or "data"
    rows = config.dataset_size.rows
    which = config.split.order if rows is None else f"{rows}_rows"
    said = {f"dataset.path={file.name}", "dataset=csv", f"dataset={safe}"}
    said |= {f"split={which}"} if rows is None else {f"dataset_size=n{rows}"}
    overrides = [word for word in sys.argv[1:] if ("=" in word and word[0] != "-") or word[0] == "~"]
    more = [
        word
        for word in overrides
        if word not in said and re.split(r"[.=]", word.lstrip("+~"))[0] not in NOT_OF_THE_ROWS
    ]
    return Path(outputs).expanduser() / "audit" / folder_name([f"{safe}-{which}", *more]) / "audit.html"


def refuse_many(words: list[str]) -> None:
    """Check that the command line asks for one split.

    Raises:
        UserError: it asks for several.
    """
    if {"-m", "--multirun"} & set(words):
        raise UserError("an audit looks at one split at a time: leave -m out.")
    if many := next((word for word in words if word.startswith("hypothesis=")), None):
        raise UserError(f"{many} asks for a study; an audit looks at one split: leave it out.")
    one_choice_each(words)


def leave(error: Exception) -> NoReturn:
    tell_error(message(error))
    sys.exit(2)


def main() -> None:
    """Run the command line. Exit codes: 0 done, whatever was found; 2 wrong input."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra pass errors to us
    _composed.clear()
    try:
        check_options(sys.argv[1:])
        sys.argv[1:] = at_home(own_choices(sys.argv[1:]))
        refuse_many(sys.argv[1:])
        spare_plain_keys()
        with admitting(sys.argv[1:]), readable_help(sys.argv[1:]):
            compose()
            for cfg, chosen in _composed:
                run(cfg, chosen)
    except UserError as error:
        if wants_traceback:
            raise
        leave(error)
    except OF_HYDRA as error:
        if wants_traceback or is_bug(error):
            raise
        leave(UserError(explain(error, sys.argv[1:], CONFIG)))
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    stop.run(main)
