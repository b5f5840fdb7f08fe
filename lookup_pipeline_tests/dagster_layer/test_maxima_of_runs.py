"""A run with a maximum of its own is not resumed without it, wherever it ended."""

from datetime import timedelta

import pytest
from dagster import DagsterRunStatus, SensorResult
from dagster._core.test_utils import create_run_for_test

from lookup_pipeline import queue_sensor
from lookup_pipeline.ledger import LedgerError
from lookup_pipeline.ledger.resumption import Stage, WaitReason, begin, hold
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import PROCESS_TAG
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project
from lookup_pipeline_tests.dagster_layer.test_stops import (
    CSV,
    FULL,
    failing,
    make_due,
    tick,
    wait_of,
)


def what_the_daemon_does(project: Project) -> None:
    """As long as something waits for its time: its time comes, and the sensor's run is made."""
    for _ in range(5):
        tick(project)
        wait = wait_of(project)
        if wait is None or not wait.resumes:
            return
        make_due(project)
        result = tick(project)
        if isinstance(result, SensorResult):
            (request,) = result.run_requests or ()
            project.run(str(request.job_name), tags=request.tags)


def test_a_run_with_a_maximum_that_fails_while_reading_sends_no_more_than_it_may(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("names", "write_names", FULL)(broken)
        assert not project.run(config={"max_new_lookups": 1}).success
    what_the_daemon_does(project)
    assert len(project.sandbox.lookups()) <= 1, "the operator said one at most"


def test_a_run_with_a_maximum_that_meets_a_locked_ledger_sends_no_more_than_it_may(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("attempt", "begin", LedgerError("database is locked"))(broken)
        assert not project.run(config={"max_new_lookups": 1}).success
    what_the_daemon_does(project)
    assert len(project.sandbox.lookups()) <= 1, "the operator said one at most"


def test_a_run_with_a_maximum_whose_ledger_is_locked_between_its_steps_sends_no_more(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    calls = []

    def begins_once(*arguments: object, **settings: object) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise LedgerError("database is locked")
        begin(*arguments, **settings)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr("lookup_pipeline.assets.attempt.begin", begins_once)
        assert not project.run(config={"max_new_lookups": 1}).success
    what_the_daemon_does(project)
    assert len(project.sandbox.lookups()) <= 1, "the operator said one at most"


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=365)], ids=["right", "a year"])
def test_a_run_of_a_clock_that_was_ahead_does_not_hold_up_every_other_for_so_long(
    project: Project, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    """Where the clock was right (the first case), six hours are the bound."""
    project.write(CSV)
    run = create_run_for_test(
        project.instance,
        job_name="enrichment_job",
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": "2026-01-06"},
    )
    place = f"{run.run_id}/an-older-container/pid:[4026531836]/17/boot:123"
    project.instance.add_run_tags(run.run_id, {PROCESS_TAG: place})
    # The run was made on a clock that was ahead. Now it is right, and seven hours have passed.
    later = timedelta(hours=7) - ahead
    monkeypatch.setattr(queue_sensor, "utc_now", lambda: utc_now() + later)
    with project.ledger.write() as connection:
        now = utc_now() + later
        begin(connection, DATE, Stage.READ, "another", now)
        hold(connection, DATE, WaitReason.STORAGE, "full", now, now)
    assert isinstance(tick(project), SensorResult)
