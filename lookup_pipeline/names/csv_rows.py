"""RFC 4180: the bytes of one file → its rows, with their line numbers and their exact text.

What the columns mean is ``header``'s and ``reader``'s business.
"""

import csv
import io
import re
from collections.abc import Generator
from typing import NamedTuple

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile

# Bounds the memory one line, or one quoted field over many lines, can take. Notes in CRM exports
# run to some 100,000 characters; a million more likely means a quotation mark that is never closed.
_LONGEST = 1_000_000

# NUL, or a byte that is not UTF-8 (decoded as a lone surrogate so that its line is known).
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")

_SAVE_AS_UTF8 = "save the file again as CSV UTF-8 (comma delimited)"
_ONE_ROW_A_LINE = "save the file again as a CSV, in which each row stands on a line of its own"
_CLOSE_QUOTE = (
    "close the quotation mark of the field that begins here, and double every quotation mark "
    "inside a quoted field"
)


class CsvRow(NamedTuple):
    """One row of a CSV file.

    Attributes:
        line: The physical line, from 1, on which the row starts.
        fields: Its values; empty when ``problem`` is set.
        raw: The row's exact text without its line ending.
        problem: Why the row has no values, or ``None``.
    """

    line: int
    fields: list[str]
    raw: str
    problem: str | None = None


def read_rows(file: NamesFile) -> Generator[CsvRow, None, None]:
    """Yields the rows of a UTF-8 CSV file, the header row among them, one at a time.

    Empty lines are no rows. Lines end with CR LF, LF or CR, also inside quoted fields.

    Raises:
        UnreadableFile: On bytes that are not UTF-8 text, a quotation mark that is never closed
            or a line or field without a sensible end.
        OSError: When the file is not there or its store does not answer.
    """
    # The limit belongs to the process: raise it for this file, lower it for nobody.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    with (
        file.path.open("rb") as binary,
        io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        lines = _Lines(text, file.source_file)
        reader = csv.reader(lines, strict=True)
        while True:
            lines.begin_row()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield _misquoted_row(lines, error)
                continue
            if fields:
                yield CsvRow(lines.row_start, fields, lines.row_text())


def _misquoted_row(lines: "_Lines", error: csv.Error) -> CsvRow:
    if lines.ended or lines.number > lines.row_start:
        # The quoted field ran on over later lines: nobody can tell where the rows in there begin.
        raise UnreadableFile(
            lines.source_file,
            lines.row_start,
            "a quoted field does not end properly",
            _CLOSE_QUOTE,
        ) from error
    problem = "the row's quotation marks do not match: inside a quoted field they must be doubled"
    return CsvRow(lines.row_start, [], lines.row_text(), problem)


class _Lines:
    """The physical lines of a file, which remembers those of the row that is being read."""

    def __init__(self, text: io.TextIOWrapper, source_file: str) -> None:
        self.source_file = source_file
        self.number = 0
        self.row_start = 1
        self.ended = False
        self._text = text
        self._row: list[str] = []

    def begin_row(self) -> None:
        self.row_start = self.number + 1
        self._row.clear()

    def row_text(self) -> str:
        return "".join(self._row).removesuffix("\n").removesuffix("\r")

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        if bad := _NOT_TEXT.search(line):
            what = "a NUL character: not a text file" if bad[0] == "\0" else "not UTF-8 text"
            raise UnreadableFile(self.source_file, self.number, what, _SAVE_AS_UTF8)
        if len(line) == _LONGEST:
            what = f"a line of {_LONGEST:,} characters or more"
            raise UnreadableFile(self.source_file, self.number, what, _ONE_ROW_A_LINE)
        self._row.append(line)
        return line
