"""What must hold of any names file, whatever its bytes: found out again by other means."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import zstandard

from lookup_pipeline.datasets.columns import NAMES, REJECTED_NAMES
from lookup_pipeline.datasets.frames import record_batch
from lookup_pipeline.names.csv_rows import CsvRow, read_rows
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.header import Header
from lookup_pipeline.names.identity import REQUESTED_COLUMNS, build_query
from lookup_pipeline.names.reader import read_names
from lookup_pipeline.names.report import FileReport
from lookup_pipeline.names.values import is_placeholder
from lookup_pipeline_tests.names.helpers import Records, names_file

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_ENDING = re.compile(r"\r\n|\n|\r")
_NO_TEXT = re.compile("[\ud800-\udfff\0]")

_SMALL = 5_000

# Every so many files what was read becomes what is written as Parquet.
_WRITTEN = 4


class BrokenPromiseError(AssertionError):
    """Something that must hold of a file does not.

    Attributes:
        promise: which, in the same words for every file.
        lost: how many rows were lost by it.
    """

    def __init__(self, promise: str, detail: str = "", lost: int = 0) -> None:
        super().__init__(f"{promise}: {detail}" if detail else promise)
        self.promise = promise
        self.lost = lost


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a file.

    Attributes:
        usable: its usable rows.
        rejected: the others.
        report: how it was read; None where it was not.
        unreadable: why it was not read.
    """

    usable: Records
    rejected: Records
    report: FileReport | None = None
    unreadable: UnreadableFile | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.usable) + len(self.rejected)


def check(folder: Path, content: bytes) -> Reading:
    """Have a file with this content read, and check it.

    Raises:
        BrokenPromiseError: What must hold does not.
    """
    file, chance = names_file(folder, content), zlib.crc32(content)
    # In some small files batches end at any row; each takes its time.
    few = len(content) < _SMALL and chance % 3 == 0
    reading = _read(file, 1 + chance % 23 if few else 20_000, chance)
    if reading.report is None:
        return reading
    lines = _lines(_text(content, reading.report.encoding.codec))
    rows = _rows_again(lines, reading.report)
    _check_coverage(lines, rows, reading.report)
    below = [row for row in rows if row.line > reading.report.layout.header_line]
    _check_places(below, reading)
    _check_usable({row.line: row for row in below}, reading.usable, reading.report.layout.header)
    _check_titles(rows, reading.report)
    return reading


def hold(holds: bool, promise: str, detail: str = "", lost: int = 0) -> None:
    """Raise `BrokenPromiseError` where something does not hold."""
    if not holds:
        raise BrokenPromiseError(promise, detail, lost)


def _read(file: NamesFile, batch_rows: int, chance: int) -> Reading:
    reports: list[FileReport] = []
    usable: Records = []
    rejected: Records = []
    try:
        for batch in read_names([file], batch_rows, reports):
            usable += _records(batch.usable.to_dict("records"))
            rejected += _records(batch.rejected.to_dict("records"))
            if chance % _WRITTEN == 0:
                record_batch(batch.usable, NAMES.schema).validate(full=True)
                record_batch(batch.rejected, REJECTED_NAMES.schema).validate(full=True)
    except UnreadableFile as error:
        told = bool(error.problem and error.cure) and error.file == file.source_file
        hold(told and error.line >= 1, "an unreadable file is told with its place and a cure")
        return Reading([], [], unreadable=error)
    (report,) = reports
    counted = report.usable, report.rejected
    hold(counted == (len(usable), len(rejected)), "the report counts the rows", str(counted))
    return Reading(usable, rejected, report)


def _records(rows: Iterable[dict[Any, Any]]) -> Records:
    return [{str(key): value for key, value in row.items()} for row in rows]


def _text(content: bytes, codec: str) -> str:
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    elif content.startswith(b"\x28\xb5\x2f\xfd"):
        unpacker = zstandard.ZstdDecompressor()
        content = unpacker.stream_reader(content, read_across_frames=True).read()
    return content.decode(codec, "campaign.keep_bytes")


def _lines(text: str) -> list[str]:
    lines = _LINE.findall(text)
    hold("".join(lines) == text, "the lines are the text")
    # Joined files have byte order marks in the middle: where a line begins they are no text.
    return [line.lstrip("\ufeff") for line in lines]


