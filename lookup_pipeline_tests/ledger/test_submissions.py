"""Claiming: who may send what, and what becomes of a claim whose process fell silent."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.submissions import (
    LEASE,
    Claim,
    claim,
    expire_leases,
    next_ready_at,
    queued_ids,
    renew,
)
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.ledger.times import EPOCH
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    FIRST,
    NEXT_DATE,
    OTHER,
    OWNER,
    SECOND,
    T0,
    answer,
    claim_all,
    complete,
    in_flight,
    lookup_of,
    news,
    published_rows,
    put_back,
    register,
    rows_for,
    states_of,
    stored,
)


def expire(ledger: Ledger, seconds: float) -> int:
    with ledger.write() as connection:
        return expire_leases(connection, T0 + LEASE + timedelta(seconds=seconds))


def test_lookups_are_claimed_in_the_order_in_which_they_were_asked_for(ledger: Ledger) -> None:
    register(ledger, rows_for(["zoe", "ann", "mia"]))
    with ledger.read() as connection:
        ids = queued_ids(connection, DATE, T0)
    assert ids == [lookup_of(ledger, person) for person in ("zoe", "ann", "mia")]


def test_a_claim_tells_what_to_send_and_how_often_it_was_sent(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    assert claim_all(ledger) == [Claim(lookup_of(ledger, "ann"), '{"name":"ann"}', 1, FIRST)]
    (row,) = published_rows(ledger)
    assert (row.state, row.submitted_at) == (State.SUBMITTING, T0)


def test_a_lookup_is_claimed_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    with ledger.read() as connection:
        ids = queued_ids(connection, DATE, T0)
    assert len(claim_all(ledger)) == 2
    with ledger.write() as connection:
        assert claim(connection, ids, OTHER, T0) == []
    assert stored(ledger, ids[0]).claimed_by == OWNER


def test_claiming_nothing_claims_nothing(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    with ledger.write() as connection:
        assert claim(connection, [], OWNER, T0) == []
    assert set(states_of(ledger).values()) == {State.QUEUED}


def test_a_claim_that_is_rolled_back_was_never_made(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))

    def claim_and_fail() -> None:
        with ledger.write() as connection:
            assert claim(connection, queued_ids(connection, DATE, T0), OWNER, T0)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        claim_and_fail()
    assert len(claim_all(ledger, owner=OTHER)) == 1


def test_only_the_partitions_own_lookups_are_offered_to_it(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    register(ledger, rows_for(["ben", "cid"]), NEXT_DATE)
    offered = [claimed.parameters for claimed in claim_all(ledger, date=NEXT_DATE)]
    assert offered == ['{"name":"ben"}', '{"name":"cid"}']
    assert [claimed.parameters for claimed in claim_all(ledger)] == ['{"name":"ann"}']


def test_a_person_whose_row_left_every_file_is_not_sent(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, [])
    assert claim_all(ledger) == []


def test_waiting_lookups_are_not_claimed_even_when_named(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    (claimed,) = claim_all(ledger)
    answer(ledger, put_back(claimed.lookup_id, not_before=T0 + 10 * SECOND))
    with ledger.write() as connection:
        assert claim(connection, [claimed.lookup_id], OWNER, T0 + 9 * SECOND) == []
        assert len(claim(connection, [claimed.lookup_id], OWNER, T0 + 10 * SECOND)) == 1


def test_the_next_ready_time_is_the_earliest_of_the_queued(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    register(ledger, rows_for(["cid"]), NEXT_DATE)
    with ledger.read() as connection:
        assert next_ready_at(connection, DATE) == EPOCH
    ann, ben = (claimed.lookup_id for claimed in claim_all(ledger))
    with ledger.read() as connection:
        assert next_ready_at(connection, DATE) is None
    answer(
        ledger,
        put_back(ann, not_before=T0 + 20 * SECOND),
        put_back(ben, not_before=T0 + 10 * SECOND),
    )
    with ledger.read() as connection:
        assert next_ready_at(connection, DATE) == T0 + 10 * SECOND
        assert next_ready_at(connection, NEXT_DATE) == EPOCH
        assert next_ready_at(connection, "2026-01-09") is None


def test_a_silent_submission_becomes_unconfirmed_after_its_lease(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    (claimed,) = claim_all(ledger)
    version = news(ledger)
    assert expire(ledger, 0) == 0
    assert expire(ledger, 1) == 1
    (row,) = published_rows(ledger)
    assert (row.state, row.failure_kind) == (State.UNCONFIRMED, "unconfirmed")
    assert row.settled_at == T0 + LEASE + SECOND
    assert row.failure_reason
    assert news(ledger) == version + 1
    assert claim_all(ledger, T0 + timedelta(days=30), owner=OTHER) == []
    with ledger.write() as connection:
        assert claim(connection, [claimed.lookup_id], OTHER, T0 + timedelta(days=30)) == []


def test_only_submissions_expire_with_the_lease(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "cid", "dan"]))
    ann, ben, cid, dan = (claimed.lookup_id for claimed in claim_all(ledger))
    answer(ledger, complete(ann), in_flight(ben), put_back(cid))
    assert expire(ledger, 3600) == 1
    assert states_of(ledger) == {
        ann: State.COMPLETE,
        ben: State.IN_FLIGHT,
        cid: State.QUEUED,
        dan: State.UNCONFIRMED,
    }


def test_a_lookup_claimed_again_has_a_lease_of_its_own(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    (claimed,) = claim_all(ledger)
    answer(ledger, put_back(claimed.lookup_id))
    claim_all(ledger, T0 + 50 * SECOND)
    assert expire(ledger, 1) == 0
    assert expire(ledger, 51) == 1


def test_a_claim_that_is_renewed_lives_on_and_one_that_is_over_is_not_brought_back(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    ann, ben = claim_all(ledger)
    answer(ledger, put_back(ben.lookup_id))
    (again,) = claim_all(ledger, T0 + SECOND)
    with ledger.write() as connection:
        renew(connection, [ann, ben], T0 + 50 * SECOND)
    assert expire(ledger, 2) == 1, "ben's second claim is not renewed by the first one's owner"
    assert stored(ledger, again.lookup_id).state is State.UNCONFIRMED
    assert expire(ledger, 49) == 0
    assert expire(ledger, 51) == 1


def test_a_lease_that_expires_twice_is_news_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    expire(ledger, 1)
    version = news(ledger)
    assert expire(ledger, 2) == 0
    assert news(ledger) == version


def test_a_claim_is_noted_with_its_owner_before_anything_is_sent(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    with ledger.read() as connection:
        held = connection.execute(
            select(lookups.c.claimed_by, lookups.c.lease_until, lookups.c.attempts)
        ).one()
    assert tuple(held) == (OWNER, T0 + LEASE, 1)
