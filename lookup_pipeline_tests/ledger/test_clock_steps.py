"""A clock that was wrong costs minutes once it is right, however wrong it was."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.allowances import Allowance, learn, mark
from lookup_pipeline.ledger.allowances import left as find_left
from lookup_pipeline.ledger.clock_steps import CLOCKS_DIFFER_BY, heal_moments
from lookup_pipeline.ledger.limits import LOOKUPS, block, blocked_until
from lookup_pipeline.ledger.polling import LATE_POLL, claim_due
from lookup_pipeline.ledger.publications import note_requested, partitions_with_news
from lookup_pipeline.ledger.resumption import Stage, WaitReason, begin, due_to_resume, hold
from lookup_pipeline.ledger.submissions import LEASE, expire_leases, queued_ids
from lookup_pipeline.ledger.tables import limits, lookups
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    SECOND,
    T0,
    answer,
    claim_all,
    in_flight,
    put_back,
    register,
    rows_for,
    states_of,
    stored,
)

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)

JUMPS = [timedelta(minutes=6), HOUR, YEAR]


def heal(ledger: Ledger, now: datetime) -> bool:
    with ledger.write() as connection:
        return heal_moments(connection, now)


def wrong_clock(ledger: Ledger, by: timedelta) -> datetime:
    """A clock that is ahead, as the ledger is told by whoever begins to work."""
    heal(ledger, T0)
    heal(ledger, T0 + by)
    return T0 + by


@pytest.mark.parametrize("by", JUMPS)
def test_a_lookup_sent_on_a_wrong_clock_is_asked_about_at_once_and_keeps_its_deadline(
    ledger: Ledger, by: timedelta
) -> None:
    register(ledger, rows_for(["ann"]))
    wrong = wrong_clock(ledger, by)
    (claimed,) = claim_all(ledger, wrong)
    polled = in_flight(claimed.lookup_id, poll_at=wrong + 3 * SECOND, deadline=wrong + DAY)
    answer(ledger, polled, now=wrong)
    assert heal(ledger, T0)
    assert stored(ledger, claimed.lookup_id).deadline_at == T0 + DAY
    with ledger.write() as connection:
        (due,) = claim_due(connection, 10, T0)
    assert due.submitted_at == T0


@pytest.mark.parametrize("by", JUMPS)
def test_a_lookup_polled_on_a_wrong_clock_is_asked_about_at_once(
    ledger: Ledger, by: timedelta
) -> None:
    register(ledger, rows_for(["ann"]))
    (claimed,) = claim_all(ledger)
    wrong = wrong_clock(ledger, by)
    polled = in_flight(claimed.lookup_id, poll_at=wrong + 5 * SECOND, deadline=T0 + DAY)
    answer(ledger, polled, now=wrong)
    heal(ledger, T0)
    with ledger.write() as connection:
        assert len(claim_due(connection, 10, T0)) == 1
    assert stored(ledger, claimed.lookup_id).deadline_at == T0 + DAY


@pytest.mark.parametrize("by", JUMPS)
def test_a_claim_made_on_a_wrong_clock_ends_with_one_lease(ledger: Ledger, by: timedelta) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger, wrong_clock(ledger, by))
    heal(ledger, T0)
    with ledger.write() as connection:
        assert expire_leases(connection, T0 + LEASE) == 0, "its process may live"
        assert expire_leases(connection, T0 + LEASE + SECOND) == 1


@pytest.mark.parametrize("by", JUMPS)
def test_whoever_was_put_back_on_a_wrong_clock_may_be_sent(ledger: Ledger, by: timedelta) -> None:
    register(ledger, rows_for(["ann"]))
    (claimed,) = claim_all(ledger)
    wrong = wrong_clock(ledger, by)
    put = put_back(claimed.lookup_id, claimed.number, not_before=wrong + SECOND)
    answer(ledger, put, now=wrong)
    heal(ledger, T0)
    with ledger.write() as connection:
        assert queued_ids(connection, DATE, T0) == [claimed.lookup_id]


@pytest.mark.parametrize("by", JUMPS)
def test_a_cooldown_a_window_and_a_wait_of_a_wrong_clock_are_over(
    ledger: Ledger, by: timedelta
) -> None:
    register(ledger, rows_for(["ann"]))
    wrong = wrong_clock(ledger, by)
    with ledger.write() as connection:
        block(connection, LOOKUPS, wrong + 5 * SECOND)
        learn(connection, [Allowance("day", 500, 0)], mark(connection, wrong), wrong)
        begin(connection, DATE, Stage.SUBMIT, "run", wrong)
        hold(connection, DATE, WaitReason.LIMITS, "limits", wrong + SECOND, wrong)
        note_requested(connection, [DATE], wrong)
    heal(ledger, T0)
    with ledger.write() as connection:
        assert blocked_until(connection, LOOKUPS) is None
        found = find_left(connection)
        assert found is not None
        assert found.look_again_at <= T0, "the account is asked"
        assert [each.lookup_date for each in due_to_resume(connection, T0)] == [DATE]
        (news,) = partitions_with_news(connection)
        assert news.requested_at is None


def test_what_a_right_clock_has_set_stays_as_it_is(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    ann, ben = claim_all(ledger)
    answer(ledger, in_flight(ann.lookup_id, poll_at=T0 + LATE_POLL))
    answer(ledger, put_back(ben.lookup_id, ben.number, not_before=T0 + HOUR))
    with ledger.write() as connection:
        block(connection, LOOKUPS, T0 + HOUR)
        begin(connection, DATE, Stage.SUBMIT, "run", T0)
        hold(connection, DATE, WaitReason.LIMITS, "limits", T0 + DAY, T0)
    before = stored(ledger, ann.lookup_id), stored(ledger, ben.lookup_id)
    for now in (T0, T0 + SECOND, T0 - CLOCKS_DIFFER_BY, T0 + 20 * SECOND):
        assert not heal(ledger, now)
    assert (stored(ledger, ann.lookup_id), stored(ledger, ben.lookup_id)) == before
    with ledger.write() as connection:
        assert blocked_until(connection, LOOKUPS) == T0 + HOUR
        assert due_to_resume(connection, T0 + HOUR) == []


def test_a_year_ahead_is_healed_though_nobody_told_the_ledger_of_the_wrong_clock(
    ledger: Ledger,
) -> None:
    """A process wrote it between two notes of the time."""
    register(ledger, rows_for(["ann", "ben"]))
    heal(ledger, T0)
    ann, ben = claim_all(ledger, T0 + YEAR)
    answer(ledger, in_flight(ann.lookup_id, poll_at=T0 + YEAR, deadline=T0 + YEAR + DAY))
    with ledger.write() as connection:
        block(connection, LOOKUPS, T0 + YEAR)
    assert not heal(ledger, T0)
    with ledger.write() as connection:
        assert len(claim_due(connection, 10, T0)) == 1
        assert blocked_until(connection, LOOKUPS) is None
        assert expire_leases(connection, T0 + LEASE + SECOND) == 1
    assert states_of(ledger) == {
        ann.lookup_id: State.IN_FLIGHT,
        ben.lookup_id: State.UNCONFIRMED,
    }


def test_a_clock_that_went_forward_and_stays_there_heals_nothing(ledger: Ledger) -> None:
    heal(ledger, T0)
    assert not heal(ledger, T0 + YEAR)
    assert not heal(ledger, T0 + YEAR + SECOND)


def test_healing_reads_what_is_due_and_not_what_is_stored(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(
            insert(lookups),
            [
                {
                    "identity": f"{number}",
                    "parameters": "{}",
                    "state": "complete",
                    "submitted_at": T0,
                    "settled_at": T0,
                }
                for number in range(1_000)
            ],
        )
        heal_moments(connection, T0)
        plans = []
        for column, extra in (
            (lookups.c.submitted_at, None),
            (lookups.c.next_poll_at, None),
            (lookups.c.lease_until, lookups.c.state == "submitting"),
        ):
            statement = update(lookups).where(column > T0).values(not_before=None)
            if extra is not None:
                statement = statement.where(extra)
            text = str(
                statement.compile(
                    dialect=connection.dialect, compile_kwargs={"literal_binds": True}
                )
            )
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
            plans.append(found[0].detail)
    assert all("USING" in plan and "INDEX" in plan for plan in plans), plans


def test_the_time_is_noted_now_and_then(ledger: Ledger) -> None:
    noted = select(limits.c.next_at).where(limits.c.name == "clock")
    for seconds, expected in ((0, 0), (1, 0), (11, 11)):
        heal(ledger, T0 + seconds * SECOND)
        with ledger.read() as connection:
            assert connection.scalar(noted) == T0 + expected * SECOND
