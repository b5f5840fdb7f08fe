"""RFC 4180: the text of one file → its rows, with their line numbers and their exact text.

What the columns mean is ``header``'s and ``reader``'s business.
"""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TextIO

from lookup_pipeline.names.encoding import UNDECODABLE_CHARACTER
from lookup_pipeline.names.errors import UnreadableFile

# Lines are fetched together, which is what makes it fast; so many characters at first.
_FETCH = 1_000_000

# A quoted field over several lines may hold a whole document, but beyond this its quotation mark
# was never closed. Looking for its end is bounded by it, once for each stray mark.
_LONGEST_ROW = 16_000_000

# Stray quotation marks make us read text again. So many characters, and so many times the file's,
# are a minute of work or two: give up and say so rather than hang.
_MOST_READ_AGAIN = 100_000_000
_TIMES_READ_AGAIN = 8

BYTE_ORDER_MARK = "\ufeff"
NUL_OR_UNDECODABLE = re.compile("[\0\udc00-\udcff]")

_CLOSE_QUOTES = (
    "close the quotation mark of every field that begins with one, and double every quotation mark "
    "inside such a field; from this line on it goes wrong too often to tell the rows apart"
)


class CsvRow(NamedTuple):
    r"""One row of a CSV file.

    Attributes:
        line: The physical line, from 1, on which the row starts.
        fields: Its values; empty where the quotation marks do not match.
        raw: The row's exact text without its line ending. Bytes that are no text in the file's
            encoding stand there as ``\x`` and two digits.
        quotes_match: Whether its quotation marks do.
        whole: Whether it has neither NUL characters nor bytes that are no text.
    """

    line: int
    fields: list[str]
    raw: str
    quotes_match: bool
    whole: bool


def read_rows(
    text: TextIO,
    source_file: str,
    delimiter: str,
    *,
    line: int = 1,
    damaged: bool = True,
    spaced: bool = False,
) -> Iterator[CsvRow]:
    """Yields the rows of a CSV file, the header row among them, one at a time.

    Empty lines are no rows. Lines end with CR LF, LF or CR, also inside quoted fields. A field
    whose quotation mark is never closed costs its first line only: reading goes on with the next.
    A byte order mark where a line begins is no text: joined files have them in the middle.

    Args:
        text: The rest of the file, which must be opened with ``newline=""``.
        source_file: The file, for the error's sake.
        delimiter: What separates fields.
        line: The physical line on which ``text`` begins.
        spaced: Whether blanks may stand between a delimiter and a quotation mark.
        damaged: Whether to look for NULs and undecodable bytes; costs a little.

    Raises:
        UnreadableFile: Where most quotation marks are stray.
        OSError: When the file cannot be read.
    """
    # The limit belongs to the process: raise it for this file, lower it for nobody.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = _fetch(text, _FETCH)
    fetched_all, fetched, read_again = not lines, sum(map(len, lines)), 0
    while lines:
        done, failed = 0, False
        reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=spaced)
        try:
            for fields in reader:
                first, done = done, reader.line_num
                if fields:
                    raw = lines[first] if done == first + 1 else "".join(lines[first:done])
                    yield _row(line + first, fields, raw, damaged=damaged)
        except csv.Error:
            failed = True
        tried = reader.line_num - done
        del lines[:done]
        line += done
        if failed and tried == len(lines) and not fetched_all:
            # The row goes on beyond what was fetched: fetch twice as much and try again.
            length = sum(map(len, lines))
            if length <= _LONGEST_ROW:
                more = _fetch(text, max(length, _FETCH))
                fetched_all = not more
                fetched += sum(map(len, more))
                lines += more
                continue
        if failed:
            read_again += sum(map(len, islice(lines, 1, tried)))
            if read_again > _MOST_READ_AGAIN + _TIMES_READ_AGAIN * fetched:
                what = "quotation marks that do not match"
                raise UnreadableFile(source_file, line, what, _CLOSE_QUOTES)
            yield _row(line, [], lines.pop(0), damaged=damaged, quotes_match=False)
            line += 1
        if not lines and not fetched_all:
            lines = _fetch(text, _FETCH)
            fetched_all = not lines
            fetched += sum(map(len, lines))


def _fetch(text: TextIO, characters: int) -> list[str]:
    """The next lines of so many characters together; none at the end of the text."""
    return [line.lstrip(BYTE_ORDER_MARK) for line in text.readlines(characters)]


def _row(
    line: int, fields: list[str], raw: str, *, damaged: bool, quotes_match: bool = True
) -> CsvRow:
    raw = raw.removesuffix("\n").removesuffix("\r")
    if damaged and NUL_OR_UNDECODABLE.search(raw):
        fields = [_shown(field) for field in fields]
        return CsvRow(line, fields, _shown(raw), quotes_match, whole=False)
    return CsvRow(line, fields, raw, quotes_match, whole=True)


def _shown(text: str) -> str:
    return UNDECODABLE_CHARACTER.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)
