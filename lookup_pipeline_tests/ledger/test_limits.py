"""The limiter: no second gets more than the rate, and silence that was asked for is kept."""

import math
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.limits import ALL, SLACK, Permits, block, blocked_until, take
from lookup_pipeline_tests.ledger.helpers import SECOND, T0, fresh_ledger


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
def test_no_window_of_a_second_gets_more_than_the_rate_and_the_slack(
    rate: int, turns: list[tuple[int, int, bool]]
) -> None:
    granted: list[datetime] = []
    now = T0
    with fresh_ledger() as ledger, ledger.write() as connection:
        for gap, wanted, waits in turns:
            now += timedelta(microseconds=gap)
            operation = "lookup" if wanted % 2 else "checkStatus"
            permits = take(connection, operation, wanted, rate, now)
            if not permits.granted and waits:
                # What submission does: come back when the limiter says.
                now += permits.wait
                permits = take(connection, operation, wanted, rate, now)
                assert permits.granted >= 1
            granted += [now] * permits.granted
    for start in set(granted):
        inside = sum(start <= each < start + SECOND for each in granted)
        assert inside <= rate + SLACK


@pytest.mark.parametrize("rate", [0.5, 3, 7, 9, 10, 11, 1_500_000])
def test_a_steady_sender_never_passes_the_rate_and_the_slack(ledger: Ledger, rate: float) -> None:
    """Rates whose interval is no whole number of microseconds included."""
    now, sent = T0, Counter[datetime]()
    with ledger.write() as connection:
        for _ in range(60):
            permits = take(connection, "lookup", 100, rate, now)
            sent[now] += permits.granted
            now += permits.wait
    for start in sent:
        inside = sum(count for at, count in sent.items() if start <= at < start + SECOND)
        assert inside <= math.ceil(rate) + SLACK


@pytest.mark.parametrize("rate", [1_500_000, 1e7])
def test_a_rate_beyond_what_a_clock_tells_apart_still_grants(ledger: Ledger, rate: float) -> None:
    assert take_once(ledger, T0, wanted=5, rate=rate).granted >= 1
    assert take_once(ledger, T0 + SECOND, wanted=5, rate=rate).granted >= 1


def test_requests_are_spaced_evenly_after_the_slack(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=100) == Permits(1 + SLACK)
    assert take_once(ledger, T0) == Permits(0, timedelta(milliseconds=100))
    later = T0 + timedelta(milliseconds=100)
    assert take_once(ledger, later, wanted=100) == Permits(1)


def test_unused_time_is_caught_up_by_no_more_than_the_slack(ledger: Ledger) -> None:
    take_once(ledger, T0)
    assert take_once(ledger, T0 + 3600 * SECOND, wanted=100).granted == 1 + SLACK


def test_no_more_is_granted_than_wanted(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=2) == Permits(2)
    assert take_once(ledger, T0, wanted=2) == Permits(1)


def test_wanting_nothing_uses_nothing(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=0) == Permits(0)
    assert take_once(ledger, T0, wanted=100) == Permits(1 + SLACK)


def test_all_operations_share_one_rate(ledger: Ledger) -> None:
    take_once(ledger, T0, wanted=100)
    assert take_once(ledger, T0, operation="checkStatus").granted == 0


def test_rate_zero_lifts_the_ceiling(ledger: Ledger) -> None:
    assert take_once(ledger, T0, wanted=1000, rate=0) == Permits(1000)
    assert take_once(ledger, T0, wanted=1000, rate=0) == Permits(1000)


def test_rate_zero_does_not_lift_the_providers_silence(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + 30 * SECOND)
    assert take_once(ledger, T0, rate=0) == Permits(0, 30 * SECOND, blocked=True)


def test_silence_is_kept_for_its_operation_only_and_ends(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + 30 * SECOND)
    assert take_once(ledger, T0 + SECOND) == Permits(0, 29 * SECOND, blocked=True)
    assert take_once(ledger, T0 + SECOND, operation="checkStatus").granted == 1
    assert take_once(ledger, T0 + 30 * SECOND).granted == 1


def test_a_refused_request_uses_nothing_of_the_rate(ledger: Ledger) -> None:
    block_until(ledger, "lookup", T0 + SECOND)
    take_once(ledger, T0, wanted=100)
    assert take_once(ledger, T0, wanted=100, operation="checkStatus").granted == 1 + SLACK


def test_silence_about_everything_is_kept_by_every_operation(ledger: Ledger) -> None:
    block_until(ledger, ALL, T0 + 30 * SECOND)
    for operation in ("lookup", "checkStatus"):
        assert take_once(ledger, T0, operation=operation) == Permits(0, 30 * SECOND, blocked=True)


def test_silence_about_everything_and_the_rate_do_not_disturb_each_other(ledger: Ledger) -> None:
    take_once(ledger, T0, wanted=100)
    block_until(ledger, ALL, T0 + timedelta(milliseconds=50))
    assert take_once(ledger, T0 + timedelta(milliseconds=60)) == Permits(
        0, timedelta(milliseconds=40)
    )


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
