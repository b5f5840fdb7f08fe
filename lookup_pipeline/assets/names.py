"""`names` and `rejected_names`: a date's CSV files, read once, row by row to one of the two."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, Failure, MaterializeResult, multi_asset

from lookup_pipeline.assets.specs import Stopwatch, asset_spec, file_metadata, warning
from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.datasets.storage import DatasetFolder, replace_together
from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.names.files import NamesFile, find_files
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders

if TYPE_CHECKING:
    import pandas as pd


@multi_asset(
    specs=[
        asset_spec(NAMES, kinds={"csv", "pandas", "parquet"}),
        asset_spec(REJECTED_NAMES, kinds={"csv", "pandas", "parquet"}),
    ],
    description="Reads a date's CSV files: usable rows to `names`, the others to `rejected_names`.",
)
def names_and_rejected_names(
    context: AssetExecutionContext, folders: Folders
) -> Iterator[MaterializeResult[None]]:
    """Read the partition's CSV files; a day without a file is an empty, valid partition."""
    mark_run(context)
    watch, lookup_date, output = Stopwatch(), context.partition_key, folders.output
    try:
        files = find_files(folders.names, date.fromisoformat(lookup_date))
        before = 0 if files else output.rows(NAMES, lookup_date)
        rows = _write(files, output, lookup_date)
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
    told: dict[str, Any] = {"files": [file.source_file for file in files]}
    if not files:
        message = f"There is no {lookup_date}.csv, and no folder {lookup_date}/, in {folders.names}"
        if before:
            message += (
                f": the {before} rows that it had leave the published datasets. Put the file back "
                "and run again to have them back, free of charge"
            )
        context.log.warning(message)
        told |= warning(message)
    for dataset, count in zip((NAMES, REJECTED_NAMES), rows, strict=True):
        yield MaterializeResult(
            asset_key=dataset.name,
            metadata={**file_metadata(output, dataset, lookup_date, count, watch), **told},
        )


def _write(files: list[NamesFile], output: DatasetFolder, lookup_date: str) -> tuple[int, int]:
    """Replace both datasets by what stands in the files; the number of usable and other rows."""
    # pandas takes longer to load than all the rest: only where files are read.
    from lookup_pipeline.names.reader import read_names  # noqa: PLC0415

    with (
        output.writer(NAMES, lookup_date) as usable,
        output.writer(REJECTED_NAMES, lookup_date) as rejected,
    ):
        for batch in read_names(files):
            usable.write(_records(batch.usable))
            rejected.write(_records(batch.rejected))
        for writer in (usable, rejected):
            writer.finish()
        replace_together((usable, rejected))
    return usable.rows, rejected.rows


def _records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    return frame.to_dict("records")  # type: ignore[return-value]
