"""The moves a lookup may make, written out: change one here only when the specification changes."""

from itertools import product

import pytest

from lookup_pipeline.ledger.states import PENDING, SETTLED, FailureKind, State, may_move

QUEUED, SUBMITTING, IN_FLIGHT, COMPLETE, FAILED, UNCONFIRMED = State

# before: the states that an answer to the lookup's latest request may lead to.
ALLOWED: dict[State, set[State]] = {
    QUEUED: {IN_FLIGHT, COMPLETE, FAILED},
    SUBMITTING: {QUEUED, IN_FLIGHT, COMPLETE, FAILED, UNCONFIRMED},
    IN_FLIGHT: {IN_FLIGHT, COMPLETE, FAILED},
    COMPLETE: set(),
    FAILED: {COMPLETE},
    UNCONFIRMED: {QUEUED, IN_FLIGHT, COMPLETE, FAILED},
}
ANSWERS = [QUEUED, IN_FLIGHT, COMPLETE, FAILED, UNCONFIRMED]


@pytest.mark.parametrize(("before", "after"), list(product(State, ANSWERS)))
def test_an_answer_moves_a_lookup_only_where_the_specification_allows(
    before: State, after: State
) -> None:
    assert may_move(before, after, claim=2, latest_claim=2) is (after in ALLOWED[before])


@pytest.mark.parametrize(("before", "after"), list(product(State, ANSWERS)))
def test_an_answer_from_elsewhere_neither_releases_a_lookup_nor_gives_it_up(
    before: State, after: State
) -> None:
    expected = after in ALLOWED[before] - {QUEUED, UNCONFIRMED}
    assert may_move(before, after, claim=None, latest_claim=2) is expected


@pytest.mark.parametrize(("before", "after"), list(product(State, ANSWERS)))
def test_an_answer_to_an_earlier_request_brings_a_profile_or_nothing(
    before: State, after: State
) -> None:
    expected = after is COMPLETE and before is not COMPLETE
    assert may_move(before, after, claim=1, latest_claim=2) is expected


@pytest.mark.parametrize("kind", FailureKind)
def test_only_a_failure_that_we_gave_up_on_is_replaced_by_the_providers_own(
    kind: FailureKind,
) -> None:
    replaced = may_move(FAILED, FAILED, failure_kind=kind, claim=2, latest_claim=2)
    assert replaced is (kind is FailureKind.TIMED_OUT)


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("claim", [1, 2, None])
def test_a_profile_wins_over_every_failure(kind: FailureKind, claim: int | None) -> None:
    assert may_move(FAILED, COMPLETE, failure_kind=kind, claim=claim, latest_claim=2)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failed_lookup_is_never_sent_again_by_an_answer(kind: FailureKind) -> None:
    assert not may_move(FAILED, QUEUED, failure_kind=kind, claim=2, latest_claim=2)


def test_every_state_is_either_pending_or_settled() -> None:
    assert set(State) == PENDING | SETTLED
    assert not PENDING & SETTLED
    assert {QUEUED, SUBMITTING, IN_FLIGHT} == PENDING
