"""The limiter: no second gets more than the rate, and silence that was asked for is kept."""

import math
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.limits import (
    AHEAD,
    ALL,
    WAKE_UP,
    Permits,
    block,
    blocked_until,
    delay,
    take,
)
from lookup_pipeline_tests.ledger.helpers import SECOND, T0, fresh_ledger

# Between two requests at ten a second, the margin included.
INTERVAL = timedelta(milliseconds=102)

# The first slot of a limiter that nobody has used of late.
SLOT = T0 + WAKE_UP


def take_once(
    ledger: Ledger, now: datetime, *, wanted: int = 1, rate: float = 10, operation: str = "lookup"
) -> Permits:
    with ledger.write() as connection:
        return take(connection, operation, wanted, rate, now)


def block_until(ledger: Ledger, operation: str, until: datetime) -> None:
    with ledger.write() as connection:
        block(connection, operation, until)


# Gaps of whole intervals meet the edges of windows, odd ones whatever lies between.
_GAPS = st.one_of(
    st.just(0),
    st.integers(1, 2_000_000),
    st.sampled_from([100_000, 142_857, 250_000, 333_333, 1_000_000]),
)


@settings(deadline=None, database=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.lists(st.tuples(_GAPS, st.integers(1, 40), st.booleans()), max_size=40),
)
def test_no_window_of_a_second_gets_more_than_the_rate(
    rate: int, turns: list[tuple[int, int, bool]]
) -> None:
    slots: list[datetime] = []
    now = T0
    with fresh_ledger() as ledger, ledger.write() as connection:
        for gap, wanted, waits in turns:
            now += timedelta(microseconds=gap)
            operation = "lookup" if wanted % 2 else "checkStatus"
            permits = take(connection, operation, wanted, rate, now)
            if not permits.slots and waits:
                # What submission does: come back when the limiter says.
                now += permits.wait
                permits = take(connection, operation, wanted, rate, now)
                assert len(permits.slots) >= 1
            assert all(now <= slot <= now + AHEAD for slot in permits.slots)
            slots += permits.slots
    for start in slots:
        assert sum(start <= each < start + SECOND for each in slots) <= rate


@pytest.mark.parametrize("rate", [0.5, 3, 7, 9, 10, 11, 1000])
def test_whoever_asks_all_the_time_gets_all_but_a_fiftieth_of_the_rate(
    ledger: Ledger, rate: float
) -> None:
    """Rates whose interval is no whole number of microseconds included."""
    now, slots = T0, Counter[datetime]()
    with ledger.write() as connection:
        while now < T0 + 60 * SECOND and slots.total() < 2000:
            permits = take(connection, "lookup", 100, rate, now)
            slots.update(permits.slots)
            now += max(permits.wait, timedelta(microseconds=1))
    assert set(slots.values()) == {1}
    took = max(slots) - min(slots)
    assert (len(slots) - 1) / took.total_seconds() >= 0.97 * rate
    for start in slots:
        assert sum(start <= each < start + SECOND for each in slots) <= math.ceil(rate)


def test_a_process_that_wakes_late_loses_no_slot(ledger: Ledger) -> None:
    first = take_once(ledger, T0, wanted=100).slots
    assert first == (SLOT, SLOT + INTERVAL)
    late = first[-1]
    assert take_once(ledger, late, wanted=100).slots[0] == SLOT + 2 * INTERVAL


def test_slots_are_given_out_a_moment_ahead_and_no_earlier(ledger: Ledger) -> None:
    take_once(ledger, T0, wanted=100)
    permits = take_once(ledger, T0)
    assert permits == Permits(wait=WAKE_UP + 2 * INTERVAL - AHEAD)
    assert take_once(ledger, T0 + permits.wait).slots == (SLOT + 2 * INTERVAL,)


def test_unused_time_is_not_caught_up(ledger: Ledger) -> None:
    take_once(ledger, T0)
    later = T0 + 3600 * SECOND
    assert take_once(ledger, later, wanted=100).slots[0] == later + WAKE_UP


@pytest.mark.parametrize("rate", [1_500_000, 1e7])
def test_a_rate_beyond_what_a_clock_tells_apart_still_grants(ledger: Ledger, rate: float) -> None:
    assert take_once(ledger, T0, wanted=5, rate=rate).slots
    assert take_once(ledger, T0 + SECOND, wanted=5, rate=rate).slots


