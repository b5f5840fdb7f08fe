"""Sending again what ended badly: only when an operator says so, and once for each time."""

import time

from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, error_of, metadata

CSV = "name,company\nMarie Curie,University of Paris\nEmmy Noether,Bryn Mawr College\n"


def states(project: Project) -> dict[State, int]:
    with project.ledger.read() as connection:
        (counts,) = count_partitions(connection, [DATE])
    return {state: rows for state, rows in counts.states.items() if rows}


def leave_unconfirmed(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(html_200=1, complete_after_polls=0)
    project.run()
    project.sandbox.change(html_200=0)
    assert states(project) == {State.UNCONFIRMED: 2}


def test_no_other_run_sends_the_unconfirmed_again(project: Project) -> None:
    leave_unconfirmed(project)
    project.run()
    project.run("publish_job")
    assert states(project) == {State.UNCONFIRMED: 2}


def test_the_job_sends_the_unconfirmed_again_and_publishes(project: Project) -> None:
    leave_unconfirmed(project)
    before = len(project.sandbox.lookups())
    result = project.run("resubmit_job")
    assert result.success
    assert len(project.sandbox.lookups()) - before == 2
    assert metadata(result, "lookups")["resubmitted"] == 2
    assert metadata(result, "profiles")["dagster/partition_row_count"] == 2
    assert states(project) == {State.COMPLETE: 2}
    assert metadata(project.run("resubmit_job"), "lookups")["resubmitted"] == 0


def test_a_backfill_sends_again_only_what_had_ended_when_it_was_launched(project: Project) -> None:
    """Its runs begin one after the other, and partitions share lookups."""
    launched = time.time()
    leave_unconfirmed(project)
    for name, timestamp, resubmitted in (("before", launched, 0), ("after", time.time(), 2)):
        project.instance.add_backfill(
            PartitionBackfill(
                backfill_id=name,
                status=BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={},
                backfill_timestamp=timestamp,
            )
        )
        result = project.run("resubmit_job", tags={"dagster/backfill": name})
        assert metadata(result, "lookups")["resubmitted"] == resubmitted


def test_the_config_says_which_failures_are_sent_again(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(not_found=1)
    project.run()
    assert states(project) == {State.FAILED: 2}
    project.sandbox.change(not_found=0, complete_after_polls=0)
    assert metadata(project.run("resubmit_job"), "lookups")["resubmitted"] == 0
    project.run("resubmit_job", config={"resubmit": ["not_found"]})
    assert states(project) == {State.COMPLETE: 2}


def test_a_kind_that_is_none_is_refused_with_those_that_are(project: Project) -> None:
    leave_unconfirmed(project)
    result = project.run("resubmit_job", config={"resubmit": ["unconfirmd"]})
    assert "'unconfirmd' is not a valid FailureKind; it takes any of not_found," in error_of(
        result, "lookups"
    )
    assert states(project) == {State.UNCONFIRMED: 2}
