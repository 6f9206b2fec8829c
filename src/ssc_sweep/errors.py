"""The one error that is the user's to mend: it ends a command with one line and exit code 2."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, what was got, what is allowed, what to do next.
    Raised before anything trains; `ssc_sweep.__main__` prints it without a traceback.
    """


class DoesNotFit(UserError):
    """A config that does not fit its data. Of a search's trials only that one fails; elsewhere it is the user's."""


class RunsFailed(Exception):
    """Some runs of a study raised. Their folders hold FAILED with the traceback; the others are finished."""

    def __init__(self, failed: int, total: int, first: BaseException) -> None:
        super().__init__(
            f"{failed} of {total} runs failed, the first with {type(first).__name__}: {first}. "
            "The file FAILED in each one's folder has the traceback."
        )


class TargetMissed(Exception):
    """A search came to its end and no configuration was confirmed below the target."""
