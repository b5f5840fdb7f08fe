"""What an operator asks for in a run's config, and when that was asked.

One word is good for one request a lookup, whatever runs come of it.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from dagster import AssetExecutionContext, Failure

from lookup_pipeline.ledger import FailureKind, Ledger
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.run_tags import ASKED_AT_TAG, BACKFILL_ID_TAG


def wanted_kinds(wanted: list[str]) -> list[FailureKind]:
    """The kinds of failures that a run's config names.

    Raises:
        Failure: a kind of failure is none.
    """
    try:
        return [FailureKind(kind) for kind in wanted]
    except ValueError as error:
        raise Failure(
            f"`resubmit` in the run's config: {error}; it takes any of {', '.join(FailureKind)}.",
            allow_retries=False,
        ) from error


def requeue_wanted(
    context: AssetExecutionContext, ledger: Ledger, kinds: Collection[FailureKind]
) -> int:
    """Put what the operator wants sent again into the queue: what had ended when it was asked for.

    Returns how many lookups were put there.
    """
    if not kinds:
        return 0
    with ledger.write() as connection:
        requeued = requeue(connection, context.partition_key, kinds, asked_at(context))
    context.log.info(f"{requeued} lookups are sent again: {', '.join(kinds)}.")
    return requeued


def asked_at(context: AssetExecutionContext) -> datetime:
    """When somebody asked for this run, or for the whole of which it is a part."""
    tags, instance = context.run.tags, context.instance
    if ASKED_AT_TAG in tags:
        return datetime.fromisoformat(tags[ASKED_AT_TAG])
    backfill = instance.get_backfill(tags[BACKFILL_ID_TAG]) if BACKFILL_ID_TAG in tags else None
    if backfill is not None:
        return datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
    # One that the daemon repeats, since its process died, was asked for when the first one was.
    first = instance.get_run_record_by_id(context.run.root_run_id or context.run.run_id)
    return first.create_timestamp if first else utc_now()
