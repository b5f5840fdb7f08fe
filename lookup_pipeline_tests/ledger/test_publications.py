"""Publications: a partition's snapshot, its version, and who still has to be published."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from lookup_pipeline.ledger import SETTLED, Ledger, State
from lookup_pipeline.ledger.publications import (
    FETCH,
    PUBLICATION_LEASE,
    PartitionWithNews,
    PublicationClaim,
    claim_publication,
    expire_publications,
    is_settled,
    news_version,
    note_requested,
    partitions_with_news,
    record_publication,
    release_publication,
    rows_of,
    wait_before_next_request,
)
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    SECOND,
    T0,
    answer,
    claim_all,
    complete,
    explained,
    failed,
    lookup_of,
    news,
    published_rows,
    register,
    row,
    rows_for,
)


def claim(
    ledger: Ledger, version: int, date: str = DATE, at: datetime = T0
) -> PublicationClaim | None:
    with ledger.write() as connection:
        return claim_publication(connection, date, version, at)


def claimed(ledger: Ledger, version: int, date: str = DATE) -> PublicationClaim:
    found = claim(ledger, version, date)
    assert found is not None
    return found


def record(ledger: Ledger, made: PublicationClaim) -> bool:
    """Release a claim, its files moved, and record it where it owns the newest version."""
    with ledger.write() as connection:
        newest = release_publication(connection, made)
        if newest:
            record_publication(connection, made.lookup_date, made.version, 0, T0)
        return newest


def publish(ledger: Ledger, version: int, date: str = DATE) -> bool:
    made = claim(ledger, version, date)
    return made is not None and record(ledger, made)


def expire(ledger: Ledger, now: datetime) -> None:
    with ledger.write() as connection:
        expire_publications(connection, now)


def with_news(ledger: Ledger) -> list[PartitionWithNews]:
    with ledger.read() as connection:
        return partitions_with_news(connection)


def settled(ledger: Ledger, date: str = DATE) -> bool:
    with ledger.read() as connection:
        return is_settled(connection, date)


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
    assert (found.lookup_date, found.news_version) == (DATE, news(ledger))
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


@pytest.fixture
def versions(ledger: Ledger) -> tuple[int, int]:
    """An older and the newest version of one partition."""
    register(ledger, rows_for(["ann"]))
    older = news(ledger)
    register(ledger, rows_for(["ann", "ben"]))
    return older, news(ledger)


def dates_with_news(ledger: Ledger) -> list[str]:
    return [found.lookup_date for found in with_news(ledger)]


def test_an_older_publication_that_ends_after_a_newer_one_is_news(
    ledger: Ledger, versions: tuple[int, int]
) -> None:
    older, newer = versions
    stalled = claimed(ledger, older)
    assert publish(ledger, newer)
    assert dates_with_news(ledger) == []
    assert not record(ledger, stalled), "its files may lie over the newer ones"
    assert dates_with_news(ledger) == [DATE]
    assert publish(ledger, news(ledger))
    assert dates_with_news(ledger) == []


def test_an_older_publication_that_ends_while_a_newer_one_moves_is_news(
    ledger: Ledger, versions: tuple[int, int]
) -> None:
    older, newer = versions
    first, second = claimed(ledger, older), claimed(ledger, newer)
    assert not record(ledger, first)
    assert record(ledger, second)
    assert dates_with_news(ledger) == [DATE]


def test_nothing_older_begins_to_move_beside_a_newer_publication(
    ledger: Ledger, versions: tuple[int, int]
) -> None:
    older, newer = versions
    moving = claimed(ledger, newer)
    assert claim(ledger, older) is None
    assert claim(ledger, older, NEXT_DATE) is not None, "another partition is its own"
    assert record(ledger, moving)


def test_the_same_version_may_be_moved_twice_at_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    first, second = claimed(ledger, news(ledger)), claimed(ledger, news(ledger))
    assert record(ledger, second)
    assert record(ledger, first)
    assert dates_with_news(ledger) == []


def test_a_publication_that_died_while_it_moved_files_is_news_after_its_lease(
    ledger: Ledger, versions: tuple[int, int]
) -> None:
    older, newer = versions
    claimed(ledger, older)
    assert publish(ledger, newer)
    expire(ledger, T0 + PUBLICATION_LEASE)
    assert dates_with_news(ledger) == [], "it may still live"
    expire(ledger, T0 + PUBLICATION_LEASE + SECOND)
    assert dates_with_news(ledger) == [DATE]
    assert publish(ledger, news(ledger))
    expire(ledger, T0 + timedelta(days=1))
    assert dates_with_news(ledger) == [], "once"


def test_a_publication_that_outlives_its_lease_is_recorded_all_the_same(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    slow = claimed(ledger, news(ledger))
    expire(ledger, T0 + timedelta(days=1))
    assert record(ledger, slow)
    assert dates_with_news(ledger) == [DATE], "another looks at the result"


def test_a_claim_of_a_clock_that_was_wrong_expires(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    claim(ledger, news(ledger), at=T0 + timedelta(days=365))
    assert publish(ledger, news(ledger))
    expire(ledger, T0)
    assert dates_with_news(ledger) == [DATE]


def test_partitions_with_news_come_oldest_first(ledger: Ledger) -> None:
    for date in ("2026-01-07", NEXT_DATE, DATE):
        register(ledger, [], date)
    assert [each.lookup_date for each in with_news(ledger)] == [DATE, NEXT_DATE, "2026-01-07"]


def test_a_partition_without_rows_is_settled(ledger: Ledger) -> None:
    register(ledger, [])
    assert settled(ledger)


@pytest.mark.parametrize("asked_by", [DATE, NEXT_DATE])
@pytest.mark.parametrize("state", State)
def test_one_pending_row_makes_a_partition_unsettled_whoever_asked_first(
    ledger: Ledger, state: State, asked_by: str
) -> None:
    register(ledger, rows_for(["ann", "ben"]), asked_by)
    for claimed in claim_all(ledger, date=asked_by):
        answer(ledger, complete(claimed.lookup_id))
    register(ledger, rows_for(["ann", "ben"]))
    assert settled(ledger)
    with ledger.write() as connection:
        of_ben = lookups.c.identity == "ben"
        connection.execute(update(lookups).where(of_ben).values(state=state.value))
    assert settled(ledger) is (state in SETTLED)


def test_a_lookup_whose_row_has_left_keeps_no_partition_unsettled(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, [])
    assert settled(ledger)


def test_a_partition_that_waits_for_its_own_lookups_is_known_by_an_index(ledger: Ledger) -> None:
    """Whether the index is used: the values of its condition must stand in the statement."""
    with explained() as plan:
        settled(ledger)
    assert any("ix_lookups_pending (first_date=?)" in line for line in plan)


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
