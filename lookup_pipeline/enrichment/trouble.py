"""Trouble while submitting that is not a person's own: when to be silent, and when to stop."""

from datetime import datetime, timedelta

from lookup_pipeline.rocketreach import ErrorClass, RocketReachError

# Failures in a row, without one success, after which the API counts as down: more would try the
# patience of an operator, and put the same people at risk again and again.
PATIENCE = 10

# After a 429 that names no time: the shortest window of the provider's plans is a minute, the
# shortest of its limits a second.
_UNNAMED_SILENCE = timedelta(seconds=5)


class Trouble:
    """What one submission has met so far.

    Attributes:
        stopped_by: what ends the submission, if something does: in words, and the last error.
        failures: failures in a row, without an answer between them.
        answered: people whom the provider has answered.
    """

    def __init__(self) -> None:
        self.stopped_by: tuple[str, RocketReachError] | None = None
        self.failures = 0
        self.answered = 0
        self._silent_until: datetime | None = None
        self._unanswered: RocketReachError | None = None

    def note_answer(self) -> None:
        """The provider has answered somebody."""
        self.failures = 0
        self.answered += 1

    def note_error(self, error: RocketReachError, now: datetime) -> None:
        """A request brought no answer, or one about the person alone."""
        silence = error.retry_after or (_UNNAMED_SILENCE if error.status == 429 else None)
        if silence is not None:
            self._silent_until = max(self._silent_until or now, now + silence)
        if error.error_class is ErrorClass.QUERY:
            self.note_answer()
            return
        if error.error_class is ErrorClass.RETRYABLE:
            self._unanswered = error
        if error.error_class is ErrorClass.ACCOUNT:
            self.stopped_by = ("The account is in trouble", error)
        # Being asked for patience is no failure: the limiter waits it out.
        elif silence is None:
            self.failures += 1
            if self.failures >= PATIENCE:
                self.stopped_by = (f"The API failed {self.failures} times in a row", error)

    def silence(self) -> datetime | None:
        """Until when the provider wants silence, if it has said so since this was asked last."""
        until, self._silent_until = self._silent_until, None
        return until

    def at_the_end(self, *, out_of_time: bool) -> tuple[str, RocketReachError] | None:
        """What to tell at the end: what stopped the submission, or that nobody was answered."""
        if self.stopped_by is None and self._unanswered and not self.answered and not out_of_time:
            return "The API answers nobody", self._unanswered
        return self.stopped_by
