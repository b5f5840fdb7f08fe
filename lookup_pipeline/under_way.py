"""Which partitions runs work on now, as the sensors have to know."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG

from lookup_pipeline.datasets.columns import DATASETS, LOOKUPS
from lookup_pipeline.jobs import enrichment_job, publish_job, resubmit_job, submission_job
from lookup_pipeline.run_tags import ASKED_AT_TAG, SENDING_TAG

SUBMITTING_JOBS = (enrichment_job.name, submission_job.name, resubmit_job.name)
"""The jobs that send lookups."""

EVERY_JOB = (*SUBMITTING_JOBS, publish_job.name)
"""All of the project's jobs."""

# A run that began so long ago is not waited for: `processes` knows the dead ones of this machine
# only.
_RUN_COUNTS_FOR = timedelta(hours=6)

# The run's time of creation is the database's.
_CLOCKS_DIFFER_BY = timedelta(minutes=5)

_DATASETS = frozenset(dataset.name for dataset in DATASETS)

_UNDER_WAY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

_STOPPED = [DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE]


def partitions_under_way(
    instance: DagsterInstance, now: datetime, jobs: Collection[str], *, sending: bool = True
) -> set[str]:
    """Partitions that a run of these jobs works on, or waits to work on.

    A run that materializes chosen assets, from the UI or by an asset backfill, counts where it
    materializes one that these jobs do; other projects may share the instance.

    Args:
        instance: where the runs are recorded.
        now: the current time.
        jobs: the names of the jobs.
        sending: whether runs count that have registered their rows and send lookups.
    """
    records = instance.get_run_records(
        RunsFilter(
            statuses=_UNDER_WAY,
            created_after=now - _RUN_COUNTS_FOR,
            # Later than now, it is of a clock that was ahead.
            created_before=now + _CLOCKS_DIFFER_BY,
        )
    )
    runs = (record.dagster_run for record in records)
    return {
        run.tags[PARTITION_NAME_TAG]
        for run in runs
        if PARTITION_NAME_TAG in run.tags
        and _is_of(run, jobs)
        and (sending or run.tags.get(SENDING_TAG) != run.run_id)
    }


def partitions_stopped_since(instance: DagsterInstance, since: datetime) -> dict[str, datetime]:
    """Return partitions whose run was cancelled or failed since then, and when the last one did."""
    records = instance.get_run_records(RunsFilter(statuses=_STOPPED, updated_after=since))
    stopped: dict[str, datetime] = {}
    for record in records:
        run = record.dagster_run
        if PARTITION_NAME_TAG in run.tags and record.end_time and _is_of(run, SUBMITTING_JOBS):
            ended = datetime.fromtimestamp(record.end_time, UTC)
            lookup_date = run.tags[PARTITION_NAME_TAG]
            stopped[lookup_date] = max(stopped.get(lookup_date, ended), ended)
    return stopped


def partition_of(run: DagsterRun) -> str | None:
    """The partition that a run works on."""
    return run.tags.get(PARTITION_NAME_TAG)


def submits(run: DagsterRun) -> bool:
    """Whether a run is to send lookups, or only to read or to publish."""
    chosen = run.asset_selection
    return _is_of(run, SUBMITTING_JOBS) and (not chosen or AssetKey(LOOKUPS.name) in chosen)


def may_resume(run: DagsterRun) -> bool:
    """Whether what a run leaves undone is taken up again by itself: not where it had a maximum.

    A command gives its runs a time, and resumes them itself meanwhile.
    """
    steps: Any = run.run_config.get("ops", {})
    config = steps.get(LOOKUPS.name, {}).get("config", {})
    bounded_in_time = config.get("max_seconds") is not None and ASKED_AT_TAG not in run.tags
    return config.get("max_new_lookups") is None and not bounded_in_time


def _is_of(run: DagsterRun, jobs: Collection[str]) -> bool:
    if not run.job_name.startswith("__ASSET_JOB"):
        return run.job_name in jobs
    chosen = {key.to_user_string() for key in run.asset_selection or ()}
    ours = {LOOKUPS.name} if set(jobs) <= set(SUBMITTING_JOBS) else _DATASETS
    return not chosen or not chosen.isdisjoint(ours)
