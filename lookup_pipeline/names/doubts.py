"""What in a file is read as it stands, and seems to be a mistake all the same."""

from collections.abc import Sequence
from itertools import product

from lookup_pipeline.names.csv_rows import CsvRow
from lookup_pipeline.names.header import Header
from lookup_pipeline.names.identifiers import profile_id
from lookup_pipeline.names.identity import IDENTIFIERS, Query, Requested
from lookup_pipeline.names.layout import Layout
from lookup_pipeline.names.text import fold

# Ids nearer to each other than this, on average, count something.
_DENSE = 10
_FEW = 2

# Columns that hold these are worth a word where they are not read; ids may be anybody's.
_TELLING = [kind for kind in IDENTIFIERS if kind.field in {"linkedin_url", "email"}]
_LOOKED_AT = 100


def swallows(row: CsvRow, layout: Layout) -> bool:
    """Whether a field over several lines holds lines that look like rows of their own.

    Two stray quotation marks make one field of all that stands between them.
    """
    if "\n" not in row.raw and "\r" not in row.raw:
        return False
    for line in row.raw.splitlines()[1:-1]:
        values = line.split(layout.delimiter)
        if len(values) == layout.header.width and any(
            kind.read(values[column])
            for kind in IDENTIFIERS
            for column in layout.header.fields.get(kind.field, ())
        ):
            return True
    return False


def count_up(ids: Sequence[str | None]) -> bool:
    """Whether ids look like the numbers of rows, of this file or of somebody's table.

    The provider's are spread over hundreds of millions.
    """
    read = {int(found.sent) for value in ids if value and (found := profile_id(value))}
    if not read:
        return False
    near = max(read) - min(read) < _DENSE * len(read)
    return max(read) <= 2 * len(read) or (near and len(read) > _FEW)


def unread_columns(header: Header, rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Columns of people's identifiers that are not read, perhaps for what they are called.

    The file has no column for these, or has one of the same name further left.
    """
    found = []
    for (name, column), kind in product(header.further, _TELLING):
        read = header.fields.get(kind.field, [])
        known_as = {header.headers[each] for each in read}
        if column in read or (read and header.headers[column] not in known_as):
            continue
        values = [value for row in rows[:_LOOKED_AT] if (value := row[column].strip())]
        if 2 * sum(kind.read(value) is not None for value in values) > len(values):
            found.append((name, kind.field))
    return found


def shared_identifiers(
    rows: Sequence[CsvRow], cleaned: Sequence[Requested], asked: Sequence[Query | None]
) -> list[int]:
    """Lines of rows that share an identifier with another one, and have another name.

    Among the rows given, which bounds the memory.
    """
    names: dict[str, str] = {}
    lines = []
    for row, requested, query in zip(rows, cleaned, asked, strict=True):
        # Those that are asked for by their name have no identifier to share.
        if query is None or requested.name is None or "name" in query.parameters:
            continue
        first = names.setdefault(query.identity, requested.name)
        if first != requested.name and not _may_be_one(first, requested.name):
            lines.append(row.line)
    return lines


def _may_be_one(one: str, other: str) -> bool:
    """Whether two names have a word in common, as "Bill Gates" and "Gates, William" do."""
    words, others = (set(fold(name).replace(",", " ").split()) for name in (one, other))
    return not words.isdisjoint(others)
