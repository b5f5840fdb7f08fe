"""Small files in a temporary folder, read whole."""

from pathlib import Path
from typing import Any

import pandas as pd
from upath import UPath

from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.identity import Requested
from lookup_pipeline.names.reader import read_names
from lookup_pipeline.names.report import FileReport
from lookup_pipeline.names.validation import check_rows, clean_rows

Records = list[dict[str, Any]]

SOURCE_FILE = "2026-01-05.csv"


def names_file(folder: Path, content: str | bytes) -> NamesFile:
    path = folder / SOURCE_FILE
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return NamesFile(UPath(str(path)), SOURCE_FILE)


def read(folder: Path, content: str | bytes, batch_rows: int = 20_000) -> tuple[Records, Records]:
    """The usable and the rejected rows of a file with this content."""
    batches = list(read_names([names_file(folder, content)], batch_rows))
    return (
        _records([batch.usable for batch in batches]),
        _records([batch.rejected for batch in batches]),
    )


def report(folder: Path, content: str | bytes) -> FileReport:
    """How a file with this content is read."""
    reports: list[FileReport] = []
    for _batch in read_names([names_file(folder, content)], reports=reports):
        pass
    (one,) = reports
    return one


def reasons_of(**requested: str | None) -> list[str]:
    """Every reason why a row that says this cannot be used."""
    columns = [[value] for value in Requested(**requested)]
    return check_rows(clean_rows(columns)).reasons.get(0, [])


def _records(frames: list[pd.DataFrame]) -> Records:
    return [
        {str(key): value for key, value in row.items()}
        for frame in frames
        for row in frame.to_dict("records")
    ]
