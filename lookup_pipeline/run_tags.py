"""Tags on runs, ours and those of Dagster that we read or set."""

from collections.abc import Mapping

from dagster._core.storage.tags import BACKFILL_ID_TAG, PRIORITY_TAG

__all__ = [
    "ASKED_AT_TAG",
    "BACKFILL_ID_TAG",
    "IN_BACKFILL_TAG",
    "NIGHTLY_PRIORITY",
    "NOT_NOTED_TAG",
    "PRIORITY_TAG",
    "RESUMES_TAG",
    "SENDING_TAG",
    "is_in_backfill",
]

ASKED_AT_TAG = "lookup_pipeline/asked_at"
"""Says, on runs that a command makes of one word of its user, when that was given (ISO 8601)."""

IN_BACKFILL_TAG = "lookup_pipeline/in_backfill"
"""Stands on a run that resumes what a backfill began."""

RESUMES_TAG = "lookup_pipeline/resumes"
"""Stands on a run that resumes a partition; its value names the request, as the ledger does."""

NOT_NOTED_TAG = "lookup_pipeline/not_noted"
"""Stands on a run that could not tell the ledger that it works on its partition: `true` until
`queued_lookups_sensor` has done so, `false` afterwards."""

SENDING_TAG = "lookup_pipeline/sending"
"""Stands on a run while it sends; its value is the run's id, since a retry inherits the tags."""

NIGHTLY_PRIORITY = "10"
"""In the queue of runs the nightly ones go before those of a backfill, which have 0."""


def is_in_backfill(tags: Mapping[str, str]) -> bool:
    """Whether a run belongs to a backfill, or resumes what one began."""
    return BACKFILL_ID_TAG in tags or IN_BACKFILL_TAG in tags
