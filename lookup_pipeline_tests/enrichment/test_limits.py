"""The provider's limits are kept: waited out where that is short, said where it is long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from lookup_pipeline.datasets.columns import PENDING_LOOKUPS
from lookup_pipeline.enrichment.budget import MAX_A_DAY, MAX_NEW, MIN_CREDITS
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.ledger import FailureKind, State
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    MovableClock,
    Pipeline,
    once,
    opened_pipeline,
    people,
    sent,
    to_lookups,
)
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server


def test_a_long_window_ends_the_run_in_success_and_opens_for_a_later_one(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(110))
    # The hour's hundred are used before the plan counts them.
    pipeline.register(people(100, family="Early"), NEXT_DAY)
    pipeline.submit(NEXT_DAY)
    sandbox.change(plan="essentials")
    begun = pipeline.clock()
    report = pipeline.submit()
    assert report.waits_until is not None
    assert 3_500 <= (report.waits_until - begun).total_seconds() <= 3_610
    assert report.accepted == report.failed == report.unconfirmed == 0
    assert report.put_back == sandbox.requests().violations == 0, "the account said so before"
    assert pipeline.states() == {State.QUEUED: 110}
    pipeline.publish()
    assert {row["state"] for row in pipeline.rows(PENDING_LOOKUPS)} == {"queued"}

    assert pipeline.submit().waits_until is not None

    sandbox.change(plan="custom")
    sandbox.advance(seconds=3_610)
    pipeline.clock.advance(seconds=3_610)
    report = pipeline.submit()
    assert (report.accepted, report.waits_until) == (110, None)
    assert sandbox.requests().violations == 0
    assert set(sent(sandbox).values()) == {1}


def test_a_short_window_is_waited_out_within_the_run(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials")
    pipeline.register(people(28))

    def next_minute() -> None:
        sandbox.advance(seconds=61)
        pipeline.clock.advance(seconds=61)

    def minute_is_used_up() -> bool:
        return pipeline.states() == {State.IN_FLIGHT: 15, State.QUEUED: 13}

    with once(minute_is_used_up, next_minute):
        report = pipeline.submit()
    assert (report.accepted, report.waits_until) == (28, None)
    assert report.put_back == sandbox.requests().violations == 0
    assert set(sent(sandbox).values()) == {1}
    assert {row.attempts for row in pipeline.ledger_rows().values()} == {1}


def test_while_a_window_is_awaited_the_account_is_asked_once_a_minute_at_most(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials")
    pipeline.register(people(20))
    # A minute of the pipeline's passes in a second; the window stays used up meanwhile.
    pipeline.clock = MovableClock(speed=60)
    report = pipeline.submit(seconds=200)
    assert (report.accepted, report.out_of_time) == (15, True)
    # At the beginning, and when the window should have opened.
    assert 2 <= sandbox.requests().by_operation["account"] <= 1 + 200 // 60


def test_two_submissions_at_once_keep_the_plans_windows_together(
    tmp_path: Path, pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials", latency_seconds=0.02)
    pipeline.register(people(40), DAY)
    pipeline.register(people(40, family="Lovelace"), NEXT_DAY)
    with (
        opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        for _ in range(3):
            reports = [
                threads.submit(pipeline.submit, DAY, seconds=1),
                threads.submit(other.submit, NEXT_DAY, seconds=1),
            ]
            assert sum(report.result().accepted for report in reports) == 15
            assert sandbox.requests().violations == 0
            for clock in (pipeline.clock, other.clock):
                clock.advance(seconds=61)
            sandbox.advance(seconds=61)


def test_a_window_that_somebody_else_fills_is_kept_too(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """The key is used elsewhere, by what knows nothing of this ledger."""
    sandbox.change(plan="essentials")
    for number in range(9):
        pipeline.client.lookup({"id": number + 1}, "standard")
    pipeline.register(people(20))
    assert pipeline.submit(seconds=0.5).accepted == 6
    assert sandbox.requests().violations == 0


def test_what_the_operator_says_of_the_plan_goes_before_what_the_account_says(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials")
    pipeline.register(people(20))
    report = pipeline.submit(windows={"minute": 4, "hour": 4})
    assert (report.accepted, pipeline.states()[State.QUEUED]) == (4, 16)
    assert report.waits_until is not None, "the hour is used up"


def test_a_plan_that_the_account_does_not_tell_of_is_kept_by_what_was_sent(tmp_path: Path) -> None:
    def answer(_request: Request) -> bytes:
        return http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(20))
        accepted = []
        for _ in range(2):
            accepted += [pipeline.submit(windows={"day": 7}).accepted for _ in range(2)]
            pipeline.clock.advance(hours=25)
        assert accepted == [7, 0, 7, 0]


def test_an_account_that_does_not_answer_stops_nobody_who_has_set_no_floor(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    def answer(request: Request) -> bytes:
        if "/account" in request.path:
            return http(502, b"<html>", "text/html")
        return http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        with pytest.raises(SubmissionStoppedError, match="floor of credits"):
            pipeline.submit(min_credits=10)
        assert pipeline.states() == {State.QUEUED: 3}
        assert pipeline.submit().complete == 3


def test_a_run_sends_no_more_than_its_maximum_and_the_next_goes_on(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(50))
    report = pipeline.submit(max_new=20)
    assert (report.accepted, report.capped_by, report.waits_until) == (20, MAX_NEW, None)
    assert len(sandbox.lookups()) == 20
    assert pipeline.submit(max_new=40).capped_by is None
    assert len(sandbox.lookups()) == 50


def test_what_was_refused_does_not_count_against_a_maximum(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.clock = MovableClock(speed=20)
    sandbox.change(error_503=0.3)
    pipeline.register(people(40))
    report = pipeline.submit(max_new=25)
    assert report.put_back > 0
    assert (report.accepted, report.capped_by) == (25, MAX_NEW)


def test_a_days_maximum_holds_over_all_partitions_and_ends_at_midnight_utc(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(20))
    pipeline.register(people(20, family="Lovelace"), NEXT_DAY)
    assert pipeline.submit(max_a_day=30).accepted == 20
    report = pipeline.submit(NEXT_DAY, max_a_day=30)
    assert (report.accepted, report.capped_by) == (10, MAX_A_DAY)
    now = pipeline.clock()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert report.waits_until == midnight
    pipeline.clock.advance(seconds=(midnight - now).total_seconds())
    assert pipeline.submit(NEXT_DAY, max_a_day=30).accepted == 10
    assert len(sandbox.lookups()) == 40


def test_what_is_put_back_after_midnight_gives_the_new_day_no_room(tmp_path: Path) -> None:
    midnight = threading.Event()

    def answer(_request: Request) -> bytes:
        if midnight.is_set():
            return http(200, b'{"id": 7, "status": "complete"}')
        # The answers come on the next day.
        if not late.is_set():
            late.set()
            pipeline.clock.advance(seconds=120)
        return http(503, b"{}")

    late = threading.Event()
    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(40))
        now = pipeline.clock()
        last_minute = now.replace(hour=23, minute=59, second=0, microsecond=0)
        pipeline.clock.advance(seconds=(last_minute - now).total_seconds())
        with pytest.raises(SubmissionStoppedError):
            pipeline.submit(max_a_day=8)
        midnight.set()
        pipeline.clock.advance(minutes=1)
        assert pipeline.submit(max_a_day=8).accepted == 8


def test_a_days_maximum_counts_every_try_also_of_what_is_sent_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(not_found=1)
    pipeline.register(people(3))
    for _ in range(4):
        pipeline.submit(max_a_day=5)
        with pipeline.ledger.write() as connection:
            requeue(connection, DAY, list(FailureKind), pipeline.clock())
    assert len(sandbox.lookups()) == 5


def test_a_person_who_is_answered_500_takes_the_place_of_one(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """A 500 may have been charged: whoever allows one lookup allows one person's."""
    pipeline.clock = MovableClock(speed=20)
    sandbox.change(error_500_after=1)
    pipeline.register(people(6))
    with suppress(SubmissionStoppedError):
        pipeline.submit(max_new=1)
    assert len(sent(sandbox)) == 1


