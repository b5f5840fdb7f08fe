"""What a CSV's columns mean: which of them say whom to look up, which are carried through.

- Case, spaces, underscores and hyphens make no difference: ``E-Mail`` is ``email``.
- Several columns for the same thing (``employer`` and ``company``, or ``email`` twice): row by row
  the first one that serves (a valid address, another value than "N/A") is taken. Main columns
  (``ALIASES``) come before ``LAST_RESORTS``, then those further left before the others. All but the
  first are also carried through, and the first where it is not taken, so that nothing is lost.
- ``first_name`` and ``last_name`` together are one more column for ``name``, after any other.
  They are carried through except in the rows whose name they make.
- A further column keeps its header as it is in the file. One without a header is called
  ``column_3`` by its position, and is carried through where it holds something; the second
  ``notes`` becomes ``notes_2``.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.identity import IDENTIFIERS, Requested
from lookup_pipeline.names.person_names import is_name
from lookup_pipeline.names.text import clean
from lookup_pipeline.names.values import is_placeholder

# The contract's names first, then those that exports write: Salesforce reports and Data Loader,
# HubSpot, LinkedIn's connections and the tools that export Sales Navigator lists, Apollo, Google
# Contacts (old and new). docs/input.md says which is whose.
ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("name", "full name", "contact name", "lead name", "lead full name"),
    "employer": (
        "current employer",
        "employer",
        "company",
        "company name",
        "account name",
        "account.name",
        "company / account",
        "associated company (primary)",
        "associated company",
        "organization name",
        "organization 1 - name",
    ),
    "title": (
        "title",
        "job title",
        "position",
        "current job",
        "linkedin job title",
        "organization title",
        "organization 1 - title",
    ),
    "linkedin_url": (
        "linkedin url",
        "linkedin profile",
        "linkedin profile url",
        "person linkedin url",
        "linkedin url public",
        "linkedin contact profile url",
        "prospect linkedin url",
        "hs_linkedin_url",
        "linkedin profile__c",
        "linkedin url__c",
    ),
    "email": ("email", "email address", "e-mail 1 - value", "work email", "professional email"),
    "npi_number": ("npi number", "npi", "npi__c", "npi_number__c", "national provider identifier"),
    "id": ("id", "profile id"),
}

# They may serve where the columns above say nothing: a second address, or a column that some tools
# use for other things as well (a URL that is no profile is passed over).
LAST_RESORTS: dict[str, tuple[str, ...]] = {
    "employer": ("company name for emails",),
    "linkedin_url": (
        "linkedin url unique id",
        "default profile url",
        "profile url",
        "url",
    ),
    "email": (
        "secondary email",
        "tertiary email",
        "e-mail 2 - value",
        "e-mail 3 - value",
    ),
}

FIRST_NAMES = ("first name", "given name")
LAST_NAMES = ("last name", "family name")

_SEPARATORS = re.compile(r"[\s_-]+")

_CURE = (
    "begin the file with a header row that has name and current_employer, or linkedin_url, email, "
    "npi_number or id, separated by commas, semicolons, tabs or vertical bars"
)


def _key(header: str) -> str:
    return _SEPARATORS.sub("", clean(header).casefold())


_FIELD_BY_KEY = {
    _key(alias): (rank, field)
    for rank, aliases in enumerate((ALIASES, LAST_RESORTS))
    for field, names in aliases.items()
    for alias in names
}
_FIRST_KEYS = {_key(name) for name in FIRST_NAMES}
_LAST_KEYS = {_key(name) for name in LAST_NAMES}


@dataclass(frozen=True)
class Header:
    """The meaning of each column of one file.

    Attributes:
        headers: The header row's values.
        fields: The columns that may serve each of ``Requested``'s fields, the preferred first.
        name_parts: The columns of first and last name, when the file has both.
        further: The columns that are carried through, under their unique headers.
        nameless: Those of them that have no header.
        passed_over: The preferred columns where another may serve in their place, each with its
            field and its unique header; then they are carried through as well.
    """

    headers: list[str]
    fields: dict[str, list[int]]
    name_parts: tuple[int, int] | None
    further: list[tuple[str, int]]
    nameless: frozenset[str]
    passed_over: list[tuple[str, str, int]]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.headers)

    @property
    def serves(self) -> bool:
        """Whether the columns suffice to look somebody up."""
        if not self.fields.keys().isdisjoint({"id", "linkedin_url", "email", "npi_number"}):
            return True
        return "employer" in self.fields and ("name" in self.fields or self.name_parts is not None)

    def meanings(self) -> list[tuple[str, str]]:
        """Each column's header with what it is taken for: a field, or ``carried through``."""
        meant = {column: field for field, columns in self.fields.items() for column in columns}
        if self.name_parts is not None:
            meant |= dict(zip(self.name_parts, ("first name", "last name"), strict=True))
        return [
            (header, meant.get(column, "carried through"))
            for column, header in enumerate(self.headers)
        ]

    def requested(self, rows: Sequence[Sequence[str]]) -> dict[str, list[str | None]]:
        """Picks what rows say about their people, stripped; ``None`` where it is blank.

        Takes many rows at once and gives columns, by ``Requested``'s fields: going through rows one
        by one takes several times as long.
        """
        columns = list(zip(*rows, strict=True))
        picked = {
            field: _first_filled(
                [columns[column] for column in self.fields.get(field, [])],
                _SERVES.get(field, _says_something),
            )
            or [None] * len(rows)
            for field in Requested._fields
        }
        if self.name_parts is not None:
            names = zip(picked["name"], rows, strict=True)
            picked["name"] = [
                name if name and _can_be_a_name(name) else self._name_from_parts(row) or name
                for name, row in names
            ]
        return picked

    def source_columns(
        self, rows: Sequence[Sequence[str]], requested: dict[str, list[str | None]]
    ) -> list[dict[str, str]]:
        """Picks rows' untouched values, by header, that are not in what they request."""
        found = [{header: row[column] for header, column in self.further} for row in rows]
        if self.nameless:
            for values in found:
                for header in self.nameless:
                    if not values.get(header):
                        values.pop(header, None)
        for field, header, column in self.passed_over:
            for values, row, wanted in zip(found, rows, requested[field], strict=True):
                if (value := row[column].strip()) and value != wanted:
                    values[header] = row[column]
        if self.name_parts is not None:
            parts = [header for header, column in self.further if column in self.name_parts]
            for values, row, name in zip(found, rows, requested["name"], strict=True):
                if name and name == self._name_from_parts(row):
                    for header in parts:
                        del values[header]
        return found

    def _name_from_parts(self, row: Sequence[str]) -> str | None:
        parts = [row[column].strip() for column in self.name_parts or ()]
        # "Null" and "Na" are people's last names: in half a name only what is no word is none.
        return " ".join(parts) if all(any(map(str.isalpha, part)) for part in parts) else None


