"""`names` and `rejected_names`: a date's CSV files, read once, row by row to one of the two."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableRecord,
    multi_asset,
)

from lookup_pipeline.assets.attempt import attempt
from lookup_pipeline.assets.specs import Stopwatch, asset_spec, file_metadata, warning
from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.enrichment.names import write_names
from lookup_pipeline.ledger.resumption import Stage
from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.names.files import NamesFile, find_files, packed_twins, without_files
from lookup_pipeline.private_errors import with_private_errors
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders, LedgerResource
from lookup_pipeline.settings import MISSING_FILE, ConfigurationError, choice
from lookup_pipeline.under_way import may_resume, submits

if TYPE_CHECKING:
    from lookup_pipeline.names.report import FileReport


@multi_asset(
    specs=[
        asset_spec(NAMES, kinds={"csv", "pandas", "parquet"}),
        asset_spec(REJECTED_NAMES, kinds={"csv", "pandas", "parquet"}),
    ],
    description="Reads a date's CSV files: usable rows to `names`, the others to `rejected_names`.",
)
@with_private_errors
def names_and_rejected_names(
    context: AssetExecutionContext, folders: Folders, ledger: LedgerResource
) -> Iterator[MaterializeResult[None]]:
    """Read the partition's CSV files; a day without a file is an empty, valid partition.

    With `LOOKUP_PIPELINE_MISSING_FILE=fail` such a day fails, and keeps what it has.
    """
    mark_run(context)
    watch, lookup_date, output = Stopwatch(), context.partition_key, folders.output
    # A run that only reads leaves nothing to resume: nobody asked it to send.
    sends = submits(context.run)
    with (
        attempt(context, ledger, Stage.READ, resumes=may_resume(context.run))
        if sends
        else nullcontext()
    ):
        files, reports, before = _read(folders, lookup_date)
    told = _told(context, files, reports)
    if not files:
        message = without_files(folders.names, lookup_date)
        if before:
            message += (
                f". The rows that it had ({before}) leave the published datasets. Put the file "
                "back and run again to have them back, free of charge"
            )
        context.log.warning(message)
        told |= warning(message)
    for dataset, count in (
        (NAMES, sum(report.usable for report in reports)),
        (REJECTED_NAMES, sum(report.rejected for report in reports)),
    ):
        yield MaterializeResult(
            asset_key=dataset.name,
            metadata={**file_metadata(output, dataset, lookup_date, count, watch), **told},
        )


def _fail_where_set(folders: Folders, lookup_date: str) -> None:
    """Fail on a date without a file where the operator wants it.

    Raises:
        Failure: `LOOKUP_PIPELINE_MISSING_FILE` is `fail`, or is neither of its two words.
    """
    try:
        fails = choice(MISSING_FILE) == "fail"
    except ConfigurationError as error:
        raise Failure(f"{error} Nothing was changed.", allow_retries=False) from error
    if fails:
        cure = f"put the file there and run the date again, or set {MISSING_FILE}=warn"
        raise Failure(
            f"{without_files(folders.names, lookup_date)}. To mend it: {cure}. Nothing was "
            "changed.",
            metadata={"file": f"{lookup_date}.csv", "cure": cure},
            allow_retries=False,
        )


def _read(
    folders: Folders, lookup_date: str
) -> tuple[Sequence[NamesFile], "Sequence[FileReport]", int]:
    """The partition's files, what reading them found, and the rows that it had where none is left.

    Raises:
        Failure: a file can't be read, or there is no folder, or no file where one is wanted.
    """
    output = folders.output
    try:
        files = find_files(folders.names, date.fromisoformat(lookup_date))
        if not files:
            _fail_where_set(folders, lookup_date)
        before = 0 if files else output.rows(NAMES, lookup_date)
        return files, write_names(files, output, lookup_date), before
    except UnreadableFile as error:
        raise Failure(
            f"{error} Nothing was changed.",
            metadata={"file": error.file, "line": error.line, "cure": error.cure},
            allow_retries=False,
        ) from error
    except MissingNamesFolder as error:
        raise Failure(
            f"{error} Nothing was changed.",
            metadata={"folder": error.folder, "cure": error.cure},
            allow_retries=False,
        ) from error


def _told(
    context: AssetExecutionContext,
    files: Sequence[NamesFile],
    reports: "Sequence[FileReport]",
) -> dict[str, Any]:
    """What was detected in each file, what its columns were taken for, and what is doubtful."""
    told: dict[str, Any] = {"files": [report.source_file for report in reports]}
    if reports:
        told["detected"] = MetadataValue.table([TableRecord(report.facts()) for report in reports])
        told["columns"] = MetadataValue.table(
            [
                TableRecord({"file": report.source_file, "column": column, "read_as": meaning})
                for report in reports
                for column, meaning in report.layout.header.meanings()
            ]
        )
    doubts = packed_twins(files)
    doubts += [doubt for report in reports for doubt in report.warnings()]
    for doubt in doubts:
        context.log.warning(doubt)
    return {**told, **warning("; ".join(doubts))} if doubts else told
