"""python -m ssc_sweep: compose a config, then run it; with -m, a study of many."""

import os
import secrets
import shlex
import signal
import sys
from concurrent.futures import BrokenExecutor
from datetime import datetime
from typing import NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.admission import admitting, own_choices
from ssc_sweep.config import HYDRA_TARGETS, UNNAMED_STUDY, conf_dir
from ssc_sweep.config_folders import spare_plain_keys
from ssc_sweep.errors import Unsuccessful, UserError
from ssc_sweep.explain import explain, is_known
from ssc_sweep.study.plan import without_password
from ssc_sweep.study.workers import dismiss

# What Hydra raises for wrong input too. An error of these that `explain` does not know is a fault of ours.
PLAIN = (ValueError, TypeError, RuntimeError, AssertionError)

GO_ON = "What is finished stays; the same command with study=<its folder> goes on."


@hydra.main(config_path=str(conf_dir()), config_name="config", execution_whitelist=HYDRA_TARGETS)
def run(cfg: DictConfig) -> float:
    """Train the run of `cfg` and return its RMSE (NaN if it diverged), as Hydra's launchers and sweepers want it."""
    composed = HydraConfig.get()
    alone = composed.mode != RunMode.MULTIRUN
    many = any(word.startswith("seeds=") for word in composed.overrides.task)
    if alone and (many or "hypothesis" in cfg or "n_trials" in cfg):
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
    except (UserError, Unsuccessful) as error:
        if alone:
            # Hydra would add lines of its own to an exception that leaves a run.
            leave(error)
        raise


def leave(error: Exception) -> NoReturn:
    """End the program with one line: exit code 1 where runs failed or a search missed its target, 2 for wrong input."""
    print("error:", without_password(" ".join(str(error).split())), file=sys.stderr)
    sys.exit(1 if isinstance(error, Unsuccessful) else 2)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a run failed or a target was missed, 2 the input is wrong."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    # Makes Hydra hand errors to us instead of printing them itself and leaving with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = own_choices(sys.argv[1:])
    os.environ[UNNAMED_STUDY] = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
    signal.signal(signal.SIGTERM, terminate)
    try:
        spare_plain_keys()
        with admitting(sys.argv[1:]):
            run()
    except (UserError, Unsuccessful) as error:
        if wants_traceback:
            raise
        leave(error)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, *PLAIN) as error:
        if wants_traceback or (type(error) in PLAIN and not is_known(error)):
            raise
        leave(UserError(explain(error, sys.argv[1:])))
    except BrokenExecutor as error:  # a worker of one of Hydra's own launchers
        leave(Unsuccessful(f"a worker process was killed, or ran out of memory ({type(error).__name__}). {GO_ON}"))
    except KeyboardInterrupt as stop:
        print(f"\nstopped. {GO_ON}", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    finally:
        dismiss()


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def terminate(*_: object) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    main()
