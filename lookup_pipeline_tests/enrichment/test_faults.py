"""Trouble while submitting: nobody is paid twice, nobody fails for what is not their fault."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PENDING_LOOKUPS, PROFILES
from lookup_pipeline.enrichment.failure_tracker import MAX_CONSECUTIVE_FAILURES
from lookup_pipeline.enrichment.outcomes import MAX_TRIES
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import LedgerError, State, sqlite
from lookup_pipeline.rocketreach import ErrorClass
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    NEXT_DAY,
    MovableClock,
    Person,
    Pipeline,
    once,
    opened_pipeline,
    people,
    sent,
    to_lookups,
)
from lookup_pipeline_tests.rocketreach.raw_server import Request, closed_port, http, raw_server

AMBIGUOUS_FAULTS = [
    "drop_connection_before",
    "drop_connection_after",
    "html_200",
    "cut_body",
    "error_502_html",
]


def stopped_submission(pipeline: Pipeline) -> SubmissionStoppedError:
    with pytest.raises(SubmissionStoppedError) as raised:
        pipeline.submit()
    return raised.value


def assert_nobody_failed(pipeline: Pipeline) -> None:
    assert pipeline.counts().states[State.FAILED] == 0
    assert pipeline.counts().states[State.SUBMITTING] == 0


def test_a_refused_connection_leaves_everything_queued_and_a_later_run_completes(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    with opened_pipeline(tmp_path, f"http://127.0.0.1:{closed_port()}/api/v2", "sandbox") as dead:
        dead.register(people(30))
        stop = stopped_submission(dead)
        assert stop.error.error_class is ErrorClass.NOT_PROCESSED
        assert "no connection to the API" in str(stop)
        assert MAX_CONSECUTIVE_FAILURES <= stop.report.put_back < MAX_CONSECUTIVE_FAILURES + WORKERS
        assert stop.report.accepted == stop.report.unconfirmed == 0
        assert dead.states() == {State.QUEUED: 30}
        assert {row.attempts for row in dead.ledger_rows().values()} == {0}
        dead.publish()
        assert {row["state"] for row in dead.rows(PENDING_LOOKUPS)} == {"queued"}
    assert sandbox.charges() == []
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as alive:
        alive.clock.advance(minutes=2)
        assert alive.submit().accepted == 30
        alive.settle()
        alive.publish()
        assert len(alive.rows(PROFILES)) == 30
    assert set(sent(sandbox).values()) == {1}


def test_an_address_that_is_no_url_leaves_everything_queued(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    with opened_pipeline(tmp_path, "http://127.0.0.1:port/api/v2", "sandbox") as mistaken:
        mistaken.register(people(12))
        stopped_submission(mistaken)
        assert mistaken.states() == {State.QUEUED: 12}


@pytest.mark.parametrize(("state", "status"), [("revoked", 401), ("forbidden", 403)])
def test_an_account_in_trouble_half_way_stops_and_leaves_the_rest_queued(
    pipeline: Pipeline, sandbox: RunningSandbox, state: str, status: int
) -> None:
    sandbox.change(latency_seconds=0.2)
    pipeline.register(people(100))

    def mend_no_more(report: SubmissionReport) -> None:
        if report.accepted >= 20:
            sandbox.change(account_state=state)

    with pytest.raises(SubmissionStoppedError, match=f"HTTP {status}") as raised:
        pipeline.submit(progress=mend_no_more)
    assert raised.value.error.error_class is ErrorClass.ACCOUNT
    refused = sandbox.requests().by_answer[str(status)]
    assert 1 <= refused <= WORKERS, "one request per worker at most"
    accepted = len(sandbox.lookups())
    assert accepted >= 20
    assert raised.value.report.accepted == accepted
    assert pipeline.states() == {State.IN_FLIGHT: accepted, State.QUEUED: 100 - accepted}

    sandbox.change(account_state="ok")
    assert pipeline.submit().accepted == 100 - accepted, "mended, it goes on at once"
    pipeline.settle()
    assert pipeline.publish().credits == len(sandbox.charges()) == 100
    assert set(sent(sandbox).values()) == {1}


def test_credits_that_run_out_stop_it_and_new_ones_let_it_go_on(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=7, complete_after_polls=0)
    pipeline.register(people(60))
    stop = stopped_submission(pipeline)
    assert stop.error.status == 402
    assert "credits" in str(stop)
    assert 1 <= sandbox.requests().by_answer["402"] <= WORKERS
    assert pipeline.states() == {State.COMPLETE: 7, State.QUEUED: 53}
    assert pipeline.counts().credits == len(sandbox.charges()) == 7
    assert {
        row.attempts for row in pipeline.ledger_rows().values() if row.state is State.QUEUED
    } == {0}
    sandbox.change(credits=1_000)
    assert pipeline.submit().complete == 53
    assert pipeline.counts().credits == len(sandbox.charges()) == 60
    assert set(sent(sandbox).values()) == {1}


def test_a_kind_of_credit_that_does_not_exist_fails_nobody_for_good(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """A slip in a setting is the operator's: whatever it costs now, mending it must help."""
    pipeline.register(people(12))
    with suppress(SubmissionStoppedError):
        pipeline.submit(lookup_type="standart")
    pipeline.submit()
    pipeline.settle()
    assert pipeline.states() == {State.COMPLETE: 12}


