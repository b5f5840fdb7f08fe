"""Which partitions runs work on now, as the sensors have to know."""

from collections.abc import Collection
from datetime import datetime, timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from lookup_pipeline.jobs import enrichment_job, publish_job, resubmit_job, submission_job

SUBMITTING_JOBS = (enrichment_job.name, submission_job.name, resubmit_job.name)
"""The jobs that send lookups."""

EVERY_JOB = (*SUBMITTING_JOBS, publish_job.name)
"""All of the project's jobs."""

# A run that began so long ago is not waited for: `processes` knows the dead ones of this machine
# only.
_RUN_COUNTS_FOR = timedelta(hours=6)

_UNDER_WAY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def partitions_under_way(
    instance: DagsterInstance, now: datetime, jobs: Collection[str]
) -> set[str]:
    """Partitions that a run of these jobs works on, or waits to work on.

    A run that materializes chosen assets, from the UI or by an asset backfill, may do anything.
    """
    records = instance.get_run_records(
        RunsFilter(statuses=_UNDER_WAY, created_after=now - _RUN_COUNTS_FOR)
    )
    return {
        record.dagster_run.tags["dagster/partition"]
        for record in records
        if "dagster/partition" in record.dagster_run.tags
        and (
            record.dagster_run.job_name in jobs
            or record.dagster_run.job_name.startswith("__ASSET_JOB")
        )
    }
