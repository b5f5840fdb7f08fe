"""`names` and `rejected_names`: a date's CSV files, read once, row by row to one of the two."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, Failure, MaterializeResult, multi_asset

from lookup_pipeline.assets.specs import Stopwatch, asset_spec, file_metadata, warning
from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import find_files
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
    # pandas takes longer to load than all the rest: only where files are read.
    from lookup_pipeline.names.reader import read_names  # noqa: PLC0415

    mark_run(context)
    watch, lookup_date, output = Stopwatch(), context.partition_key, folders.output
    files = find_files(folders.names, date.fromisoformat(lookup_date))
    with (
        output.writer(NAMES, lookup_date) as usable,
        output.writer(REJECTED_NAMES, lookup_date) as rejected,
    ):
        try:
            for batch in read_names(files):
                usable.write(_records(batch.usable))
                rejected.write(_records(batch.rejected))
        except UnreadableFile as error:
            raise Failure(
                f"{error} Nothing was changed.",
                metadata={"file": error.file, "line": error.line, "cure": error.cure},
                allow_retries=False,
            ) from error
        for writer in (usable, rejected):
            writer.finish()
        for writer in (usable, rejected):
            writer.replace()
    told: dict[str, Any] = {"files": [file.source_file for file in files]}
    if not files:
        message = f"There is no {lookup_date}.csv, and no folder {lookup_date}/, in {folders.names}"
        context.log.warning(message)
        told |= warning(message)
    for dataset, rows in ((NAMES, usable.rows), (REJECTED_NAMES, rejected.rows)):
        yield MaterializeResult(
            asset_key=dataset.name,
            metadata={**file_metadata(output, dataset, lookup_date, rows, watch), **told},
        )


def _records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    return frame.to_dict("records")  # type: ignore[return-value]
