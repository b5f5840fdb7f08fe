"""Polling: what is due, in which order, and when to give up."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.polling import (
    LATE_POLL,
    LATE_POLLS_END,
    POLL_LEASE,
    DueLookup,
    claim_due,
    expire_deadlines,
    next_due_at,
)
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.ledger.helpers import (
    FIRST,
    SECOND,
    T0,
    answer,
    asked_in_vain,
    claim_all,
    complete,
    failed,
    in_flight,
    news,
    published_rows,
    put_back,
    register,
    rows_for,
    states_of,
    stored,
    unconfirmed,
)


def sent(ledger: Ledger, count: int) -> list[int]:
    register(ledger, rows_for(f"person {number}" for number in range(count)))
    return [claimed.lookup_id for claimed in claim_all(ledger)]


def due(ledger: Ledger, now: datetime, limit: int = 100) -> list[int]:
    with ledger.write() as connection:
        return [found.lookup_id for found in claim_due(connection, limit, now)]


def expire(ledger: Ledger, now: datetime) -> int:
    with ledger.write() as connection:
        return expire_deadlines(connection, now)


def next_due(ledger: Ledger) -> datetime | None:
    with ledger.read() as connection:
        return next_due_at(connection)


def test_a_lookup_is_due_from_its_time_on(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, profile_id=42, poll_at=T0 + 3 * SECOND))
    assert due(ledger, T0 + 2 * SECOND) == []
    with ledger.write() as connection:
        found = claim_due(connection, 100, T0 + 3 * SECOND)
    assert found == [DueLookup(ann, 42, T0, State.IN_FLIGHT, FIRST)]


def test_the_longest_due_are_taken_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    ids = sent(ledger, 6)
    times = [4, 1, 6, 2, 5, 3]
    for lookup_id, seconds in zip(ids, times, strict=True):
        answer(ledger, in_flight(lookup_id, poll_at=T0 + seconds * SECOND))
    in_order = [lookup_id for _seconds, lookup_id in sorted(zip(times, ids, strict=True))]
    now = T0 + 10 * SECOND
    assert sorted(due(ledger, now, limit=2)) == sorted(in_order[:2])
    assert sorted(due(ledger, now, limit=3)) == sorted(in_order[2:5])
    assert due(ledger, now, limit=3) == in_order[5:]
    assert due(ledger, now, limit=3) == []


def test_a_lookup_being_asked_about_is_left_alone_until_the_lease_ends(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, poll_at=T0))
    assert due(ledger, T0) == [ann]
    assert due(ledger, T0 + POLL_LEASE - SECOND) == []
    assert due(ledger, T0 + POLL_LEASE) == [ann]


def test_asking_is_no_news(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, poll_at=T0))
    version = news(ledger)
    due(ledger, T0)
    assert news(ledger) == version


@pytest.mark.parametrize("end", [complete, failed])
def test_a_settled_lookup_is_never_due(ledger: Ledger, end: Callable[[int], Answer]) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, poll_at=T0))
    answer(ledger, end(ann))
    assert due(ledger, T0 + timedelta(days=365)) == []
    assert next_due(ledger) is None


def test_what_was_never_accepted_is_never_due(ledger: Ledger) -> None:
    queued, _submitting, lost = sent(ledger, 3)
    answer(ledger, put_back(queued), unconfirmed(lost))
    assert due(ledger, T0 + timedelta(days=365)) == []


def test_a_lookup_without_the_providers_id_is_never_due(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, profile_id=None, poll_at=None))
    assert due(ledger, T0 + timedelta(days=365)) == []


def test_the_next_due_time_is_the_earliest(ledger: Ledger) -> None:
    ann, ben, _cid = sent(ledger, 3)
    assert next_due(ledger) is None
    answer(
        ledger,
        in_flight(ann, poll_at=T0 + 5 * SECOND),
        in_flight(ben, poll_at=T0 + 3 * SECOND),
    )
    assert next_due(ledger) == T0 + 3 * SECOND


def test_a_lookup_that_can_be_asked_about_is_due_next_whoever_else_can_not(
    ledger: Ledger,
) -> None:
    ann, ben = sent(ledger, 2)
    answer(
        ledger,
        in_flight(ann, profile_id=None, poll_at=None),
        in_flight(ben, poll_at=T0 + 3 * SECOND),
    )
    assert next_due(ledger) == T0 + 3 * SECOND


def test_a_lookup_past_its_deadline_fails_as_timed_out_with_its_last_status(
    ledger: Ledger,
) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, deadline=T0 + SECOND, api_status="progress"))
    version = news(ledger)
    asked_in_vain(ledger, ann, T0 + SECOND)
    assert expire(ledger, T0 + SECOND) == 0
    assert expire(ledger, T0 + 2 * SECOND) == 1
    (row,) = published_rows(ledger)
    assert (row.state, row.failure_kind) == (State.FAILED, "timed_out")
    assert row.settled_at == T0 + 2 * SECOND
    assert str(row.failure_reason).endswith("the last status was progress")
    assert news(ledger) == version + 1


def test_a_lookup_that_timed_out_is_asked_about_rarely_and_not_for_ever(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, deadline=T0))
    asked_in_vain(ledger, ann, T0)
    gave_up = T0 + SECOND
    assert expire(ledger, gave_up) == 1
    asked, now = 0, gave_up
    while now < gave_up + LATE_POLLS_END + timedelta(days=30):
        if due(ledger, now):
            asked += 1
            assert due(ledger, now + LATE_POLL - SECOND) == []
        now += timedelta(minutes=5)
    assert asked == LATE_POLLS_END / LATE_POLL
    assert next_due(ledger) is None
    assert states_of(ledger) == {ann: State.FAILED}


def test_an_answer_ends_the_questions_about_a_lookup_that_timed_out(ledger: Ledger) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, deadline=T0))
    asked_in_vain(ledger, ann, T0)
    expire(ledger, T0 + SECOND)
    answer(ledger, complete(ann))
    assert next_due(ledger) is None
    assert states_of(ledger) == {ann: State.COMPLETE}


def test_a_lookup_nobody_asked_about_since_its_deadline_is_asked_about_first(
    ledger: Ledger,
) -> None:
    (ann,) = sent(ledger, 1)
    answer(ledger, in_flight(ann, deadline=T0 + timedelta(hours=1)))
    asked_in_vain(ledger, ann, T0 + timedelta(minutes=59))
    later = T0 + timedelta(days=3)
    assert expire(ledger, later) == 0
    assert due(ledger, later) == [ann]
    asked_in_vain(ledger, ann, later)
    assert expire(ledger, later) == 1


def test_any_number_of_lookups_expires_at_once(ledger: Ledger) -> None:
    # More than one statement takes parameters.
    number = 40_000
    with ledger.write() as connection:
        connection.execute(
            insert(lookups),
            [
                {
                    "identity": f"person {place}",
                    "parameters": "{}",
                    "state": State.IN_FLIGHT.value,
                    "deadline_at": T0,
                }
                for place in range(number)
            ],
        )
    assert expire(ledger, T0 + SECOND) == number


def test_a_lookup_without_the_providers_id_becomes_unconfirmed_at_the_deadline(
    ledger: Ledger,
) -> None:
    (ann,) = sent(ledger, 1)
    unknown = in_flight(ann, profile_id=None, poll_at=None, deadline=T0 + SECOND, api_status=None)
    answer(ledger, unknown)
    assert expire(ledger, T0 + 2 * SECOND) == 1
    held = stored(ledger, ann)
    assert (held.state, held.failure_kind) == (State.UNCONFIRMED, "unconfirmed")
    assert held.failure_reason == "no final answer before the deadline"
    assert claim_all(ledger, T0 + timedelta(days=1)) == []


def test_both_kinds_expire_together_and_what_is_settled_or_in_time_stays(ledger: Ledger) -> None:
    timed_out, unknown, done, in_time, waiting = sent(ledger, 5)
    answer(
        ledger,
        in_flight(timed_out, deadline=T0 + SECOND),
        in_flight(unknown, profile_id=None, poll_at=None, deadline=T0 + SECOND),
        in_flight(in_time, deadline=T0 + 10 * SECOND),
    )
    answer(ledger, in_flight(done, deadline=T0 + SECOND))
    asked_in_vain(ledger, timed_out, T0 + SECOND)
    answer(ledger, complete(done))
    assert expire(ledger, T0 + 5 * SECOND) == 2
    assert states_of(ledger) == {
        timed_out: State.FAILED,
        unknown: State.UNCONFIRMED,
        done: State.COMPLETE,
        in_time: State.IN_FLIGHT,
        waiting: State.SUBMITTING,
    }
    version = news(ledger)
    assert expire(ledger, T0 + 6 * SECOND) == 0
    assert news(ledger) == version
