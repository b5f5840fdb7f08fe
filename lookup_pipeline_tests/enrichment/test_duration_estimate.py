"""Which lookups go out on which day, and how long the limits make them take."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.enrichment.account import Plan
from lookup_pipeline.enrichment.budget import MAX_NEW, MIN_CREDITS, SubmissionPolicy
from lookup_pipeline.enrichment.duration_estimate import NEVER, NOT_RESUMED, Sending, Simulation
from lookup_pipeline.ledger.allowances import CREDITS, WINDOWS, Known

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TODAY, TOMORROW, AFTER = "2026-01-05", "2026-01-06", "2026-01-07"
HOUR = timedelta(hours=1)


def send(
    lookups: int,
    *quotas: Known,
    rate: float = 0,
    sent_today: int = 0,
    resumes: bool = True,
    now: datetime = NOON,
    **maxima: int,
) -> Sending:
    policy = SubmissionPolicy(Plan("standard", rate), HOUR, **maxima)
    return Simulation(policy, quotas, sent_today, now, resumes=resumes).send(lookups)


def fresh(name: str, limit: int) -> Known:
    return Known(name, limit, limit)


def test_without_limits_it_takes_no_time_and_with_a_rate_the_time_of_the_rate() -> None:
    assert send(1_000) == Sending({TODAY: 1_000}, {}, 0)
    assert send(1_000, rate=10).seconds == pytest.approx(100)
    assert send(0) == Sending()


def test_a_file_of_five_thousand_takes_more_than_three_days_on_fifteen_hundred_a_day() -> None:
    found = send(5_000, fresh("minute", 50), fresh("hour", 300), fresh("day", 1_500), rate=10)
    assert 3 * 24 * 3_600 < found.seconds < 3 * 24 * 3_600 + 2 * 3_600
    assert found.lookups == 5_000
    assert list(found.days) == [TODAY, TOMORROW, AFTER, "2026-01-08"]
    assert list(found.days.values()) == [1_500, 1_500, 1_500, 500]


def test_what_is_left_of_a_window_goes_out_first() -> None:
    begun = NOON - timedelta(seconds=40)
    assert send(3, Known("minute", 5, 3, begun)).seconds == 0
    assert send(4, Known("minute", 5, 3, begun)).seconds == 21
    assert send(9, Known("minute", 5, 3, begun)).seconds == 82


def test_a_days_maximum_splits_by_day_and_counts_what_was_sent() -> None:
    found = send(40, max_a_day=15, sent_today=5)
    assert found.days == {TODAY: 10, TOMORROW: 15, AFTER: 15}
    assert found.held_back == {}
    assert found.seconds == (timedelta(days=2) - timedelta(hours=12)).total_seconds()


def test_a_floor_of_credits_holds_the_rest_back() -> None:
    assert send(40, Known(CREDITS, None, 20)) == Sending({TODAY: 20}, {MIN_CREDITS: 20}, 0)
    both = send(40, Known(CREDITS, None, 20), max_a_day=15)
    assert (both.days, both.held_back) == ({TODAY: 15, TOMORROW: 5}, {MIN_CREDITS: 20})


def test_a_maximum_of_the_run_counts_from_anew_where_a_limit_ended_the_one_before() -> None:
    assert send(40, max_new=12) == Sending({TODAY: 12}, {MAX_NEW: 28}, 0)
    found = send(40, fresh("hour", 10), max_new=12)
    assert (found.lookups, found.held_back) == (40, {})
    # A minute is waited out within the run.
    assert send(40, fresh("minute", 10), max_new=12).held_back == {MAX_NEW: 28}


def test_what_nothing_resumes_ends_at_the_first_long_wait() -> None:
    assert send(40, max_a_day=15, resumes=False) == Sending({TODAY: 15}, {NOT_RESUMED: 25}, 0)
    assert send(40, fresh("hour", 10), resumes=False).held_back == {NOT_RESUMED: 30}
    assert send(40, fresh("minute", 10), resumes=False).lookups == 40


def test_a_rate_goes_on_over_midnight() -> None:
    found = send(100, rate=1, now=NOON + timedelta(hours=11, minutes=59, seconds=30))
    assert found.days == {TODAY: 30, TOMORROW: 70}


def test_a_limit_that_lets_nothing_out_holds_all_back() -> None:
    for found in (send(1, fresh("hour", 0)), send(1, max_a_day=0), send(1, max_new=0)):
        assert found == Sending({}, {NEVER: 1}, 0)
    assert send(0, fresh("hour", 0)) == Sending()


_QUOTAS = st.lists(
    st.builds(
        lambda name, limit, share, age: Known(
            name, limit, int(limit * share), None if share == 1 else NOON - age * WINDOWS[name]
        ),
        st.sampled_from(["minute", "hour", "day"]),
        st.integers(1, 9),
        st.sampled_from([0.0, 0.4, 1.0]),
        st.sampled_from([0.1, 0.9]),
    ),
    max_size=3,
    unique_by=lambda each: each.name,
)


@given(st.integers(0, 60), st.sampled_from([0.0, 1.0, 10.0]), _QUOTAS)
def test_more_lookups_never_take_less_time_and_no_limit_is_outrun(
    lookups: int, rate: float, quotas: list[Known]
) -> None:
    found, one_more = (send(number, *quotas, rate=rate) for number in (lookups, lookups + 1))
    assert (found.lookups, one_more.lookups) == (lookups, lookups + 1)
    assert found.seconds <= one_more.seconds
    assert found.seconds >= (lookups / rate if rate else 0) - 1e-3
    for quota in quotas:
        assert quota.limit is not None
        windows = (lookups - quota.remaining - 1) // quota.limit
        assert found.seconds >= windows * WINDOWS[quota.name].total_seconds()


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 30))
def test_no_day_gets_more_than_its_maximum_and_none_is_left_out(
    lookups: int, max_a_day: int, sent_today: int
) -> None:
    found = send(lookups, max_a_day=max_a_day, sent_today=sent_today)
    assert found.lookups == lookups
    assert all(number <= max_a_day for number in found.days.values())
    assert found.days.get(TODAY, 0) <= max(max_a_day - sent_today, 0)
    days = [datetime.fromisoformat(day) for day in found.days]
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
