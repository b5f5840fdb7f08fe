"""One run's attempt at a partition: noted in the ledger before its work and after its failure."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster import AssetExecutionContext, Failure

from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.enrichment.resumption import Cause, cause_of, note_failure
from lookup_pipeline.ledger import Ledger, LedgerError
from lookup_pipeline.ledger.resumption import Stage, WaitReason, begin
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.resources import LedgerResource
from lookup_pipeline.run_tags import NOT_NOTED_TAG, is_in_backfill
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline.simulation import LeftoverRunError


@contextmanager
def attempt(
    context: AssetExecutionContext, ledger: LedgerResource, stage: Stage, *, resumes: bool = True
) -> Iterator[Ledger]:
    """Note that the run works on its partition; where it fails, why, and when it is resumed.

    A run that is killed leaves its note behind, and `queued_lookups_sensor` finds it. What ends
    well is the caller's to note.

    Args:
        context: the run's.
        ledger: where it is noted.
        stage: what the run is about to do.
        resumes: whether what the run leaves undone is taken up again by itself.

    Yields:
        The open ledger.

    Raises:
        ConfigurationError, LedgerError: it can't be noted; the run is tagged so.
    """
    lookup_date, run = context.partition_key, context.run
    try:
        book = ledger.open()
        note_stage(context, book, stage, resumes=resumes)
    except (ConfigurationError, LedgerError):
        context.instance.add_run_tags(run.run_id, {NOT_NOTED_TAG: "true"})
        raise
    try:
        yield book
    except Exception as failure:
        # A `Failure` is for the reader of the run; what it was raised from says what happened.
        error: BaseException = failure
        if isinstance(failure, Failure) and failure.__cause__ is not None:
            error = failure.__cause__
        sent = error.report.accepted if isinstance(error, SubmissionStoppedError) else 0
        # Where this can't be noted either, the run's end tells it.
        with suppress(LedgerError):
            note_failure(book, lookup_date, find_cause(error), sent=sent, resumes=resumes)
        raise


def note_stage(
    context: AssetExecutionContext, ledger: Ledger, stage: Stage, *, resumes: bool = True
) -> None:
    """Note how far the run has come with its partition."""
    with ledger.write() as connection:
        begin(
            connection,
            context.partition_key,
            stage,
            context.run.run_id,
            utc_now(),
            in_backfill=is_in_backfill(context.run.tags),
            resumes=resumes,
        )


def find_cause(error: BaseException) -> Cause:
    """Tell why a run failed, settings included, of which the flows know nothing."""
    if isinstance(error, Failure):
        return Cause(WaitReason.ERROR, error.description or "the UI shows the run")
    if isinstance(error, LeftoverRunError):
        return Cause(WaitReason.CANCELED, str(error))
    if isinstance(error, ConfigurationError):
        return Cause(WaitReason.CONFIGURATION, str(error))
    return cause_of(error)
