"""What limits held back goes on by itself: nightly before backfill, the oldest first."""

from datetime import datetime, timedelta

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.allowances import Allowance, learn, mark
from lookup_pipeline.ledger.continuation import (
    Waiting,
    continue_from,
    due_to_continue,
    postpone,
    queued_until,
    waiting_to_continue,
)
from lookup_pipeline.ledger.limits import LOOKUPS, block
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
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


def hold_back(
    ledger: Ledger, date: str = DATE, until: datetime | None = T0, *, in_backfill: bool = False
) -> None:
    with ledger.write() as connection:
        continue_from(connection, date, until, in_backfill=in_backfill)


def due(ledger: Ledger, now: datetime = T0) -> list[str]:
    with ledger.read() as connection:
        return [each.lookup_date for each in due_to_continue(connection, now)]


def waiting(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return waiting_to_continue(connection)


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
    with ledger.read() as connection:
        assert due_to_continue(connection, T0) == [
            Waiting("2026-01-08", in_backfill=False),
            Waiting("2026-01-09", in_backfill=False),
            Waiting("2026-01-05", in_backfill=True),
            Waiting("2026-01-06", in_backfill=True),
        ]


def test_a_partition_goes_on_from_its_time_and_not_before(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger, until=T0 + HOUR)
    assert waiting(ledger) == [DATE]
    assert due(ledger, T0 + HOUR - SECOND) == []
    assert due(ledger, T0 + HOUR) == [DATE]


def test_one_that_nothing_held_back_does_not_go_on_by_itself(ledger: Ledger) -> None:
    queue(ledger)
    assert waiting(ledger) == due(ledger) == []


def test_one_that_was_stopped_no_longer_goes_on_by_itself(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    hold_back(ledger, until=None)
    assert waiting(ledger) == due(ledger) == []


def test_only_what_is_queued_goes_on(ledger: Ledger) -> None:
    queue(ledger)
    hold_back(ledger)
    (claimed,) = claim_all(ledger)
    assert due(ledger) == [], "somebody else sends it just now"
    answer(ledger, in_flight(claimed.lookup_id))
    assert due(ledger, T0 + HOUR) == []


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
        postpone(connection, [DATE], T0 + HOUR)
    assert due(ledger) == [NEXT_DATE]
    assert waiting(ledger) == [DATE, NEXT_DATE]
    with ledger.read() as connection:
        assert all(each.in_backfill for each in due_to_continue(connection, T0 + HOUR))


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
