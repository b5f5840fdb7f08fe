"""What every asset tells the UI, from the one table of datasets."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from dagster import (
    AssetSpec,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)

from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES, Dataset
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.counts import PartitionCounts
from lookup_pipeline.names.rules import NAMES_SOMEBODY, ROW_RULES, VALUE_RULES
from lookup_pipeline.partitions import DAILY

OWNERS = ["team:data-engineering"]
# One for all six: the UI folds groups up, and six assets are best seen at once.
GROUP = "lookup_pipeline"


def table_schema(dataset: Dataset) -> TableSchema:
    """The dataset's columns as the UI shows them, with the rules that `names` were read by."""
    constraints: dict[str, list[str]] = defaultdict(list)
    if dataset in (NAMES, REJECTED_NAMES):
        for rule in VALUE_RULES:
            constraints[f"requested_{rule.field}"].append(rule.rule)
        constraints["raw_row"] = [rule.rule for rule in (*ROW_RULES, NAMES_SOMEBODY)]
    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.description,
                constraints=TableColumnConstraints(
                    nullable=column.nullable, other=constraints.get(column.name, [])
                ),
            )
            for column in dataset.columns
        ]
    )


def asset_spec(dataset: Dataset, *, kinds: set[str], deps: Iterable[Dataset] = ()) -> AssetSpec:
    """The asset that a dataset is."""
    return AssetSpec(
        dataset.name,
        deps=[dep.name for dep in deps],
        description=dataset.description,
        group_name=GROUP,
        kinds=kinds,
        owners=OWNERS,
        partitions_def=DAILY,
        metadata={
            "dagster/column_schema": table_schema(dataset),
            "dagster/table_name": dataset.name,
        },
    )


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far, to a hundredth."""
        return round(time.monotonic() - self._start, 2)


def file_metadata(
    folder: DatasetFolder, dataset: Dataset, lookup_date: str, rows: int, watch: Stopwatch
) -> dict[str, Any]:
    """What every materialization says: how many rows, where, how long it took."""
    return {
        "dagster/partition_row_count": rows,
        "dagster/uri": MetadataValue.path(folder.location(dataset, lookup_date)),
        "seconds": watch.seconds,
    }


def state_metadata(counts: PartitionCounts, credits_spent_by_run: int) -> dict[str, Any]:
    """How the partition stands and what it cost."""
    rate = counts.match_rate
    return {
        **{f"rows_{state.value}": rows for state, rows in counts.states.items()},
        "refreshes_pending": counts.pending_refreshes,
        "refreshes_failed": counts.refreshes[State.FAILED],
        "refreshes_unconfirmed": counts.refreshes[State.UNCONFIRMED],
        "match_rate": "nothing settled yet" if rate is None else round(rate, 4),
        "credits_spent_by_run": credits_spent_by_run,
        "credits_spent_by_partition": counts.credits,
    }


def warning(text: str) -> Mapping[str, MetadataValue]:
    """A warning that the UI shows with the materialization."""
    return {"warning": MetadataValue.md(f"**{text}**")}
