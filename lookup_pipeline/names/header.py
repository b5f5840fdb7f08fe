"""What a CSV's columns mean: which of them say whom to look up, which are carried through.

- Several columns for the same thing (``employer`` and ``company``): row by row the first one that
  serves (a valid address, another value than "N/A") is taken. Main columns (``ALIASES``) come
  before ``LAST_RESORTS``, then those further left before the others. All but the first are also
  carried through, and the first where it is not taken, so that nothing is lost. Of two columns with
  one header the second may be somebody else's (the owner's, say): it does not serve for what names
  a person alone, such as an e-mail address.
- ``first_name`` and ``last_name`` together, with a middle name and with Jr., Sr. or III as a
  suffix, are one more column for ``name``, after any other. They are carried through except in the
  rows whose name they make.
- A ``first_name`` without a ``last_name`` is put before the ``name`` where that is a last name.
- A further column keeps its header as it is in the file. One without a header is called
  ``column_3`` by its position, and is carried through where it holds something; the second
  ``notes`` becomes ``notes_2``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lookup_pipeline.names.column_names import (
    FIELD_BY_KEY,
    PART_BY_KEY,
    PARTS,
    column_key,
    quick_key,
)
from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.identity import IDENTIFIERS, Requested
from lookup_pipeline.names.person_names import has_letters, is_generation, is_name
from lookup_pipeline.names.text import fold
from lookup_pipeline.names.values import is_placeholder, said

_IDENTIFYING = {kind.field for kind in IDENTIFIERS}

_CURE = (
    "begin the file with a header row that has name and current_employer, or linkedin_url, email, "
    "npi_number or id, separated by commas, semicolons, tabs or vertical bars"
)


@dataclass(frozen=True)
class Header:
    """The meaning of each column of one file.

    Attributes:
        headers: The header row's values.
        fields: The columns that may serve each of ``Requested``'s fields, the preferred first.
        name_parts: The columns of first and last name, when the file has both, and of what else
            belongs to a name, by their part of it.
        first_name: The column of first names in a file without last names.
        further: The columns that are carried through, under their unique headers.
        nameless: Those of them that have no header.
        passed_over: The preferred columns where another may serve in their place, each with its
            field and its unique header; then they are carried through as well.
    """

    headers: list[str]
    fields: dict[str, list[int]]
    name_parts: dict[str, int]
    first_name: int | None
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
        if not self.fields.keys().isdisjoint(_IDENTIFYING):
            return True
        return "employer" in self.fields and ("name" in self.fields or bool(self.name_parts))

    def meanings(self) -> list[tuple[str, str]]:
        """Each column's header with what it is taken for: a field, or ``carried through``."""
        meant = {column: field for field, columns in self.fields.items() for column in columns}
        meant |= {column: part for part, column in self.name_parts.items()}
        if self.first_name is not None:
            meant[self.first_name] = "first name"
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
        if self.name_parts:
            names = zip(picked["name"], rows, strict=True)
            picked["name"] = [
                name
                if name and _can_be_a_name(name)
                else _joined(row, self._name_columns(row)) or name
                for name, row in names
            ]
        if self.first_name is not None:
            firsts = columns[self.first_name] if columns else ()
            picked["name"] = list(map(_with_first_name, picked["name"], firsts))
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
        if self.name_parts:
            parts = {column: header for header, column in self.further}
            for values, row, name in zip(found, rows, requested["name"], strict=True):
                made_of = self._name_columns(row)
                if name and name == _joined(row, made_of):
                    for column in made_of:
                        del values[parts[column]]
        return found

    def repeated_by(self, fields: Sequence[str]) -> bool:
        """Whether a row is a header row again: every value is the name of a column.

        Joined files have one in the middle, in another spelling or order at times.
        """
        if fields == self.headers:
            return True
        # Quick, because every row is asked: hardly one begins so.
        if quick_key(next(filter(None, fields), "")) not in self._quick_keys:
            return False
        keys = [column_key(value) for value in fields if value.strip()]
        return len(keys) > 1 and self._known_keys.issuperset(keys)

    def is_same_as(self, fields: Sequence[str]) -> bool:
        """Whether a header row has the same columns in the same order, however they are spelt."""
        return [*map(column_key, fields)] == [*map(column_key, self.headers)]

    @cached_property
    def _known_keys(self) -> frozenset[str]:
        return frozenset([*FIELD_BY_KEY, *PART_BY_KEY, *map(column_key, self.headers)]) - {""}

    @cached_property
    def _quick_keys(self) -> frozenset[str]:
        return frozenset(map(quick_key, [*self._known_keys, *self.headers]))

    def _name_columns(self, row: Sequence[str]) -> list[int]:
        """The columns that make a row's name; none where its first or last name says nothing."""
        whole = [row[self.name_parts[part]].strip() for part in _WHOLE_NAME]
        if not all(map(_is_half_a_name, whole)) or all(map(is_placeholder, whole)):
            return []
        return [
            column
            for part, column in self.name_parts.items()
            if part in _WHOLE_NAME or (row[column].strip() and self._belongs(part, row))
        ]

    def _belongs(self, part: str, row: Sequence[str]) -> bool:
        """Whether a middle name or a suffix is one, and is not said already."""
        value = row[self.name_parts[part]].strip()
        if part == "name suffix":
            return is_generation(value)
        # "Mary Ann", "Ann", "Smith": some write it twice.
        first = fold(row[self.name_parts["first name"]])
        return _can_be_a_name(value) and not f" {first}".endswith(f" {fold(value)}")


