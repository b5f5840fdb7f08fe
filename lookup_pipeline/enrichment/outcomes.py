"""What an answer or an error means for a lookup: the one place where the API meets the ledger."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.states import FailureKind, State
from lookup_pipeline.ledger.submissions import Claim
from lookup_pipeline.rocketreach.errors import ErrorClass, RocketReachError
from lookup_pipeline.rocketreach.models import COMPLETE, FAILED, LookupAnswer, StatusAnswer

Clock = Callable[[], datetime]

# The provider's own advice between polls; a lookup takes seconds to minutes.
FIRST_POLL = timedelta(seconds=3)
# Nobody waits for a lookup that is hours old: five minutes late is soon enough.
SLOWEST_POLL = timedelta(minutes=5)

# 500 is documented as "try again later": a person is sent this often in all by default, since each
# time may be charged.
MAX_TRIES = 3

# Where nobody is answered, it is an outage, not the person: whoever has had all tries then has one
# more after so long, and others after twice as long each: every one may be charged.
_AFTER_OUTAGE = timedelta(minutes=15)
_LONGEST_AFTER_OUTAGE = timedelta(days=1)

# Back-off between tries where the provider names no time: doubling, jittered, capped.
FIRST_RETRY = timedelta(seconds=1)
# Short: an outage of minutes ends the run (MAX_CONSECUTIVE_FAILURES) rather than keep it waiting.
SLOWEST_RETRY = timedelta(seconds=5)


def next_poll_at(submitted_at: datetime, now: datetime) -> datetime:
    """When to ask about a lookup again: the older it is, the later."""
    return now + min(max((now - submitted_at) / 5, FIRST_POLL), SLOWEST_POLL)


def retry_delay(tries: int) -> timedelta:
    """How long to leave the provider alone after so many failures in a row (from 1)."""
    longest = min(FIRST_RETRY * (1 << min(tries - 1, 10)), SLOWEST_RETRY)
    # Full jitter would allow zero; half keeps processes apart and still waits.
    return longest * random.uniform(0.5, 1)  # noqa: S311


def from_status(
    lookup_id: int, answer: StatusAnswer, submitted_at: datetime, now: datetime, deadline: timedelta
) -> Answer:
    """What a status, by a poll or by the lookup call itself, means for its lookup.

    `complete` and `failed` end it; every other status, known or not, means that it is in flight.
    """
    if answer.status == COMPLETE:
        return Answer(
            lookup_id,
            State.COMPLETE,
            api_status=answer.status,
            profile_id=answer.profile_id,
            payload=answer.payload,
            credits=int(answer.has_contact_data),
        )
    if answer.status == FAILED:
        return Answer(
            lookup_id,
            State.FAILED,
            api_status=answer.status,
            profile_id=answer.profile_id,
            failure_kind=FailureKind.FAILED,
            failure_reason="the provider's search ended with status 'failed'",
        )
    return in_flight(lookup_id, answer, submitted_at, now, deadline)


def in_flight(
    lookup_id: int,
    answer: StatusAnswer | None,
    submitted_at: datetime,
    now: datetime,
    deadline: timedelta,
) -> Answer:
    """A lookup that has no final answer yet; `answer` is None when the provider left it out."""
    profile_id = None if answer is None else answer.profile_id
    known = answer is None or profile_id is not None
    return Answer(
        lookup_id,
        State.IN_FLIGHT,
        api_status=answer.status or None if answer else None,
        profile_id=profile_id,
        # Without an id there is nothing to ask for: only a webhook or the deadline ends it.
        next_poll_at=next_poll_at(submitted_at, now) if known else None,
        deadline_at=submitted_at + deadline,
    )


def from_lookup(claim: Claim, answer: LookupAnswer, now: datetime, deadline: timedelta) -> Answer:
    """What the answer to a submission means for its lookup."""
    head = answer.head
    if head.profile_id is None:
        # Where the query names the id, the lookup can be asked about all the same.
        head = replace(head, profile_id=claim.profile_id)
    found = from_status(claim.lookup_id, head, now, now, deadline)
    return replace(found, claim=claim.number, request_id=answer.request_id)


def from_error(
    claim: Claim,
    error: RocketReachError,
    now: datetime,
    *,
    tries: int,
    others_succeed: bool,
    max_tries: int = MAX_TRIES,
) -> Answer:
    """What a failed submission means for its lookup.

    Args:
        claim: the lookup that was sent.
        error: classified.
        now: the current time.
        tries: failures in a row so far, this one included: sets the back-off.
        others_succeed: whether the provider has answered anyone of late. While it has not, a 500
            is an outage, not this person's fault, and fails nobody.
        max_tries: how often a person is sent whom the provider answers with 500.
    """
    retry = Answer(
        claim.lookup_id,
        State.QUEUED,
        claim=claim.number,
        http_status=error.status,
        failure_reason=error.reason,
    )
    match error.error_class:
        case ErrorClass.ACCOUNT:
            return replace(retry, not_processed=True)
        case ErrorClass.NOT_PROCESSED:
            wait = error.retry_after or retry_delay(tries)
            return replace(retry, not_processed=True, not_before=now + wait)
        case ErrorClass.RETRYABLE if claim.attempts < max_tries:
            return replace(retry, not_before=now + retry_delay(max(tries, claim.attempts)))
        case ErrorClass.RETRYABLE if not others_succeed:
            wait = _AFTER_OUTAGE * (1 << min(claim.attempts - max_tries, 10))
            return replace(retry, not_before=now + min(wait, _LONGEST_AFTER_OUTAGE))
        case ErrorClass.RETRYABLE:
            kind, state = FailureKind.SERVER_ERROR, State.FAILED
        case ErrorClass.AMBIGUOUS:
            kind, state = FailureKind.UNCONFIRMED, State.UNCONFIRMED
            if claim.profile_id is not None:
                # Whether it was accepted can be asked, free of charge.
                retry = replace(retry, next_poll_at=now + FIRST_POLL)
        case ErrorClass.QUERY:
            kind = FailureKind.NOT_FOUND if error.status == 404 else FailureKind.INVALID_QUERY
            state = State.FAILED
    return replace(retry, state=state, failure_kind=kind)
