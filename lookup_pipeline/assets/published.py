"""`profiles`, `failed_lookups` and `pending_lookups`: one snapshot of the ledger, published."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableRecord,
    multi_asset,
)

from lookup_pipeline.assets.specs import Stopwatch, asset_spec, file_metadata, state_metadata
from lookup_pipeline.checks import CHECKS, content_results, reconciliation_results
from lookup_pipeline.datasets.columns import LOOKUPS, PROFILES
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.publish import (
    PUBLISHED,
    NotReadyError,
    RowReconciliationError,
    publish,
)
from lookup_pipeline.ledger.counts import PartitionCounts
from lookup_pipeline.ledger.people import People
from lookup_pipeline.private_errors import with_private_errors
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders, LedgerResource
from lookup_pipeline.settings import MIN_MATCH_RATE, number


@multi_asset(
    specs=[asset_spec(dataset, kinds={"parquet"}, deps=[LOOKUPS]) for dataset in PUBLISHED],
    check_specs=CHECKS,
    description="Writes the three published datasets together, from one snapshot of the ledger.",
)
@with_private_errors
def published_datasets(
    context: AssetExecutionContext, ledger: LedgerResource, folders: Folders
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Publish the partition as it stands, whether or not everything has settled."""
    mark_run(context)
    watch, lookup_date, output, book = (
        Stopwatch(),
        context.partition_key,
        folders.output,
        ledger.open(),
    )
    try:
        publication = publish(book, output, lookup_date)
    except (NotReadyError, OutdatedLedgerError) as error:
        raise Failure(str(error), allow_retries=False) from error
    except RowReconciliationError as error:
        yield from reconciliation_results(error.reconciliation)
        raise Failure(str(error), allow_retries=False) from error
    if not publication.replaced:
        context.log.info(
            "A newer publication was there already, or came meanwhile: the datasets are its own, "
            "or are published again."
        )
    counts = PartitionCounts(
        lookup_date, publication.states, publication.credits, publication.refreshes
    )
    # A lookup ends after its run, so what it cost is told by the publication that shows it.
    told = state_metadata(counts, publication.new_credits)
    told |= {
        f"failure_kind_{kind}": rows for kind, rows in sorted(publication.failure_kinds.items())
    }
    people = _people(publication.people)
    for dataset in PUBLISHED:
        rows = publication.reconciliation.rows[dataset.name]
        yield MaterializeResult(
            asset_key=dataset.name,
            metadata={
                **file_metadata(output, dataset, lookup_date, rows, watch),
                **told,
                **(people if dataset is PROFILES else {}),
            },
        )
    yield from reconciliation_results(publication.reconciliation)
    yield from content_results(publication, counts, number(MIN_MATCH_RATE))


def _people(people: People) -> dict[str, Any]:
    """Who the profiles are: rows that asked differently may have found the same person."""
    told: dict[str, Any] = {"people": people.found, "people_asked_for_twice": people.asked_twice}
    if people.examples:
        told["same_person"] = MetadataValue.table(
            [
                TableRecord({"profile_id": profile_id, "rows": ", ".join(rows)})
                for profile_id, rows in people.examples.items()
            ]
        )
    return told
