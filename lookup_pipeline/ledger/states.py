"""The states of a lookup and the moves between them: the one place that allows a transition."""

from enum import StrEnum


class State(StrEnum):
    """Where a lookup stands."""

    QUEUED = "queued"
    """Known, not sent."""
    SUBMITTING = "submitting"
    """About to be sent or just sent: committed before the request leaves."""
    IN_FLIGHT = "in_flight"
    """Accepted by the provider, no final answer yet."""
    COMPLETE = "complete"
    """Ended with a profile."""
    FAILED = "failed"
    """Ended without a profile."""
    UNCONFIRMED = "unconfirmed"
    """May or may not have reached the provider; never sent again but by an operator."""


PENDING = frozenset({State.QUEUED, State.SUBMITTING, State.IN_FLIGHT})
SETTLED = frozenset({State.COMPLETE, State.FAILED, State.UNCONFIRMED})

# What an operator, and nobody else, may have sent again; see `resubmission`.
RESUBMITTABLE = frozenset({State.FAILED, State.UNCONFIRMED})


class FailureKind(StrEnum):
    """Why a lookup ended without a profile; published as `failure_kind`."""

    NOT_FOUND = "not_found"
    """The provider knows no such person (404); free of charge."""
    FAILED = "failed"
    """The provider searched and reports an error."""
    INVALID_QUERY = "invalid_query"
    """The provider refuses the query as malformed (400, 422); free of charge."""
    SERVER_ERROR = "server_error"
    """The provider answered 500 each time, to this person but not to others."""
    TIMED_OUT = "timed_out"
    """No final answer before the deadline. A later one still wins."""
    UNCONFIRMED = "unconfirmed"
    """The request may or may not have been processed, and may have been charged."""


_FROM: dict[State, frozenset[State]] = {
    # A profile always wins, whatever was believed before; the first one stays.
    State.COMPLETE: frozenset(State) - {State.COMPLETE},
    State.FAILED: PENDING | {State.UNCONFIRMED},
    # An unconfirmed lookup, or one that was put back into the queue, that turns out to be under way
    # is adopted, not paid again.
    State.IN_FLIGHT: PENDING | {State.UNCONFIRMED},
    # Only a request that was certainly not processed may be sent again; see `answers.Answer`.
    State.QUEUED: frozenset({State.SUBMITTING, State.UNCONFIRMED}),
    State.UNCONFIRMED: frozenset({State.SUBMITTING}),
}


def may_move(
    before: State,
    after: State,
    *,
    claim: int | None,
    latest_claim: int,
    failure_kind: str | None = None,
) -> bool:
    """Whether a lookup in state `before` may go to `after`.

    Args:
        before: the state the ledger holds.
        after: the state an answer asks for.
        claim: the number of the request that the answer is about; None where that is not known.
            Without it, nothing may be put back into the queue or called unconfirmed: somebody
            else's request may be on its way. An earlier request's answer says nothing about the
            latest one, which an operator may have ordered; only its profile counts.
        latest_claim: the number of the lookup's latest request.
        failure_kind: the failure the ledger holds, if any: a `timed_out` lookup is only given up
            on by us, so the provider's own failure replaces it.
    """
    needs_claim = after in (State.QUEUED, State.UNCONFIRMED)
    if claim != latest_claim and after is not State.COMPLETE and (needs_claim or claim is not None):
        return False
    if before is State.FAILED and after is State.FAILED:
        return failure_kind == FailureKind.TIMED_OUT
    return before in _FROM[after]
