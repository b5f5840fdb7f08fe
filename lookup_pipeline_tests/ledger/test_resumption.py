"""What waits stands in the ledger until it is resolved: nightly before backfill, oldest first."""

from datetime import datetime, timedelta

import pytest

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.allowances import Allowance, learn, mark
from lookup_pipeline.ledger.limits import LOOKUPS, block
from lookup_pipeline.ledger.resumption import (
    LONGEST_PAUSE,
    RUN_LEASE,
    Stage,
    Wait,
    WaitReason,
    begin,
    due_to_resume,
    find_wait,
    find_waits,
    hold,
    note_request,
    pause_after,
    postpone,
    queued_until,
    renew,
    resolve,
    stop,
    waits_to_look_at,
)
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    OTHER,
    OWNER,
    SECOND,
    T0,
    answer,
    claim_all,
    in_flight,
    put_back,
    register,
    rows_for,
)

HOUR = timedelta(hours=1)


def queue(ledger: Ledger, date: str = DATE) -> None:
    """A partition with a person of its own to send."""
    register(ledger, rows_for([f"somebody of {date}"]), date)


def begin_run(
    ledger: Ledger,
    date: str = DATE,
    stage: Stage = Stage.SUBMIT,
    *,
    owner: str = OWNER,
    now: datetime = T0,
    in_backfill: bool = False,
    resumes: bool = True,
) -> None:
    with ledger.write() as connection:
        begin(connection, date, stage, owner, now, in_backfill=in_backfill, resumes=resumes)


def hold_back(
    ledger: Ledger, date: str = DATE, until: datetime | None = T0, *, in_backfill: bool = False
) -> None:
    """A run that has ended, and left something for that time."""
    begin_run(ledger, date, in_backfill=in_backfill)
    with ledger.write() as connection:
        hold(connection, date, WaitReason.LIMITS, "the provider's limits", until, T0)


def due(ledger: Ledger, now: datetime = T0) -> list[str]:
    with ledger.write() as connection:
        return [each.lookup_date for each in due_to_resume(connection, now)]


