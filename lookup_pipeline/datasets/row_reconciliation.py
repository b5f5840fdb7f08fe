"""Row reconciliation: every usable row stands in exactly one of the published datasets.

Works on what will be read, two columns of each finished file, not on what was meant to be
written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lookup_pipeline.datasets.columns import SOURCE

KEYS = [column.name for column in SOURCE]

# Whoever wrote a file anew by other means may have chosen a wider text type.
_TYPES = pa.schema([pa.field(column.name, column.type) for column in SOURCE])

# Rows named in a message: enough to find the cause.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class RowReconciliation:
    """What a reconciliation found.

    Attributes:
        rows: rows by dataset.
        missing: keys that stand in `names` and in none of the published datasets.
        surplus: keys that stand in a published dataset and not in `names`.
        duplicates: keys that stand more than once: published, in `names` or in `lookups`.
        unregistered: keys of `names` without one in `lookups`, and the reverse.
    """

    rows: Mapping[str, int]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    duplicates: tuple[str, ...]
    unregistered: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Whether every row is in exactly one place."""
        return not (self.missing or self.surplus or self.duplicates or self.unregistered)

    @property
    def problem(self) -> str:
        """What is wrong, in one line, with the first few rows."""
        found = {
            "in names but nowhere published": self.missing,
            "published but not in names": self.surplus,
            "there more than once": self.duplicates,
            "in only one of names and lookups": self.unregistered,
        }
        return "; ".join(
            f"{len(keys)} rows {what} (such as {', '.join(keys[:_SHOWN])})"
            for what, keys in found.items()
            if keys
        )


def reconcile_rows(
    names: pa.Table, lookups: pa.Table, published: Mapping[str, pa.Table]
) -> RowReconciliation:
    """Compare the rows of `names` and `lookups` with those about to be published.

    Args:
        names: the `KEYS` columns of the partition's names.
        lookups: those of its lookups.
        published: those of each published dataset, by name.
    """
    names, lookups = _key_table(names), _key_table(lookups)
    union = pa.concat_tables([_key_table(table) for table in published.values()])
    return RowReconciliation(
        rows={
            "names": names.num_rows,
            "lookups": lookups.num_rows,
            **{name: table.num_rows for name, table in published.items()},
        },
        missing=_difference(names, union),
        surplus=_difference(union, names),
        duplicates=_repeated(union) + _repeated(names) + _repeated(lookups),
        unregistered=_difference(names, lookups) + _difference(lookups, names),
    )


def _difference(left: pa.Table, right: pa.Table) -> tuple[str, ...]:
    if not right.num_rows:
        return _keys(left)
    return _keys(left.join(right, keys=KEYS, join_type="left anti"))


def _repeated(table: pa.Table) -> tuple[str, ...]:
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to load: not with the definitions

    counted = table.group_by(KEYS).aggregate([([], "count_all")])
    return _keys(counted.filter(pc.greater(counted["count_all"], pa.scalar(1))))


def _key_table(table: pa.Table) -> pa.Table:
    return table.select(KEYS).cast(_TYPES)


def _keys(table: pa.Table) -> tuple[str, ...]:
    rows = table.to_pylist()
    return tuple(sorted(f"{row['source_file']}:{row['source_row']}" for row in rows))
