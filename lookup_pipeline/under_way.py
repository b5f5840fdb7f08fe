"""Which partitions runs work on now, as the sensors have to know."""

from collections.abc import Collection
from datetime import datetime, timedelta

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG

from lookup_pipeline.datasets.columns import DATASETS, LOOKUPS
from lookup_pipeline.jobs import enrichment_job, publish_job, resubmit_job, submission_job

SUBMITTING_JOBS = (enrichment_job.name, submission_job.name, resubmit_job.name)
"""The jobs that send lookups."""

EVERY_JOB = (*SUBMITTING_JOBS, publish_job.name)
"""All of the project's jobs."""

# A run that began so long ago is not waited for: `processes` knows the dead ones of this machine
# only.
_RUN_COUNTS_FOR = timedelta(hours=6)

_DATASETS = frozenset(dataset.name for dataset in DATASETS)

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

    A run that materializes chosen assets, from the UI or by an asset backfill, counts where it
    materializes one that these jobs do; other projects may share the instance.
    """
    records = instance.get_run_records(
        RunsFilter(statuses=_UNDER_WAY, created_after=now - _RUN_COUNTS_FOR)
    )
    runs = (record.dagster_run for record in records)
    return {
        run.tags[PARTITION_NAME_TAG]
        for run in runs
        if PARTITION_NAME_TAG in run.tags and _is_of(run, jobs)
    }


def _is_of(run: DagsterRun, jobs: Collection[str]) -> bool:
    if not run.job_name.startswith("__ASSET_JOB"):
        return run.job_name in jobs
    chosen = {key.to_user_string() for key in run.asset_selection or ()}
    ours = {LOOKUPS.name} if set(jobs) <= set(SUBMITTING_JOBS) else _DATASETS
    return not chosen or not chosen.isdisjoint(ours)
