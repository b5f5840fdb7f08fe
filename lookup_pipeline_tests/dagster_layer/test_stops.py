"""Every stop is either final or resumed by itself: runs that fail, are killed or are canceled."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunRequest, SensorResult, SkipReason
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import select, update

from lookup_pipeline import settings
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.ledger import LedgerError, State
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.resumption import RUN_LEASE, Stage, Wait, WaitReason, begin, find_wait
from lookup_pipeline.ledger.tables import waits
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import RocketReach
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, evaluate
from lookup_pipeline_tests.rocketreach.raw_server import http, raw_server

CSV = "name,company\nGrace Hopper,US Navy\nAda Lovelace,Analytical Engines\n"


def wait_of(project: Project) -> Wait | None:
    with project.ledger.read() as connection:
        return find_wait(connection, DATE)


def waits_for(project: Project, reason: WaitReason) -> Wait:
    wait = wait_of(project)
    assert wait is not None
    assert wait.reason is reason, wait
    return wait


def make_due(project: Project) -> None:
    """Its pause is over."""
    with project.ledger.write() as connection:
        ended = connection.scalar(select(waits.c.until))
        assert ended is not None, "nothing resumes it"
        connection.execute(update(waits).values(until=utc_now()))


def tick(project: Project) -> SensorResult | SkipReason:
    return evaluate(queued_lookups_sensor, project)


def resume(project: Project) -> RunRequest:
    """Its pause is over, the sensor asks for a run, and the run does it."""
    tick(project)
    make_due(project)
    result = tick(project)
    assert isinstance(result, SensorResult), result
    (request,) = result.run_requests or ()
    assert project.run(str(request.job_name), tags=request.tags).success
    return request


def states(project: Project) -> dict[State, int]:
    with project.ledger.read() as connection:
        (counts,) = count_partitions(connection, [DATE])
    return {state: rows for state, rows in counts.states.items() if rows}


Break = Callable[[pytest.MonkeyPatch], None]


def failing(module: str, name: str, error: BaseException) -> Break:
    """Have a part of the work fail."""

    def fail(*_arguments: Any, **_settings: Any) -> None:
        raise error

    def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
        # The package's own attribute of this name is the asset.
        monkeypatch.setattr(sys.modules[f"lookup_pipeline.assets.{module}"], name, fail)

    return breaks


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("breaks", "reason", "job"),
    [
        (failing("names", "write_names", FULL), WaitReason.STORAGE, "enrichment_job"),
        (
            failing("names", "write_names", StorageError("names can't be written")),
            WaitReason.STORAGE,
            "enrichment_job",
        ),
        (failing("lookups", "register", FULL), WaitReason.STORAGE, "submission_job"),
        (
            failing("lookups", "register", LedgerError("database is locked")),
            WaitReason.LEDGER,
            "submission_job",
        ),
        (failing("submission", "submit", RuntimeError()), WaitReason.ERROR, "submission_job"),
    ],
)
def test_a_run_that_fails_is_resumed_by_itself_where_it_stopped(
    project: Project, monkeypatch: pytest.MonkeyPatch, breaks: Break, reason: WaitReason, job: str
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        breaks(broken)
        assert not project.run().success
    wait = waits_for(project, reason)
    assert wait.attempts == 1
    assert resume(project).job_name == job
    assert states(project) == {State.IN_FLIGHT: 2}
    assert wait_of(project) is None


def test_a_run_that_had_sent_everything_and_could_not_note_it_has_nothing_to_resume(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("submission", "note_end", LedgerError("disk is full"))(broken)
        assert not project.run().success
    waits_for(project, WaitReason.LEDGER)
    make_due(project)
    assert isinstance(tick(project), SkipReason)
    assert wait_of(project) is None
    assert states(project) == {State.IN_FLIGHT: 2}


def test_pauses_grow_while_it_fails_and_the_wait_tells_since_when(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("lookups", "register", FULL)(broken)
        assert not project.run().success
        first = waits_for(project, WaitReason.STORAGE)
        for attempts in (2, 3):
            before = waits_for(project, WaitReason.STORAGE)
            assert not project.run("submission_job").success
            wait = waits_for(project, WaitReason.STORAGE)
            assert wait.attempts == attempts
            assert wait.until is not None
            assert before.until is not None
            assert wait.until > before.until
            assert wait.since == first.since
    resume(project)
    assert wait_of(project) is None


def test_a_run_that_could_not_even_note_that_it_began_is_resumed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("attempt", "begin", LedgerError("database is locked"))(broken)
        assert not project.run().success
    assert wait_of(project) is None
    assert resume(project).job_name == "enrichment_job"
    assert states(project) == {State.IN_FLIGHT: 2}
    assert isinstance(tick(project), SkipReason), "it is noted once"
    assert wait_of(project) is None


def killed_run(project: Project, status: DagsterRunStatus, **noted: Any) -> None:
    """A run that had begun and is over, without a note of its end."""
    project.write(CSV)
    run = create_run_for_test(
        project.instance,
        job_name="enrichment_job",
        status=status,
        tags={"dagster/partition": DATE},
    )
    with project.ledger.write() as connection:
        begin(connection, DATE, Stage.READ, run.run_id, utc_now(), **noted)


def test_a_killed_run_is_resumed(project: Project) -> None:
    killed_run(project, DagsterRunStatus.FAILURE)
    assert isinstance(tick(project), SkipReason), "not at once: the daemon may repeat the run"
    assert waits_for(project, WaitReason.INTERRUPTED).attempts == 1
    resume(project)
    assert states(project) == {State.IN_FLIGHT: 2}


def test_a_run_that_works_is_left_alone(project: Project) -> None:
    killed_run(project, DagsterRunStatus.STARTED)
    assert isinstance(tick(project), SkipReason)
    assert waits_for(project, WaitReason.RUNNING).resumes


def test_a_canceled_run_stays_stopped_and_the_ledger_says_so(project: Project) -> None:
    killed_run(project, DagsterRunStatus.CANCELED)
    assert isinstance(tick(project), SkipReason)
    wait = waits_for(project, WaitReason.CANCELED)
    assert (wait.until, wait.detail) == (None, "its run was canceled")
    assert isinstance(tick(project), SkipReason)
    assert project.run().success, "until somebody runs it again"
    assert wait_of(project) is None


def test_a_killed_run_with_a_maximum_of_its_own_stays_stopped(project: Project) -> None:
    killed_run(project, DagsterRunStatus.FAILURE, resumes=False)
    assert isinstance(tick(project), SkipReason)
    assert waits_for(project, WaitReason.RUN_LIMIT).until is None


def test_a_run_that_nobody_here_knows_is_believed_to_live_for_a_while(project: Project) -> None:
    """It may be another host's."""
    project.write(CSV)
    with project.ledger.write() as connection:
        begin(connection, DATE, Stage.READ, "of another host", utc_now())
    assert isinstance(tick(project), SkipReason)
    waits_for(project, WaitReason.RUNNING)
    with project.ledger.write() as connection:
        begin(connection, DATE, Stage.READ, "of another host", utc_now() - RUN_LEASE)
    tick(project)
    waits_for(project, WaitReason.INTERRUPTED)
    resume(project)


