"""What ends a command with one line: invalid input (exit code 2) and failures (1)."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, what was got, what is allowed, what to do next.
    Raised before anything trains; `ssc_sweep.__main__` prints it without a traceback.
    """


class DoesNotFit(UserError):
    """A config that does not fit its data. Of a search's trials only that one fails; elsewhere it is the user's."""


class CannotWrite(UserError):
    """A folder cannot be made or written: no fault of the run that was to be written there."""


class CannotRead(UserError):
    """The machine does not let a file be read: whether it is damaged nobody knows, and nothing should be removed."""

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(f"cannot read {path}: {error.strerror or error}. Mend that, or choose another study=<name>.")


class Unsuccessful(Exception):
    """A command came to its end without what it was for: exit code 1."""


class RunFailed(Unsuccessful):
    """A run raised, or its process ended before it; its folder holds FAILED."""


class RunsFailed(Unsuccessful):
    """Some runs of a study failed. Their folders hold FAILED with the traceback."""

    def __init__(self, failed: int, total: int, first: str, ending: str = "") -> None:
        super().__init__(
            f"{failed} of {total} runs failed, the first with {first}. The file FAILED in each one's folder has the "
            f"traceback.{ending} To try them again: the same command with retry=failed."
        )


class TrialsFailed(Unsuccessful):
    """More trials of a batch failed than a search was told to allow."""

    def __init__(self, failed: int, total: int, allowed: float, reason: str) -> None:
        super().__init__(
            f"{failed} of {total} trials of a batch failed, more than hydra.sweeper.max_failure_rate={allowed:g} "
            f"allows; the first: {reason}"
        )


class FindingsFailed(Unsuccessful):
    """The runs of a study have ended, and its findings cannot be made or written. python -m ssc_sweep.findings can."""


class StorageLost(Unsuccessful):
    """The storage of a search went away, or refuses to be written, in the middle of it."""


class TargetMissed(Unsuccessful):
    """A search came to its end and no configuration was confirmed below the target."""