def read_header(headers: Sequence[str]) -> Header | None:
    """Finds out what the columns mean.

    Args:
        headers: The header row's values.

    Returns:
        The meanings, or ``None`` when no column says anything about whom to look up.
    """
    keys = [column_key(header) for header in headers]
    ranked: dict[str, list[tuple[int, int]]] = {}
    for column, key in enumerate(keys):
        if found := FIELD_BY_KEY.get(key):
            rank, field = found
            if field not in _IDENTIFYING or headers[column] not in headers[:column]:
                ranked.setdefault(field, []).append((rank, column))
    fields = {field: [column for _rank, column in sorted(all_)] for field, all_ in ranked.items()}
    part_by_column = [PART_BY_KEY.get(key) for key in keys]
    name_parts = {part: part_by_column.index(part) for part in PARTS if part in part_by_column}
    first_name = None
    if not name_parts.keys() >= set(_WHOLE_NAME):
        first = name_parts.get("first name")
        if first is not None and "name" in fields and keys[first] not in _ALSO_AN_ORDER:
            first_name = first
        name_parts = {}
    if not fields and not name_parts:
        return None
    preferred = {columns[0] for columns in fields.values()}
    named = _unique(headers)
    return Header(
        list(headers),
        fields,
        name_parts,
        first_name,
        [(header, column) for column, header in enumerate(named) if column not in preferred],
        frozenset(
            unique for unique, header in zip(named, headers, strict=True) if not header.strip()
        ),
        [
            (field, named[columns[0]], columns[0])
            for field, columns in fields.items()
            if len(columns) > 1 or (field == "name" and name_parts)
        ],
    )


def no_header(source_file: str, line: int, problem: str) -> UnreadableFile:
    """Makes the error for a file without a header row that can be used."""
    return UnreadableFile(source_file, line, problem, _CURE)


def _joined(row: Sequence[str], columns: Sequence[int]) -> str:
    return " ".join(row[column].strip() for column in columns)


def _is_half_a_name(part: str) -> bool:
    # "Null" and "Na" are people's last names: in half a name only what is no word is none.
    return has_letters(part) and (part.isalpha() or not is_placeholder(part))


def _with_first_name(name: str | None, first: str) -> str | None:
    """A last name ("Smith", "de Groot") with the first name in front of it; else the name."""
    last, first = said(name), said(first) or ""
    if not (last and _can_be_a_name(first) and _can_be_a_name(last)):
        return name
    if "," in last or (len(last.split()) > 1 and not last[0].islower()):
        return name
    words = fold(first).split()
    return first if words[-1:] == fold(last).split() else f"{first} {last}"


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


# Without them there is no name; what else belongs to one may be missing.
_WHOLE_NAME = ("first name", "last name")
# "First" is a question as well: the first time, the first choice.
_ALSO_AN_ORDER = {"first"}

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
