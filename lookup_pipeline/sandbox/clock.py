"""The sandbox's time: the real one, plus what a test has moved it on."""

import time


class Clock:
    """Seconds since the epoch, which a test may move forward so that nobody waits for a window."""

    def __init__(self) -> None:
        self._advanced_seconds = 0.0

    def now(self) -> float:
        """The sandbox's time, in seconds since the epoch."""
        return time.time() + self._advanced_seconds

    def advance(self, seconds: float) -> None:
        """Move the time on by so many seconds."""
        self._advanced_seconds += seconds
