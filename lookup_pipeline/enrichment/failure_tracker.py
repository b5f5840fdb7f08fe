"""Failures while submitting that are not a person's own: when to be careful, and when to stop.

A lost answer puts its person in doubt, so nobody new may be sent into an outage. Whether one has
begun is told by the order of the requests: where a later one was answered, a single connection was
lost. Where none was, nothing is sent until all answers are in; then the account is asked, which is
free, and one lookup alone shows that lookups are answered again.
"""

from datetime import datetime, timedelta

from lookup_pipeline.enrichment.outcomes import retry_delay
from lookup_pipeline.rocketreach import ErrorClass, RocketReachError

MAX_CONSECUTIVE_FAILURES = 10
"""Failures in a row, without one answer, after which the API counts as down."""

# After a 429 that names no time: the shortest window of the provider's plans is a minute, the
# shortest of its limits a second.
_UNNAMED_COOLDOWN = timedelta(seconds=5)

# They may have been processed, and charged.
_RISKY = frozenset({ErrorClass.AMBIGUOUS, ErrorClass.RETRYABLE})


class FailureTracker:
    """What one submission has met so far. Requests are numbered in the order of their sending.

    Args:
        now: the current time.
        outage_known: whether the last attempt has failed: then one lookup is sent alone, and the
            first failure stops the submission.

    Attributes:
        stopped_by: what ends the submission, if something does: in words, and the last error.
        failures: failures in a row, without an answer between them.
        answered: people whom the provider has answered.
        is_careful: whether one request at a time may be in the air.
        is_probed: whether the account has answered since the last failure.
        probe_at: when the account may be asked.
    """

    def __init__(self, now: datetime, *, outage_known: bool = False) -> None:
        self.stopped_by: tuple[str, RocketReachError] | None = None
        self.failures = 0
        self.answered = 0
        self.is_careful = outage_known
        self.is_probed = True
        self.probe_at = now
        self._outage_known = outage_known
        self._last_answered = 0
        self._last_failed = 0
        self._cooldown_until: datetime | None = None
        self._unanswered: RocketReachError | None = None

    def note_answer(self, number: int) -> None:
        """The provider has answered a request."""
        self.failures = 0
        self.answered += 1
        self._last_answered = max(self._last_answered, number)
        if number > self._last_failed:
            self.is_careful = False

    def note_error(self, error: RocketReachError, now: datetime, number: int) -> None:
        """A request brought no answer, or one about the person alone."""
        cooldown = error.retry_after or (_UNNAMED_COOLDOWN if error.status == 429 else None)
        if cooldown is not None:
            self._cooldown_until = max(self._cooldown_until or now, now + cooldown)
        if error.error_class is ErrorClass.QUERY:
            self.note_answer(number)
            return
        if error.error_class is ErrorClass.RETRYABLE:
            self._unanswered = error
        if error.error_class is ErrorClass.ACCOUNT:
            self.stopped_by = ("The account is in trouble", error)
        # Being asked for patience is no failure where nothing was processed: the limiter waits it
        # out. A gateway names a time with a lost answer as well.
        elif cooldown is None or error.error_class in _RISKY:
            if error.error_class in _RISKY and number > self._last_answered:
                self._last_failed = max(self._last_failed, number)
                # Nothing before the account has answered, and then one lookup alone.
                self.is_careful, self.is_probed = True, False
                self.probe_at = now
            self._count(error)

    def note_probe(self, error: RocketReachError | None, now: datetime) -> None:
        """The account was asked, free of charge: it has answered, or failed as lookups would."""
        self.is_probed = error is None
        if error is None:
            return
        if error.error_class is ErrorClass.ACCOUNT:
            self.stopped_by = ("The account is in trouble", error)
        else:
            self._count(error)
        self.probe_at = now + retry_delay(max(self.failures, 1))

    def _count(self, error: RocketReachError) -> None:
        self.failures += 1
        most = 1 if self._outage_known and not self.answered else MAX_CONSECUTIVE_FAILURES
        if self.failures >= most:
            self.stopped_by = (f"The API failed {self.failures} times in a row", error)

    def take_cooldown(self) -> datetime | None:
        """Until when the provider wants no requests, if it has said so since this was asked."""
        until, self._cooldown_until = self._cooldown_until, None
        return until

    def at_the_end(self, *, out_of_time: bool) -> tuple[str, RocketReachError] | None:
        """What to tell at the end: what stopped the submission, or that nobody was answered."""
        if self.stopped_by is None and self._unanswered and not self.answered and not out_of_time:
            return "The API answers nobody", self._unanswered
        return self.stopped_by