@pytest.mark.parametrize("fault", AMBIGUOUS_FAULTS)
def test_a_lost_answer_is_unconfirmed_and_never_sent_again(
    pipeline: Pipeline, sandbox: RunningSandbox, fault: str
) -> None:
    number = MAX_CONSECUTIVE_FAILURES - 1
    sandbox.change(**{fault: 1})
    pipeline.register(people(number))
    report = pipeline.submit()
    assert (report.unconfirmed, report.accepted, report.put_back) == (number, 0, 0)
    sandbox.change(**{fault: 0})
    requests = sandbox.requests().total
    for _ in range(3):
        pipeline.clock.advance(days=2)
        pipeline.register(people(number))
        pipeline.submit()
        pipeline.poll()
    assert sandbox.requests().total == requests
    processed = fault in {"drop_connection_after", "cut_body"}
    assert sent(sandbox) == {name: 1 for name, _ in people(number) if processed}
    publication = pipeline.publish()
    assert publication.failure_kinds == {"unconfirmed": number}
    for row in pipeline.rows(FAILED_LOOKUPS):
        assert (row["failure_kind"], row["attempts"]) == ("unconfirmed", 1)
        assert row["failure_reason"]


def test_lost_answers_without_end_stop_before_everybody_is_in_doubt(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(drop_connection_after=1)
    pipeline.register(people(60))
    stop = stopped_submission(pipeline)
    doubtful = stop.report.unconfirmed
    assert MAX_CONSECUTIVE_FAILURES <= doubtful < MAX_CONSECUTIVE_FAILURES + WORKERS
    assert pipeline.states() == {State.UNCONFIRMED: doubtful, State.QUEUED: 60 - doubtful}
    assert set(sent(sandbox).values()) == {1}


def test_a_provider_that_is_down_keeps_everything_queued(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(down=True)
    pipeline.register(people(40))
    stop = stopped_submission(pipeline)
    assert (stop.error.status, stop.error.error_class) == (503, ErrorClass.NOT_PROCESSED)
    assert sandbox.requests().total < MAX_CONSECUTIVE_FAILURES + WORKERS
    assert pipeline.states() == {State.QUEUED: 40}


def test_a_provider_that_is_down_for_a_time_it_names_is_left_alone_until_then(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    number = MAX_CONSECUTIVE_FAILURES - 1
    sandbox.change(down=True, retry_after_seconds=600)
    pipeline.register(people(number))
    begun = pipeline.clock()
    report = pipeline.submit()
    assert report.waits_until is not None
    assert 590 <= (report.waits_until - begun).total_seconds() <= 620
    asked = sandbox.requests().total
    assert 1 <= asked <= number, "nobody is asked for twice"
    assert pipeline.states() == {State.QUEUED: number}
    pipeline.clock.advance(seconds=500)
    assert pipeline.submit().waits_until is not None
    assert sandbox.requests().total == asked, "another run keeps the silence too"
    sandbox.change(down=False)
    pipeline.clock.advance(seconds=130)
    assert pipeline.submit().accepted == number


def test_a_large_partition_leaves_a_provider_alone_that_is_down_for_a_time_it_names(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(down=True, retry_after_seconds=600)
    pipeline.register(people(60))
    with suppress(SubmissionStoppedError):
        pipeline.submit()
    asked = sandbox.requests().total
    assert 1 <= asked <= WORKERS
    assert pipeline.states() == {State.QUEUED: 60}
    assert pipeline.submit().waits_until is not None
    assert sandbox.requests().total == asked


@pytest.mark.parametrize(
    ("status", "body", "kind", "attempts"),
    [
        (500, b'{"error": "Try again later."}', "server_error", 3),
        (400, b'{"name": ["Too odd."]}', "invalid_query", 1),
        (404, b'{"error": "No profile was found."}', "not_found", 1),
        (422, b'{"detail": "Can not be processed."}', "invalid_query", 1),
    ],
)
def test_an_error_for_one_person_is_that_persons_and_nobody_elses(
    tmp_path: Path, status: int, body: bytes, kind: str, attempts: int
) -> None:
    everybody = people(20)
    trouble = everybody[4][0]

    def answer(request: Request) -> bytes:
        name = request.query["name"][0]
        if name == trouble:
            return http(status, body)
        number = int("".join(filter(str.isdigit, name))) + 1
        return http(200, msgspec.json.encode({"id": number, "status": "complete"}))

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.clock = MovableClock(speed=20)
        pipeline.register(everybody)
        report = pipeline.submit()
        assert (report.complete, report.failed) == (19, 1)
        asked = Counter(request.query["name"][0] for request in server.requests if request.query)
        assert asked == {name: attempts if name == trouble else 1 for name, _ in everybody}
        pipeline.publish()
        (row,) = pipeline.rows(FAILED_LOOKUPS)
        assert row["requested_name"] == trouble
        assert (row["failure_kind"], row["http_status"]) == (kind, status)
        assert row["attempts"] == attempts
        assert row["failure_reason"] in {
            "Try again later.",
            "name: Too odd.",
            "No profile was found.",
            "Can not be processed.",
        }


def test_500_for_everybody_is_an_outage_and_fails_nobody_however_often_it_is_tried(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.clock = MovableClock(speed=20)
    sandbox.change(error_500=1)
    pipeline.register(people(30))
    for _ in range(4):
        stop = stopped_submission(pipeline)
        assert stop.error.status == 500
        pipeline.clock.advance(minutes=20)
        assert_nobody_failed(pipeline)
    sandbox.change(error_500=0)
    # Whoever was sent more often than three times has a longer pause each time.
    pipeline.clock.advance(days=1)
    assert pipeline.submit().accepted == 30


def test_500_for_everybody_in_a_small_partition_fails_nobody_either(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.clock = MovableClock(speed=20)
    sandbox.change(error_500=1)
    pipeline.register(people(2))
    with suppress(SubmissionStoppedError):
        pipeline.submit()
    assert_nobody_failed(pipeline)
    sandbox.change(error_500=0)
    pipeline.clock.advance(minutes=20)
    pipeline.submit()
    pipeline.settle()
    assert pipeline.states() == {State.COMPLETE: 2}


@pytest.mark.parametrize("seed", [1, 2])
def test_in_any_mix_of_faults_everybody_is_sent_once_and_stands_somewhere(
    pipeline: Pipeline, sandbox: RunningSandbox, seed: int
) -> None:
    pipeline.clock = MovableClock(speed=20)
    sandbox.change(
        seed=seed,
        not_found=0.1,
        failed=0.1,
        error_500=0.05,
        error_503=0.1,
        **dict.fromkeys(AMBIGUOUS_FAULTS, 0.05),
    )
    everybody = people(50)
    pipeline.register(everybody)
    for _ in range(10):
        if not pipeline.counts().states[State.QUEUED]:
            break
        pipeline.clock.advance(minutes=2)
        pipeline.submit()
    assert pipeline.counts().states[State.QUEUED] == 0
    pipeline.settle()
    publication = pipeline.publish()
    assert max(sent(sandbox).values()) == 1
    assert set(pipeline.published()) == {name for name, _ in everybody}
    assert publication.failure_kinds["unconfirmed"] > 0
    # What is in doubt may have been charged; everything else agrees to the credit.
    rows = pipeline.ledger_rows()
    charged = {charge.query["name"] for charge in sandbox.charges()}
    known = {name for name, row in rows.items() if row.state is not State.UNCONFIRMED}
    assert pipeline.paid_for() & known == charged & known


@pytest.mark.parametrize("ledgers", [1, 2])
def test_two_submissions_of_one_partition_at_once_share_the_work(
    tmp_path: Path, pipeline: Pipeline, sandbox: RunningSandbox, ledgers: int
) -> None:
    sandbox.change(latency_seconds=0.02)
    pipeline.register(people(80))
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as second:
        other = second if ledgers == 2 else pipeline
        with ThreadPoolExecutor(2) as threads:
            reports = [
                threads.submit(pipeline.submit, owner="one"),
                threads.submit(other.submit, owner="other"),
            ]
            accepted = [report.result().accepted for report in reports]
    assert sum(accepted) == 80
    assert len(sandbox.lookups()) == 80
    assert set(sent(sandbox).values()) == {1}


def test_a_500_that_the_account_gets_as_well_is_sent_to_nobody_a_second_time(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.clock = MovableClock(speed=20)
    # The worst case: each time is processed, and charged.
    sandbox.change(error_500_after=1, complete_after_polls=0)
    pipeline.register(people(1))
    assert stopped_submission(pipeline).error.status == 500
    assert len(sandbox.charges()) == 1, "the account is asked whether it is over"


def test_one_person_who_is_answered_500_alone_is_not_sent_without_end(tmp_path: Path) -> None:
    is_broken = threading.Event()
    is_broken.set()

    def answer(_request: Request) -> bytes:
        return (
            http(500, b"{}")
            if is_broken.is_set()
            else http(200, b'{"id": 7, "status": "complete"}')
        )

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.clock = MovableClock(speed=20)
        pipeline.register(people(1))
        stop = stopped_submission(pipeline)
        assert stop.error.status == 500
        assert server.lookups().total() == MAX_TRIES
        (row,) = pipeline.ledger_rows().values()
        assert (row.state, row.attempts) == (State.QUEUED, MAX_TRIES)
        assert pipeline.submit().waits_until is not None
        assert server.lookups().total() == MAX_TRIES, "not at once"
        for more, minutes in enumerate((15, 30, 60, 120), start=1):
            pipeline.clock.advance(minutes=minutes - 5)
            assert pipeline.submit().waits_until is not None
            pipeline.clock.advance(minutes=6)
            stopped_submission(pipeline)
            assert server.lookups().total() == MAX_TRIES + more, "once more for each longer pause"
        is_broken.clear()
        pipeline.clock.advance(minutes=20)
        pipeline.register([*people(1), ("Somebody Else", "Elsewhere")], NEXT_DAY)
        pipeline.submit(NEXT_DAY)
        assert pipeline.states(NEXT_DAY)[State.COMPLETE] == 1


def test_500_for_everybody_stops_before_everybody_is_sent(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(error_500_after=1, complete_after_polls=0)
    pipeline.register(people(100))
    stop = stopped_submission(pipeline)
    assert "times in a row: HTTP 500" in str(stop)
    assert len(sandbox.charges()) < MAX_CONSECUTIVE_FAILURES + WORKERS
    assert_nobody_failed(pipeline)


def test_one_person_answered_500_beside_people_not_found_is_not_an_outage(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.clock = MovableClock(speed=20)
    pipeline.register(people(1))
    sandbox.change(error_500=1)
    stopped_submission(pipeline)
    pipeline.clock.advance(minutes=20)
    sandbox.change(error_500=0, not_found=1)
    everybody = people(4)
    pipeline.register(everybody)
    report = pipeline.submit()
    assert report.failed == 4
    assert pipeline.states() == {State.FAILED: 4}


def test_time_that_is_up_when_all_is_sent_is_no_news(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    # The account is asked first, and takes as long.
    sandbox.change(latency_seconds=1)
    pipeline.register(people(3))
    report = pipeline.submit(seconds=1.8)
    assert (report.accepted, report.out_of_time) == (3, False)


def test_an_interrupt_leaves_nothing_in_doubt(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    def interrupt(report: SubmissionReport) -> None:
        if report.accepted >= 10:
            raise KeyboardInterrupt

    sandbox.change(latency_seconds=0.05)
    pipeline.register(people(400))
    with pytest.raises(KeyboardInterrupt):
        pipeline.submit(progress=interrupt)
    accepted = len(sandbox.lookups())
    assert 10 <= accepted < 400
    assert pipeline.states() == {State.IN_FLIGHT: accepted, State.QUEUED: 400 - accepted}
    pipeline.submit()
    assert set(sent(sandbox).values()) == {1}


@pytest.mark.parametrize("given", [0, 3])
def test_a_machine_that_gives_too_few_threads_leaves_everything_queued(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if len(started) >= given:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    pipeline.register(people(5))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pipeline.submit()
    assert len(started) == given
    assert pipeline.states() == {State.QUEUED: 5}
    monkeypatch.undo()
    assert pipeline.submit().accepted == 5
    assert set(sent(sandbox).values()) == {1}


def test_a_submission_ends_when_its_time_is_up_and_the_next_goes_on(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(latency_seconds=0.1)
    pipeline.register(people(400))
    report = pipeline.submit(seconds=0.5)
    assert report.out_of_time
    assert 0 < report.accepted < 400
    assert pipeline.states() == {
        State.IN_FLIGHT: report.accepted,
        State.QUEUED: 400 - report.accepted,
    }
    sandbox.change(latency_seconds=0)
    rest = pipeline.submit()
    assert not rest.out_of_time
    assert report.accepted + rest.accepted == 400
    assert set(sent(sandbox).values()) == {1}


def test_a_provider_that_asks_for_patience_again_and_again_does_not_outlast_the_time(
    tmp_path: Path,
) -> None:
    def answer(_request: Request) -> bytes:
        return http(429, b"{}", Retry_After="1")

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(5))
        begun = pipeline.clock()
        report = pipeline.submit(seconds=3)
        assert report.out_of_time
        assert (pipeline.clock() - begun).total_seconds() < 6
        assert pipeline.states() == {State.QUEUED: 5}


def test_a_ledger_locked_while_answers_come_in_gets_them_all_once_it_is_free(
    tmp_path: Path,
    pipeline: Pipeline,
    sandbox: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline.register(people(40))
    # Nobody waits for the lock within a statement: each attempt fails at once.
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0)
    sandbox.change(latency_seconds=0.3)
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as impatient:

        def hold() -> None:
            with pipeline.ledger.write():
                time.sleep(2.5)

        def in_the_air() -> bool:
            return pipeline.states().get(State.SUBMITTING) == WORKERS

        with once(in_the_air, hold), pytest.raises(LedgerError, match="locked"):
            impatient.submit()
    sent_so_far = len(sandbox.lookups())
    assert sent_so_far == WORKERS
    assert pipeline.states() == {State.IN_FLIGHT: WORKERS, State.QUEUED: 40 - WORKERS}
    assert pipeline.submit().accepted == 40 - WORKERS
    assert set(sent(sandbox).values()) == {1}


def test_the_errors_of_a_submission_name_no_person_and_no_key(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    who: Person = ("Zebulon Quagmire", "Xyzzy Works")
    with opened_pipeline(tmp_path, sandbox.base_url, "wr0ng-key") as pipeline:
        pipeline.register([who, *people(3)])
        stop = stopped_submission(pipeline)
    assert not [word for word in ("Zebulon", "Xyzzy", "wr0ng-key", "Ada1") if word in repr(stop)]
    assert "ROCKETREACH_API_KEY" in str(stop)


def test_a_profile_whose_bytes_are_odd_does_not_keep_the_others_from_being_published(
    tmp_path: Path,
) -> None:
    """One answer that is no proper JSON text must not hold up a partition for ever."""
    odd = {
        "Ada1 Byron": b'{"id": 101, "status": "complete", "city": "Z\xfcrich"}',
        "Ada2 Byron": b'{"id": 102, "status": "complete", "region_latitude": 1e999}',
    }

    def answer(request: Request) -> bytes:
        name = request.query["name"][0]
        return http(200, odd.get(name, b'{"id": 7, "status": "complete"}'))

    everybody = people(4)
    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(everybody)
        pipeline.submit()
        assert pipeline.publish().replaced
        assert set(pipeline.published()) == {name for name, _ in everybody}


def test_a_profile_id_beyond_64_bits_does_not_stop_the_others(tmp_path: Path) -> None:
    def answer(request: Request) -> bytes:
        odd = request.query["name"] == ["Ada1 Byron"]
        return http(200, b'{"id": %d, "status": "complete"}' % (2**70 if odd else 7))

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(4))
        pipeline.submit()
        assert pipeline.counts().states[State.COMPLETE] >= 3
        assert pipeline.counts().pending == 0