def test_two_windows_of_one_length_leave_what_the_tighter_one_leaves(tmp_path: Path) -> None:
    """The names of the actions are not published."""
    limits = [
        {"action": action, "duration": "hour", "limit": limit, "used": 0, "remaining": limit}
        for action, limit in (("person_lookup", 9), ("company_lookup", 4), ("bulk_lookup", 1))
    ]

    def answer(request: Request) -> bytes:
        if "/account" in request.path:
            return http(200, msgspec.json.encode({"rate_limits": limits}))
        return http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(20))
        assert pipeline.submit().complete == 4


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_an_account_call_that_asks_for_patience_again_and_again_is_not_asked_without_end(
    tmp_path: Path, seconds: str
) -> None:
    def answer(request: Request) -> bytes:
        if "/account" in request.path:
            return http(503, b"{}", Retry_After=seconds)
        return http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        assert pipeline.submit().complete == 3
        assert sum("/account" in request.path for request in server.requests) <= 3


def test_a_floor_is_kept_though_the_account_stumbles_once(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    calls = 0

    def answer(request: Request) -> bytes:
        nonlocal calls
        if "/account" not in request.path:
            return http(200, b'{"id": 7, "status": "complete"}')
        calls += 1
        credits_left = {"credit_type": "standard", "remaining": 100}
        if calls == 1:
            return http(500, b"{}")
        return http(200, msgspec.json.encode({"credit_usage": [credits_left]}))

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        assert pipeline.submit(min_credits=10).complete == 3


def test_a_floor_is_not_reached_by_lookups_that_cost_nothing(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=10, not_found=1)
    pipeline.register(people(20))
    report = pipeline.submit(min_credits=1)
    assert (report.failed, report.capped_by) == (20, None)


def test_a_floor_of_credits_is_kept_whatever_is_in_flight(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=30, not_found=0.2)
    pipeline.register(people(60))
    for _ in range(6):
        report = pipeline.submit(min_credits=12)
        pipeline.settle()
        pipeline.clock.advance(hours=2)
    assert report.capped_by == MIN_CREDITS
    assert len(sandbox.charges()) == 18, "30 credits, 12 of them to keep"
    assert pipeline.states()[State.QUEUED] > 0
    sandbox.change(credits=1_000)
    pipeline.clock.advance(hours=2)
    assert pipeline.submit(min_credits=12).capped_by is None


def test_a_floor_that_the_account_does_not_let_us_keep_stops_before_anything_is_sent(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    with pytest.raises(SubmissionStoppedError, match="LOOKUP_PIPELINE_MIN_CREDITS can't be kept"):
        pipeline.submit(lookup_type="premium (feeds disabled)", min_credits=5)
    assert sandbox.lookups() == []


def test_two_submitters_on_one_ledger_keep_one_rate(
    tmp_path: Path, pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    rate = 10
    # One more: on a busy machine a request that left in time may arrive late, beside the next ones.
    sandbox.change(requests_per_second=rate + 1)
    pipeline.register(people(30), DAY)
    pipeline.register(people(30, family="Lovelace"), NEXT_DAY)
    begun = time.monotonic()
    with (
        opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        reports = [
            threads.submit(pipeline.submit, DAY, rate=rate),
            threads.submit(other.submit, NEXT_DAY, rate=rate),
        ]
        assert [report.result().accepted for report in reports] == [30, 30]
    took = time.monotonic() - begun
    assert sandbox.requests().violations == 0
    assert took >= 59 / rate
    times = [lookup.at for lookup in sandbox.lookups()]
    busiest = max(
        sum(first <= time_ < first + 1 for time_ in times[place:])
        for place, first in enumerate(times)
    )
    assert busiest <= rate + 1
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_the_rate_is_used_and_not_only_kept(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    pipeline.register(people(60))
    begun = time.monotonic()
    pipeline.submit(rate=50)
    # A good second at the full rate; four times that leaves room for a busy machine.
    assert time.monotonic() - begun < 5
    assert len(sandbox.lookups()) == 60


def test_polls_and_lookups_share_the_rate(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    sandbox.change(complete_after_polls=50)
    pipeline.register(people(20))
    pipeline.submit()
    pipeline.clock.advance(seconds=10)
    pipeline.register(people(20, family="Lovelace"), NEXT_DAY)
    sandbox.change(requests_per_second=15)
    asked = 0
    with ThreadPoolExecutor(1) as threads:
        submission = threads.submit(pipeline.submit, NEXT_DAY, rate=10)
        while not submission.done():
            asked += pipeline.poll(rate=10).asked
            time.sleep(0.3)
    assert submission.result().accepted == 20
    assert asked >= 20
    assert sandbox.requests().violations == 0


def test_a_refused_lookup_silences_lookups_and_not_polls(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(100, family="Early"), NEXT_DAY)
    pipeline.submit(NEXT_DAY)
    sandbox.change(plan="essentials")
    pipeline.register(people(5))
    assert pipeline.submit().waits_until is not None
    pipeline.clock.advance(minutes=1)
    assert pipeline.poll().settled == 100


def test_a_low_rate_does_not_make_a_poll_outlast_its_time(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """A tick is bounded by time; Dagster gives it a minute."""
    sandbox.change(complete_after_polls=99)
    pipeline.register(people(310))
    pipeline.submit()
    pipeline.clock.advance(minutes=5)
    begun = time.monotonic()
    report = pipeline.poll(rate=0.2, seconds=0.5)
    assert time.monotonic() - begun < 3
    assert report.calls >= 1
