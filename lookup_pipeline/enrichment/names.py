"""A partition's CSV files → its datasets `names` and `rejected_names`, replaced together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lookup_pipeline.collector import without_collecting
from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.datasets.storage import DatasetFolder, replace_together
from lookup_pipeline.names.files import NamesFile

if TYPE_CHECKING:
    from lookup_pipeline.names.report import FileReport


def write_names(
    files: Sequence[NamesFile], folder: DatasetFolder, lookup_date: str
) -> "list[FileReport]":
    """Replace both datasets by what stands in the files: every row is in exactly one of them.

    Returns:
        How each file was read, with its rows.

    Raises:
        UnreadableFile: a file can't be read as a CSV at all; nothing was replaced.
        OSError: a file is not there or its store does not answer; nothing was replaced.
        StorageError: a dataset can't be written or put in place.
    """
    # pandas takes longer to load than all the rest: only where files are read.
    from lookup_pipeline.datasets.frames import record_batch  # noqa: PLC0415
    from lookup_pipeline.names.reader import read_names  # noqa: PLC0415

    reports: list[FileReport] = []
    with (
        without_collecting(),
        folder.writer(NAMES, lookup_date) as usable,
        folder.writer(REJECTED_NAMES, lookup_date) as rejected,
    ):
        for batch in read_names(files, reports=reports):
            usable.write_batch(record_batch(batch.usable, NAMES.schema))
            rejected.write_batch(record_batch(batch.rejected, REJECTED_NAMES.schema))
        for writer in (usable, rejected):
            writer.finish()
        replace_together((usable, rejected))
    return reports
