"""Looking people up again: what is old, in a newer partition; or what somebody asks for."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.counts import PartitionCounts, count_partitions
from lookup_pipeline.ledger.people import people_of
from lookup_pipeline.ledger.polling import expire_deadlines
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered, RequestedRow
from lookup_pipeline.ledger.resubmission import count_resubmittable, requeue
from lookup_pipeline.ledger.submissions import expire_leases
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
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
    register,
    rows_for,
    serving,
    stored,
    unconfirmed,
)

DAY = timedelta(days=1)
LATE = T0 + 100 * DAY
OLD = Refresh(LATE, complete_after=90 * DAY, failed_after=30 * DAY)


def again(
    ledger: Ledger, refresh: Refresh | None, date: str = NEXT_DATE, people: str = "ann"
) -> Registered:
    return register(ledger, rows_for(people.split(), file=f"{date}.csv"), date, refresh=refresh)


def counted(ledger: Ledger, date: str) -> list[PartitionCounts]:
    with ledger.read() as connection:
        return count_partitions(connection, [date])


@pytest.fixture
def ann(ledger: Ledger) -> int:
    """A complete lookup of the first date."""
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann"), b'{"old":1}'))
    return lookup_of(ledger, "ann")


def shown(ledger: Ledger, date: str) -> list[tuple[int, bytes | None, State | None]]:
    """What the rows show: whose profile, which, and how its refresh stands."""
    return [(row.lookup_id, row.payload, row.refresh_state) for row in published_rows(ledger, date)]


def test_by_default_nobody_is_looked_up_again(ledger: Ledger, ann: int) -> None:
    assert again(ledger, None).new_lookups == 0
    assert again(ledger, Refresh(LATE)).new_lookups == 0
    assert serving(ledger, NEXT_DATE) == [ann]


def test_who_was_found_long_ago_is_looked_up_again_in_a_newer_partition(
    ledger: Ledger, ann: int
) -> None:
    registered = again(ledger, OLD)
    assert (registered.new_lookups, registered.refreshed) == (1, 1)
    new = lookup_of(ledger, "ann")
    assert new != ann
    assert serving(ledger, NEXT_DATE) == [new]
    assert [row.reused for row in published_rows(ledger, NEXT_DATE)] == [False]
    assert [each.lookup_id for each in claim_all(ledger, LATE, date=NEXT_DATE)] == [new]


def test_older_partitions_keep_what_they_had_and_have_no_news(ledger: Ledger, ann: int) -> None:
    before = news(ledger, DATE)
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, complete(lookup_of(ledger, "ann"), b'{"new":1}'), now=LATE)
    assert news(ledger, DATE) == before
    assert [row.payload for row in published_rows(ledger, DATE)] == [b'{"old":1}']
    assert [row.payload for row in published_rows(ledger, NEXT_DATE)] == [b'{"new":1}']


def test_an_older_partition_that_is_materialized_again_gets_the_newest_free_of_charge(
    ledger: Ledger, ann: int
) -> None:
    again(ledger, OLD)
    new = lookup_of(ledger, "ann")
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, complete(new), now=LATE)
    assert again(ledger, OLD, DATE).new_lookups == 0
    assert serving(ledger, DATE) == [new] != [ann]


@pytest.mark.parametrize("date", [DATE, NEXT_DATE])
def test_the_profile_stays_published_until_a_newer_one_is_there(
    ledger: Ledger, ann: int, date: str
) -> None:
    """In the partition that asked for the refresh, and in an older one that is registered again."""
    again(ledger, OLD)
    again(ledger, OLD, DATE)
    new = lookup_of(ledger, "ann")
    assert serving(ledger, date) == [new]
    assert shown(ledger, date) == [(ann, b'{"old":1}', State.QUEUED)]
    claim_all(ledger, LATE, date=NEXT_DATE)
    assert shown(ledger, date) == [(ann, b'{"old":1}', State.SUBMITTING)]
    answer(ledger, in_flight(new), now=LATE)
    before = news(ledger, date)
    assert shown(ledger, date) == [(ann, b'{"old":1}', State.IN_FLIGHT)]
    answer(ledger, complete(new, b'{"new":1}'), now=LATE)
    assert shown(ledger, date) == [(new, b'{"new":1}', None)]
    assert news(ledger, date) == before + 1


@pytest.mark.parametrize("end", [failed, unconfirmed])
def test_a_refresh_that_ends_without_a_profile_takes_none_away_and_says_why(
    ledger: Ledger, ann: int, end: Callable[[int], Answer]
) -> None:
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    ended = end(lookup_of(ledger, "ann"))
    answer(ledger, ended, now=LATE)
    (row,) = published_rows(ledger, NEXT_DATE)
    assert (row.lookup_id, row.state, row.payload) == (ann, State.COMPLETE, b'{"old":1}')
    assert row.settled_at == T0
    assert (row.refresh_state, row.refresh_failure_kind) == (ended.state, ended.failure_kind)
    again(ledger, None, "2026-01-07")
    assert shown(ledger, "2026-01-07") == [(ann, b'{"old":1}', ended.state)], "newer ones too"


def test_a_refresh_that_follows_one_that_failed_keeps_the_newest_profile(
    ledger: Ledger, ann: int
) -> None:
    for days in range(3):
        force = Refresh(LATE, all_before=LATE + (1 + 2 * days) * DAY)
        assert again(ledger, force, DATE).refreshed == 1
        claim_all(ledger, LATE)
        answer(ledger, failed(lookup_of(ledger, "ann")), now=LATE + 2 * days * DAY)
        assert shown(ledger, DATE) == [(ann, b'{"old":1}', State.FAILED)]


def test_a_profile_that_comes_late_is_shown_although_a_newer_lookup_has_taken_over(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    ann = lookup_of(ledger, "ann")
    answer(ledger, failed(ann))
    again(ledger, Refresh(LATE, all_before=LATE), DATE)
    new = lookup_of(ledger, "ann")
    assert shown(ledger, DATE) == [(new, None, None)]
    before = news(ledger)
    answer(ledger, complete(ann, b'{"late":1}'), now=LATE)
    assert shown(ledger, DATE) == [(ann, b'{"late":1}', State.QUEUED)]
    assert news(ledger) == before + 1


def test_a_refresh_that_an_operator_has_sent_again_takes_no_profile_away(
    ledger: Ledger, ann: int
) -> None:
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, unconfirmed(lookup_of(ledger, "ann")), now=LATE)
    with ledger.write() as connection:
        kinds = [FailureKind.UNCONFIRMED]
        counted = count_resubmittable(connection, kinds, [DATE, NEXT_DATE])
        assert counted == {NEXT_DATE: {FailureKind.UNCONFIRMED: 1}}
        assert requeue(connection, NEXT_DATE, kinds, LATE + DAY) == 1
    assert shown(ledger, NEXT_DATE) == [(ann, b'{"old":1}', State.QUEUED)]


@pytest.mark.parametrize(
    ("days", "refreshed"),
    [(89, 0), (90, 1)],
)
def test_a_refresh_that_failed_is_repeated_when_its_own_end_is_that_long_ago(
    ledger: Ledger, ann: int, days: int, refreshed: int
) -> None:
    """However soon those are tried again who were never found."""
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, failed(lookup_of(ledger, "ann")), now=LATE)
    refresh = Refresh(LATE + days * DAY, complete_after=90 * DAY, failed_after=DAY)
    assert again(ledger, refresh, "2026-01-07").refreshed == refreshed


def test_a_refresh_that_failed_is_not_repeated_for_those_who_were_never_found(
    ledger: Ledger, ann: int
) -> None:
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, failed(lookup_of(ledger, "ann")), now=LATE)
    refresh = Refresh(LATE + 1000 * DAY, failed_after=DAY)
    assert again(ledger, refresh, "2026-01-07").refreshed == 0


def test_an_unconfirmed_refresh_is_never_repeated_by_itself(ledger: Ledger, ann: int) -> None:
    again(ledger, OLD)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, unconfirmed(lookup_of(ledger, "ann")), now=LATE)
    for days in range(100, 1000, 100):
        refresh = Refresh(LATE + days * DAY, DAY, DAY)
        assert again(ledger, refresh, f"2026-02-{days // 100:02}").new_lookups == 0


def test_counts_are_those_of_what_is_published_and_refreshes_are_counted_beside(
    ledger: Ledger, ann: int
) -> None:
    again(ledger, OLD, people="ann ben")
    (queued,) = counted(ledger, NEXT_DATE)
    assert (queued.states[State.COMPLETE], queued.states[State.QUEUED]) == (1, 1)
    assert (queued.rows, queued.pending, queued.unsettled, queued.queued) == (2, 1, 2, 2)
    assert (queued.refreshes[State.QUEUED], queued.match_rate) == (1, 1.0)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, unconfirmed(lookup_of(ledger, "ann")), failed(lookup_of(ledger, "ben")))
    (ended,) = counted(ledger, NEXT_DATE)
    assert (ended.unsettled, ended.unconfirmed, ended.match_rate) == (0, 1, 0.5)
    assert ended.states[State.UNCONFIRMED] == 0
    with ledger.read() as connection:
        assert people_of(connection, NEXT_DATE).found == 1


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_a_line_put_at_the_top_of_an_old_file_refreshes_nobody(ledger: Ledger, batch: int) -> None:
    people = ["ann", "ben", "cid", "dan"]
    register(ledger, rows_for(people))
    claim_all(ledger)
    for person in people:
        answer(ledger, complete(lookup_of(ledger, person)))
    register(ledger, rows_for(people, file="next.csv"), NEXT_DATE)
    moved = rows_for(["eve", *people], file="next.csv")
    registered = register(ledger, moved, NEXT_DATE, batch, OLD)
    assert (registered.new_lookups, registered.refreshed) == (1, 0)


def test_what_an_older_lookup_was_answered_says_nothing_of_a_newer_one_in_doubt(
    ledger: Ledger,
) -> None:
    """Asked about by profile id, the provider would answer with the old search."""
    by_id = RequestedRow("a.csv", 2, "v1:id:7", '{"id":7}', "{}", 7)
    register(ledger, [by_id])
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "v1:id:7")))
    register(ledger, [by_id], NEXT_DATE, refresh=OLD)
    new = lookup_of(ledger, "v1:id:7")
    claim_all(ledger, LATE, date=NEXT_DATE)
    with ledger.write() as connection:
        assert expire_leases(connection, LATE + DAY) == 1
    assert stored(ledger, new).next_poll_at is None


@pytest.mark.parametrize("when", [LATE, LATE + 1000 * DAY])
def test_a_partition_that_is_materialized_again_costs_nothing_however_late(
    ledger: Ledger, ann: int, when: datetime
) -> None:
    again(ledger, None)
    refresh = Refresh(when, complete_after=90 * DAY, failed_after=30 * DAY)
    assert again(ledger, refresh).new_lookups == 0
    assert again(ledger, refresh, DATE).new_lookups == 0
    assert serving(ledger, NEXT_DATE) == [ann]


def test_a_partition_that_is_materialized_again_costs_nothing_although_an_older_one_has_refreshed(
    ledger: Ledger, ann: int
) -> None:
    """Its rows still ask for the lookup before."""
    again(ledger, None, "2026-02-01")
    again(ledger, OLD, NEXT_DATE)
    claim_all(ledger, LATE, date=NEXT_DATE)
    answer(ledger, complete(lookup_of(ledger, "ann")), now=LATE)
    refresh = Refresh(LATE + 1000 * DAY, complete_after=90 * DAY)
    assert again(ledger, refresh, "2026-02-01").new_lookups == 0
    assert serving(ledger, "2026-02-01") == [lookup_of(ledger, "ann")]


def test_the_partition_that_asked_and_older_ones_refresh_nobody(ledger: Ledger, ann: int) -> None:
    assert again(ledger, OLD, "2026-01-04").new_lookups == 0


def test_who_was_found_of_late_is_not_looked_up_again(ledger: Ledger, ann: int) -> None:
    recently = Refresh(T0 + 90 * DAY - SECOND, complete_after=90 * DAY)
    assert again(ledger, recently).new_lookups == 0


@pytest.mark.parametrize(
    ("days", "refreshed"),
    [(29, 0), (30, 1)],
)
def test_who_was_not_found_has_a_time_of_their_own(
    ledger: Ledger, days: int, refreshed: int
) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    answer(ledger, failed(lookup_of(ledger, "ann")))
    refresh = Refresh(T0 + days * DAY, complete_after=DAY, failed_after=30 * DAY)
    assert again(ledger, refresh).refreshed == refreshed


@pytest.mark.parametrize("state", [State.QUEUED, State.IN_FLIGHT, State.UNCONFIRMED])
@pytest.mark.parametrize("forced", [False, True])
def test_what_is_under_way_or_in_doubt_is_never_sent_a_second_time(
    ledger: Ledger, state: State, forced: bool
) -> None:
    register(ledger, rows_for(["ann"]))
    if state is not State.QUEUED:
        claim_all(ledger)
        ann = lookup_of(ledger, "ann")
        answer(ledger, in_flight(ann) if state is State.IN_FLIGHT else unconfirmed(ann))
    refresh = Refresh(LATE, DAY, DAY, all_before=LATE if forced else None)
    assert again(ledger, refresh).new_lookups == 0


def test_a_forced_refresh_means_everybody_who_had_ended_when_it_was_asked_for_once(
    ledger: Ledger, ann: int
) -> None:
    force = Refresh(LATE, all_before=T0 + SECOND)
    assert again(ledger, force, DATE).refreshed == 1
    new = lookup_of(ledger, "ann")
    assert serving(ledger, DATE) == [new]
    assert again(ledger, force, DATE).refreshed == 0, "repeated, since its process died"
    claim_all(ledger, LATE)
    answer(ledger, complete(new), now=LATE)
    assert again(ledger, force, DATE).refreshed == 0, "it ended after it was asked for"
    assert stored(ledger, ann).state is State.COMPLETE


def test_one_that_timed_out_and_is_still_asked_about_is_not_followed_yet(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    ann = lookup_of(ledger, "ann")
    answer(ledger, in_flight(ann))
    asked_in_vain(ledger, ann, T0 + DAY)
    with ledger.write() as connection:
        assert expire_deadlines(connection, T0 + DAY + SECOND) == 1
    assert stored(ledger, ann).next_poll_at is not None
    assert again(ledger, Refresh(LATE, DAY, DAY, all_before=LATE)).refreshed == 0


def test_a_lookup_that_was_followed_is_not_sent_again_by_the_operators_word_for_failures(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann"]))
    claim_all(ledger)
    answer(ledger, failed(lookup_of(ledger, "ann")))
    again(ledger, OLD)
    with ledger.write() as connection:
        assert count_resubmittable(connection, list(FailureKind), [DATE, NEXT_DATE]) == {}
        assert requeue(connection, DATE, list(FailureKind), LATE) == 0


@settings(deadline=None, database=None, max_examples=25)
@given(
    people=st.lists(st.sampled_from("abc"), min_size=1, max_size=6),
    batch=st.integers(1, 4),
    forced=st.booleans(),
)
def test_everybody_is_refreshed_once_whatever_the_batches_and_however_often_they_stand_there(
    people: list[str], batch: int, forced: bool
) -> None:
    refresh = Refresh(LATE, complete_after=DAY, all_before=LATE if forced else None)
    with fresh_ledger() as ledger:
        register(ledger, rows_for(people))
        claim_all(ledger)
        for person in set(people):
            answer(ledger, complete(lookup_of(ledger, person)))
        rows: list[RequestedRow] = rows_for(people, file="next.csv")
        assert register(ledger, rows, NEXT_DATE, batch, refresh).refreshed == len(set(people))
        assert len(claim_all(ledger, LATE, date=NEXT_DATE)) == len(set(people))
        with ledger.read() as connection:
            identities = list(connection.scalars(select(lookups.c.identity)))
    assert len(identities) == 2 * len(set(people))
