"""What a command fails with, apart from bad configuration."""


class WorkFailedError(Exception):
    """The work failed; the message says why. Nothing is lost: mend it and run again."""


Failures = dict[str, WorkFailedError]
"""The first failure of each partition."""


class NotStartedError(Exception):
    """Another process is at work where the command would be; the message says what to do."""
