"""What an answer or an error means for a lookup, for every one there can be."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.enrichment.outcomes import (
    MAX_TRIES,
    from_error,
    from_lookup,
    from_status,
    next_poll_at,
    retry_delay,
)
from lookup_pipeline.ledger import FailureKind, State
from lookup_pipeline.ledger.submissions import Claim
from lookup_pipeline.rocketreach import ErrorClass, LookupAnswer, RocketReachError, StatusAnswer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)

durations = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3_000))
profile_ids = st.none() | st.integers(1, 2**53)


@given(durations)
def test_a_lookup_is_asked_about_again_after_three_seconds_to_five_minutes(age: timedelta) -> None:
    wait = next_poll_at(NOW - age, NOW) - NOW
    assert timedelta(seconds=3) <= wait <= timedelta(minutes=5)


@given(durations, durations)
def test_the_older_a_lookup_is_the_later_it_is_asked_about_again(
    one: timedelta, other: timedelta
) -> None:
    younger, older = sorted((one, other))
    assert next_poll_at(NOW - younger, NOW) <= next_poll_at(NOW - older, NOW)


@given(durations)
def test_a_clock_that_goes_back_does_not_make_polling_faster(ahead: timedelta) -> None:
    assert next_poll_at(NOW + ahead, NOW) - NOW == timedelta(seconds=3)


@given(st.integers(1, 10**6))
def test_the_back_off_doubles_from_a_second_to_five_with_up_to_half_of_jitter(
    tries: int,
) -> None:
    longest = min(2 ** min(tries - 1, 20), 5)
    assert longest / 2 <= retry_delay(tries).total_seconds() <= longest


@given(
    st.sampled_from([each for each in ErrorClass if each is not ErrorClass.QUERY]),
    st.none() | st.integers(300, 599),
    st.none() | st.timedeltas(min_value=timedelta(seconds=1), max_value=DAY),
    st.integers(1, 9),
    st.integers(1, 50),
    st.booleans(),
)
def test_a_failed_submission_goes_back_into_the_queue_only_where_that_is_safe(
    error_class: ErrorClass,
    status: int | None,
    retry_after: timedelta | None,
    attempts: int,
    tries: int,
    others_succeed: bool,
) -> None:
    error = RocketReachError(error_class, "said so", status=status, retry_after=retry_after)
    answer = from_error(
        Claim(7, "{}", attempts, 4), error, NOW, tries=tries, others_succeed=others_succeed
    )
    assert (answer.lookup_id, answer.claim) == (7, 4)
    assert (answer.http_status, answer.failure_reason) == (status, "said so")
    assert answer.credits == 0
    assert answer.payload is None
    match error_class:
        case ErrorClass.ACCOUNT:
            assert (answer.state, answer.not_before) == (State.QUEUED, None)
            assert answer.not_processed
        case ErrorClass.NOT_PROCESSED:
            assert answer.state is State.QUEUED
            assert answer.not_processed
            assert answer.not_before is not None
            wait = answer.not_before - NOW
            assert wait == retry_after or (
                retry_after is None and timedelta(0) < wait <= timedelta(minutes=1)
            )
        case ErrorClass.RETRYABLE if attempts < MAX_TRIES or not others_succeed:
            assert answer.state is State.QUEUED
            assert not answer.not_processed, "each time may be charged, so each time counts"
            # While nobody is answered, it is an outage: fail nobody, but leave them alone longer.
            assert answer.not_before is not None
            longest = timedelta(minutes=1)
            if attempts >= MAX_TRIES:
                # Twice as long each time.
                longest = min(
                    timedelta(minutes=15) * 2 ** (attempts - MAX_TRIES), timedelta(days=1)
                )
            assert NOW < answer.not_before <= NOW + longest
        case ErrorClass.RETRYABLE:
            assert answer.state is State.FAILED
            assert answer.failure_kind == FailureKind.SERVER_ERROR
        case ErrorClass.AMBIGUOUS:
            assert answer.state is State.UNCONFIRMED
            assert answer.failure_kind == FailureKind.UNCONFIRMED


@given(st.integers(400, 499), st.integers(1, 9))
def test_an_error_of_the_query_ends_the_lookup(status: int, attempts: int) -> None:
    error = RocketReachError(ErrorClass.QUERY, "said so", status=status)
    answer = from_error(Claim(7, "{}", attempts, 4), error, NOW, tries=1, others_succeed=True)
    assert answer.state is State.FAILED
    expected = FailureKind.NOT_FOUND if status == 404 else FailureKind.INVALID_QUERY
    assert answer.failure_kind == expected
    assert not answer.not_processed


@given(profile_ids, st.text(), st.booleans(), durations)
def test_only_complete_and_failed_end_a_lookup(
    profile_id: int | None, status: str, contact: bool, age: timedelta
) -> None:
    answer = from_status(7, StatusAnswer(profile_id, status, contact, b"{}"), NOW - age, NOW, DAY)
    assert (answer.state is State.COMPLETE) == (status == "complete")
    assert (answer.state is State.FAILED) == (status == "failed")
    assert answer.state in {State.COMPLETE, State.FAILED, State.IN_FLIGHT}
    assert answer.api_status == (status or None)


@given(profile_ids, st.booleans(), st.sampled_from(["complete", "failed", "searching", "odd"]))
def test_a_credit_is_counted_for_a_profile_with_contact_data_and_for_nothing_else(
    profile_id: int | None, contact: bool, status: str
) -> None:
    head = StatusAnswer(profile_id, status, contact, b"{}")
    answer = from_lookup(Claim(7, "{}", 1, 4), LookupAnswer(head, "id"), NOW, DAY)
    assert answer.credits == int(contact and status == "complete")
    assert (answer.payload is not None) == (status == "complete")
    assert (answer.request_id, answer.claim) == ("id", 4)


@given(profile_ids, durations)
def test_a_lookup_in_flight_has_a_deadline_and_is_asked_about_where_there_is_an_id(
    profile_id: int | None, age: timedelta
) -> None:
    head = StatusAnswer(profile_id, "waiting", False, b"{}")
    answer = from_status(7, head, NOW - age, NOW, DAY)
    assert answer.deadline_at == NOW - age + DAY
    assert (answer.next_poll_at is None) == (profile_id is None)
