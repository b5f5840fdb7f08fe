"""Row reconciliation: every usable row is published exactly once, about the person it asks for.

Works on what will be read, the keys of each finished file and what each row asked for, not on what
was meant to be written.
"""

from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lookup_pipeline.datasets.columns import REQUESTED, SOURCE

Numbers = NDArray[np.int64]

KEYS = [column.name for column in SOURCE]
ASKED = [*KEYS, *(column.name for column in REQUESTED)]
"""The columns that say which row it is and what it asked for."""

# Rows named in a message: enough to find the cause.
_SHOWN = 5

# Of a key's 64 bits, those for the line; the others tell the file.
_LINE_BITS = 44

# Python's `hash` never returns it.
_NOTHING = -1


class RowDigests:
    """The keys of many rows, each with one number for what the row says.

    Twenty bytes a row, where a name and an address take a hundred: a partition of a million rows
    fits into memory several times. Two rows that say different things have the same number once in
    2**64 times. Numbers compare within one process only.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._file_numbers, self._lines, self._said = array("i"), array("q"), array("q")

    @classmethod
    def of_requests(cls, batches: Iterable[pa.RecordBatch]) -> Self:
        """What each row of a file asked for; its batches hold `ASKED`, as far as it has them."""
        digests = cls()
        for batch in batches:
            nothing = [None] * batch.num_rows
            columns: dict[str, list[Any]] = {
                name: batch[name].to_pylist() for name in batch.schema.names
            }
            asked = (columns.get(column.name, nothing) for column in REQUESTED)
            digests.add(columns[KEYS[0]], columns[KEYS[1]], zip(*asked, strict=True))
        return digests

    def add(
        self, files: Sequence[str], lines: Sequence[int], said: Iterable[Hashable | None]
    ) -> None:
        """Add rows; None for one that says nothing that could be compared."""
        known = self._files
        self._file_numbers.extend([known.setdefault(file, len(known)) for file in files])
        self._lines.extend(lines)
        self._said.extend([_NOTHING if each is None else hash(each) for each in said])

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def files(self) -> Iterable[str]:
        """The files in which its rows stand."""
        return self._files

    def keys(self, files: Mapping[str, int]) -> Numbers:
        """Each row's key as a number, by the number of its file."""
        renumbered = np.array([files[file] for file in self._files], np.int64)
        return (renumbered[self._file_numbers] << _LINE_BITS) | np.array(self._lines, np.int64)

    @property
    def said(self) -> Numbers:
        """The number of what each row says."""
        return np.array(self._said, np.int64)


@dataclass(frozen=True, slots=True)
class RowReconciliation:
    """What a reconciliation found.

    Attributes:
        rows: rows by dataset.
        missing: keys that stand in `names` and in none of the published datasets.
        surplus: keys that stand in a published dataset and not in `names`.
        duplicates: keys that stand more than once: published, in `names` or in `lookups`.
        unregistered: keys of `names` without one in `lookups`, and the reverse.
        asked_otherwise: keys that ask for somebody else in `lookups`, or in what is about to be
            published, than in `names`.
        served_otherwise: keys whose lookup was made for somebody else.
    """

    rows: Mapping[str, int]
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    asked_otherwise: tuple[str, ...] = ()
    served_otherwise: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every row is in exactly one place, about the person it asks for."""
        return not self.problem

    @property
    def problem(self) -> str:
        """What is wrong, in one line, with the first few rows."""
        found = {
            "in names but nowhere published": self.missing,
            "published but not in names": self.surplus,
            "there more than once": self.duplicates,
            "in only one of names and lookups": self.unregistered,
            "about somebody else in names than in lookups or the ledger": self.asked_otherwise,
            "served by a lookup for somebody else": self.served_otherwise,
        }
        return "; ".join(
            f"{len(keys)} rows {what} (such as {', '.join(keys[:_SHOWN])})"
            for what, keys in found.items()
            if keys
        )


def reconcile_rows(
    names: RowDigests, lookups: RowDigests, published: Mapping[str, RowDigests]
) -> RowReconciliation:
    """Compare the rows of `names` and `lookups` with those about to be published.

    Args:
        names: what the partition's names ask for.
        lookups: what its lookups were registered for.
        published: what each published dataset says was asked for, by its name.
    """
    keys = _Keys([names, lookups, *published.values()])
    wanted, registered = keys.of(names), keys.of(lookups)
    shown = np.concatenate([keys.of(digests) for digests in published.values()])
    said = np.concatenate([digests.said for digests in published.values()])
    different = np.union1d(
        _different(wanted, names.said, registered, lookups.said),
        _different(wanted, names.said, shown, said),
    )
    return RowReconciliation(
        rows={
            "names": len(names),
            "lookups": len(lookups),
            **{name: len(digests) for name, digests in published.items()},
        },
        missing=keys.named(_beyond(wanted, shown)),
        surplus=keys.named(_beyond(shown, wanted)),
        duplicates=sum((keys.named(_repeated(each)) for each in (shown, wanted, registered)), ()),
        unregistered=keys.named(_beyond(wanted, registered))
        + keys.named(_beyond(registered, wanted)),
        asked_otherwise=keys.named(different),
    )


def rows_that_differ(left: RowDigests, right: RowDigests) -> list[tuple[str, int]]:
    """The keys of rows that stand in both and say something else in one than in the other."""
    keys = _Keys([left, right])
    return keys.pairs(_different(keys.of(left), left.said, keys.of(right), right.said))


def named_rows(rows: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Rows by file and line, as people read them."""
    return tuple(sorted(f"{file}:{line}" for file, line in rows))


class _Keys:
    """Keys as numbers that compare between several sets of rows, and back."""

    def __init__(self, digests: Iterable[RowDigests]) -> None:
        self._files = sorted({file for each in digests for file in each.files})
        self._numbers = {file: number for number, file in enumerate(self._files)}

    def of(self, digests: RowDigests) -> Numbers:
        return digests.keys(self._numbers)

    def pairs(self, keys: Numbers) -> list[tuple[str, int]]:
        mask = (1 << _LINE_BITS) - 1
        return [(self._files[key >> _LINE_BITS], key & mask) for key in keys.tolist()]

    def named(self, keys: Numbers) -> tuple[str, ...]:
        return named_rows(self.pairs(keys))


def _beyond(keys: Numbers, others: Numbers) -> Numbers:
    return keys[~np.isin(keys, others, kind="sort")]


def _repeated(keys: Numbers) -> Numbers:
    found, times = np.unique(keys, return_counts=True)
    return found[times > 1]


def _different(left: Numbers, left_said: Numbers, right: Numbers, right_said: Numbers) -> Numbers:
    """The keys in both of which the first row says something else; not where one says nothing."""
    common, in_left, in_right = np.intersect1d(left, right, return_indices=True)
    one, other = left_said[in_left], right_said[in_right]
    differ: Numbers = common[(one != other) & (one != _NOTHING) & (other != _NOTHING)]
    return differ
