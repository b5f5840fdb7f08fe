"""Which partitions a command means."""

from lookup_pipeline.partitions import DAILY
from lookup_pipeline.settings import START_DATE, ConfigurationError, setting


class UnknownPartitionError(Exception):
    """A date that is no partition; the message says which are."""


def partition_keys(first: str, last: str | None) -> list[str]:
    """The partitions from `first` to `last`, both included.

    Raises:
        UnknownPartitionError: one of the two is no partition, or they are in the wrong order.
        ConfigurationError: there is no partition at all.
    """
    keys = list(DAILY.get_partition_keys())
    if not keys:
        raise ConfigurationError(
            f"{START_DATE} is {setting(START_DATE)}, a day in the future: there is no partition."
        )
    for key in (first, last or first):
        if key not in keys:
            raise UnknownPartitionError(
                f"There is no partition {key}: they go from {keys[0]} (LOOKUP_PIPELINE_START_DATE)"
                f" to {keys[-1]} (today, UTC)."
            )
    chosen = keys[keys.index(first) : keys.index(last or first) + 1]
    if not chosen:
        raise UnknownPartitionError(f"--to {last} lies before --date {first}.")
    return chosen