def test_a_run_that_was_requested_and_failed_before_it_began_is_requested_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    with monkeypatch.context() as broken:
        failing("lookups", "register", FULL)(broken)
        project.run()
    make_due(project)
    result = tick(project)
    assert isinstance(result, SensorResult)
    (request,) = result.run_requests or ()
    create_run_for_test(
        project.instance,
        job_name="submission_job",
        tags={**request.tags, "dagster/partition": DATE},
        status=DagsterRunStatus.FAILURE,
    )
    make_due(project)
    assert isinstance(tick(project), SkipReason)
    assert waits_for(project, WaitReason.INTERRUPTED).attempts == 2
    resume(project)


def test_a_gateways_403_is_tried_again_by_itself(project: Project) -> None:
    project.write(CSV)
    page = http(403, b"<html>Access denied</html>", "text/html")
    with raw_server(lambda _request: page) as server:
        gateway = RocketReach(api_key="key", base_url=server.base_url, requests_per_second=0)
        assert not project.run(rocketreach=gateway).success
    assert "HTTP 403" in str(waits_for(project, WaitReason.ACCOUNT).detail)
    resume(project)
    assert states(project) == {State.IN_FLIGHT: 2}


def test_a_missing_key_is_noted_and_the_rest_is_sent_once_it_is_there(project: Project) -> None:
    project.write(CSV)
    assert not project.run(rocketreach=RocketReach()).success
    assert settings.API_KEY in str(waits_for(project, WaitReason.CONFIGURATION).detail)
    resume(project)
    assert states(project) == {State.IN_FLIGHT: 2}


def test_a_file_that_cannot_be_read_stays_stopped_until_somebody_runs_it_again(
    project: Project,
) -> None:
    (project.folder / "names").mkdir()
    (project.folder / "names" / f"{DATE}.csv").write_bytes(b"PK\x03\x04 no CSV")
    assert not project.run().success
    assert waits_for(project, WaitReason.INPUT).until is None
    project.write(CSV)
    assert project.run().success
    assert wait_of(project) is None


def test_reading_names_alone_asks_nobody_to_send(project: Project) -> None:
    project.write(CSV)
    assert project.run(assets=["names", "rejected_names"]).success
    assert wait_of(project) is None
