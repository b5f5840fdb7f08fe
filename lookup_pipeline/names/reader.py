"""CSV files → data frames of usable and of rejected rows, in batches that bound the memory."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from lookup_pipeline.names.csv_rows import CsvRow, read_rows
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.header import Header, no_header, read_header
from lookup_pipeline.names.identity import REQUESTED_COLUMNS, Requested, rejection_reasons


@dataclass(frozen=True)
class NamesBatch:
    """Some rows of one file, each in exactly one of the two frames.

    Texts are in ``object`` columns, with ``None`` (never NaN) where a value is blank.

    Attributes:
        usable: ``source_file``, ``source_row`` (int), the seven ``requested_*`` columns (the
            texts of the file, stripped) and ``source_columns`` (a dict: the untouched values of
            the further columns by their headers).
        rejected: ``source_file``, ``source_row`` (int), ``reasons`` (a list of texts) and
            ``raw_row`` (the row's exact text without its line ending).
    """

    usable: pd.DataFrame
    rejected: pd.DataFrame


def read_names(files: Sequence[NamesFile], batch_rows: int = 20_000) -> Iterator[NamesBatch]:
    """Reads CSV files row by row and sorts the rows into usable and rejected ones.

    A row is usable when a query can be built from it (``identity.build_query``) and it has no
    more fields than the header; missing fields at its end are blank. Whoever needs all or nothing
    must not keep the first batches before the last one has come: an error can come late.

    Args:
        files: What to read, in this order.
        batch_rows: The most rows in a batch, which is what the memory depends on.

    Yields:
        Batches, in the order of the files and their rows; none for a file of a header row only.

    Raises:
        UnreadableFile: On a file that cannot be read as a CSV at all.
        OSError: When a file is not there or its store does not answer.
        ValueError: When ``batch_rows`` is less than 1.
    """
    if batch_rows < 1:
        raise ValueError(f"batch_rows is {batch_rows}: batches of no rows would lose all of them")
    for file in files:
        with closing(read_rows(file)) as rows:
            header = _read_header(file, rows)
            while chunk := list(islice(rows, batch_rows)):
                yield _batch(file, header, chunk)


def _read_header(file: NamesFile, rows: Iterator[CsvRow]) -> Header:
    row = next(rows, None)
    if row is None:
        raise no_header(file.source_file, 1, "no header row: the file is empty")
    if row.problem:
        raise no_header(file.source_file, row.line, f"no header row: {row.problem}")
    return read_header(file.source_file, row.line, row.fields)


def _batch(file: NamesFile, header: Header, rows: list[CsvRow]) -> NamesBatch:
    values = [_as_wide_as(header, row.fields) for row in rows]
    requested = header.requested(values)
    columns: dict[str, Sequence[object]] = {
        "source_file": [file.source_file] * len(rows),
        "source_row": [row.line for row in rows],
        **dict(zip(REQUESTED_COLUMNS, zip(*requested, strict=True), strict=True)),
        "source_columns": [
            header.source_columns(row_values, row_requested.name)
            for row_values, row_requested in zip(values, requested, strict=True)
        ],
        "reasons": [
            _reasons(row, row_requested, header.width)
            for row, row_requested in zip(rows, requested, strict=True)
        ],
        "raw_row": [row.raw for row in rows],
    }
    # dtype=object: pandas' own string type would turn None into NaN.
    frame = pd.DataFrame(columns, dtype=object).astype({"source_row": "int64"})
    usable = ~frame["reasons"].astype(bool)
    return NamesBatch(
        usable=frame.loc[usable].drop(columns=["reasons", "raw_row"]).reset_index(drop=True),
        rejected=frame.loc[
            ~usable, ["source_file", "source_row", "reasons", "raw_row"]
        ].reset_index(drop=True),
    )


def _as_wide_as(header: Header, fields: list[str]) -> list[str]:
    """Fills a short row with blanks; cuts a long one, which is rejected anyway."""
    missing = header.width - len(fields)
    if missing == 0:
        return fields
    return fields + [""] * missing if missing > 0 else fields[: header.width]


def _reasons(row: CsvRow, requested: Requested, width: int) -> list[str]:
    """Every reason for which a row is not usable; none when it is."""
    if row.problem:
        return [row.problem]
    reasons = rejection_reasons(requested)
    if len(row.fields) > width:
        reasons.insert(0, f"the row has {len(row.fields)} fields, the header row {width}")
    return reasons