def test_no_more_is_granted_than_wanted(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=2).slots == (SLOT, SLOT + INTERVAL)


def test_wanting_nothing_uses_nothing(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=0) == Permits()
    assert take_once(ledger, T0, wanted=100).slots[0] == SLOT


def test_all_operations_share_one_rate(ledger: Ledger) -> None:
    take_once(ledger, T0)
    assert take_once(ledger, T0, operation="checkStatus").slots == (SLOT + INTERVAL,)


def test_rate_zero_lifts_the_ceiling(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=1000, rate=0) == Permits((T0,) * 1000)
    assert take_once(ledger, T0, wanted=1000, rate=0) == Permits((T0,) * 1000)


def test_rate_zero_does_not_lift_the_providers_silence(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + 30 * SECOND)
    assert take_once(ledger, T0, rate=0) == Permits(wait=30 * SECOND, blocked=True)


def test_silence_is_kept_for_its_operation_only_and_ends(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + 30 * SECOND)
    assert take_once(ledger, T0 + SECOND) == Permits(wait=29 * SECOND, blocked=True)
    assert take_once(ledger, T0 + SECOND, operation="checkStatus").slots
    assert take_once(ledger, T0 + 30 * SECOND).slots


def test_a_refused_request_uses_nothing_of_the_rate(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + SECOND)
    take_once(ledger, T0, wanted=100)
    assert take_once(ledger, T0, wanted=100, operation="checkStatus").slots[0] == SLOT


def test_silence_about_everything_is_kept_by_every_operation(ledger: Ledger) -> None:
    block_until(ledger, ALL, T0 + 30 * SECOND)
    for operation in ("lookup", "checkStatus"):
        assert take_once(ledger, T0, operation=operation) == Permits(wait=30 * SECOND, blocked=True)


def test_silence_about_everything_and_the_rate_do_not_disturb_each_other(ledger: Ledger) -> None:
    take_once(ledger, T0, wanted=100)
    block_until(ledger, ALL, T0 + timedelta(milliseconds=50))
    later = T0 + timedelta(milliseconds=60)
    assert take_once(ledger, later).slots == (SLOT + 2 * INTERVAL,)


@settings(deadline=None, database=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([ALL, "lookup", "checkStatus"]), st.integers(0, 100)),
        min_size=1,
        max_size=10,
    )
)
def test_silence_is_never_shortened(asked: list[tuple[str, int]]) -> None:
    with fresh_ledger() as ledger, ledger.write() as connection:
        for place, (operation, seconds) in enumerate(asked, start=1):
            block(connection, operation, T0 + seconds * SECOND)
            for kept in ("lookup", "checkStatus"):
                longest = max(
                    (until for name, until in asked[:place] if name in (ALL, kept)), default=None
                )
                expected = None if longest is None else T0 + longest * SECOND
                assert blocked_until(connection, kept) == expected


def test_the_limiter_is_shared_by_every_connection(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + SECOND)
    with ledger.read() as connection:
        assert blocked_until(connection, "lookup") == T0 + SECOND
        assert blocked_until(connection, "checkStatus") is None


def test_a_request_that_leaves_late_moves_the_slots_behind_it(ledger: Ledger) -> None:
    """Else the ten of the next second would arrive within a second of the late one."""
    late = timedelta(milliseconds=150)
    before = take_once(ledger, T0).slots[0]
    with ledger.write() as connection:
        delay(connection, late)
    assert take_once(ledger, T0 + late).slots[0] == before + INTERVAL + late


def test_a_process_that_slept_for_hours_does_not_hold_up_the_others(ledger: Ledger) -> None:
    take_once(ledger, T0)
    with ledger.write() as connection:
        delay(connection, timedelta(hours=3))
    assert take_once(ledger, T0 + 2 * SECOND).slots


@pytest.mark.parametrize("back", [timedelta(seconds=2), timedelta(hours=1), timedelta(days=300)])
def test_a_clock_that_is_set_back_stops_nobody(ledger: Ledger, back: timedelta) -> None:
    take_once(ledger, T0)
    assert take_once(ledger, T0 - back).slots == (SLOT - back,)
