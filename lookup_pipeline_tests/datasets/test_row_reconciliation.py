"""Row reconciliation: what balances, and that whatever does not is found and named."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.datasets.row_reconciliation import KEYS, RowReconciliation, reconcile_rows

Keys = list[tuple[str, int]]

A, B, C, D = ("a.csv", 2), ("a.csv", 3), ("b.csv", 2), ("b/c d.csv", 10)
_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("source_file", pa.string()),
    pa.field("source_row", pa.int64()),
]
SCHEMA = pa.schema(_FIELDS)


def table(keys: Keys) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(KEYS, key, strict=True)) for key in keys], schema=SCHEMA)


def reconciled(names: Keys, lookups: Keys, *published: Keys) -> RowReconciliation:
    folders = ("profiles", "failed_lookups", "pending_lookups")
    tables = {
        name: table(keys) for name, keys in zip(folders, [*published, [], [], []], strict=False)
    }
    return reconcile_rows(table(names), table(lookups), tables)


def named(*keys: tuple[str, int]) -> tuple[str, ...]:
    return tuple(sorted(f"{file}:{line}" for file, line in keys))


def test_every_row_in_one_place_balances() -> None:
    found = reconciled([A, B, C, D], [D, C, B, A], [C], [A, D], [B])
    assert found.balanced
    assert found.problem == ""
    assert found.rows == {
        "names": 4,
        "lookups": 4,
        "profiles": 1,
        "failed_lookups": 2,
        "pending_lookups": 1,
    }


def test_a_partition_without_rows_balances() -> None:
    found = reconciled([], [])
    assert found.balanced
    assert set(found.rows.values()) == {0}


def test_a_row_that_is_nowhere_published_is_named() -> None:
    found = reconciled([A, B], [A, B], [A])
    assert (found.missing, found.balanced) == (named(B), False)
    assert found.problem == "1 rows in names but nowhere published (such as a.csv:3)"


def test_rows_are_missing_also_where_nothing_is_published() -> None:
    assert reconciled([A, D], [A, D]).missing == named(A, D)


def test_a_row_that_nobody_asked_for_is_named() -> None:
    found = reconciled([A], [A], [A], [B])
    assert (found.surplus, found.balanced) == (named(B), False)
    assert found.problem == "1 rows published but not in names (such as a.csv:3)"


def test_a_row_in_two_datasets_is_named_once() -> None:
    found = reconciled([A, B], [A, B], [A], [A, B])
    assert (found.duplicates, found.balanced) == (named(A), False)
    assert "there more than once (such as a.csv:2)" in found.problem


def test_a_row_twice_in_one_dataset_is_named() -> None:
    assert reconciled([A], [A], [A, A]).duplicates == named(A)


@pytest.mark.parametrize(("names", "lookups"), [([A, B], [A]), ([A], [A, B]), ([A, B], [])])
def test_a_row_in_only_one_of_names_and_lookups_is_named(names: Keys, lookups: Keys) -> None:
    found = reconciled(names, lookups, names)
    assert not found.balanced
    assert found.unregistered == named(*(set(names) ^ set(lookups)))
    assert "in only one of names and lookups" in found.problem


def test_the_same_line_of_two_files_is_two_rows() -> None:
    assert reconciled([A, C], [A, C], [A]).missing == named(C)


@pytest.mark.parametrize(("names", "lookups"), [([A, A], [A]), ([A], [A, A]), ([A, A], [A, A])])
def test_a_row_that_stands_twice_in_names_or_lookups_does_not_balance(
    names: Keys, lookups: Keys
) -> None:
    assert not reconciled(names, lookups, [A]).balanced


def test_every_problem_is_told_with_the_first_few_rows() -> None:
    names = [("a.csv", line) for line in range(2, 12)]
    found = reconciled([*names, D], [*names, C], [("z.csv", 1), ("y.csv", 7)], [D, D])
    assert "10 rows in names but nowhere published" in found.problem
    assert "2 rows published but not in names (such as y.csv:7, z.csv:1)" in found.problem
    assert "1 rows there more than once (such as b/c d.csv:10)" in found.problem
    assert "2 rows in only one of names and lookups (such as b/c d.csv:10, " in found.problem
    shown = found.problem.split("; ")[0]
    assert shown.count("a.csv:") == 5


_KEYS = st.tuples(st.sampled_from(["a.csv", "b.csv"]), st.integers(2, 4))
_UNIQUE = st.lists(_KEYS, unique=True, max_size=6)
_REPEATED = st.lists(_KEYS, max_size=4)


def beyond(keys: Keys, others: Keys) -> tuple[str, ...]:
    """The rows, repeated ones repeatedly, whose key does not stand in the others."""
    return named(*(key for key in keys if key not in others))


def repeated(keys: Keys) -> tuple[str, ...]:
    return named(*(key for key, times in Counter(keys).items() if times > 1))


@settings(deadline=None, database=None, max_examples=100)
@given(_UNIQUE | _REPEATED, _UNIQUE, _REPEATED, _REPEATED, _REPEATED)
def test_the_reconciliation_is_that_of_plain_multisets(
    names: Keys, lookups: Keys, profiles: Keys, failed: Keys, pending: Keys
) -> None:
    published = [*profiles, *failed, *pending]
    found = reconciled(names, lookups, profiles, failed, pending)
    assert found.missing == beyond(names, published)
    assert found.surplus == beyond(published, names)
    assert sorted(found.duplicates) == sorted(repeated(published) + repeated(names))
    assert sorted(found.unregistered) == sorted(beyond(names, lookups) + beyond(lookups, names))
    in_one_place = Counter(names) == Counter(lookups) == Counter(published)
    assert found.balanced is (in_one_place and not repeated(names))
    assert found.balanced is (found.problem == "")


@settings(deadline=None, database=None, max_examples=30)
@given(_UNIQUE, st.data())
def test_any_division_of_the_names_balances(names: Keys, data: st.DataObject) -> None:
    places: list[Keys] = [[], [], []]
    for key in names:
        places[data.draw(st.integers(0, 2))].append(key)
    assert reconciled(names, names, *places).balanced
