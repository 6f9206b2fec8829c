"""What ends a command with one line: invalid input (exit code 2) and failures (1)."""

import re

_name = ""  # of this command's study, if it was given one because it had none


def given_name(name: str | None) -> None:
    """Note the name that this command's study was given because it had none; None: it has begun no such study."""
    global _name
    _name = name or ""


def same_command(*words: str) -> str:
    """Return "the same command", with these words and the name of its study if it was given one."""
    more = [*words, *([f"study={_name}"] if _name else [])]
    return f"the same command{' with ' if more else ''}{' '.join(more)}"


def go_on() -> str:
    """Return how to continue a command that was broken off."""
    return f"What is finished stays; {same_command()} goes on."


# Begins the line of a traceback that says in which step a run failed.
IN_STEP = "raised in step "


def reason_in(trace: str) -> str:
    """Return the last line of a traceback: what a run raised."""
    lines = trace.splitlines()
    return lines[-1] if lines else "no message"


def step_in(trace: str) -> int | None:
    """Return the step in which a run raised, by its traceback or a note of its exception; None: outside of one."""
    found = re.search(rf"^{IN_STEP}(\d+)$", trace, re.MULTILINE)
    return int(found[1]) if found else None


def message(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())


def type_and_message(error: BaseException) -> str:
    """Return for example "ValueError: no such shape", in one line."""
    return f"{type(error).__name__}: {message(error)}"


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, what was got, what is allowed, what to do next.
    Raised before anything trains; `ssc_sweep.__main__` prints it without a traceback.
    """


class DoesNotFit(UserError):
    """A config that does not fit its data. In a search only that trial fails; elsewhere it is a user error."""


class CannotWrite(UserError):
    """A folder cannot be made or written; the run to be written there is not at fault."""


class CannotRead(UserError):
    """The system refuses to read a file. It may be intact, so nothing should be removed."""

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(f"cannot read {path}: {error.strerror or error}. Mend that, or choose another study=<name>.")


class DamagedTable(UserError):
    """A table of finished runs is damaged."""


class Unsuccessful(Exception):
    """A command ended without reaching its aim: exit code 1."""


class RunFailed(Unsuccessful):
    """A run raised, or its process died; its folder holds FAILED."""


class RunsFailed(Unsuccessful):
    """Some runs of a study failed. Their folders hold FAILED with the traceback."""

    def __init__(self, failed: int, total: int, first: str, ending: str = "") -> None:
        super().__init__(
            f"{failed} of {total} runs failed, the first with {first.rstrip('.')}. The file FAILED in each one's "
            f"folder has the traceback.{ending} To try them again: {same_command('retry=failed')}."
        )


class TrialsFailed(Unsuccessful):
    """More trials of a batch failed than the search allows."""

    def __init__(self, failed: int, total: int, allowed: float, reason: str) -> None:
        super().__init__(
            f"{failed} of {total} trials of a batch failed, more than hydra.sweeper.max_failure_rate={allowed:g} "
            f"allows; the first: {reason}"
        )


class FindingsFailed(Unsuccessful):
    """The findings of an ended study cannot be made or written; python -m ssc_sweep.findings makes them later."""


class StorageLost(Unsuccessful):
    """The storage of a search was lost, or refuses to be written, during the search."""


class TargetMissed(Unsuccessful):
    """A search ended without a configuration that was confirmed below the target."""
