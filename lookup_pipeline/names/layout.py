"""How a file is laid out: its delimiter, the lines above its header row, the header row."""

import re
from itertools import islice
from typing import NamedTuple

from clevercsv.consistency import ConsistencyDetector
from clevercsv.dialect import SimpleDialect

from lookup_pipeline.names.column_names import is_column_name
from lookup_pipeline.names.csv_rows import (
    BYTE_ORDER_MARK,
    NUL_OR_UNDECODABLE,
    CsvRow,
    read_rows,
)
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.header import Header, no_header, read_header
from lookup_pipeline.names.identity import IDENTIFIERS
from lookup_pipeline.names.person_names import has_letters
from lookup_pipeline.names.text_file import TextFile

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

# Excel's own line that says what separates fields; spreadsheets fill it up with delimiters.
_SEP_LINE = re.compile(
    r'"?sep=(?P<delimiter>[^\w\s"\x00-\x1f\x7f\udc00-\udcff]|\t)"?(?P=delimiter)*(?:[\r\n]|\Z)',
    re.IGNORECASE,
)

# Reports have a handful of title lines. Among the first rows only: a row far down that happens to
# read like a header must not make titles of the people above it.
_FIRST_ROWS = 20

_MOVE_DOWN = "move what is a person's row below the header row, and delete what is none"

# The library looks at every cell: so many characters are judged in some 50 ms.
_SAMPLE = 20_000


class Layout(NamedTuple):
    """How a file is laid out.

    Attributes:
        delimiter: What separates its fields.
        confidence: From 0 to 1, how sure that is.
        first_line: The physical line on which the rows begin: 2 after Excel's ``sep=`` line.
        title_lines: The physical lines above the header row on which something stands.
        header_line: The physical line on which the header row starts.
        header: What the columns mean.
        spaced: Whether blanks stand between delimiters and quotation marks, as in `"a", "b"`.
    """

    delimiter: str
    confidence: float
    first_line: int
    title_lines: list[int]
    header_line: int
    header: Header
    spaced: bool


def detect_layout(text: TextFile) -> Layout:
    """Find the delimiter and the header row.

    Excel's ``sep=`` line decides. Else CleverCSV ranks the delimiters by how regular they make the
    rows and their cells, and the first of them wins under which there is a header row that says
    whom to look up.

    Raises:
        UnreadableFile: There is no such header row.
    """
    start = text.start(_SAMPLE).lstrip(BYTE_ORDER_MARK)
    declared = _SEP_LINE.match(start)
    ranked = _rank(start) if declared is None else {declared["delimiter"]: 1.0}
    first_line = 1 if declared is None else 2
    spaced = {delimiter: _is_spaced(start, delimiter) for delimiter in ranked}
    first_rows = {
        delimiter: _first_rows(text, delimiter, first_line, spaced[delimiter])
        for delimiter in ranked
    }
    found = {
        delimiter: row_and_header
        for delimiter, rows in first_rows.items()
        if (row_and_header := _find_header(rows)) is not None
    }
    serving = [delimiter for delimiter, (_row, header) in found.items() if header.serves]
    # One column alone (`email`) reads the same with any delimiter: then the likeliest, the comma.
    delimiter = next(iter(serving or found), None)
    if delimiter is None:
        raise _no_header(text.source_file, next(iter(first_rows.values())))
    row, header = found[delimiter]
    titles = [each for each in first_rows[delimiter] if each.line < row.line]
    return Layout(
        delimiter,
        1.0 if len(serving) == 1 or header.width == 1 else ranked[delimiter],
        first_line,
        [title.line for title in titles],
        row.line,
        header,
        spaced[delimiter],
    )


def _is_spaced(start: str, delimiter: str) -> bool:
    """Whether quotation marks stand behind blanks, in the first rows: `"Ada", "Acme, Inc."`."""
    # Not the doubled ones inside of a field.
    behind_blanks, all_ = (
        len(re.findall(rf'{re.escape(delimiter)} {number}"(?!")', start)) for number in ("+", "*")
    )
    return 2 * behind_blanks > all_


def _first_rows(text: TextFile, delimiter: str, first_line: int, spaced: bool) -> list[CsvRow]:
    with text.open(first_line) as lines:
        rows = read_rows(lines, text.source_file, delimiter, line=first_line, spaced=spaced)
        return list(islice(rows, _FIRST_ROWS))


def _rank(start: str) -> dict[str, float]:
    """The delimiters, the likeliest first, each with its share of all their scores."""
    detector = ConsistencyDetector(skip=False)
    # It stumbles over what no text should have.
    start = NUL_OR_UNDECODABLE.sub("", start)
    dialects = [SimpleDialect(delimiter, '"', "") for delimiter in DELIMITERS]
    found = detector.compute_consistency_scores(start, dialects)
    scores = {dialect.delimiter: found[dialect].Q or 0.0 for dialect in dialects}
    total = sum(scores.values())
    ranked = sorted(DELIMITERS, key=lambda delimiter: -scores[delimiter])
    return {each: round(scores[each] / total, 2) if total else 0.0 for each in ranked}


def _find_header(rows: list[CsvRow]) -> tuple[CsvRow, Header] | None:
    """The first row that serves as a header, with nothing but titles above it."""
    first = None
    for number, row in enumerate(rows):
        header = read_header(row.fields)
        if header is None:
            continue
        if header.serves and all(_is_title(above, header) for above in rows[:number]):
            return row, header
        if number == 0:
            # Known columns that do not suffice: rejected rows with a reason tell it best.
            first = row, header
    return first


def _is_title(row: CsvRow, header: Header) -> bool:
    """Whether a row above the header can't be about a person.

    It names nobody by an address or a number, and has one value only ("Contacts"), or few of which
    one at most has letters ("As of", "2026-01-05"), or which have a label ("Exported by:", "Grace
    Hopper"), or the name of a column ("Person", "Company": labels above several columns each).
    """
    filled = _filled(row)
    if any(kind.read(value) for kind in IDENTIFIERS for value in filled):
        return False
    few = len(filled) <= header.width // 2
    return len(filled) <= 1 or (
        few
        and (
            filled[0].endswith(":")
            or any(map(is_column_name, filled))
            or sum(map(has_letters, filled)) <= 1
        )
    )


def _filled(row: CsvRow) -> list[str]:
    return list(filter(None, map(str.strip, row.fields)))


def _no_header(source_file: str, rows: list[CsvRow]) -> UnreadableFile:
    if not rows:
        return no_header(source_file, 1, "no header row: the file is empty")
    first = rows[0]
    for row in rows[1:]:
        if (header := read_header(row.fields)) is not None and header.serves:
            problem = f"it stands above what seems to be the header row, on line {row.line}"
            return UnreadableFile(source_file, first.line, problem, _MOVE_DOWN)
    if not first.quotes_match:
        problem = "no header row: its quotation marks do not match"
    else:
        problem = "no column of the header row is known"
    return no_header(source_file, first.line, problem)