def read_header(headers: Sequence[str]) -> Header | None:
    """Finds out what the columns mean.

    Args:
        headers: The header row's values.

    Returns:
        The meanings, or ``None`` when no column says anything about whom to look up.
    """
    keys = [_key(header) for header in headers]
    ranked: dict[str, list[tuple[int, int]]] = {}
    for column, key in enumerate(keys):
        if found := _FIELD_BY_KEY.get(key):
            rank, field = found
            ranked.setdefault(field, []).append((rank, column))
    fields = {field: [column for _rank, column in sorted(all_)] for field, all_ in ranked.items()}
    first = next((column for column, key in enumerate(keys) if key in _FIRST_KEYS), None)
    last = next((column for column, key in enumerate(keys) if key in _LAST_KEYS), None)
    name_parts = None if first is None or last is None else (first, last)
    if not fields and name_parts is None:
        return None
    preferred = {columns[0] for columns in fields.values()}
    named = _unique(headers)
    return Header(
        list(headers),
        fields,
        name_parts,
        [(header, column) for column, header in enumerate(named) if column not in preferred],
        frozenset(
            unique for unique, header in zip(named, headers, strict=True) if not header.strip()
        ),
        [
            (field, named[columns[0]], columns[0])
            for field, columns in fields.items()
            if len(columns) > 1 or (field == "name" and name_parts is not None)
        ],
    )


def no_header(source_file: str, line: int, problem: str) -> UnreadableFile:
    """Makes the error for a file without a header row that can be used."""
    return UnreadableFile(source_file, line, problem, _CURE)


def _first_filled(
    columns: Sequence[Sequence[str]], serves: Callable[[str], object]
) -> list[str | None]:
    """Strips the columns and takes, row by row, the first value that serves.

    Where none does, the first that says something, or is not blank at least: "N/A" is no value,
    but it stood there.
    """
    stripped = [[value.strip() or None for value in column] for column in columns]
    if len(stripped) == 1:
        return stripped[0]
    return [_first_of(values, serves) for values in zip(*stripped, strict=True)]


def _first_of(values: Sequence[str | None], serves: Callable[[str], object]) -> str | None:
    filled = [value for value in values if value is not None]
    for test in (serves, _says_something):
        for value in filled:
            if test(value):
                return value
    return filled[0] if filled else None


def _says_something(value: str) -> bool:
    return not is_placeholder(value)


def _can_be_a_name(value: str) -> bool:
    return _says_something(value) and is_name(value)


_SERVES: dict[str, Callable[[str], object]] = {kind.field: kind.read for kind in IDENTIFIERS}
_SERVES["name"] = _can_be_a_name


def _unique(headers: Sequence[str]) -> list[str]:
    """Names every column, no two alike and none blank."""
    named = [header if header.strip() else f"column_{n}" for n, header in enumerate(headers, 1)]
    # The first of several keeps its name, and a number never takes a name the file has itself.
    taken = set(named)
    unique: list[str] = []
    numbers: dict[str, int] = {}
    for header in named:
        name, number = header, numbers.get(header, 0) + 1
        while number > 1 and (name := f"{header}_{number}") in taken:
            number += 1
        numbers[header] = number
        unique.append(name)
        taken.add(name)
    return unique
