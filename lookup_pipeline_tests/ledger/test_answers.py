"""Recording answers: what is learnt, kept, refused and noted as news."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.counts import credits_of_partition
from lookup_pipeline.ledger.polling import expire_deadlines
from lookup_pipeline.ledger.submissions import LEASE, expire_leases
from lookup_pipeline.ledger.tables import payloads
from lookup_pipeline_tests.ledger.helpers import (
    ANOTHER,
    DATE,
    FIRST,
    NEXT_DATE,
    OTHER,
    OWNER,
    SECOND,
    T0,
    answer,
    asked_in_vain,
    claim_all,
    complete,
    failed,
    fresh_ledger,
    in_flight,
    lookup_of,
    news,
    published_rows,
    put_back,
    register,
    row,
    rows_for,
    states_of,
    stored,
    stored_lookups,
    unconfirmed,
)


@pytest.fixture
def ann(ledger: Ledger) -> int:
    """The lookup of a person who has just been sent."""
    register(ledger, [row(2, "ann")])
    (claimed,) = claim_all(ledger)
    return claimed.lookup_id


def test_a_profile_is_published_as_the_bytes_that_came(ledger: Ledger, ann: int) -> None:
    payload = '{"name": "Zoë",\n "id": 7}'.encode()
    assert answer(ledger, complete(ann, payload), now=T0 + SECOND) == 1
    (published,) = published_rows(ledger)
    assert published.payload == payload
    assert published.state is State.COMPLETE
    assert published.settled_at == T0 + SECOND
    with ledger.read() as connection:
        assert credits_of_partition(connection, DATE) == 1


def test_the_payload_is_stored_compressed(ledger: Ledger, ann: int) -> None:
    payload = b'{"name":"' + b"a" * 10_000 + b'"}'
    answer(ledger, complete(ann, payload))
    with ledger.read() as connection:
        kept = connection.scalars(select(payloads.c.payload)).one()
    assert len(kept) < 1_000


def test_the_first_profile_stays(ledger: Ledger, ann: int) -> None:
    answer(ledger, complete(ann, b'{"name":"first"}'))
    before = published_rows(ledger)
    assert answer(ledger, complete(ann, b'{"name":"second"}'), now=T0 + SECOND) == 0
    assert published_rows(ledger) == before


def test_of_two_profiles_in_one_batch_the_first_stays(ledger: Ledger, ann: int) -> None:
    assert answer(ledger, complete(ann, b'{"a":1}'), complete(ann, b'{"a":2}')) == 1
    assert [published.payload for published in published_rows(ledger)] == [b'{"a":1}']


@pytest.mark.parametrize("late", [in_flight(1), failed(1), put_back(1), unconfirmed(1)])
def test_nothing_changes_a_lookup_that_is_complete(ledger: Ledger, ann: int, late: Answer) -> None:
    assert ann == 1
    answer(ledger, complete(ann, b'{"a":1}'))
    rows, version = published_rows(ledger), news(ledger)
    assert answer(ledger, late, now=T0 + SECOND) == 0
    assert (published_rows(ledger), news(ledger)) == (rows, version)


def test_an_answer_about_an_unknown_lookup_changes_nothing(ledger: Ledger, ann: int) -> None:
    assert answer(ledger, complete(ann + 1)) == 0
    assert states_of(ledger) == {ann: State.SUBMITTING}


def test_no_answers_change_nothing(ledger: Ledger, ann: int) -> None:
    version = news(ledger)
    assert answer(ledger) == 0
    assert news(ledger) == version


def test_a_profile_that_comes_after_the_deadline_wins_and_clears_the_failure(
    ledger: Ledger, ann: int
) -> None:
    answer(ledger, in_flight(ann, deadline=T0 + SECOND))
    asked_in_vain(ledger, ann, T0 + SECOND)
    with ledger.write() as connection:
        expire_deadlines(connection, T0 + 2 * SECOND)
    assert answer(ledger, complete(ann, b'{"late":1}'), now=T0 + 3 * SECOND) == 1
    (published,) = published_rows(ledger)
    assert (published.state, published.payload) == (State.COMPLETE, b'{"late":1}')
    assert (published.failure_kind, published.failure_reason) == (None, None)
    assert published.settled_at == T0 + 3 * SECOND


def test_the_providers_failure_that_replaces_a_time_out_is_news(ledger: Ledger, ann: int) -> None:
    answer(ledger, in_flight(ann, deadline=T0 + SECOND))
    asked_in_vain(ledger, ann, T0 + SECOND)
    with ledger.write() as connection:
        expire_deadlines(connection, T0 + 2 * SECOND)
    version = news(ledger)
    answer(ledger, failed(ann, "failed"), now=T0 + 3 * SECOND)
    # The published row is another one now: its kind, its reason and its time.
    assert stored(ledger, ann).failure_kind == "failed"
    assert news(ledger) == version + 1


def test_details_learnt_once_stay_when_a_later_answer_does_not_repeat_them(
    ledger: Ledger, ann: int
) -> None:
    answer(ledger, Answer(ann, State.IN_FLIGHT, api_status="searching", profile_id=7))
    answer(ledger, Answer(ann, State.IN_FLIGHT, polled=True), now=T0 + SECOND)
    answer(ledger, Answer(ann, State.FAILED, failure_kind="failed"), now=T0 + 2 * SECOND)
    (published,) = published_rows(ledger)
    assert (published.api_status, published.profile_id) == ("searching", 7)
    assert published.last_polled_at == T0 + SECOND


def test_a_repeated_state_refreshes_details_and_is_no_news(ledger: Ledger, ann: int) -> None:
    answer(ledger, in_flight(ann))
    version = news(ledger)
    later = T0 + 60 * SECOND
    repeated = in_flight(ann, poll_at=later, deadline=later, api_status="progress")
    assert answer(ledger, repeated) == 0
    held = stored(ledger, ann)
    assert held.next_poll_at == later
    assert held.deadline_at == T0 + timedelta(hours=24), "the first deadline stays"
    assert news(ledger) == version
    assert published_rows(ledger)[0].api_status == "progress"


def test_a_request_that_was_not_processed_is_no_attempt_and_waits(ledger: Ledger, ann: int) -> None:
    answer(ledger, put_back(ann, not_before=T0 + 10 * SECOND))
    assert stored(ledger, ann).attempts == 0
    assert claim_all(ledger, T0 + 9 * SECOND) == []
    (again,) = claim_all(ledger, T0 + 10 * SECOND)
    assert (again.lookup_id, again.attempts) == (ann, 1)


def test_a_server_error_counts_as_an_attempt(ledger: Ledger, ann: int) -> None:
    answer(ledger, put_back(ann, not_processed=False))
    (again,) = claim_all(ledger)
    assert again.attempts == 2


@pytest.mark.parametrize("told", [put_back(1, ANOTHER), unconfirmed(1, ANOTHER)])
def test_another_claim_neither_releases_nor_gives_up_a_lookup(
    ledger: Ledger, ann: int, told: Answer
) -> None:
    assert ann == 1
    assert answer(ledger, told) == 0
    assert stored(ledger, ann).state is State.SUBMITTING


def test_an_answer_without_a_claim_never_releases_a_lookup(ledger: Ledger, ann: int) -> None:
    assert answer(ledger, Answer(ann, State.QUEUED, not_processed=True)) == 0
    assert answer(ledger, Answer(ann, State.UNCONFIRMED)) == 0
    assert stored(ledger, ann).state is State.SUBMITTING


def test_the_late_word_of_its_own_claim_releases_an_unconfirmed_lookup(
    ledger: Ledger, ann: int
) -> None:
    late = T0 + LEASE + SECOND
    with ledger.write() as connection:
        assert expire_leases(connection, late) == 1
    assert answer(ledger, put_back(ann, ANOTHER), now=late) == 0
    assert answer(ledger, put_back(ann), now=late) == 1
    assert [claimed.lookup_id for claimed in claim_all(ledger, late, owner=OTHER)] == [ann]


def test_the_late_word_of_an_earlier_claim_does_not_release_a_later_one(
    ledger: Ledger, ann: int
) -> None:
    """The same run may claim twice: its first request's answer says nothing of the second."""
    answer(ledger, put_back(ann))
    (again,) = claim_all(ledger)
    assert again.number == ANOTHER
    assert answer(ledger, put_back(ann, FIRST), unconfirmed(ann, FIRST)) == 0
    assert stored(ledger, ann).state is State.SUBMITTING
    assert answer(ledger, put_back(ann, ANOTHER)) == 1


