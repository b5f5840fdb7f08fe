"""The checks that come with every publication.

They are evaluated inside the publishing step, on the partition that is being published: Dagster's
own asset checks know no partitions. Row accounting is blocking in the strict sense: it is done
before the files are put in place, and nothing is replaced when it fails.
"""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, MetadataValue

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PENDING_LOOKUPS, PROFILES
from lookup_pipeline.datasets.row_reconciliation import RowReconciliation
from lookup_pipeline.enrichment.publish import Publication
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.counts import PartitionCounts

ROW_ACCOUNTING = AssetCheckSpec(
    "row_accounting",
    asset=PROFILES.name,
    blocking=True,
    description="Every usable row of the CSV files stands in exactly one of profiles, "
    "failed_lookups and pending_lookups, about the person it asks for: names, lookups and the "
    "ledger agree. Checked before the files are replaced.",
)
UNIQUE_ROWS = AssetCheckSpec(
    "unique_rows",
    asset=PROFILES.name,
    description="No (source_file, source_row) stands twice in the published datasets.",
)
MATCH_RATE = AssetCheckSpec(
    "match_rate",
    asset=PROFILES.name,
    description="Warns when fewer of the settled rows have a profile than expected: often the "
    "file is at fault (a column in the wrong place), not the people.",
)
KNOWN_FIELDS = AssetCheckSpec(
    "known_fields",
    asset=PROFILES.name,
    description="Warns when profiles carry fields, or types of fields, that no column holds; "
    "they are kept in `extra`.",
)
KNOWN_STATUSES = AssetCheckSpec(
    "known_statuses",
    asset=PENDING_LOOKUPS.name,
    description="Warns when lookups are in a status that the provider does not document; they "
    "count as in flight.",
)

NO_UNCONFIRMED = AssetCheckSpec(
    "no_unconfirmed",
    asset=FAILED_LOOKUPS.name,
    description="Warns when lookups may or may not have been processed, and charged. They are sent "
    "again only when somebody asks for it: `lookup-pipeline resubmit --unconfirmed`.",
)

CHECKS = [
    ROW_ACCOUNTING,
    UNIQUE_ROWS,
    MATCH_RATE,
    KNOWN_FIELDS,
    KNOWN_STATUSES,
    NO_UNCONFIRMED,
]


def reconciliation_results(reconciliation: RowReconciliation) -> Iterator[AssetCheckResult]:
    """Row reconciliation and unique keys, whether they hold or not."""
    yield AssetCheckResult(
        asset_key=PROFILES.name,
        check_name=ROW_ACCOUNTING.name,
        passed=reconciliation.balanced,
        severity=AssetCheckSeverity.ERROR,
        description=reconciliation.problem
        or "Every row is in exactly one place, about the person it asks for.",
        metadata={
            **{f"rows_{name}": rows for name, rows in reconciliation.rows.items()},
            "rows_about_somebody_else": len(
                {*reconciliation.asked_otherwise, *reconciliation.served_otherwise}
            ),
        },
    )
    yield AssetCheckResult(
        asset_key=PROFILES.name,
        check_name=UNIQUE_ROWS.name,
        passed=not reconciliation.duplicates,
        severity=AssetCheckSeverity.ERROR,
        metadata={"duplicates": list(reconciliation.duplicates[:100])},
    )


def content_results(
    publication: Publication, counts: PartitionCounts, minimum_match_rate: float
) -> Iterator[AssetCheckResult]:
    """What a publication says about the data: warnings, never errors."""
    rate = counts.match_rate
    yield AssetCheckResult(
        asset_key=PROFILES.name,
        check_name=MATCH_RATE.name,
        passed=rate is None or rate >= minimum_match_rate,
        severity=AssetCheckSeverity.WARN,
        metadata={
            "match_rate": "nothing settled yet" if rate is None else round(rate, 4),
            "minimum": minimum_match_rate,
        },
    )
    yield AssetCheckResult(
        asset_key=PROFILES.name,
        check_name=KNOWN_FIELDS.name,
        passed=not publication.profiles_with_extra,
        severity=AssetCheckSeverity.WARN,
        metadata={"profiles_with_extra": publication.profiles_with_extra},
    )
    yield AssetCheckResult(
        asset_key=PENDING_LOOKUPS.name,
        check_name=KNOWN_STATUSES.name,
        passed=not publication.unknown_statuses,
        severity=AssetCheckSeverity.WARN,
        metadata={"unknown_statuses": MetadataValue.json(publication.unknown_statuses)},
    )
    yield AssetCheckResult(
        asset_key=FAILED_LOOKUPS.name,
        check_name=NO_UNCONFIRMED.name,
        passed=not counts.unconfirmed,
        severity=AssetCheckSeverity.WARN,
        metadata={
            "rows_unconfirmed": counts.states[State.UNCONFIRMED],
            "refreshes_unconfirmed": counts.refreshes[State.UNCONFIRMED],
        },
    )
