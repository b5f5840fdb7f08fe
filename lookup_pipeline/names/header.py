"""What a CSV's columns mean: which of them say whom to look up, which are carried through.

- Case, spaces, underscores and hyphens make no difference: ``E-Mail`` is ``email``.
- Several columns for the same thing (``employer`` and ``company``, or ``email`` twice): the first
  one that is filled in serves, row by row. All but the first are also carried through, so that
  nothing the file says is lost.
- ``first_name`` and ``last_name`` together are one more column for ``name``, after any other.
  They are carried through except in the rows whose name they make.
- A further column keeps its header as it is in the file. One without a header is called
  ``column_3`` by its position, and the second ``notes`` becomes ``notes_2``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.identity import Requested

_FIELD_BY_HEADER = {
    "name": "name",
    "currentemployer": "employer",
    "employer": "employer",
    "company": "employer",
    "companyname": "employer",
    "title": "title",
    "linkedinurl": "linkedin_url",
    "email": "email",
    "npinumber": "npi_number",
    "id": "id",
    "profileid": "id",
}
_SEPARATORS = re.compile(r"[\s_-]+")

_CURE = (
    "begin the file with a header row that has name and current_employer, or linkedin_url, email, "
    "npi_number or id, separated by commas"
)


@dataclass(frozen=True)
class Header:
    """The meaning of each column of one file.

    Attributes:
        width: The number of columns.
        fields: The columns that may serve each of ``Requested``'s fields, the preferred first.
        name_parts: The columns of first and last name, when the file has both.
        further: The columns that are carried through, under their unique headers.
    """

    width: int
    fields: dict[str, list[int]]
    name_parts: tuple[int, int] | None
    further: list[tuple[str, int]]

    def requested(self, rows: Sequence[Sequence[str]]) -> list[Requested]:
        """Picks what rows say about their people, stripped; ``None`` where it is blank.

        Takes many rows at once: going through them by column is much faster.
        """
        columns = list(zip(*rows, strict=True))
        picked = {
            field: _first_filled([columns[column] for column in self.fields.get(field, [])])
            or [None] * len(rows)
            for field in Requested._fields
        }
        if self.name_parts is not None:
            names = zip(picked["name"], rows, strict=True)
            picked["name"] = [name or self._name_from_parts(row) for name, row in names]
        return list(map(Requested._make, zip(*picked.values(), strict=True)))

    def source_columns(self, row: Sequence[str], name: str | None) -> dict[str, str]:
        """Picks a row's further columns, given its name: untouched values by header."""
        used: Sequence[int] = ()
        if self.name_parts is not None and name and name == self._name_from_parts(row):
            used = self.name_parts
        return {header: row[column] for header, column in self.further if column not in used}

    def _name_from_parts(self, row: Sequence[str]) -> str | None:
        parts = [row[column].strip() for column in self.name_parts or ()]
        return " ".join(parts) if all(parts) else None


def read_header(source_file: str, line: int, headers: Sequence[str]) -> Header:
    """Finds out what the columns mean.

    Args:
        source_file: The file, for the error's sake.
        line: The line on which the header row starts.
        headers: The header row's values.

    Raises:
        UnreadableFile: When no column says anything about whom to look up.
    """
    keys = [_SEPARATORS.sub("", header.casefold()) for header in headers]
    fields: dict[str, list[int]] = {}
    for column, key in enumerate(keys):
        if field := _FIELD_BY_HEADER.get(key):
            fields.setdefault(field, []).append(column)
    name_parts = None
    if "firstname" in keys and "lastname" in keys:
        name_parts = (keys.index("firstname"), keys.index("lastname"))
    if not fields and name_parts is None:
        raise no_header(source_file, line, "no column of the header row is known")
    preferred = {columns[0] for columns in fields.values()}
    further = [
        (header, column)
        for column, header in enumerate(_unique(headers))
        if column not in preferred
    ]
    return Header(len(headers), fields, name_parts, further)


def no_header(source_file: str, line: int, problem: str) -> UnreadableFile:
    """Makes the error for a file without a header row that can be used."""
    return UnreadableFile(source_file, line, problem, _CURE)


def _first_filled(columns: Sequence[Sequence[str]]) -> list[str | None]:
    """Strips the columns and takes, row by row, the first value that is not blank."""
    stripped = [[value.strip() or None for value in column] for column in columns]
    if len(stripped) == 1:
        return stripped[0]
    return [next(filter(None, values), None) for values in zip(*stripped, strict=True)]


def _unique(headers: Sequence[str]) -> list[str]:
    """Names every column, no two alike and none blank."""
    named = [header if header.strip() else f"column_{n}" for n, header in enumerate(headers, 1)]
    # The first of several keeps its name, and a number never takes a name the file has itself.
    taken = set(named)
    unique: list[str] = []
    for header in named:
        name, number = header, 1
        while name in unique or (number > 1 and name in taken):
            number += 1
            name = f"{header}_{number}"
        unique.append(name)
    return unique
