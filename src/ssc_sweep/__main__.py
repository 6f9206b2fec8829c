"""python -m ssc_sweep: compose a config, then run it; with -m, a study of many."""

import sys
from pathlib import Path

from ssc_sweep import stop

# The installed command imports this module, and so does the server of its workers, which has another command line.
if __name__ == "__main__" or (Path(sys.argv[0]).name == "ssc_sweep" and sys.argv[0] in sys.orig_argv):
    # Before the imports below, which take a second.
    stop.end_fast()
    stop.listen()

import errno
import os
import secrets
import shlex
import signal
from concurrent.futures import BrokenExecutor
from datetime import datetime
from typing import NoReturn

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.admission import admitting
from ssc_sweep.command_line import at_home, check_options, own_choices, readable_help
from ssc_sweep.config import HYDRA_TARGETS, UNNAMED_STUDY, conf_dir, one_choice_each
from ssc_sweep.config_folders import spare_plain_keys
from ssc_sweep.errors import FindingsFailed, Unsuccessful, UserError, go_on, message
from ssc_sweep.explain import OF_HYDRA, explain, is_bug
from ssc_sweep.findings.callback import show_ended
from ssc_sweep.lines import tell_error
from ssc_sweep.progress import STARTING, doing
from ssc_sweep.study.plan import new_command, without_password
from ssc_sweep.study.workers import dismiss, end_server

# System errors: no space, no permission, or a folder in place of a file.
OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EMFILE, errno.ENFILE,
    errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EAGAIN, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
)  # fmt: skip


@hydra.main(config_path=str(conf_dir()), config_name="config", execution_whitelist=HYDRA_TARGETS)
def run(cfg: DictConfig) -> float:
    """Train the run of `cfg` and return its RMSE (NaN if it diverged), for Hydra's launchers and sweepers."""
    composed = HydraConfig.get()
    alone = composed.mode != RunMode.MULTIRUN
    try:
        if alone:
            check_alone(cfg, composed)
        # Imported here, so that --help and wrong overrides need not wait a second for torch.
        with doing(STARTING):
            from ssc_sweep.study.single import run_one

        return run_one(cfg, composed)
    except (UserError, Unsuccessful) as error:
        if alone:
            # Hydra would add its own lines to an exception that leaves a run.
            leave(error)
        raise
    except (HydraException, OmegaConfBaseException) as error:
        if alone:
            leave(UserError(explain(error, sys.argv[1:])))
        raise


def check_alone(cfg: DictConfig, composed: HydraConf) -> None:
    """Check that a command without -m asks for one run.

    Raises:
        UserError: it asks for a study or a search.
    """
    words = OmegaConf.to_container(composed.overrides.task, resolve=False)
    assert isinstance(words, list)
    if any(str(word).startswith("seeds=") for word in words) or "hypothesis" in cfg or "n_trials" in cfg:
        raise UserError(
            f"{' '.join(sys.argv[1:])} asks for a study of many runs, not for one run: add -m, as in "
            f"python -m ssc_sweep -m {shlex.join(sys.argv[1:])}"
        )
    space = composed.runtime.choices.get("search_space")
    if space is not None:
        raise UserError(
            f"search_space={space} is what a search varies, and this is one run: leave it out, or search with "
            "python -m ssc_sweep -m experiment=search."
        )


def run_and_show() -> None:
    """Run, then show the findings of the studies that have ended, including those that broke off.

    Raises:
        FindingsFailed: the findings failed, and nothing else did.
    """
    new_command()
    stopped = False
    try:
        run()
    except KeyboardInterrupt:
        stopped = True  # a user who stops a command does not wait for its findings
        raise
    finally:
        failing = sys.exc_info()[0] is not None
        try:
            if not stopped:
                show_ended()
        except FindingsFailed as failed:
            if not failing:
                raise
            complain(failed)


def complain(error: Exception) -> None:
    tell_error(without_password(message(error)))


def leave(error: Exception) -> NoReturn:
    """End the program with one line: exit code 1 if runs failed or a search missed its target, 2 for wrong input."""
    complain(error)
    sys.exit(1 if isinstance(error, Unsuccessful) else 2)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a run failed or a target was missed, 2 wrong input."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    # Makes Hydra pass errors to us instead of printing them and exiting with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ[UNNAMED_STUDY] = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
    try:
        with stop.Command():
            check_options(sys.argv[1:])
            sys.argv[1:] = at_home(own_choices(sys.argv[1:]))
            one_choice_each(sys.argv[1:])
            spare_plain_keys()
            with admitting(sys.argv[1:]), readable_help(sys.argv[1:]):
                run_and_show()
    except (UserError, Unsuccessful) as error:
        if wants_traceback:
            raise
        leave(error)
    except BrokenExecutor as error:  # a worker of one of Hydra's own launchers
        leave(Unsuccessful(f"a worker process was killed, or ran out of memory ({type(error).__name__}). {go_on()}"))
    except OF_HYDRA as error:
        if wants_traceback or is_bug(error):
            raise
        leave(UserError(explain(error, sys.argv[1:])))
    except OSError as error:
        if wants_traceback or error.errno not in OF_THE_MACHINE:
            raise
        leave(Unsuccessful(f"the machine refuses: {error}. {go_on()}"))
    except KeyboardInterrupt as stopped:
        end_server()
        print(f"\n{stop.said()}", file=sys.stderr)
        sys.exit(stopped.code if isinstance(stopped, stop.Stopped) else 128 + signal.SIGINT)
    finally:
        dismiss()


def command() -> NoReturn:
    """Run the command line and end the process."""
    stop.run(main, stop.listen_no_more)


if __name__ == "__main__":
    command()
