"""The sensor and the schedule, evaluated as the daemon does."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psutil
import pytest
from dagster import (
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    SensorResult,
    SkipReason,
    build_schedule_context,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id
from sqlalchemy import update

from lookup_pipeline.enrichment.poll import PollingFailedError
from lookup_pipeline.ledger.news import note_news
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.tables import lookups, partitions
from lookup_pipeline.processes import PROCESS_TAG, process_tags
from lookup_pipeline.resources import RocketReach
from lookup_pipeline.run_tags import SENDING_TAG
from lookup_pipeline.schedules import nightly_enrichment
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline.under_way import EVERY_JOB
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, evaluate, metadata

CSV = "name,company\nMarie Curie,University of Paris\nEmmy Noether,Bryn Mawr College\n"


def tick(project: Project, **resources: object) -> SensorResult | SkipReason:
    return evaluate(lookup_status_sensor, project, **resources)


def requests(result: SensorResult | SkipReason) -> list[RunRequest]:
    return list(result.run_requests or ()) if isinstance(result, SensorResult) else []


def make_due(project: Project) -> None:
    with project.ledger.write() as connection:
        connection.execute(update(lookups).values(next_poll_at=datetime(2026, 1, 1, tzinfo=UTC)))


def age_request(project: Project, by: timedelta) -> None:
    with project.ledger.write() as connection:
        connection.execute(
            update(partitions).values(publication_requested_at=datetime.now(UTC) - by)
        )


def test_an_idle_tick_needs_neither_key_nor_network(project: Project) -> None:
    assert isinstance(tick(project, rocketreach=RocketReach()), SkipReason)


def test_lookups_in_flight_are_polled_and_their_partition_published(project: Project) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    (request,) = requests(tick(project))
    assert request.partition_key == DATE
    assert project.sandbox.requests().by_operation["check_status"] == 1
    assert project.run("publish_job").success
    assert isinstance(tick(project), SkipReason)


def test_a_credit_is_told_of_by_the_publication_that_first_shows_its_lookup(
    project: Project,
) -> None:
    project.write(CSV)
    runs = [project.run()]
    make_due(project)
    tick(project)
    runs += [project.run("publish_job") for _ in range(2)]
    told = [metadata(run, "profiles")["credits_spent_by_run"] for run in runs]
    assert told == [0, len(project.sandbox.charges()), 0]
    assert told[1] == 2


@pytest.mark.parametrize("name", ["profiles", "failed_lookups", "pending_lookups"])
def test_output_that_was_deleted_is_published_again(project: Project, name: str) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    assert isinstance(tick(project), SkipReason)
    shutil.rmtree(project.folder / "output" / name)
    assert [request.partition_key for request in requests(tick(project))] == [DATE]
    assert project.run("publish_job").success
    assert (project.folder / "output" / name / f"lookup_date={DATE}" / "part-0.parquet").exists()
    assert isinstance(tick(project), SkipReason)


def test_output_that_a_publication_can_not_restore_is_told_with_the_cure(
    project: Project,
) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    for name in ("profiles", "names"):
        shutil.rmtree(project.folder / "output" / name)
    skipped = tick(project)
    assert isinstance(skipped, SkipReason)
    assert f"`lookup-pipeline run --date {DATE}`" in str(skipped.skip_message)
    assert project.run().success
    assert isinstance(tick(project), SkipReason)
    assert len(project.sandbox.charges()) == 2


def test_a_publication_is_asked_for_once_then_again_after_a_while_under_a_new_key(
    project: Project,
) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    (first,) = requests(tick(project))
    assert requests(tick(project)) == []
    # The run failed, was lost, or never came to be: the ledger still has news.
    age_request(project, timedelta(minutes=2))
    (second,) = requests(tick(project))
    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


@pytest.mark.parametrize("job", [*EVERY_JOB, "__ASSET_JOB"])
def test_a_partition_that_a_run_works_on_is_left_alone(project: Project, job: str) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    run = create_run_for_test(
        project.instance,
        job_name=job,
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": DATE},
    )
    assert requests(tick(project)) == []
    project.instance.report_run_failed(run)
    assert len(requests(tick(project))) == 1


def test_a_partition_in_the_making_is_published_at_most_every_few_minutes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_seconds=3600)
    project.run()
    with project.ledger.write() as connection:
        connection.execute(update(partitions).values(news_version=partitions.c.news_version + 1))
    assert requests(tick(project)) == []
    monkeypatch.setenv("LOOKUP_PIPELINE_PUBLISH_INTERVAL_SECONDS", "0")
    assert len(requests(tick(project))) == 1


def test_while_a_run_sends_what_is_complete_is_published(project: Project) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    tags = {"dagster/partition": DATE}
    run = create_run_for_test(
        project.instance, job_name=EVERY_JOB[0], status=DagsterRunStatus.STARTED, tags=tags
    )
    assert requests(tick(project)) == []
    # The run that it repeats was sending; it reads its files anew.
    project.instance.add_run_tags(run.run_id, {SENDING_TAG: "another run"})
    assert requests(tick(project)) == []
    project.instance.add_run_tags(run.run_id, {SENDING_TAG: run.run_id})
    assert len(requests(tick(project))) == 1


@pytest.mark.parametrize("status", [DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE])
def test_what_a_stopped_run_leaves_complete_is_published_at_the_next_tick(
    project: Project, status: DagsterRunStatus
) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_seconds=3600)
    project.run()
    with project.ledger.write() as connection:
        connection.execute(update(partitions).values(news_version=partitions.c.news_version + 1))
    run = create_run_for_test(
        project.instance,
        job_name=EVERY_JOB[0],
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": DATE},
    )
    assert requests(tick(project)) == []
    if status is DagsterRunStatus.FAILURE:
        project.instance.report_run_failed(run)
    else:
        project.instance.report_run_canceled(run)
    assert len(requests(tick(project))) == 1
    # Once: then the ledger's own pauses count.
    assert requests(tick(project)) == []


def test_a_tick_in_which_every_call_failed_fails_and_the_next_recovers(project: Project) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    project.sandbox.change(down=True)
    with pytest.raises(PollingFailedError, match="Every call to the API failed"):
        tick(project)
    project.sandbox.change(down=False)
    make_due(project)
    assert len(requests(tick(project))) == 1


def test_a_partition_before_a_start_date_that_was_moved_does_not_fail_the_tick(
    project: Project,
) -> None:
    with project.ledger.write() as connection:
        note_news(connection, ["1999-12-31"])
    project.write(CSV)
    project.run()
    make_due(project)
    assert [request.partition_key for request in requests(tick(project))] == [DATE]


@pytest.fixture
def ended_process() -> str:
    """The tag that a process that is gone gave to `RUN`."""
    code = "from lookup_pipeline.processes import *; print(process_tags('RUN')[PROCESS_TAG])"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def started_run(project: Project, tag: str | None, repeats: DagsterRun | None = None) -> DagsterRun:
    """A run that began, with the tag that a process gave it; RUN stands for its own id."""
    run_id = make_new_run_id()
    tags = {PROCESS_TAG: tag.replace("RUN", run_id)} if tag else {}
    run: DagsterRun = create_run_for_test(
        project.instance,
        run_id=run_id,
        job_name="enrichment_job",
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": DATE, **(repeats.tags if repeats else {}), **tags},
        parent_run_id=repeats.run_id if repeats else None,
        root_run_id=repeats.run_id if repeats else None,
    )
    return run


def status(project: Project, run: DagsterRun) -> DagsterRunStatus:
    found = project.instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_whose_process_is_gone_fails_and_its_partition_is_published(
    project: Project, ended_process: str
) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    killed = started_run(project, ended_process)
    project.instance.event_log_storage.set_concurrency_slots("rocketreach", 1)
    claim = project.instance.event_log_storage.claim_concurrency_slot
    assert claim("rocketreach", killed.run_id, "lookups").is_claimed
    assert len(requests(tick(project))) == 1
    assert status(project, killed) is DagsterRunStatus.FAILURE
    assert claim("rocketreach", "another run", "lookups").is_claimed, "its place is free"


def test_a_run_that_repeats_a_dead_one_lives_though_it_has_its_tags(
    project: Project, ended_process: str
) -> None:
    killed = started_run(project, ended_process)
    again = started_run(project, None, repeats=killed)
    once_more = started_run(project, None, repeats=again)
    tick(project)
    assert status(project, killed) is DagsterRunStatus.FAILURE
    assert status(project, again) is DagsterRunStatus.STARTED
    assert status(project, once_more) is DagsterRunStatus.STARTED


def test_a_run_that_lives_or_is_another_machines_is_left_alone(
    project: Project, ended_process: str
) -> None:
    alive = process_tags("RUN")[PROCESS_TAG]
    elsewhere = ended_process.replace("RUN/", "RUN/another-host")
    runs = [
        started_run(project, tag) for tag in (None, alive, elsewhere, "nonsense", "RUN/nonsense")
    ]
    tick(project)
    assert {status(project, run) for run in runs} == {DagsterRunStatus.STARTED}


def test_a_clock_that_is_set_makes_no_living_process_another_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system dates a process by the time at which the machine began, which moves with it."""
    run = started_run(project, process_tags("RUN")[PROCESS_TAG])
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3_600)
    tick(project)
    assert status(project, run) is DagsterRunStatus.STARTED


