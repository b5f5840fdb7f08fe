"""Rows of the datasets, and what the tests say about the files."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from lookup_pipeline.datasets.columns import Dataset
from lookup_pipeline.datasets.storage import DatasetFolder

DATE = "2026-01-05"
NEXT_DATE = "2026-01-06"
FILE = "2026-01-05.csv"

Row = dict[str, Any]


def placeholder(type_: pa.DataType) -> Any:
    """A value of a column that may not be null."""
    return 1 if pa.types.is_integer(type_) else pa.types.is_boolean(type_) or "text"


def rows_of(dataset: Dataset, count: int, **values: Any) -> list[Row]:
    """Rows with every column that may not be null, one a line from 2 on."""
    required = {
        column.name: placeholder(column.type) for column in dataset.columns if not column.nullable
    }
    return [
        required | {"source_file": FILE, "source_row": line} | values
        for line in range(2, count + 2)
    ]


def write(folder: DatasetFolder, dataset: Dataset, rows: list[Row], date: str = DATE) -> None:
    """Replace one partition."""
    with folder.writer(dataset, date) as writer:
        writer.write(rows)
        writer.finish()
        writer.replace()


def files_below(folder: Path) -> list[str]:
    """Every file, hidden ones included, as a path below the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
