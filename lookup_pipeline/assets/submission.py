"""Sending a partition's lookups within a run: what the run may be told, and what it tells."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from dagster import AssetExecutionContext, Config, Failure
from pydantic import Field

from lookup_pipeline.datasets.storage import DatasetFolder, StorageError
from lookup_pipeline.enrichment import budget
from lookup_pipeline.enrichment.budget import SubmissionPolicy
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.enrichment.resumption import note_end
from lookup_pipeline.enrichment.submit import submit
from lookup_pipeline.ledger import FailureKind, Ledger
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.resources import RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.run_tags import SENDING_TAG
from lookup_pipeline.settings import (
    LONGEST_RUN,
    MAX_NEW_PER_DAY,
    MAX_NEW_PER_RUN,
    MIN_CREDITS,
    ConfigurationError,
    maximum,
)
from lookup_pipeline.simulation import refuse_leftover
from lookup_pipeline.under_way import may_resume

# Seconds between lines of progress in the run's log.
_PROGRESS_EVERY = 5


class SubmissionConfig(Config):
    """What one run may be told, in the launchpad or by the command line."""

    max_seconds: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_RUN,
        description="No request leaves later than so many seconds after the run began; the rest "
        "stays queued.",
    )
    max_new_lookups: int | None = Field(
        default=None,
        ge=0,
        description=f"The run sends no more lookups than this; by default {MAX_NEW_PER_RUN}, which "
        "has no maximum by default. The rest stays queued until somebody runs the partition again.",
    )
    force_refresh: bool = Field(
        default=False,
        description="Everybody in this partition is looked up again, once, unless their lookup is "
        "under way or unconfirmed: each may cost a credit. `lookup-pipeline plan --force-refresh` "
        "says how many.",
    )
    resubmit: list[str] = Field(
        default=[],
        description="Lookups of this partition that ended so are sent again, once: each may cost a "
        "credit, and one that is unconfirmed or timed_out may have cost one already. Any of: "
        f"{', '.join(FailureKind)}.",
    )


def why_queued(
    context: AssetExecutionContext, report: SubmissionReport, config: SubmissionConfig
) -> str | None:
    """Why a submission has left some unsent, and what makes it go on; None where it has not."""
    resumes = "materialize lookups again"
    if may_resume(context.run):
        resumes = "queued_lookups_sensor resumes by itself"
    match report:
        case SubmissionReport(capped_by=budget.MAX_NEW):
            most = maximum(MAX_NEW_PER_RUN, config.max_new_lookups)
            return f"the run may send {most} lookups (max_new_lookups). Materialize lookups again"
        case SubmissionReport(capped_by=budget.MAX_A_DAY):
            return f"today's lookups ({MAX_NEW_PER_DAY}) are used up; {resumes} after midnight UTC"
        case SubmissionReport(capped_by=budget.MIN_CREDITS):
            return f"no credits are left above {MIN_CREDITS}; {resumes} when there are more"
        case SubmissionReport(waits_until=datetime() as until):
            what = "the provider's limits let the next request out at"
            if report.in_cooldown:
                what = (
                    "the provider asked not to be called (Retry-After; `lookup-pipeline resume` "
                    "lifts it) until"
                )
            return f"{what} {until:%Y-%m-%d %H:%M:%S} UTC; {resumes} then"
        case SubmissionReport(out_of_time=True):
            return (
                f"the run's {config.max_seconds:g} seconds (max_seconds) were up. Materialize "
                "lookups again"
            )
    return None


def run_policy(rocketreach: RocketReach, config: SubmissionConfig) -> SubmissionPolicy:
    """What a run's submission keeps to.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    max_new = maximum(MAX_NEW_PER_RUN, config.max_new_lookups)
    return replace(rocketreach.policy, max_new=max_new)


def submit_partition(
    context: AssetExecutionContext,
    ledger: Ledger,
    output: DatasetFolder,
    rocketreach: RocketReach,
    config: SubmissionConfig,
) -> SubmissionReport:
    """Send what is queued of the run's partition, and note what is left and what it waits for.

    Raises:
        Failure: the account, the configuration, the API, the ledger or the output folder is in
            trouble; the rest is queued.
    """
    lookup_date = context.partition_key
    with ledger.read() as connection:
        is_settled = next_ready_at(connection, lookup_date) is None
    try:
        report = SubmissionReport()
        if not is_settled:
            # A settled partition needs neither key nor network.
            report = _submit(context, ledger, output, rocketreach, config)
    except (
        SubmissionStoppedError,
        RocketReachError,
        ConfigurationError,
        OutdatedLedgerError,
        StorageError,
    ) as error:
        with ledger.read() as connection:
            (counts,) = count_partitions(connection, [lookup_date])
        raise Failure(
            f"{error} ({counts.queued} rows stay queued; a later run of this partition sends "
            "them.)",
            metadata={"rows_queued": counts.queued},
            allow_retries=False,
        ) from error
    note_end(ledger, lookup_date, report, resumes=may_resume(context.run))
    return report


@contextmanager
def _marked_as_sending(context: AssetExecutionContext) -> Iterator[None]:
    """Let the partition be published while this run sends: its rows are registered."""
    run_id = context.run.run_id
    context.instance.add_run_tags(run_id, {SENDING_TAG: run_id})
    try:
        yield
    finally:
        context.instance.add_run_tags(run_id, {SENDING_TAG: "done"})


def _submit(
    context: AssetExecutionContext,
    ledger: Ledger,
    output: DatasetFolder,
    rocketreach: RocketReach,
    config: SubmissionConfig,
) -> SubmissionReport:
    refuse_leftover(context.instance, context.run)
    with rocketreach.client() as client, _marked_as_sending(context):
        return submit(
            ledger,
            output,
            client,
            context.partition_key,
            context.run.run_id,
            replace(
                run_policy(rocketreach, config),
                seconds=_seconds_left(context, config.max_seconds),
            ),
            progress=_Progress(context),
        )


def _seconds_left(context: AssetExecutionContext, max_seconds: float | None) -> float | None:
    """What is left of the run's time: reading and registering have taken theirs."""
    if max_seconds is None:
        return None
    record = context.instance.get_run_record_by_id(context.run.run_id)
    begun = record.start_time if record else None
    return max(max_seconds - (time.time() - begun), 0) if begun else max_seconds


class _Progress:
    """Writes how far a submission is to the run's log, every few seconds."""

    def __init__(self, context: AssetExecutionContext) -> None:
        self._context = context
        self._next = time.monotonic() + _PROGRESS_EVERY

    def __call__(self, report: SubmissionReport) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_EVERY
            self._context.log.info(f"{report.accepted} lookups accepted so far.")
