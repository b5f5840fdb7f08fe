"""The one partitions definition: a day of names, in UTC."""

from dagster import DailyPartitionsDefinition

from lookup_pipeline.settings import START_DATE, ConfigurationError, setting


def daily_partitions() -> DailyPartitionsDefinition:
    """Daily partitions from the configured start to today: the running day has one too.

    Raises:
        ConfigurationError: the start date is not a date.
    """
    start = setting(START_DATE)
    try:
        # end_offset: a file that is dropped today can be enriched today.
        return DailyPartitionsDefinition(start_date=start, timezone="UTC", end_offset=1)
    except ValueError as error:
        raise ConfigurationError(
            f"{START_DATE} is {start!r}; it takes a date such as 2026-01-05."
        ) from error


DAILY = daily_partitions()