def test_a_lookup_back_in_the_queue_that_turns_out_to_be_under_way_is_not_sent_again(
    ledger: Ledger, ann: int
) -> None:
    answer(ledger, put_back(ann))
    assert answer(ledger, in_flight(ann)) == 1
    assert claim_all(ledger) == []


def test_an_answer_is_news_in_every_partition_that_asks_for_the_person(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    register(ledger, [row(2, "ann", file="next.csv")], NEXT_DATE)
    register(ledger, [row(2, "cid", file="third.csv")], "2026-01-07")
    dates = (DATE, NEXT_DATE, "2026-01-07")
    before = [news(ledger, date) for date in dates]
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    after = [news(ledger, date) for date in dates]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 0]


_ANSWERS = st.builds(
    Answer,
    lookup_id=st.sampled_from([1, 2]),
    state=st.sampled_from([State.IN_FLIGHT, State.FAILED, State.COMPLETE, State.UNCONFIRMED]),
    claim=st.sampled_from([FIRST, ANOTHER, None]),
    api_status=st.sampled_from([None, "searching", "progress"]),
    profile_id=st.sampled_from([None, 7, 8]),
    next_poll_at=st.sampled_from([None, T0, T0 + SECOND]),
    deadline_at=st.sampled_from([T0 + SECOND, T0 + 2 * SECOND]),
    payload=st.just(b"{}"),
    failure_kind=st.sampled_from(["failed", "not_found", "timed_out"]),
)


@settings(deadline=None, database=None, max_examples=40)
@given(st.lists(_ANSWERS, min_size=2, max_size=5))
def test_answers_recorded_together_leave_what_answers_recorded_one_by_one_leave(
    answers: list[Answer],
) -> None:
    left = []
    for together in (True, False):
        with fresh_ledger() as ledger:
            register(ledger, rows_for(["ann", "ben"]))
            claim_all(ledger)
            if together:
                answer(ledger, *answers)
            else:
                for each in answers:
                    answer(ledger, each)
            with ledger.read() as connection:
                left.append(stored_lookups(connection))
    assert left[0] == left[1]


def test_the_owner_of_a_claim_is_kept_with_the_lookup(ledger: Ledger, ann: int) -> None:
    answer(ledger, in_flight(ann))
    assert stored(ledger, ann).claimed_by == OWNER
