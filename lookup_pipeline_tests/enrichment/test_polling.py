"""Polling: what is due, a hundred at a time, until an answer or the deadline."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PROFILES
from lookup_pipeline.enrichment.outcomes import from_status
from lookup_pipeline.enrichment.poll import expire
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.answers import record
from lookup_pipeline.ledger.submissions import claim, queued_ids
from lookup_pipeline.rocketreach import ErrorClass, StatusAnswer
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    DEADLINE,
    Pipeline,
    opened_pipeline,
    people,
    sent,
    to_lookups,
)
from lookup_pipeline_tests.rocketreach.raw_server import Request, closed_port, http, raw_server


def test_a_hundred_ids_go_into_one_call(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    pipeline.register(people(250))
    pipeline.submit()
    pipeline.clock.advance(seconds=10)
    report = pipeline.poll()
    assert (report.calls, report.asked, report.settled) == (3, 250, 250)
    assert sandbox.requests().by_operation["check_status"] == 3


def test_nothing_is_asked_before_it_is_due_and_less_often_with_age(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1_000)
    pipeline.register(people(3))
    pipeline.submit()
    assert pipeline.poll().calls == 0, "the provider advises three seconds"
    pipeline.clock.advance(seconds=4)
    assert pipeline.poll().asked == 3
    assert pipeline.poll().calls == 0
    pipeline.clock.advance(hours=2)
    assert pipeline.poll().asked == 3
    pipeline.clock.advance(minutes=4)
    assert pipeline.poll().calls == 0
    pipeline.clock.advance(minutes=2)
    assert pipeline.poll().asked == 3


def test_a_settled_lookup_is_not_asked_about_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(failed=0.5, not_found=0.2, seed=2)
    pipeline.register(people(20))
    pipeline.submit()
    pipeline.settle()
    requests = sandbox.requests().total
    pipeline.clock.advance(days=3)
    assert pipeline.poll().calls == 0
    assert sandbox.requests().total == requests


def test_ids_the_provider_forgot_stay_in_flight_until_the_deadline_and_a_late_answer_wins(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(4))
    pipeline.submit()
    sandbox.reset()
    for _ in range(3):
        pipeline.clock.advance(hours=7)
        report = pipeline.poll()
        assert (report.asked, report.settled) == (4, 0)
        assert pipeline.states() == {State.IN_FLIGHT: 4}
    pipeline.clock.advance(hours=4)
    report = pipeline.poll()
    assert (report.asked, report.settled) == (4, 4)
    pipeline.publish()
    rows = pipeline.rows(FAILED_LOOKUPS)
    assert {row["failure_kind"] for row in rows} == {"timed_out"}
    assert all("deadline" in row["failure_reason"] for row in rows)

    ids = sorted(row.lookup_id for row in pipeline.ledger_rows().values())
    now = pipeline.clock()
    payload = b'{"id": 9, "status": "complete", "name": "Late"}'
    late = [
        StatusAnswer(9, "complete", True, payload),
        StatusAnswer(9, "failed", False, b"{}"),
        StatusAnswer(9, "searching", False, b"{}"),
    ]
    with pipeline.ledger.write() as connection:
        answers = [
            from_status(lookup_id, answer, now, now, DEADLINE)
            for lookup_id, answer in zip(ids, late, strict=False)
        ]
        record(connection, answers, now)
    pipeline.publish()
    assert [row["name"] for row in pipeline.rows(PROFILES)] == ["Late"]
    kinds = sorted(row["failure_kind"] for row in pipeline.rows(FAILED_LOOKUPS))
    assert kinds == ["failed", "timed_out", "timed_out"]
    assert pipeline.submit().accepted == 0, "timed out is not sent again"
    assert sandbox.lookups() == []


def test_a_lookup_that_timed_out_is_still_asked_about_and_its_late_answer_is_published(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=3)
    pipeline.register(people(4))
    pipeline.submit()
    for _ in range(2):
        pipeline.clock.advance(hours=25)
        pipeline.poll()
    pipeline.publish()
    rows = pipeline.rows(FAILED_LOOKUPS)
    assert [row["failure_kind"] for row in rows] == ["timed_out"] * 4
    assert pipeline.poll().calls == 0, "only now and then"
    pipeline.clock.advance(hours=2)
    assert pipeline.poll().settled == 4
    pipeline.publish()
    assert len(pipeline.rows(PROFILES)) == 4
    assert pipeline.rows(FAILED_LOOKUPS) == []
    assert len(sandbox.charges()) == pipeline.counts().credits == 4


def test_after_days_without_polling_the_answers_that_came_meanwhile_count(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1)
    pipeline.register(people(250))
    pipeline.submit()
    pipeline.clock.advance(days=3)
    pipeline.poll()
    assert pipeline.states() == {State.COMPLETE: 250}


def test_the_last_status_stands_in_the_reason_of_a_time_out(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(unknown_status=1, complete_after_polls=1_000)
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.clock.advance(hours=25)
    assert expire(pipeline.ledger, clock=pipeline.clock).settled == 0, "nobody has asked since"
    assert pipeline.poll().settled == 2
    pipeline.publish()
    for row in pipeline.rows(FAILED_LOOKUPS):
        assert row["failure_kind"] == "timed_out"
        assert "cross_checking" in row["failure_reason"]


def test_a_lookup_without_an_id_is_never_asked_about_and_ends_unconfirmed(tmp_path: Path) -> None:
    def answer(request: Request) -> bytes:
        if request.path.endswith("checkStatus"):
            return http(200, b"[]")
        return http(200, b'{"status": "searching"}')

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        pipeline.submit()
        assert pipeline.states() == {State.IN_FLIGHT: 3}
        pipeline.clock.advance(hours=1)
        assert pipeline.poll().calls == 0
        pipeline.clock.advance(hours=24)
        assert pipeline.poll().calls == 0
        assert pipeline.states() == {State.UNCONFIRMED: 3}
        pipeline.submit()
        assert sum("/account" not in request.path for request in server.requests) == 3


def test_a_submission_whose_process_died_is_unconfirmed_once_its_lease_is_over(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    now = pipeline.clock()
    with pipeline.ledger.write() as connection:
        claim(connection, queued_ids(connection, DAY, now)[:2], "dead", now)
    pipeline.clock.advance(seconds=50)
    assert pipeline.poll().unconfirmed == 0
    assert pipeline.submit().accepted == 3, "what another process holds is left alone"
    pipeline.clock.advance(seconds=20)
    assert pipeline.poll().unconfirmed == 2
    pipeline.clock.advance(days=1)
    assert pipeline.submit().accepted == 0
    assert len(sandbox.lookups()) == 3


@pytest.mark.parametrize(
    "fault", ["error_500", "error_502_html", "html_200", "cut_body", "drop_connection_before"]
)
def test_calls_that_all_fail_are_reported_and_the_lookups_asked_about_later(
    pipeline: Pipeline, sandbox: RunningSandbox, fault: str
) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.clock.advance(seconds=10)
    assert not pipeline.poll(seconds=0).all_failed, "nothing asked is nothing failed"
    sandbox.change(complete_after_polls=5, **{fault: 1})
    report = pipeline.poll()
    assert report.all_failed
    assert report.calls == report.failed_calls >= 1
    assert report.error is not None
    assert (report.asked, report.settled) == (0, 0)
    assert pipeline.states() == {State.IN_FLIGHT: 3}
    sandbox.change(complete_after_polls=1, **{fault: 0})
    pipeline.clock.advance(minutes=1)
    report = pipeline.poll()
    assert not report.all_failed
    assert report.settled == 3


def test_a_poll_gives_up_after_three_failures_in_a_row(
    tmp_path: Path, pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(310))
    pipeline.submit()
    pipeline.clock.advance(minutes=1)
    with opened_pipeline(tmp_path, f"http://127.0.0.1:{closed_port()}/api/v2", "key") as dead:
        dead.clock = pipeline.clock
        report = dead.poll()
        assert (report.calls, report.all_failed) == (3, True)
        assert report.error is not None
        assert report.error.error_class is ErrorClass.NOT_PROCESSED
    pipeline.clock.advance(minutes=1)
    assert pipeline.poll().settled == 310


def test_an_account_in_trouble_ends_a_poll_at_once_and_fails_nobody(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(310))
    pipeline.submit()
    pipeline.clock.advance(minutes=1)
    sandbox.change(account_state="revoked")
    report = pipeline.poll()
    assert (report.calls, report.all_failed) == (1, True)
    assert pipeline.states() == {State.IN_FLIGHT: 310}


def test_one_odd_entry_does_not_hide_the_answers_beside_it(tmp_path: Path) -> None:
    """An id of another type, a null, a list: the other lookups of the call still get theirs."""

    def answer(request: Request) -> bytes:
        if not request.path.endswith("checkStatus"):
            number = int("".join(filter(str.isdigit, request.query["name"][0]))) + 1
            return http(200, msgspec.json.encode({"id": number, "status": "searching"}))
        good = b'{"id": 1, "status": "complete"}, {"id": 2, "status": "complete"}'
        return http(200, b"[null, " + good + b', {"id": "three", "status": "complete"}]')

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        pipeline.register(people(3))
        pipeline.submit()
        pipeline.clock.advance(seconds=10)
        pipeline.poll()
        assert pipeline.states() == {State.COMPLETE: 2, State.IN_FLIGHT: 1}


def test_two_polls_at_once_do_not_ask_about_the_same_lookup(
    tmp_path: Path, pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1_000)
    pipeline.register(people(10))
    pipeline.submit()
    pipeline.clock.advance(seconds=10)
    sandbox.change(drop_connection_before=1)
    assert pipeline.poll().asked == 0
    sandbox.change(drop_connection_before=0)
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as other:
        other.clock = pipeline.clock
        assert other.poll().calls == 0, "the first one's claim holds"
        pipeline.clock.advance(seconds=31)
        assert other.poll().asked == 10, "and ends by itself"


def test_polls_cost_no_credit(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    sandbox.change(complete_after_polls=6, without_contact=1)
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.settle()
    assert pipeline.publish().credits == len(sandbox.charges()) == 0
    assert set(sent(sandbox).values()) == {1}
    deadline = pipeline.ledger_rows().popitem()[1].submitted_at
    assert deadline is not None
    assert pipeline.clock() - deadline > timedelta(minutes=20)
