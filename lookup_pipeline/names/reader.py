"""CSV files → data frames of usable and of rejected rows, in batches that bound the memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pandas as pd

from lookup_pipeline.names.content import open_content
from lookup_pipeline.names.csv_rows import CsvRow, read_rows
from lookup_pipeline.names.doubts import (
    count_up,
    shared_identifiers,
    swallows,
    unread_columns,
)
from lookup_pipeline.names.encoding import detect_encoding
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.header import Header
from lookup_pipeline.names.identity import (
    REQUESTED_COLUMNS,
    Query,
    Requested,
    query_of,
)
from lookup_pipeline.names.layout import detect_layout
from lookup_pipeline.names.report import FileReport
from lookup_pipeline.names.text_file import TextFile
from lookup_pipeline.names.validation import check_rows, clean_rows

# A batch holds its rows several times over, so it also ends after so many characters: rows may have
# fields of megabytes.
_BATCH_CHARACTERS = 16_000_000
_CHARACTERS_OF_A_BLANK = 8


@dataclass(frozen=True)
class NamesBatch:
    """Some rows of one file, each in exactly one of the two frames.

    Texts are in ``object`` columns, with ``None`` (never NaN) where a value is blank.

    Attributes:
        usable: ``source_file``, ``source_row`` (int), the seven ``requested_*`` columns (the
            texts of the file, stripped), ``identity``, ``query`` (JSON text of what is asked) and
            ``source_columns`` (a dict: the untouched values of
            the further columns by their headers).
        rejected: ``source_file``, ``source_row`` (int), ``reasons`` (a list of texts) and
            ``raw_row`` (the row's exact text without its line ending).
        report: How their file is read; its counts include this batch.
    """

    usable: pd.DataFrame
    rejected: pd.DataFrame
    report: FileReport


def read_names(
    files: Sequence[NamesFile],
    batch_rows: int = 50_000,
    reports: list[FileReport] | None = None,
) -> Iterator[NamesBatch]:
    """Reads CSV files row by row and sorts the rows into usable and rejected ones.

    A row is usable when a query can be built from it (``identity.build_query``) and the row itself
    is in order (``rules.ROW_RULES``); missing fields at its end are blank. Whoever needs all or
    nothing must not keep the first batches before the last one has come: an error can come late.

    Args:
        files: What to read, in this order.
        batch_rows: The most rows in a batch, which is what the memory depends on.
        reports: Takes a report for each file, as it is begun.

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
        with open_content(file) as content:
            encoding = detect_encoding(content)
            text = TextFile(content, encoding)
            layout = detect_layout(text)
            report = FileReport(file.source_file, content.compression, encoding, layout)
            if reports is not None:
                reports.append(report)
            with closing(_rows(text, report)) as rows:
                while (batch := _next_batch(rows, batch_rows, report)) is not None:
                    yield batch


def _rows(text: TextFile, report: FileReport) -> Generator[CsvRow, None, None]:
    """The rows below the header row."""
    layout = report.layout
    with text.open(layout.first_line) as lines:
        rows = read_rows(
            lines,
            report.source_file,
            layout.delimiter,
            line=layout.first_line,
            damaged=report.encoding.damaged,
            spaced=layout.spaced,
        )
        for row in rows:
            if row.line == layout.header_line:
                break
        yield from rows


def _chunk(rows: Iterator[CsvRow], batch_rows: int, width: int) -> list[CsvRow]:
    chunk, characters = [], 0
    for row in rows:
        chunk.append(row)
        # A short row of a wide file takes the memory of all its columns.
        characters += max(len(row.raw), width * _CHARACTERS_OF_A_BLANK)
        if len(chunk) == batch_rows or characters > _BATCH_CHARACTERS:
            break
    return chunk


def _next_batch(rows: Iterator[CsvRow], batch_rows: int, report: FileReport) -> NamesBatch | None:
    chunk = _chunk(rows, batch_rows, report.layout.header.width)
    return _batch(chunk, report) if chunk else None


def _batch(rows: list[CsvRow], report: FileReport) -> NamesBatch:
    header = report.layout.header
    values = [row.fields for row in rows]
    if set(map(len, values)) != {header.width}:
        values = [_as_wide_as(header, fields) for fields in values]
    requested = header.requested(values)
    if report.usable + report.rejected == 0:
        report.counting_ids = count_up(requested["id"])
        report.unread = unread_columns(header, values)
    cleaned = clean_rows(requested.values())
    asked = list(map(query_of, cleaned))
    broken: dict[int, tuple[int, int, int, int]] = {
        place: (not row.quotes_match, not row.whole, _surplus(header, row.fields), again)
        for place, row in enumerate(rows)
        if (again := header.repeated_by(row.fields))
        or not (row.quotes_match and row.whole)
        or len(row.fields) > header.width
    }
    reasons = _reasons(cleaned, asked, broken)
    kept = [place for place in range(len(rows)) if place not in reasons]
    further = header.source_columns(values, requested)
    served = [query for place in kept if (query := asked[place]) is not None]
    report.usable += len(kept)
    report.rejected += len(reasons)
    report.damaged += sum(not row.whole for row in rows)
    report.swallowing += [row.line for row in rows if swallows(row, report.layout)]
    report.other_headers += [
        rows[place].line
        for place, (*_others, again) in broken.items()
        if again and not header.is_same_as(rows[place].fields)
    ]
    report.shared += shared_identifiers(rows, cleaned, asked)
    return NamesBatch(
        usable=_frame(
            {
                "source_file": [report.source_file] * len(kept),
                "source_row": [rows[place].line for place in kept],
                **{
                    name: [column[place] for place in kept]
                    for name, column in zip(REQUESTED_COLUMNS, requested.values(), strict=True)
                },
                "identity": [query.identity for query in served],
                "query": [query.as_json() for query in served],
                "source_columns": [further[place] for place in kept],
            }
        ),
        rejected=_frame(
            {
                "source_file": [report.source_file] * len(reasons),
                "source_row": [rows[place].line for place in reasons],
                "reasons": list(reasons.values()),
                "raw_row": [rows[place].raw for place in reasons],
            }
        ),
        report=report,
    )


def _reasons(
    cleaned: Sequence[Requested],
    asked: Sequence[Query | None],
    broken: dict[int, tuple[int, int, int, int]],
) -> dict[int, list[str]]:
    """By its place, every reason why a row can't be used.

    A row with a query, and in order itself, needs no checking: only reasons take their time.
    """
    in_order = (0, 0, 0, 0)
    doubtful = {
        place: broken.get(place, in_order)
        for place, query in enumerate(asked)
        if query is None or any(broken.get(place, in_order))
    }
    if not doubtful:
        return {}
    # Sheets end in thousands of rows that say the same, which is nothing.
    alike = list(dict.fromkeys((cleaned[place], counts) for place, counts in doubtful.items()))
    checked = check_rows([row for row, _counts in alike], [counts for _row, counts in alike])
    numbers = {each: number for number, each in enumerate(alike)}
    return {
        place: reasons
        for place, counts in doubtful.items()
        if (reasons := checked.reasons.get(numbers[cleaned[place], counts])) is not None
    }


def _frame(columns: dict[str, Sequence[object]]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object).astype({"source_row": "int64"})


def _as_wide_as(header: Header, fields: list[str]) -> list[str]:
    """Fills a short row with blanks; cuts a long one, which lacks nothing or is rejected anyway."""
    missing = header.width - len(fields)
    if missing == 0:
        return fields
    return fields + [""] * missing if missing > 0 else fields[: header.width]


def _surplus(header: Header, fields: list[str]) -> int:
    """By how many fields a row is longer than the header, blank ones at its end aside."""
    length = len(fields)
    if length <= header.width:
        return 0
    while length > header.width and not fields[length - 1].strip():
        length -= 1
    return length - header.width
