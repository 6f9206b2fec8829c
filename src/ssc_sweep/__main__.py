"""python -m ssc_sweep: compose a config, then run it; with -m, a study of many."""

import os
import shlex
import sys
from typing import NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.config import ALLOWED_TARGETS, conf_dir
from ssc_sweep.errors import RunsFailed, TargetMissed, UserError

# How Hydra's plain ValueErrors about the command line begin, and what they mean here.
HYDRAS_REFUSALS = {
    "Only one of --run": "--multirun, --cfg, --info and --shell_completion exclude each other: keep one.",
    "Config group override must be": "a group has no choice: name one, or leave the word out. See --help.",
}


@hydra.main(config_path=str(conf_dir()), config_name="config", execution_whitelist=ALLOWED_TARGETS)
def run(cfg: DictConfig) -> float:
    """Train the run of `cfg` and return its RMSE (NaN if it diverged), as Hydra's launchers and sweepers want it."""
    composed = HydraConfig.get()
    alone = composed.mode != RunMode.MULTIRUN
    if alone and ("hypothesis" in cfg or "n_trials" in cfg):
        leave(
            UserError(
                f"{' '.join(sys.argv[1:])} asks for a study of many runs, not for one run: add -m, as in "
                f"'python -m ssc_sweep -m {shlex.join(sys.argv[1:])}'."
            )
        )
    # Imported here: torch takes a second that --help and wrong overrides should not cost.
    from ssc_sweep.study.single import run_one

    try:
        return run_one(cfg, composed)
    except (UserError, RunsFailed) as error:
        if alone:
            # Hydra would add lines of its own to an exception that leaves a run.
            leave(error)
        raise


def leave(error: Exception) -> NoReturn:
    """End the program with one line: exit code 1 where runs failed or a search missed its target, 2 for wrong input."""
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    sys.exit(1 if isinstance(error, RunsFailed | TargetMissed) else 2)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a run failed or a target was missed, 2 the input is wrong."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    # Makes Hydra hand errors to us instead of printing them itself and leaving with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        run()
    except (UserError, RunsFailed, TargetMissed, HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if wants_traceback:
            raise
        if "add --multirun" in str(error):
            error = UserError(f"several values need -m, as in 'python -m ssc_sweep -m {shlex.join(sys.argv[1:])}'.")
        leave(error)
    except ValueError as error:
        meant = [line for begin, line in HYDRAS_REFUSALS.items() if str(error).startswith(begin)]
        if wants_traceback or not meant:
            raise
        leave(UserError(f"{' '.join(sys.argv[1:])}: {meant[0]}"))


if __name__ == "__main__":
    main()
