"""A ledger older than its datasets, as an operator meets it in Dagster."""

from pathlib import Path

import pytest
from dagster import SkipReason

from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.backup import back_up, restore
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.resumption import WaitReason, hold
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, error_of, evaluate

CSV = "name,company\nAda Lovelace,Analytical Engines\nGrace Hopper,Univac\n"
MUST = "lookup-pipeline ledger reconcile"


@pytest.fixture
def restored(project: Project) -> Project:
    """Part of the work was done after the backup that is in place now."""
    project.write(CSV)
    assert project.run(config={"max_new_lookups": 1}).success
    file = project.ledger.file.with_name("backup.db")
    back_up(project.ledger, file, utc_now())
    assert project.run().success
    restore(f"sqlite:///{project.ledger.file}", file, utc_now())
    return project


def files(project: Project) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (project.folder / "output").rglob("*.parquet")}


def test_the_sensors_say_why_nothing_is_sent_or_published(restored: Project) -> None:
    for sensor in (lookup_status_sensor, queued_lookups_sensor):
        if sensor is queued_lookups_sensor:
            make_it_wait(restored)
        result = evaluate(sensor, restored)
        assert isinstance(result, SkipReason)
        assert MUST in str(result.skip_message)


def make_it_wait(project: Project) -> None:
    with project.ledger.write() as connection:
        now = utc_now()
        hold(connection, DATE, WaitReason.LIMITS, "the provider's limits", now, now)


@pytest.mark.parametrize(
    ("job", "step"),
    [
        ("enrichment_job", "lookups"),
        ("submission_job", "lookups"),
        ("resubmit_job", "lookups"),
        ("publish_job", "published_datasets"),
    ],
)
def test_every_job_is_refused_and_replaces_no_file(restored: Project, job: str, step: str) -> None:
    before = {
        path: content for path, content in files(restored).items() if "names" not in str(path)
    }
    requests = restored.sandbox.requests().by_operation.get("lookup")
    result = restored.run(job)
    assert not result.success
    assert MUST in error_of(result, step)
    after = files(restored)
    assert before == {path: after[path] for path in before}
    assert restored.sandbox.requests().by_operation.get("lookup") == requests
    with restored.ledger.read() as connection:
        (counts,) = count_partitions(connection, [DATE])
    assert counts.states[State.QUEUED] == 1
