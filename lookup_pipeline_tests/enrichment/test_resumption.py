"""What limits and account trouble hold back goes on when it may, and not before."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lookup_pipeline.datasets.columns import PROFILES
from lookup_pipeline.enrichment import submit
from lookup_pipeline.enrichment.account import Plan
from lookup_pipeline.enrichment.budget import MAX_A_DAY, MAX_NEW, MIN_CREDITS
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.enrichment.resumption import (
    ACCOUNT_CHECK,
    cause_of,
    find_block,
    note_end,
    note_failure,
)
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.resumption import (
    Stage,
    Wait,
    WaitReason,
    begin,
    due_to_resume,
    find_wait,
    find_waits,
    postpone,
    queued_until,
)
from lookup_pipeline.rocketreach import RocketReachError
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
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server

PLAN = Plan("standard", 0)


def run(pipeline: Pipeline, day: str = DAY, **settings: Any) -> SubmissionReport:
    """What a run does between registering and publishing."""
    with pipeline.ledger.write() as connection:
        begin(connection, day, Stage.SUBMIT, "run", pipeline.clock())
    try:
        report = pipeline.submit(day, **settings)
    except SubmissionStoppedError as error:
        sent = error.report.accepted
        note_failure(pipeline.ledger, day, cause_of(error), sent=sent, clock=pipeline.clock)
        raise
    note_end(pipeline.ledger, day, report, resumes=True, clock=pipeline.clock)
    return report


def wait_of(pipeline: Pipeline, day: str = DAY) -> Wait | None:
    with pipeline.ledger.read() as connection:
        return find_wait(connection, day)


def goes_on(pipeline: Pipeline) -> list[str]:
    """The partitions that are resumed by themselves, now or later."""
    with pipeline.ledger.read() as connection:
        return [each.lookup_date for each in find_waits(connection) if each.resumes]


def due(pipeline: Pipeline) -> list[str]:
    """Those of them whose time has come."""
    with pipeline.ledger.write() as connection:
        return [each.lookup_date for each in due_to_resume(connection, pipeline.clock())]


def blocked(pipeline: Pipeline) -> datetime | None:
    found = find_block(pipeline.ledger, pipeline.client, PLAN, clock=pipeline.clock)
    return None if found is None else found[0]


def next_look(pipeline: Pipeline) -> datetime:
    """When the ledger itself says that there is something to do again."""
    with pipeline.ledger.read() as connection:
        return min(each.until for each in find_waits(connection) if each.until is not None)


def expected_time(pipeline: Pipeline) -> datetime:
    """When those who wait are told that it goes on."""
    with pipeline.ledger.read() as connection:
        return max(filter(None, (queued_until(connection, day) for day in goes_on(pipeline))))


def move_to(pipeline: Pipeline, sandbox: RunningSandbox, at: datetime) -> None:
    """Nobody waits: both clocks are moved on."""
    seconds = max((at - pipeline.clock()).total_seconds(), 0) + 0.01
    sandbox.advance(seconds=seconds)
    pipeline.clock.advance(seconds=seconds)


def look(pipeline: Pipeline) -> SubmissionReport | None:
    """What `queued_lookups_sensor` does, and the run that it asks for."""
    waiting = due(pipeline)
    assert waiting, "it was said that something can be done now"
    until = blocked(pipeline)
    if until is None:
        return run(pipeline, waiting[0])
    with pipeline.ledger.write() as connection:
        postpone(connection, waiting, until, pipeline.clock())
    return None


def go_on_to_the_end(
    pipeline: Pipeline, sandbox: RunningSandbox, next_time: Callable[[Pipeline], datetime]
) -> None:
    """Without a person: look whenever the ledger says so, and poll what is in flight."""
    while goes_on(pipeline):
        at = next_time(pipeline)
        if at > pipeline.clock():
            move_to(pipeline, sandbox, at)
            pipeline.poll()
        look(pipeline)


def test_a_file_larger_than_the_plan_completes_within_four_days_without_a_person(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A window of a minute ends the run, too: nothing is waited out in real time.
    monkeypatch.setattr(submit, "LONGEST_WAIT", timedelta(0))
    sandbox.change(plan="pro")
    pipeline.register(people(5_000))
    begun = pipeline.clock()
    run(pipeline)
    # No look comes sooner than the people waiting are told: those between are for others' doings.
    go_on_to_the_end(pipeline, sandbox, expected_time)
    assert pipeline.counts().states[State.QUEUED] == 0
    assert pipeline.clock() - begun < timedelta(days=4)

    pipeline.settle()
    counts = sandbox.requests()
    assert counts.violations == 0
    assert set(sent(sandbox).values()) == {1}
    assert len(sandbox.lookups()) == len(sandbox.charges()) == 5_000
    # Each run but the first was asked for after one look, and each asks at its own beginning.
    assert counts.by_operation["account"] < 3 * 5_000 / 50
    publication = pipeline.publish()
    assert publication.reconciliation.balanced
    assert pipeline.table(PROFILES).num_rows == 5_000


def test_two_partitions_share_the_plan_and_the_older_one_ends_first(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "LONGEST_WAIT", timedelta(0))
    sandbox.change(plan="essentials")
    for day, family in ((NEXT_DAY, "Lovelace"), (DAY, "Byron")):
        pipeline.register(people(60, family=family), day)
        run(pipeline, day)
    go_on_to_the_end(pipeline, sandbox, expected_time)
    families = [lookup.query["name"].split()[1] for lookup in sandbox.lookups()]
    # The newer one had the first window, before the older one was there.
    assert families == ["Lovelace"] * 15 + ["Byron"] * 60 + ["Lovelace"] * 45
    assert sandbox.requests().violations == 0


def test_two_that_look_at_the_same_moment_send_nobody_twice_and_keep_the_plan(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "LONGEST_WAIT", timedelta(0))
    sandbox.change(plan="essentials", latency_seconds=0.01)
    pipeline.register(people(80))
    run(pipeline)
    with (
        opened_pipeline(pipeline.root, sandbox.base_url, sandbox.api_key) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        other.clock = pipeline.clock
        while pipeline.counts().states[State.QUEUED]:
            move_to(pipeline, sandbox, next_look(pipeline))
            both = threading.Barrier(2)

            def look_together(one: Pipeline, both: threading.Barrier = both) -> None:
                both.wait()
                if due(one):
                    look(one)

            list(threads.map(look_together, (pipeline, other)))
    assert sandbox.requests().violations == 0
    assert len(sandbox.lookups()) == 80
    assert set(sent(sandbox).values()) == {1}


def test_silence_that_the_provider_asks_for_is_not_broken_by_looking(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(down=True, retry_after_seconds=3_600)
    pipeline.register(people(3))
    report = run(pipeline)
    assert (report.accepted, pipeline.states()) == (0, {State.QUEUED: 3})
    asked = sandbox.requests().total
    assert due(pipeline) == []
    until = blocked(pipeline)
    assert until == next_look(pipeline)
    assert sandbox.requests().total == asked
    sandbox.change(down=False)
    move_to(pipeline, sandbox, until)
    assert look(pipeline) is not None
    assert pipeline.states() == {State.IN_FLIGHT: 3}


def test_silence_that_is_asked_for_while_looking_is_kept_by_every_process(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    sandbox.change(down=True, retry_after_seconds=3_600)
    until = blocked(pipeline)
    assert until is not None
    assert timedelta(minutes=59) < until - pipeline.clock() <= timedelta(hours=1)
    asked = sandbox.requests().total
    assert run(pipeline).waits_until == until
    assert blocked(pipeline) == until
    assert sandbox.requests().total == asked


def test_a_window_that_opens_sooner_than_expected_is_used(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(100, family="Early"), NEXT_DAY)
    pipeline.submit(NEXT_DAY)
    sandbox.change(plan="essentials")
    pipeline.register(people(10))
    report = run(pipeline)
    assert report.waits_until is not None
    assert report.waits_until - next_look(pipeline) > timedelta(minutes=50)
    # More was bought, or the provider's hour is the calendar's.
    sandbox.change(plan="custom")
    move_to(pipeline, sandbox, next_look(pipeline))
    assert look(pipeline) is not None
    assert pipeline.states() == {State.IN_FLIGHT: 10}


def test_a_window_that_ends_while_the_account_is_silent_ends_the_run_and_keeps_nobody_busy(
    tmp_path: Path,
) -> None:
    silent = threading.Event()

    def answer(request: Request) -> bytes:
        if "/account" in request.path:
            return http(502, b"<html>", "text/html") if silent.is_set() else http(200, b"{}")
        return http(200, b'{"id": 7, "status": "complete"}')

    with (
        raw_server(answer) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(2))
        pipeline.submit(windows={"hour": 3})
        silent.set()
        # The hour of the first two is over, and one more is all that is known to be allowed.
        pipeline.clock.advance(hours=2)
        pipeline.register(people(4))
        report = pipeline.submit(windows={"hour": 3}, seconds=3)
    assert report.accepted == 1
    assert not report.out_of_time, "it did not wait for a time that had passed"
    assert report.waits_until is not None
    assert report.waits_until > pipeline.clock()


TROUBLES = {"revoked": (401, "ROCKETREACH_API_KEY"), "no_credits": (402, "credits")}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_in_the_middle_stops_within_a_request_a_worker_and_fails_nobody(
    pipeline: Pipeline, sandbox: RunningSandbox, trouble: str
) -> None:
    status, cure = TROUBLES[trouble]
    sandbox.change(latency_seconds=0.02)
    pipeline.register(people(300))
    with (
        once(
            lambda: len(sandbox.lookups()) >= 50,
            lambda: sandbox.change(account_state=trouble),
        ),
        pytest.raises(SubmissionStoppedError, match=f"HTTP {status}.*{cure}") as stopped,
    ):
        run(pipeline)
    assert "\n" not in str(stopped.value)
    accepted = len(sandbox.lookups())
    assert 0 < sandbox.requests().by_answer[str(status)] <= WORKERS
    assert pipeline.states() == {State.IN_FLIGHT: accepted, State.QUEUED: 300 - accepted}
    assert {row.attempts for row in pipeline.ledger_rows().values()} == {0, 1}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_goes_on_by_itself_once_the_trouble_is_mended_and_not_before(
    pipeline: Pipeline, sandbox: RunningSandbox, trouble: str
) -> None:
    sandbox.change(account_state=trouble)
    pipeline.register(people(20))
    with pytest.raises(SubmissionStoppedError):
        run(pipeline)
    assert goes_on(pipeline) == [DAY]
    assert due(pipeline) == [], "a person needs time to mend it"
    for _ in range(2):
        move_to(pipeline, sandbox, next_look(pipeline))
        assert due(pipeline) == [DAY]
        until = None
        try:
            until = blocked(pipeline)
        except RocketReachError as error:
            assert error.status == 401  # noqa: PT017 - either way it is in vain
            until = pipeline.clock() + ACCOUNT_CHECK
        assert until is not None
        assert until > pipeline.clock()
        with pipeline.ledger.write() as connection:
            postpone(connection, [DAY], until, pipeline.clock())
    assert sandbox.lookups() == []
    sandbox.change(account_state="ok")
    move_to(pipeline, sandbox, next_look(pipeline))
    assert look(pipeline) is not None
    assert pipeline.states() == {State.IN_FLIGHT: 20}
    assert goes_on(pipeline) == []


def test_an_outage_is_over_by_itself_and_so_is_the_waiting(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(down=True)
    pipeline.register(people(20))
    with pytest.raises(SubmissionStoppedError):
        run(pipeline)
    assert goes_on(pipeline) == [DAY]
    sandbox.change(down=False)
    move_to(pipeline, sandbox, next_look(pipeline))
    assert look(pipeline) is not None
    assert pipeline.states() == {State.IN_FLIGHT: 20}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"account_state": "forbidden"}, WaitReason.ACCOUNT),
        ({"error_500": 1}, WaitReason.OUTAGE),
        ({"error_502_html": 1}, WaitReason.OUTAGE),
        ({"drop_connection_after": 1}, WaitReason.OUTAGE),
    ],
)
def test_trouble_that_the_account_does_not_show_is_tried_again_after_growing_pauses(
    pipeline: Pipeline, sandbox: RunningSandbox, trouble: dict[str, Any], reason: WaitReason
) -> None:
    sandbox.change(**trouble)
    pipeline.register(people(100))
    pauses = []
    for attempt in range(1, 4):
        with pytest.raises(SubmissionStoppedError):
            run(pipeline)
        wait = wait_of(pipeline)
        assert wait is not None
        assert (wait.reason, wait.attempts) == (reason, attempt)
        assert wait.until is not None
        pauses.append(round((wait.until - pipeline.clock()) / timedelta(minutes=1)))
        move_to(pipeline, sandbox, wait.until)
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 60
    sandbox.change(account_state="ok", error_500=0, error_502_html=0, drop_connection_after=0)
    # Whoever was sent three times in the outage has a pause of a quarter of an hour.
    move_to(pipeline, sandbox, pipeline.clock() + timedelta(minutes=15))
    assert look(pipeline) is not None
    assert pipeline.counts().states[State.QUEUED] == 0
    assert wait_of(pipeline) is None


def test_a_run_that_reached_its_own_maximum_does_not_go_on_by_itself(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    assert run(pipeline, max_new=4).capped_by == MAX_NEW
    assert pipeline.states()[State.QUEUED] == 6
    assert goes_on(pipeline) == []


def test_a_run_whose_time_was_up_does_not_go_on_by_itself(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    assert run(pipeline, seconds=0).out_of_time
    assert pipeline.states() == {State.QUEUED: 10}
    assert goes_on(pipeline) == []


def test_a_partition_that_waited_and_is_run_to_its_end_waits_no_more(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    assert run(pipeline, max_a_day=4).waits_until is not None
    assert goes_on(pipeline) == [DAY]
    assert run(pipeline).accepted == 6
    assert goes_on(pipeline) == []


def test_a_days_maximum_goes_on_after_midnight_utc(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    for accepted in (4, 4, 2):
        report = run(pipeline, max_a_day=4)
        assert report.accepted == accepted
        if not goes_on(pipeline):
            break
        assert report.capped_by == MAX_A_DAY
        midnight = next_look(pipeline)
        assert midnight.time() == datetime.min.time()
        assert timedelta(0) < midnight - pipeline.clock() <= timedelta(days=1)
        move_to(pipeline, sandbox, midnight - timedelta(seconds=1))
        assert due(pipeline) == []
        move_to(pipeline, sandbox, midnight)
        assert due(pipeline) == [DAY]
    assert len(sandbox.lookups()) == 10


def test_a_floor_of_credits_goes_on_when_there_are_more(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    plan = Plan("standard", 0, min_credits=5)
    sandbox.change(credits=8)
    pipeline.register(people(10))
    assert run(pipeline, min_credits=5).capped_by == MIN_CREDITS
    pipeline.settle()
    assert len(sandbox.charges()) == 3

    def blocked_by_floor() -> datetime | None:
        found = find_block(pipeline.ledger, pipeline.client, plan, clock=pipeline.clock)
        return None if found is None else found[0]

    assert goes_on(pipeline) == [DAY]
    until = blocked_by_floor()
    assert until is not None
    assert until > pipeline.clock()
    sandbox.change(credits=100)
    assert blocked_by_floor() is None
    assert run(pipeline, min_credits=5).accepted == 7