def _rows_again(lines: list[str], report: FileReport) -> list[CsvRow]:
    first = report.layout.first_line
    text = io.StringIO("".join(lines[first - 1 :]), newline="")
    layout = report.layout
    return list(
        read_rows(text, report.source_file, layout.delimiter, line=first, spaced=layout.spaced)
    )


def _check_coverage(lines: list[str], rows: list[CsvRow], report: FileReport) -> None:
    """Every line is part of one row, and of no other, or it is empty."""
    done = report.layout.first_line - 1
    for row in rows:
        hold(row.line > done, "lines ascend, and no line is in two rows", f"line {row.line}")
        _check_empty(lines[done : row.line - 1], done)
        done = row.line + len(_ENDING.findall(row.raw))
        text = "".join(lines[row.line - 1 : done])
        hold(
            _shown(text) in {row.raw, f"{row.raw}\n", f"{row.raw}\r", f"{row.raw}\r\n"},
            "a row's raw text is what stands in the file",
            f"line {row.line}",
            lost=1,
        )
        if row.quotes_match:
            (fields,) = csv.reader(
                io.StringIO(row.raw, newline=""),
                strict=True,
                delimiter=report.layout.delimiter,
                skipinitialspace=report.layout.spaced,
            )
            hold(fields == row.fields, "a row's values are those of its text", f"line {row.line}")
    _check_empty(lines[done:], done)


def _check_empty(lines: list[str], above: int) -> None:
    lost = [above + place for place, line in enumerate(lines, 1) if line.strip("\r\n")]
    hold(not lost, "a line that is not empty is in a row", f"lines {lost[:5]}", len(lost))


def _check_places(below: list[CsvRow], reading: Reading) -> None:
    """Each row stands in one of the two datasets, in order, under its line."""
    usable = [row["source_row"] for row in reading.usable]
    rejected = [row["source_row"] for row in reading.rejected]
    for places in (usable, rejected):
        ascends = all(a < b for a, b in pairwise(places))
        hold(ascends, "rows of a dataset are in the order of the file")
    wanted = {row.line: row for row in below}
    found = {*usable, *rejected}
    lost = len(wanted.keys() ^ found) + len(usable) + len(rejected) - len(found)
    hold(not lost, "rows in = names + rejected_names", f"{len(wanted)}, {reading.rows}", lost)
    for row in reading.rejected:
        hold(bool(row["reasons"]) and all(row["reasons"]), "a rejected row has a reason")
        same = row["raw_row"] == wanted[row["source_row"]].raw
        hold(same, "a rejected row's text is whole", f"line {row['source_row']}", 1)


def _check_usable(rows: dict[int, CsvRow], usable: Records, header: Header) -> None:
    """Who is to be looked up can be, and no value of the row is gone."""
    for row in usable:
        place = f"line {row['source_row']}"
        requested = [row[column] for column in REQUESTED_COLUMNS]
        hold(build_query(*requested) is not None, "a usable row gives a query", place)
        read = rows[row["source_row"]]
        hold(read.quotes_match and read.whole, "a usable row is in order", place)
        kept = [*row["source_columns"].values()]
        hold(not any(map(_NO_TEXT.search, kept)), "a usable row's values are text", place)
        known = {*filter(None, requested), *map(str.strip, kept)}
        name = row["requested_name"] or ""
        for value in map(str.strip, read.fields):
            # "N/A" in one column gives way to a value in another.
            found = not value or value in known or value in name or is_placeholder(value)
            hold(found, "a usable row's values are kept", f"{place}, {value!r}", 1)
        surplus = any(map(str.strip, read.fields[header.width :]))
        hold(not surplus, "a usable row is no longer than the header", place)


def _check_titles(rows: list[CsvRow], report: FileReport) -> None:
    """Whoever stands above the header row is no person."""
    layout = report.layout
    above = [row for row in rows if row.line < layout.header_line]
    hold([row.line for row in above] == layout.title_lines, "title lines are told")
    for row in above:
        width = layout.header.width
        values = [*row.fields, *[""] * (width - len(row.fields))][:width]
        requested = layout.header.requested([values])
        asked = build_query(*(column[0] for column in requested.values()))
        # By name, "Exported by:,Grace Hopper" would be somebody.
        title = asked is None or "name" in asked.parameters
        hold(title, "nobody stands above the header row", f"line {row.line}", 1)


def _shown(text: str) -> str:
    return re.sub("[\udc00-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error("campaign.keep_bytes", _keep_bytes)