def waiting(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [each.lookup_date for each in find_waits(connection) if each.resumes]


def wait_of(ledger: Ledger, date: str = DATE) -> Wait:
    with ledger.read() as connection:
        found = find_wait(connection, date)
    assert found is not None
    return found


def until(ledger: Ledger, date: str = DATE) -> datetime | None:
    with ledger.read() as connection:
        return queued_until(connection, date)


def test_nightly_partitions_go_before_those_of_a_backfill_and_the_oldest_first(
    ledger: Ledger,
) -> None:
    for date, in_backfill in (
        ("2026-01-09", False),
        ("2026-01-06", True),
        ("2026-01-08", False),
        ("2026-01-05", True),
    ):
        queue(ledger, date)
        hold_back(ledger, date, in_backfill=in_backfill)
    assert due(ledger) == ["2026-01-08", "2026-01-09", "2026-01-05", "2026-01-06"]


def test_a_partition_resumes_from_its_time_and_not_before(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger, until=T0 + HOUR)
    assert waiting(ledger) == [DATE]
    assert due(ledger, T0 + HOUR - SECOND) == []
    assert due(ledger, T0 + HOUR) == [DATE]


def test_one_that_nothing_held_back_does_not_go_on_by_itself(ledger: Ledger) -> None:
    queue(ledger)
    assert waiting(ledger) == due(ledger) == []


def test_one_that_was_stopped_no_longer_resumes_by_itself(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    with ledger.write() as connection:
        stop(connection, [DATE], "its run was canceled", T0)
    assert waiting(ledger) == due(ledger, T0 + HOUR) == []
    with ledger.write() as connection:
        postpone(connection, [DATE], T0, T0)
    assert wait_of(ledger).reason is WaitReason.CANCELED
    assert wait_of(ledger).until is None


def test_only_what_is_queued_resumes(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    (claimed,) = claim_all(ledger)
    answer(ledger, in_flight(claimed.lookup_id))
    assert due(ledger, T0 + HOUR) == []
    assert waiting(ledger) == [], "nothing is left to send"


def test_what_may_not_be_sent_yet_does_not_go_on_yet(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    (claimed,) = claim_all(ledger)
    answer(ledger, put_back(claimed.lookup_id, claimed.number, not_before=T0 + HOUR))
    assert due(ledger, T0 + HOUR - SECOND) == []
    assert due(ledger, T0 + HOUR) == [DATE]


def test_postponing_moves_these_partitions_and_no_others(ledger: Ledger) -> None:
    for date in (DATE, NEXT_DATE):
        queue(ledger, date)
        hold_back(ledger, date, in_backfill=True)
    with ledger.write() as connection:
        postpone(connection, [DATE], T0 + HOUR, T0)
    assert due(ledger) == [NEXT_DATE]
    assert waiting(ledger) == [DATE, NEXT_DATE]
    with ledger.write() as connection:
        assert all(each.in_backfill for each in due_to_resume(connection, T0 + HOUR))


def test_a_queue_that_is_empty_waits_for_nothing(ledger: Ledger) -> None:
    assert until(ledger) is None
    queue(ledger)
    (claimed,) = claim_all(ledger)
    answer(ledger, in_flight(claimed.lookup_id))
    hold_back(ledger, until=T0 + HOUR)
    assert until(ledger) is None


def test_a_queue_waits_for_whatever_is_last(ledger: Ledger) -> None:
    queue(ledger)
    assert until(ledger) is None, "nothing holds it back"
    with ledger.write() as connection:
        block(connection, LOOKUPS, T0 + HOUR)
    assert until(ledger) == T0 + HOUR
    hold_back(ledger, until=T0 + 2 * HOUR)
    assert until(ledger) == T0 + 2 * HOUR
    with ledger.write() as connection:
        used_up = [Allowance("day", 500, 0), Allowance("month", 5_000, 9)]
        learn(connection, used_up, mark(connection, T0), T0)
    assert until(ledger) == T0 + 24 * HOUR + SECOND
    (claimed,) = claim_all(ledger)
    later = T0 + 48 * HOUR
    answer(ledger, put_back(claimed.lookup_id, claimed.number, not_before=later))
    assert until(ledger) == later


def test_a_window_with_room_holds_nothing_back(ledger: Ledger) -> None:
    queue(ledger)
    with ledger.write() as connection:
        learn(connection, [Allowance("day", 500, 1)], mark(connection, T0), T0)
    assert until(ledger) is None


# A run and its wait --------------------------------------------------------------------------


def test_a_run_that_begins_clears_nothing_and_is_looked_at_until_its_work_is_done(
    ledger: Ledger,
) -> None:
    queue(ledger)
    hold_back(ledger)
    with ledger.write() as connection:
        hold(connection, DATE, WaitReason.STORAGE, "disk full", T0 + HOUR, T0, attempts=3)
    begin_run(ledger, now=T0 + HOUR, owner=OTHER)
    wait = wait_of(ledger)
    assert (wait.reason, wait.run_id, wait.attempts) == (WaitReason.RUNNING, OTHER, 3)
    assert wait.since == T0, "it has waited since then"
    with ledger.read() as connection:
        assert waits_to_look_at(connection, T0 + HOUR) == [wait]
    assert due(ledger, T0 + 2 * HOUR) == [], "whether its run lives is not for the ledger to say"
    with ledger.write() as connection:
        resolve(connection, DATE)
    assert waiting(ledger) == []


def test_a_run_with_a_maximum_of_its_own_leaves_nothing_that_resumes(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    begin_run(ledger, resumes=False)
    assert waiting(ledger) == due(ledger, T0 + HOUR) == []
    with ledger.read() as connection:
        assert [each.lookup_date for each in waits_to_look_at(connection, T0)] == [DATE]


def test_only_the_run_that_has_a_wait_renews_it(ledger: Ledger) -> None:
    begin_run(ledger)
    for owner, expected in ((OTHER, T0), (OWNER, T0 + HOUR)):
        with ledger.write() as connection:
            renew(connection, DATE, owner, T0 + HOUR)
        assert wait_of(ledger).until == expected + RUN_LEASE


def test_what_was_not_even_registered_is_due_though_nothing_is_queued(ledger: Ledger) -> None:
    for stage in (Stage.READ, Stage.REGISTER):
        begin_run(ledger, stage=stage)
        with ledger.write() as connection:
            hold(connection, DATE, WaitReason.STORAGE, "disk full", T0, T0)
        assert due(ledger) == [DATE]


def test_one_that_a_run_was_requested_for_is_not_due_again(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    with ledger.write() as connection:
        note_request(connection, DATE, "key", T0, T0 + 5 * SECOND)
    assert due(ledger, T0 + HOUR) == []
    begin_run(ledger)
    assert wait_of(ledger).request is None


@pytest.mark.parametrize(("attempts", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60)])
def test_pauses_double_up_to_an_hour(attempts: int, minutes: int) -> None:
    assert pause_after(attempts) == timedelta(minutes=minutes)


def test_no_pause_is_longer_than_the_longest_however_many_attempts_have_failed() -> None:
    assert pause_after(1_000_000) == LONGEST_PAUSE
