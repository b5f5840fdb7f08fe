"""The sensor that goes on with what limits held back, evaluated as the daemon does."""

import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest
from dagster import (
    AssetKey,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    RunsFilter,
    SensorResult,
    SkipReason,
)
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Column, Table, select, update

from lookup_pipeline import settings
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.resumption import Wait, WaitReason, find_wait, find_waits
from lookup_pipeline.ledger.tables import allowances, limits, lookups, memberships, waits
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import RocketReach
from lookup_pipeline.run_tags import (
    BACKFILL_ID_TAG,
    IN_BACKFILL_TAG,
    NIGHTLY_PRIORITY,
    PRIORITY_TAG,
    RESUMES_TAG,
)
from lookup_pipeline.under_way import SUBMITTING_JOBS
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, error_of, evaluate, metadata

NEXT_DATE = "2026-01-06"
LATER_DATE = "2026-01-07"

HOUR = timedelta(hours=1, seconds=2)

# What a request for a partition of the night, and one for a partition of a backfill, carries.
NIGHTLY = {PRIORITY_TAG: NIGHTLY_PRIORITY}
IN_BACKFILL = {IN_BACKFILL_TAG: "true"}


def csv(people: int, family: str = "Noether") -> str:
    rows = [f"Emmy{number} {family},Bryn Mawr College\n" for number in range(people)]
    return "name,company\n" + "".join(rows)


def tick(project: Project, **resources: object) -> SensorResult | SkipReason:
    return evaluate(queued_lookups_sensor, project, **resources)


def requested(project: Project) -> RunRequest:
    """The one run that a tick requests."""
    result = tick(project)
    assert isinstance(result, SensorResult), result
    (request,) = result.run_requests or ()
    return request


def skipped(project: Project, **resources: object) -> str:
    """Why a tick requests nothing."""
    result = tick(project, **resources)
    assert isinstance(result, SkipReason), result
    return str(result.skip_message)


def account_calls(project: Project) -> int:
    return project.sandbox.requests().by_operation.get("account", 0)


# Every time of the ledger that the sensor, or a run of it, goes by.
_TIMES: Sequence[tuple[Table, Column[object]]] = (
    (waits, waits.c.since),
    (waits, waits.c.until),
    (waits, waits.c.noted_at),
    (allowances, allowances.c.opened_at),
    (allowances, allowances.c.look_again_at),
    (limits, limits.c.blocked_until),
    (lookups, lookups.c.not_before),
    (lookups, lookups.c.submitted_at),
)


def pass_time(project: Project, by: timedelta) -> None:
    """For the provider the time moves on, and for the ledger all that it knows is so much older."""
    project.sandbox.advance(seconds=by.total_seconds())
    with project.ledger.write() as connection:
        for table, column in _TIMES:
            (key,) = table.primary_key.columns
            found = connection.execute(select(key, column).where(column.is_not(None))).all()
            for which, time in found:
                connection.execute(
                    update(table).where(key == which).values({column.name: time - by})
                )


def states(project: Project, date: str = DATE) -> dict[State, int]:
    with project.ledger.read() as connection:
        (counts,) = count_partitions(connection, [date])
    return {state: rows for state, rows in counts.states.items() if rows}


def begin_run(project: Project, job: str, date: str, status: DagsterRunStatus) -> DagsterRun:
    """A run of another process, at this stage."""
    location = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="somewhere")
    run: DagsterRun = create_run_for_test(
        project.instance,
        job_name=job,
        status=status,
        tags={"dagster/partition": date},
        remote_job_origin=RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job),
    )
    return run


def wait_of(project: Project, date: str = DATE) -> Wait:
    with project.ledger.read() as connection:
        found = find_wait(connection, date)
    assert found is not None
    return found


def waiting(project: Project) -> list[str]:
    with project.ledger.read() as connection:
        return [each.lookup_date for each in find_waits(connection) if each.resumes]


