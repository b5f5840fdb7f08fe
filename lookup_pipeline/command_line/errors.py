"""What a command fails with, apart from bad configuration."""


class WorkFailedError(Exception):
    """A Dagster run failed; the message is its error. Nothing is lost: mend it and run again.

    Attributes:
        step: the step that failed first, where it is known.
    """

    def __init__(self, message: str, step: str | None = None) -> None:
        super().__init__(message)
        self.step = step
