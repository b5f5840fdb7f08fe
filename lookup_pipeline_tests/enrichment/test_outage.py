"""An outage puts at most those in doubt who were in the air when it began."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lookup_pipeline.enrichment.failure_tracker import MAX_CONSECUTIVE_FAILURES, FailureTracker
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.enrichment.resumption import cause_of, find_block, note_end, note_failure
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.resumption import (
    Stage,
    WaitReason,
    begin,
    due_to_resume,
    find_wait,
    postpone,
)
from lookup_pipeline.rocketreach import ErrorClass, RocketReachError
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    Pipeline,
    once,
    opened_pipeline,
    people,
    sent,
    to_lookups,
)
from lookup_pipeline_tests.enrichment.test_resumption import PLAN
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server

NOW = datetime(2026, 1, 5, tzinfo=UTC)
LOST = RocketReachError(ErrorClass.AMBIGUOUS, "connection reset")
LOST_ANSWER = http(502, b"<html>", "text/html")
PERSON = RocketReachError(ErrorClass.QUERY, "no such person", status=404)


def in_doubt(pipeline: Pipeline) -> int:
    return pipeline.counts().states[State.UNCONFIRMED]


def run(pipeline: Pipeline) -> None:
    """What a run does between registering and publishing."""
    with pipeline.ledger.write() as connection:
        begin(connection, DAY, Stage.SUBMIT, "run", pipeline.clock())
    try:
        report = pipeline.submit()
    except SubmissionStoppedError as error:
        sent_before = error.report.accepted
        note_failure(pipeline.ledger, DAY, cause_of(error), sent=sent_before, clock=pipeline.clock)
    else:
        note_end(pipeline.ledger, DAY, report, resumes=True, clock=pipeline.clock)


@pytest.mark.parametrize(
    "outage",
    [
        {"drop_connection_after": 1},
        {"error_502_html": 1},
        {"html_200": 1},
        {"cut_body": 1},
        {"error_500_after": 1},
    ],
    ids=lambda outage: next(iter(outage)),
)
def test_a_week_long_outage_puts_nobody_in_doubt_who_was_not_in_the_air_as_it_began(
    pipeline: Pipeline, sandbox: RunningSandbox, outage: dict[str, float]
) -> None:
    sandbox.change(latency_seconds=0.1)
    pipeline.register(people(300))
    with once(lambda: len(sandbox.lookups()) >= 50, lambda: sandbox.change(**outage)):
        run(pipeline)
    sandbox.change(latency_seconds=0)
    doubtful, processed = in_doubt(pipeline), len(sandbox.lookups())
    assert doubtful <= WORKERS
    with pipeline.ledger.read() as connection:
        wait = find_wait(connection, DAY)
    assert wait is not None
    assert wait.reason is WaitReason.OUTAGE

    for hours in range(0, 7 * 24, 4):
        # What `queued_lookups_sensor` does whenever it looks.
        assert hours >= 0
        pipeline.clock.advance(hours=4)
        with pipeline.ledger.write() as connection:
            waiting = due_to_resume(connection, pipeline.clock())
        assert waiting
        with pytest.raises(RocketReachError):
            find_block(pipeline.ledger, pipeline.client, PLAN, clock=pipeline.clock)
        now = pipeline.clock()
        with pipeline.ledger.write() as connection:
            postpone(connection, [DAY], now, now)
    assert (in_doubt(pipeline), len(sandbox.lookups())) == (doubtful, processed)
    # Nor by somebody who runs it by hand meanwhile.
    run(pipeline)
    assert in_doubt(pipeline) <= doubtful + 1

    sandbox.change(**dict.fromkeys(outage, 0))
    for _ in range(3):
        pipeline.clock.advance(days=1)
        run(pipeline)
    assert pipeline.counts().states[State.QUEUED] == 0
    if "error_500_after" not in outage:
        assert set(sent(sandbox).values()) == {1}


@pytest.mark.parametrize("every", [20, 50])
def test_single_lost_answers_cost_their_own_person_and_hardly_any_time(
    tmp_path: Path, every: int
) -> None:
    lock, lookups, asked = threading.Lock(), [0], [0]

    def answer(request: Request) -> bytes:
        with lock:
            lookups[0] += 1
            number = lookups[0]
        return LOST_ANSWER if number % every == 0 else http(200, b'{"id": 7, "status": "complete"}')

    def count(request: Request) -> bytes:
        if "/account" in request.path:
            asked[0] += 1
        return to_lookups(answer)(request)

    with raw_server(count) as server, opened_pipeline(tmp_path, server.base_url, "key") as pipeline:
        pipeline.register(people(200))
        report = pipeline.submit()
    assert report.unconfirmed == 200 // every
    assert report.complete == 200 - report.unconfirmed
    assert asked[0] <= 1 + report.unconfirmed, "only where no later one was answered"


def test_an_outage_of_lookups_alone_costs_one_person_an_attempt(tmp_path: Path) -> None:
    """The account answers, so only a lookup can show whether lookups do."""
    is_down = threading.Event()

    def answer(_request: Request) -> bytes:
        return LOST_ANSWER if is_down.is_set() else http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(100))
        is_down.set()
        run(pipeline)
        first = in_doubt(pipeline)
        assert first <= max(WORKERS, MAX_CONSECUTIVE_FAILURES)
        pauses = []
        for attempt in range(1, 11):
            with pipeline.ledger.read() as connection:
                wait = find_wait(connection, DAY)
            assert wait is not None
            assert wait.until is not None
            pauses.append(wait.until - pipeline.clock())
            pipeline.clock.advance(seconds=pauses[-1].total_seconds() + 1)
            run(pipeline)
            assert in_doubt(pipeline) == first + attempt
        assert timedelta(hours=5) < pauses[-1] < timedelta(hours=7)
        is_down.clear()
        pipeline.clock.advance(hours=7)
        run(pipeline)
        assert pipeline.counts().states[State.QUEUED] == 0


# The tracker by itself -----------------------------------------------------------------------


def test_a_lost_answer_after_which_a_later_request_is_answered_is_one_lost_connection() -> None:
    tracker = FailureTracker(NOW)
    tracker.note_answer(3)
    tracker.note_error(LOST, NOW, 2)
    assert not tracker.is_careful, "a later one was answered before"
    tracker.note_error(LOST, NOW, 5)
    assert tracker.is_careful
    tracker.note_answer(4)
    assert tracker.is_careful, "it was sent before the lost one: an outage may have begun between"
    tracker.note_answer(6)
    assert not tracker.is_careful


def test_an_answer_about_a_person_is_an_answer() -> None:
    tracker = FailureTracker(NOW)
    tracker.note_error(LOST, NOW, 1)
    tracker.note_error(PERSON, NOW, 2)
    assert not tracker.is_careful


def test_the_account_is_asked_before_the_next_lookup_and_again_after_growing_pauses() -> None:
    tracker = FailureTracker(NOW)
    tracker.note_error(LOST, NOW, 1)
    assert not tracker.is_probed
    assert tracker.probe_at == NOW
    tracker.note_probe(LOST, NOW)
    assert not tracker.is_probed
    assert NOW < tracker.probe_at <= NOW + timedelta(seconds=5)
    tracker.note_probe(None, NOW)
    assert tracker.is_probed
    assert tracker.is_careful, "until a lookup is answered"


def test_probes_that_fail_count_as_failures_do() -> None:
    tracker = FailureTracker(NOW)
    tracker.note_error(LOST, NOW, 1)
    for _ in range(MAX_CONSECUTIVE_FAILURES - 1):
        assert tracker.stopped_by is None
        tracker.note_probe(LOST, NOW)
    assert tracker.stopped_by is not None


def test_where_an_outage_was_known_the_first_failure_stops_it() -> None:
    tracker = FailureTracker(NOW, outage_known=True)
    assert tracker.is_careful
    tracker.note_error(LOST, NOW, 1)
    assert tracker.stopped_by is not None
    tracker = FailureTracker(NOW, outage_known=True)
    tracker.note_answer(1)
    tracker.note_error(LOST, NOW, 2)
    assert tracker.stopped_by is None
