"""Putting settled lookups back into the queue: what an operator may, and nobody else."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.polling import claim_due, expire_deadlines
from lookup_pipeline.ledger.resubmission import count_resubmittable, requeue
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    SECOND,
    T0,
    answer,
    asked_in_vain,
    claim_all,
    claim_number,
    complete,
    failed,
    in_flight,
    lookup_of,
    news,
    register,
    rows_for,
    states_of,
    stored,
    unconfirmed,
)

ALL = list(FailureKind)
LATER = T0 + timedelta(hours=1)


def again(
    ledger: Ledger, *kinds: FailureKind, date: str = DATE, before: timedelta = timedelta(hours=1)
) -> int:
    with ledger.write() as connection:
        return requeue(connection, date, kinds or ALL, T0 + before)


def test_what_ended_badly_goes_back_as_if_it_had_never_been_sent(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    ann = claim_all(ledger)[0].lookup_id
    answer(ledger, in_flight(ann, deadline=T0 + SECOND))
    asked_in_vain(ledger, ann, T0 + SECOND)
    answer(ledger, failed(ann))
    version = news(ledger)
    assert again(ledger) == 1
    held = stored(ledger, ann)
    assert (held.state, held.attempts, held.claimed_by) == (State.QUEUED, 0, None)
    assert (held.deadline_at, held.settled_at, held.next_poll_at) == (None, None, None)
    assert (held.failure_kind, held.failure_reason) == (None, None)
    assert news(ledger) == version + 1
    (claimed,) = claim_all(ledger, LATER)
    new_deadline = LATER + timedelta(hours=24)
    answer(ledger, in_flight(claimed.lookup_id, deadline=new_deadline), now=LATER)
    assert stored(ledger, ann).deadline_at == new_deadline


def test_only_settled_failures_are_sent_again(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "cid", "dan", "eve"]))
    ann, ben, cid, dan, eve = (claimed.lookup_id for claimed in claim_all(ledger))
    answer(ledger, complete(ann), failed(ben), unconfirmed(cid), in_flight(dan))
    assert again(ledger) == 2
    assert states_of(ledger) == {
        ann: State.COMPLETE,
        ben: State.QUEUED,
        cid: State.QUEUED,
        dan: State.IN_FLIGHT,
        eve: State.SUBMITTING,
    }


@pytest.mark.parametrize("kind", ["unconfirmed", "not_found"])
def test_only_the_kinds_and_the_partition_asked_for(ledger: Ledger, kind: str) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    register(ledger, rows_for(["cid"]), NEXT_DATE)
    ann, ben = (claimed.lookup_id for claimed in claim_all(ledger))
    (cid,) = (claimed.lookup_id for claimed in claim_all(ledger, date=NEXT_DATE))
    answer(ledger, unconfirmed(ann), failed(ben), unconfirmed(cid))
    assert again(ledger, FailureKind(kind)) == 1
    queued = [found for found, state in states_of(ledger).items() if state is State.QUEUED]
    assert queued == [ann if kind == "unconfirmed" else ben]


def test_what_ended_after_it_was_asked_for_is_left_alone(ledger: Ledger) -> None:
    """A run that is repeated must not take up what its first try left in doubt."""
    register(ledger, rows_for(["ann"]))
    ann = claim_all(ledger)[0].lookup_id
    answer(ledger, unconfirmed(ann), now=T0 + SECOND)
    assert again(ledger, before=SECOND) == 0
    assert states_of(ledger) == {ann: State.UNCONFIRMED}


def test_an_answer_that_comes_late_all_the_same_wins_over_the_queue(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    ann = claim_all(ledger)[0].lookup_id
    answer(ledger, unconfirmed(ann))
    again(ledger)
    answer(ledger, complete(ann))
    assert states_of(ledger) == {ann: State.COMPLETE}
    assert claim_all(ledger, LATER) == []


@pytest.mark.parametrize("sent_again", [False, True])
@pytest.mark.parametrize(
    ("late", "left"),
    [
        (failed(1), State.QUEUED),
        (in_flight(1), State.QUEUED),
        (complete(1), State.COMPLETE),
    ],
)
def test_a_poll_in_the_air_does_not_undo_it_but_a_profile_wins(
    ledger: Ledger, late: Answer, left: State, sent_again: bool
) -> None:
    register(ledger, rows_for(["ann"]))
    ann = claim_all(ledger)[0].lookup_id
    assert ann == 1
    answer(ledger, in_flight(ann, deadline=T0 + SECOND))
    asked_in_vain(ledger, ann, T0 + SECOND)
    with ledger.write() as connection:
        assert expire_deadlines(connection, T0 + 2 * SECOND) == 1
    with ledger.write() as connection:
        (asked,) = claim_due(connection, 1, LATER + timedelta(hours=1))
    assert again(ledger) == 1
    if sent_again:
        claim_all(ledger, LATER)
        left = State.SUBMITTING if left is State.QUEUED else left
    answer(ledger, replace(late, claim=asked.claim, polled=True), now=LATER)
    assert states_of(ledger) == {ann: left}
    if left is State.SUBMITTING:
        answer(ledger, failed(ann, claim=claim_number(ledger, ann)), now=LATER)
        assert states_of(ledger) == {ann: State.FAILED}


def test_a_lookup_that_several_partitions_share_is_counted_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "ann"]))
    register(ledger, rows_for(["ann", "cid"]), NEXT_DATE)
    claim_all(ledger)
    claim_all(ledger, date=NEXT_DATE)
    answer(ledger, *(unconfirmed(lookup_of(ledger, person)) for person in ("ann", "cid")))
    answer(ledger, failed(lookup_of(ledger, "ben")))
    with ledger.read() as connection:
        assert count_resubmittable(connection, ALL, [DATE, NEXT_DATE]) == {
            DATE: {FailureKind.NOT_FOUND: 1, FailureKind.UNCONFIRMED: 1},
            NEXT_DATE: {FailureKind.UNCONFIRMED: 1},
        }
        only = [FailureKind.UNCONFIRMED]
        assert count_resubmittable(connection, only, [NEXT_DATE]) == {
            NEXT_DATE: {FailureKind.UNCONFIRMED: 2}
        }
