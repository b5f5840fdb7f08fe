"""What a command fails with, apart from bad configuration."""


class WorkFailedError(Exception):
    """A Dagster run failed; the message is its error. Nothing is lost: mend it and run again.

    Attributes:
        about_a_file: whether a file of the partition's own is at fault, and no other partition
            would meet the same.
    """

    def __init__(self, message: str, *, about_a_file: bool = False) -> None:
        super().__init__(message)
        self.about_a_file = about_a_file


Failures = dict[str, WorkFailedError]
"""The first failure of each partition."""