@pytest.fixture
def three_an_hour(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    monkeypatch.setenv(settings.PLAN_LIMITS, "hour=3")


def hold_back(project: Project, date: str = DATE, tags: dict[str, str] | None = None) -> None:
    """A run that leaves two people for the hour that follows."""
    project.write(csv(2 if states(project, date) else 5, family=f"Of{date}"), date)
    assert project.run(date=date, tags=tags or {}).success
    assert date in waiting(project)


def test_an_idle_tick_needs_neither_key_nor_network(project: Project) -> None:
    project.write(csv(2))
    project.run()
    before = project.sandbox.requests().total
    assert "No partition waits" in skipped(project, rocketreach=RocketReach())
    assert project.sandbox.requests().total == before


@pytest.mark.usefixtures("three_an_hour")
def test_what_a_window_holds_back_is_requested_when_it_opens_and_not_before(
    project: Project,
) -> None:
    hold_back(project)
    assert states(project) == {State.IN_FLIGHT: 3, State.QUEUED: 2}
    calls = account_calls(project)
    assert "No partition waits" in skipped(project)
    assert account_calls(project) == calls, "it is not asked before there is reason to"

    pass_time(project, timedelta(minutes=6))
    assert "1 partitions wait: the provider's limits; looks again at" in skipped(project)
    assert account_calls(project) == calls + 1, "the window might have opened sooner"
    assert "No partition waits" in skipped(project)
    assert account_calls(project) == calls + 1

    pass_time(project, HOUR)
    request = requested(project)
    assert account_calls(project) == calls + 2
    assert request.partition_key == DATE
    assert request.tags == {**NIGHTLY, RESUMES_TAG: request.run_key}


@pytest.mark.usefixtures("three_an_hour")
def test_the_run_that_it_requests_finishes_the_partition(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    request = requested(project)
    (project.folder / "names" / f"{DATE}.csv").unlink()
    result = project.run("submission_job", tags=request.tags)
    assert result.success
    assert metadata(result, "lookups")["submitted"] == 2
    assert states(project) == {State.IN_FLIGHT: 5}
    assert metadata(result, "pending_lookups")["dagster/partition_row_count"] == 5
    assert waiting(project) == []
    pass_time(project, HOUR)
    assert "No partition waits" in skipped(project)


@pytest.mark.usefixtures("three_an_hour")
def test_nightly_partitions_go_first_then_the_oldest_and_one_at_a_time(project: Project) -> None:
    hold_back(project, DATE, tags={BACKFILL_ID_TAG: "backfill"})
    hold_back(project, LATER_DATE)
    hold_back(project, NEXT_DATE)
    served = []
    while waiting(project):
        pass_time(project, HOUR)
        request = requested(project)
        assert project.run(
            "submission_job", date=str(request.partition_key), tags=request.tags
        ).success
        served.append(request.partition_key)
    # Three an hour: five for each of the two that found the first hour used up, then two.
    assert served == [NEXT_DATE, NEXT_DATE, LATER_DATE, LATER_DATE, DATE]
    assert len(project.sandbox.lookups()) == 15


@pytest.mark.usefixtures("three_an_hour")
def test_a_second_partition_is_not_requested_while_the_first_has_not_run(project: Project) -> None:
    hold_back(project, DATE)
    hold_back(project, NEXT_DATE)
    pass_time(project, HOUR)
    request = requested(project)
    assert request.partition_key == DATE
    begin_run(project, "submission_job", DATE, DagsterRunStatus.QUEUED)
    assert "under way" in skipped(project)


@pytest.mark.usefixtures("three_an_hour")
def test_a_run_that_was_cancelled_before_it_sent_anything_is_not_asked_for_again(
    project: Project,
) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    request = requested(project)
    create_run_for_test(
        project.instance,
        job_name="submission_job",
        tags={**request.tags, "dagster/partition": DATE},
        status=DagsterRunStatus.CANCELED,
    )
    pass_time(project, timedelta(minutes=6))
    assert "any more" in skipped(project)
    assert waiting(project) == []


@pytest.mark.usefixtures("three_an_hour")
def test_runs_of_other_projects_are_in_nobodys_way(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    create_run_for_test(
        project.instance,
        job_name="__ASSET_JOB",
        asset_selection=frozenset({AssetKey("customers")}),
        tags={"dagster/partition": "customers-eu"},
        status=DagsterRunStatus.STARTED,
    )
    assert requested(project).partition_key == DATE


@pytest.mark.usefixtures("three_an_hour")
def test_a_partition_whose_lookups_another_one_sent_waits_no_more(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    with project.ledger.write() as connection:
        connection.execute(update(lookups).values(state=State.COMPLETE.value))
    assert "any more" in skipped(project)
    assert waiting(project) == []


@pytest.mark.usefixtures("three_an_hour")
def test_a_run_that_never_began_is_requested_again_under_a_new_key(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    first = requested(project)
    assert "No partition waits" in skipped(project), "it may still begin"
    pass_time(project, timedelta(minutes=6))
    second = requested(project)
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


@pytest.mark.usefixtures("three_an_hour")
@pytest.mark.parametrize("job", [*SUBMITTING_JOBS, "__ASSET_JOB"])
@pytest.mark.parametrize(
    "status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
)
def test_while_a_run_that_submits_is_under_way_nothing_is_requested(
    project: Project, job: str, status: DagsterRunStatus
) -> None:
    """Whichever partition it is for: what the window holds is that run's first."""
    hold_back(project)
    pass_time(project, HOUR)
    run = begin_run(project, job, LATER_DATE, status)
    calls = account_calls(project)
    assert "under way" in skipped(project)
    assert account_calls(project) == calls
    project.instance.report_run_failed(run)
    assert requested(project).partition_key == DATE


@pytest.mark.usefixtures("three_an_hour")
def test_a_run_that_publishes_is_in_nobodys_way(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    begin_run(project, "publish_job", DATE, DagsterRunStatus.STARTED)
    assert requested(project).partition_key == DATE


@pytest.mark.usefixtures("three_an_hour")
@pytest.mark.parametrize("tag", [BACKFILL_ID_TAG, IN_BACKFILL_TAG])
def test_what_a_backfill_began_stays_a_backfills_however_often_it_is_held_back(
    project: Project, tag: str
) -> None:
    project.write(csv(8))
    assert project.run(tags={tag: "some"}).success
    for left in (5, 2):
        assert states(project)[State.QUEUED] == left
        pass_time(project, HOUR)
        request = requested(project)
        assert request.tags == {**IN_BACKFILL, RESUMES_TAG: request.run_key}
        assert project.run("submission_job", tags=request.tags).success
    assert states(project) == {State.IN_FLIGHT: 8}


@pytest.mark.usefixtures("three_an_hour")
def test_a_partition_before_a_start_date_that_was_moved_does_not_fail_the_tick(
    project: Project,
) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    with project.ledger.write() as connection:
        for table in (memberships, waits):
            connection.execute(update(table).values(lookup_date="1999-12-31"))
    assert "No partition waits" in skipped(project)


# Account trouble ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_an_hour")
def test_a_key_that_is_refused_skips_the_tick_with_the_reason_and_it_looks_again_later(
    project: Project,
) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    project.sandbox.change(account_state="revoked")
    calls = account_calls(project)
    reason = skipped(project)
    assert "HTTP 401" in reason
    assert "check ROCKETREACH_API_KEY" in reason
    assert account_calls(project) == calls + 1
    project.sandbox.change(account_state="ok")
    assert "No partition waits" in skipped(project)
    pass_time(project, timedelta(minutes=16))
    assert requested(project).partition_key == DATE


@pytest.mark.usefixtures("three_an_hour")
def test_without_a_key_the_tick_is_skipped_with_the_variable_named(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    assert "ROCKETREACH_API_KEY is not set" in skipped(project, rocketreach=RocketReach())


@pytest.mark.usefixtures("three_an_hour")
def test_an_api_that_is_down_skips_the_tick_and_it_looks_again_later(project: Project) -> None:
    hold_back(project)
    pass_time(project, HOUR)
    project.sandbox.change(down=True)
    assert "HTTP 503" in skipped(project)
    project.sandbox.change(down=False)
    pass_time(project, timedelta(minutes=16))
    assert requested(project).partition_key == DATE


@pytest.mark.parametrize(
    ("trouble", "cause", "cure"),
    [
        ("revoked", "HTTP 401", "check ROCKETREACH_API_KEY"),
        ("no_credits", "HTTP 402", "buy more"),
    ],
)
def test_a_run_that_the_account_stopped_fails_in_one_line_and_is_requested_once_it_is_mended(
    project: Project, trouble: str, cause: str, cure: str
) -> None:
    project.write(csv(3))
    project.sandbox.change(account_state=trouble)
    said = error_of(project.run(), "lookups")
    assert "\n" not in said
    assert cause in said
    assert cure in said
    assert "3 rows stay queued" in said
    assert states(project) == {State.QUEUED: 3}

    pass_time(project, timedelta(minutes=16))
    assert "looks again at" in skipped(project), "it is not mended"
    project.sandbox.change(account_state="ok")
    assert "No partition waits" in skipped(project)
    pass_time(project, timedelta(minutes=16))
    request = requested(project)
    assert project.run("submission_job", tags=request.tags).success
    assert states(project) == {State.IN_FLIGHT: 3}


def test_a_plan_that_forbids_lookups_is_tried_again_after_a_while(project: Project) -> None:
    project.write(csv(3))
    project.sandbox.change(account_state="forbidden")
    assert "HTTP 403" in error_of(project.run(), "lookups")
    assert waiting(project) == [DATE]
    assert "No partition waits" in skipped(project)
    project.sandbox.change(account_state="ok")
    pass_time(project, timedelta(minutes=16))
    assert project.run("submission_job", tags=requested(project).tags).success
    assert states(project) == {State.IN_FLIGHT: 3}


# What was stopped ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_an_hour")
def test_a_run_that_is_canceled_is_not_resumed_though_its_partition_had_waited(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_back(project)

    def interrupted(*_arguments: object, **_settings: object) -> None:
        # What the UI does to a run that is to be terminated.
        (run,) = project.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        project.instance.report_run_canceling(run)
        raise KeyboardInterrupt

    # The package's own attribute of this name is the asset.
    monkeypatch.setattr(sys.modules["lookup_pipeline.assets.submission"], "submit", interrupted)
    assert not project.run().success
    pass_time(project, HOUR)
    assert "No partition waits" in skipped(project)
    assert wait_of(project).reason is WaitReason.CANCELED
    assert waiting(project) == []


@pytest.mark.usefixtures("three_an_hour")
def test_a_run_with_a_maximum_does_not_go_on_by_itself(project: Project) -> None:
    project.write(csv(5))
    assert project.run(config={"max_new_lookups": 2}).success
    assert states(project) == {State.IN_FLIGHT: 2, State.QUEUED: 3}
    pass_time(project, HOUR)
    assert "No partition waits" in skipped(project)


@pytest.mark.usefixtures("three_an_hour")
def test_the_run_tells_how_many_wait_and_until_when(project: Project) -> None:
    project.write(csv(5))
    told = metadata(project.run(), "lookups")
    assert "2 rows stay queued" in str(told["warning"])
    assert "queued_lookups_sensor resumes by itself" in str(told["warning"])
    assert isinstance(told["queued_until"], float)
