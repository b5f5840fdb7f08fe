"""The nightly schedule."""

from datetime import timedelta

from dagster import (
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from lookup_pipeline.jobs import enrichment_job
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.settings import (
    NIGHTLY_HOUR,
    NIGHTLY_TIMEZONE,
    ConfigurationError,
    number,
    setting,
)


def _cron() -> str:
    hour = number(NIGHTLY_HOUR)
    if hour != int(hour) or hour > 23:
        raise ConfigurationError(f"{NIGHTLY_HOUR} is {hour:g}; it takes a whole hour, 0 to 23.")
    return f"0 {int(hour)} * * *"


@schedule(
    name="nightly_enrichment",
    job=enrichment_job,
    cron_schedule=_cron(),
    execution_timezone=setting(NIGHTLY_TIMEZONE),
    description="Enriches the day before, every night. Off until you turn it on: it spends "
    "credits.",
)
def nightly_enrichment(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Ask for the day before the scheduled night, by the schedule's own calendar."""
    day_before = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    if not DAILY.has_partition_key(day_before):
        return SkipReason(f"{day_before} lies before the first partition.")
    return RunRequest(run_key=day_before, partition_key=day_before)
