"""How long the limits make lookups take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.enrichment.pace import Window, seconds_to_send

MINUTE, HOUR = 60.0, 3600.0


def fresh(limit: int, seconds: float) -> Window:
    return Window(limit, limit, seconds, None)


def test_without_limits_it_takes_no_time_and_with_a_rate_the_time_of_the_rate() -> None:
    assert seconds_to_send(1_000, 0, []) == 0
    assert seconds_to_send(1_000, 10, []) == pytest.approx(100)


def test_a_file_of_five_thousand_takes_more_than_three_days_on_fifteen_hundred_a_day() -> None:
    pro = [fresh(50, MINUTE), fresh(300, HOUR), fresh(1_500, 24 * HOUR)]
    took = seconds_to_send(5_000, 10, pro)
    assert took is not None
    assert 3 * 24 * HOUR < took < 3 * 24 * HOUR + 2 * HOUR


def test_what_is_left_of_a_window_goes_out_first() -> None:
    assert seconds_to_send(3, 0, [Window(5, 3, MINUTE, 20)]) == 0
    assert seconds_to_send(4, 0, [Window(5, 3, MINUTE, 20)]) == 20
    assert seconds_to_send(9, 0, [Window(5, 3, MINUTE, 20)]) == 80


def test_a_window_that_never_lets_anything_through_has_no_end() -> None:
    assert seconds_to_send(1, 10, [fresh(0, MINUTE)]) is None
    assert seconds_to_send(0, 10, [fresh(0, MINUTE)]) == 0


_WINDOWS = st.lists(
    st.builds(
        lambda limit, share, seconds, opens: Window(
            limit, int(limit * share), seconds, None if share == 1 else opens * seconds
        ),
        st.integers(1, 9),
        st.sampled_from([0.0, 0.4, 1.0]),
        st.sampled_from([7.0, 31.0, 200.0]),
        st.sampled_from([0.1, 1.0]),
    ),
    max_size=3,
)


@given(st.integers(0, 60), st.sampled_from([0.0, 1.0, 10.0]), _WINDOWS)
def test_more_lookups_never_take_less_time_and_no_limit_is_outrun(
    lookups: int, rate: float, windows: list[Window]
) -> None:
    took = seconds_to_send(lookups, rate, windows)
    one_more = seconds_to_send(lookups + 1, rate, windows)
    assert took is not None
    assert one_more is not None
    assert took <= one_more
    if rate:
        assert took >= lookups / rate - 1e-6
    for window in windows:
        whole_windows = (lookups - window.remaining - 1) // window.limit
        assert took >= whole_windows * window.seconds - 1e-6
