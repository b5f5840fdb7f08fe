"""The nightly schedule."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from dagster import (
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from lookup_pipeline.jobs import enrichment_job
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.run_tags import NIGHTLY_PRIORITY, PRIORITY_TAG
from lookup_pipeline.settings import (
    NIGHTLY_HOUR,
    NIGHTLY_TIMEZONE,
    ConfigurationError,
    number,
    setting,
)


def _cron() -> str:
    return f"0 {number(NIGHTLY_HOUR):.0f} * * *"


def _time_zone() -> str:
    name = setting(NIGHTLY_TIMEZONE)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{NIGHTLY_TIMEZONE} is {name!r}; it takes a name of the time zone database, such as "
            "Europe/Berlin."
        ) from error
    return name


@schedule(
    name="nightly_enrichment",
    job=enrichment_job,
    cron_schedule=_cron(),
    execution_timezone=_time_zone(),
    description="Enriches the day before, every night. Off until you turn it on: it spends "
    "credits.",
)
def nightly_enrichment(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Ask for the day before the scheduled night, by the schedule's own calendar."""
    day_before = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    if not DAILY.has_partition_key(day_before):
        return SkipReason(f"{day_before} lies before the first partition.")
    return RunRequest(
        run_key=day_before, partition_key=day_before, tags={PRIORITY_TAG: NIGHTLY_PRIORITY}
    )
