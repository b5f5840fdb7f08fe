"""The provider's limits are kept: waited out where that is short, said where it is long."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from lookup_pipeline.datasets.columns import PENDING_LOOKUPS
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import State
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    Pipeline,
    once,
    opened_pipeline,
    people,
    sent,
)


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
    refused = sandbox.requests().violations
    assert report.put_back == refused <= WORKERS
    assert pipeline.states() == {State.QUEUED: 110}
    pipeline.publish()
    assert {row["state"] for row in pipeline.rows(PENDING_LOOKUPS)} == {"queued"}

    assert pipeline.submit().waits_until is not None
    assert sandbox.requests().violations == refused, "the next run does not even ask"

    sandbox.change(plan="custom")
    sandbox.advance(seconds=3_610)
    pipeline.clock.advance(seconds=3_610)
    report = pipeline.submit()
    assert (report.accepted, report.waits_until) == (110, None)
    assert sandbox.requests().violations == refused
    assert set(sent(sandbox).values()) == {1}


def test_a_short_window_is_waited_out_within_the_run(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials")
    pipeline.register(people(28))

    def next_minute() -> None:
        sandbox.advance(seconds=61)
        pipeline.clock.advance(seconds=61)

    def all_refused() -> bool:
        return pipeline.states() == {State.IN_FLIGHT: 15, State.QUEUED: 13}

    with once(all_refused, next_minute):
        report = pipeline.submit()
    assert (report.accepted, report.waits_until) == (28, None)
    assert report.put_back == sandbox.requests().violations <= WORKERS
    assert set(sent(sandbox).values()) == {1}
    assert {row.attempts for row in pipeline.ledger_rows().values()} == {1}


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
