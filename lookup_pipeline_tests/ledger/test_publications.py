"""Publications: a partition's snapshot, its version, and who still has to be published."""

from datetime import timedelta

import pytest

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.publications import (
    FETCH,
    PartitionWithNews,
    begin_recording,
    news_version,
    note_requested,
    partitions_with_news,
    record_publication,
    rows_of,
    wait_before_next_request,
)
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    SECOND,
    T0,
    answer,
    claim_all,
    complete,
    failed,
    lookup_of,
    news,
    published_rows,
    register,
    row,
    rows_for,
)


def publish(ledger: Ledger, version: int, date: str = DATE) -> bool:
    with ledger.write() as connection:
        worth = begin_recording(connection, date, version)
        if worth:
            record_publication(connection, date, version, 0, T0)
        return worth


def with_news(ledger: Ledger) -> list[PartitionWithNews]:
    with ledger.read() as connection:
        return partitions_with_news(connection)


def test_a_partition_nobody_heard_of_has_version_zero(ledger: Ledger) -> None:
    assert news(ledger) == 0
    assert published_rows(ledger) == []


def test_rows_come_by_file_and_line_each_once(ledger: Ledger) -> None:
    people = [f"person {number}" for number in range(FETCH + 5)]
    register(ledger, [*rows_for(people, file="b.csv"), row(10, "z", file="a.csv")])
    rows = published_rows(ledger)
    assert [(each.source_file, each.source_row) for each in rows] == [
        ("a.csv", 10),
        *(("b.csv", line) for line in range(2, FETCH + 7)),
    ]


def test_rows_are_fetched_in_bounded_batches(ledger: Ledger) -> None:
    register(ledger, rows_for(f"person {number}" for number in range(FETCH + 5)))
    with ledger.read() as connection:
        assert [len(batch) for batch in rows_of(connection, DATE)] == [FETCH, 5]


def test_version_and_rows_read_in_one_transaction_are_one_snapshot(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    with ledger.read() as connection:
        version = news_version(connection, DATE)
        register(ledger, rows_for(["ann", "ben", "cid"]))
        seen = [each for batch in rows_of(connection, DATE) for each in batch]
        assert (len(seen), news_version(connection, DATE)) == (2, version)
    assert (len(published_rows(ledger)), news(ledger)) == (3, version + 1)


def test_a_published_version_is_no_news_until_something_happens(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    assert publish(ledger, news(ledger))
    assert with_news(ledger) == []
    claim_all(ledger)
    answer(ledger, failed(lookup_of(ledger, "ann")))
    (found,) = with_news(ledger)
    assert (found.lookup_date, found.news_version, found.settled) == (DATE, news(ledger), True)
    assert found.published_at == T0


def test_news_during_a_publication_stays_news(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    version = news(ledger)
    register(ledger, rows_for(["ann", "ben"]))
    assert publish(ledger, version)
    assert [found.news_version for found in with_news(ledger)] == [version + 1]


def test_a_publication_tells_of_each_credit_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))

    def told(credits_spent: int) -> int:
        with ledger.write() as connection:
            return record_publication(connection, DATE, news(ledger), credits_spent, T0)

    assert [told(3), told(3), told(5)] == [3, 0, 2]


def test_an_older_version_never_replaces_a_newer_one(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    older = news(ledger)
    register(ledger, rows_for(["ann", "ben"]))
    newer = news(ledger)
    assert publish(ledger, newer)
    assert not publish(ledger, older)
    assert publish(ledger, newer), "the same version may be written again"
    assert with_news(ledger) == []


def test_a_version_of_a_partition_nobody_heard_of_may_be_written(ledger: Ledger) -> None:
    assert publish(ledger, 0)


def test_partitions_with_news_come_oldest_first_and_tell_whether_they_are_settled(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann"]), NEXT_DATE)
    register(ledger, rows_for(["ben"]))
    register(ledger, [], "2026-01-07")
    claim_all(ledger, date=NEXT_DATE)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    assert [(found.lookup_date, found.settled) for found in with_news(ledger)] == [
        (DATE, False),
        (NEXT_DATE, True),
        ("2026-01-07", True),
    ]


@pytest.mark.parametrize(
    ("state", "settled"),
    [(State.QUEUED, False), (State.SUBMITTING, False), (State.COMPLETE, True)],
)
def test_one_pending_row_makes_a_partition_unsettled(
    ledger: Ledger, state: State, settled: bool
) -> None:
    register(ledger, rows_for(["ann"]), NEXT_DATE)
    claim_all(ledger, date=NEXT_DATE)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    register(ledger, rows_for(["ann", *([] if state is State.COMPLETE else ["ben"])]))
    if state is State.SUBMITTING:
        claim_all(ledger)
    assert {found.lookup_date: found.settled for found in with_news(ledger)}[DATE] is settled


def test_a_request_for_publication_is_counted_until_one_succeeds(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, rows_for(["ben"]), NEXT_DATE)
    for attempt in (1, 2):
        with ledger.write() as connection:
            note_requested(connection, [DATE], T0 + attempt * SECOND)
        here, there = with_news(ledger)
        assert (here.attempts, here.requested_at) == (attempt, T0 + attempt * SECOND)
        assert (there.attempts, there.requested_at) == (0, None)
    publish(ledger, news(ledger))
    register(ledger, [])
    here, _there = with_news(ledger)
    assert (here.attempts, here.requested_at) == (0, None)


def test_the_wait_doubles_from_a_minute_up_to_half_an_hour() -> None:
    minutes = [wait_before_next_request(attempts) / timedelta(minutes=1) for attempts in range(9)]
    assert minutes == [1, 1, 2, 4, 8, 16, 30, 30, 30]
    assert wait_before_next_request(10_000) == timedelta(minutes=30)
