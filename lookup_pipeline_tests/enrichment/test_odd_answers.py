"""Answers and figures that no text of the provider names: nobody is put in doubt by them."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from lookup_pipeline.enrichment.failure_tracker import MAX_CONSECUTIVE_FAILURES
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.enrichment.resumption import cause_of, note_failure
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.resumption import Stage, begin, is_outage_known
from lookup_pipeline.rocketreach import ErrorClass, RocketReachError
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    opened_pipeline,
    people,
    to_lookups,
)
from lookup_pipeline_tests.enrichment.test_outage import in_doubt
from lookup_pipeline_tests.enrichment.test_resumption import run
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server

COMPLETE = http(200, b'{"id": 7, "status": "complete"}')

ODD_DATE = "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"


@pytest.mark.parametrize("status", [502, 504, 408])
def test_a_gateways_error_that_names_a_time_puts_no_more_people_in_doubt(
    tmp_path: Path, status: int
) -> None:
    """Gateways put `Retry-After` on a 502 or 504 as they do on a 503."""
    page = http(status, b"<html>Bad Gateway</html>", "text/html", Retry_After="1")
    most = WORKERS + MAX_CONSECUTIVE_FAILURES
    with (
        raw_server(to_lookups(lambda _request: page)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(most + 4))
        stopped = False
        try:
            pipeline.submit()
        except SubmissionStoppedError:
            stopped = True
        assert in_doubt(pipeline) <= most
        assert stopped, "an outage that is never noticed as one"


def test_500_for_everybody_that_names_a_time_does_not_send_everybody_three_times(
    tmp_path: Path,
) -> None:
    asked: Counter[str] = Counter()

    def answer(request: Request) -> bytes:
        asked[request.path] += 1
        return http(500, b'{"error": "Try again later."}', Retry_After="1")

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(8))
        with suppress(SubmissionStoppedError):
            pipeline.submit()
        assert asked.total() <= 8 + MAX_CONSECUTIVE_FAILURES


def test_an_outage_that_stopped_a_run_with_a_maximum_is_forgotten_when_it_is_over(
    tmp_path: Path,
) -> None:
    """Else every later run, of any partition, stops at the first lost connection, for ever."""
    with (
        raw_server(to_lookups(lambda _request: COMPLETE)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(5))
        with pipeline.ledger.write() as connection:
            begin(connection, DAY, Stage.SUBMIT, "run", pipeline.clock(), resumes=False)
        error = RocketReachError(ErrorClass.NOT_PROCESSED, "no connection")
        note_failure(pipeline.ledger, DAY, cause_of(error), resumes=False, clock=pipeline.clock)
        pipeline.clock.advance(days=30)
        pipeline.register(people(20, "Hopper"), NEXT_DAY)
        run(pipeline, NEXT_DAY)
        assert pipeline.states(NEXT_DAY) == {State.COMPLETE: 20}
        with pipeline.ledger.read() as connection:
            assert not is_outage_known(connection, "2026-01-07")


def test_a_429_whose_retry_after_is_beyond_all_dates_puts_nobody_in_doubt(tmp_path: Path) -> None:
    answer = http(429, b"{}", Retry_After=ODD_DATE)
    with (
        raw_server(to_lookups(lambda _request: answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        with suppress(SubmissionStoppedError):
            pipeline.submit(seconds=2)
        assert pipeline.states() == {State.QUEUED: 3}


@pytest.mark.parametrize("number", ["1e30", "99999999999999999999", '"99999999999999999999"'])
def test_an_account_whose_limit_is_a_very_large_number_is_no_obstacle(
    tmp_path: Path, number: str
) -> None:
    text = (
        '{"credit_usage": [{"credit_type": "standard", "allocated": %s, "used": 0, '
        '"remaining": %s}],'
        ' "rate_limits": [{"action": "lookup", "duration": "day", "limit": %s, "used": 0, '
        '"remaining": %s}]}'
    ) % ((number,) * 4)

    def answer(request: Request) -> bytes:
        return http(200, text.encode()) if "/account" in request.path else COMPLETE

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        pipeline.submit(min_credits=5)
        assert pipeline.states() == {State.COMPLETE: 3}