def test_a_run_that_was_to_be_canceled_and_whose_process_is_gone_is_canceled(
    project: Project, ended_process: str
) -> None:
    run = started_run(project, ended_process)
    project.instance.report_run_canceling(run)
    tick(project)
    assert status(project, run) is DagsterRunStatus.CANCELED


def test_a_number_that_another_process_has_now_is_not_the_runs_process(project: Project) -> None:
    place, _, _began = process_tags("RUN")[PROCESS_TAG].rpartition("/")
    run = started_run(project, f"{place}/1000000000")
    tick(project)
    assert status(project, run) is DagsterRunStatus.FAILURE


def test_every_run_says_which_process_works_on_it(project: Project) -> None:
    project.write(CSV)
    for job in ("enrichment_job", "publish_job"):
        run = project.instance.get_run_by_id(project.run(job).run_id)
        assert run is not None
        assert process_tags(run.run_id).items() <= run.tags.items()


@pytest.mark.parametrize("key", [None, "k\u00e9y"])
def test_what_is_known_is_published_without_a_key(
    project: Project, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    with project.ledger.write() as connection:
        note_news(connection, [DATE])
    monkeypatch.setenv("LOOKUP_PIPELINE_PUBLISH_INTERVAL_SECONDS", "0")
    assert len(requests(tick(project, rocketreach=RocketReach(api_key=key)))) == 1


def test_a_due_lookup_without_a_key_fails_the_tick_with_the_variable_named(
    project: Project,
) -> None:
    project.write(CSV)
    project.run()
    make_due(project)
    with pytest.raises(Exception, match="ROCKETREACH_API_KEY is not set"):
        tick(project, rocketreach=RocketReach())


def test_a_restored_ledger_heals_by_itself(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    with project.ledger.write() as connection:
        connection.execute(update(partitions).values(published_version=0))
    assert len(requests(tick(project))) == 1
    with project.ledger.read() as connection:
        assert [news.lookup_date for news in partitions_with_news(connection)] == [DATE]


def nightly(at: datetime) -> RunRequest | SkipReason:
    found = nightly_enrichment(build_schedule_context(scheduled_execution_time=at))
    assert isinstance(found, RunRequest | SkipReason)
    return found


def test_the_night_asks_for_the_day_before() -> None:
    found = nightly(datetime(2026, 1, 7, 2, tzinfo=UTC))
    assert isinstance(found, RunRequest)
    assert found.partition_key == "2026-01-06"


def test_the_night_goes_by_its_own_calendar() -> None:
    # In Auckland the 7th began while it was still the 6th in UTC.
    found = nightly(datetime(2026, 1, 7, 2, tzinfo=ZoneInfo("Pacific/Auckland")))
    assert isinstance(found, RunRequest)
    assert found.partition_key == "2026-01-06"


def test_a_night_before_the_first_partition_is_skipped() -> None:
    assert isinstance(nightly(datetime(2026, 1, 1, 2, tzinfo=UTC)), SkipReason)
