"""What a command fails with, apart from bad configuration."""


class WorkFailedError(Exception):
    """A Dagster run failed; the message is its error. Nothing is lost: mend it and run again."""
