"""Row reconciliation: what balances, and that whatever does not is found and named."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.datasets.columns import NAMES
from lookup_pipeline.datasets.row_reconciliation import (
    ASKED,
    RowDigests,
    RowReconciliation,
    reconcile_rows,
    rows_that_differ,
)

Keys = list[tuple[str, int]]
Row = dict[str, str | int | None]

A, B, C, D = ("a.csv", 2), ("a.csv", 3), ("b.csv", 2), ("b/c d.csv", 10)
SCHEMA = pa.schema([NAMES.schema.field(name) for name in ASKED])
DATASETS = ("profiles", "failed_lookups", "pending_lookups")


def row(key: tuple[str, int], name: str = "", **requested: str | None) -> Row:
    """A row that asks for somebody; for one person a row unless it is said for whom."""
    file, line = key
    asked = {f"requested_{field}": value for field, value in requested.items()}
    return {
        "source_file": file,
        "source_row": line,
        "requested_name": name or f"{file}:{line}",
        **asked,
    }


def digests(rows: list[Row]) -> RowDigests:
    batches = pa.Table.from_pylist(rows, schema=SCHEMA).to_batches(max_chunksize=2)
    return RowDigests.of_requests(batches)


def reconciled_rows(
    names: list[Row], lookups: list[Row], *published: list[Row]
) -> RowReconciliation:
    files = zip(DATASETS, [*published, [], [], []], strict=False)
    return reconcile_rows(
        digests(names), digests(lookups), {name: digests(rows) for name, rows in files}
    )


def reconciled(names: Keys, lookups: Keys, *published: Keys) -> RowReconciliation:
    """Rows of which everybody agrees who they are about."""
    return reconciled_rows(
        [row(key) for key in names],
        [row(key) for key in lookups],
        *([row(key) for key in keys] for keys in published),
    )


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


# Who a row is about -----------------------------------------------------------------------------


def test_rows_that_changed_places_are_named_though_the_keys_agree() -> None:
    before = [row(A, "Ann"), row(B, "Ben"), row(C, "Cid")]
    after = [row(A, "Ben"), row(B, "Ann"), row(C, "Cid")]
    found = reconciled_rows(after, before, before)
    assert (found.missing, found.surplus, found.unregistered) == ((), (), ())
    assert (found.asked_otherwise, found.balanced) == (named(A, B), False)
    assert found.problem == (
        "2 rows about somebody else in names than in lookups or the ledger "
        "(such as a.csv:2, a.csv:3)"
    )


@pytest.mark.parametrize("older", ["lookups", "published"])
def test_one_older_side_is_enough(older: str) -> None:
    rows, others = [row(A, "Ann"), row(B, "Ben")], [row(A, "Ann"), row(B, "Bob")]
    sides = (others, rows) if older == "lookups" else (rows, others)
    lookups, published = sides
    assert reconciled_rows(rows, lookups, published[:1], published[1:]).asked_otherwise == named(B)


@pytest.mark.parametrize("field", [name for name in ASKED if name.startswith("requested_")])
@pytest.mark.parametrize("value", [None, "other"])
def test_everything_that_is_asked_for_counts(field: str, value: str | None) -> None:
    one = row(A) | {field: "this"}
    found = reconciled_rows([one], [one], [one | {field: value}])
    assert found.asked_otherwise == named(A)


def test_a_value_that_moves_to_another_column_is_another_request() -> None:
    assert not reconciled_rows(
        [row(A, email="x")], [row(A, email="x")], [row(A, title="x")]
    ).balanced


def test_a_file_without_a_column_asked_for_nothing_in_it() -> None:
    older = [name for name in ASKED if name != "requested_id"]
    batch = pa.RecordBatch.from_pylist([row(A)], schema=SCHEMA)
    known = {name: RowDigests() for name in DATASETS} | {"profiles": digests([row(A)])}
    names = RowDigests.of_requests([batch.select(older)])
    assert reconcile_rows(names, digests([row(A)]), known).balanced


def test_where_one_side_says_nothing_nothing_differs() -> None:
    left, right = RowDigests(), RowDigests()
    left.add(["b.csv", "a.csv", "a.csv", "a.csv"], [2, 2, 3, 4], ["ann", "ann", None, "cid"])
    right.add(["a.csv", "a.csv", "a.csv"], [2, 3, 9], ["bob", "ben", "cid"])
    assert rows_that_differ(left, right) == [("a.csv", 2)]
    assert rows_that_differ(right, left) == [("a.csv", 2)]


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


_PEOPLE = st.dictionaries(_KEYS, st.sampled_from(["ann", "ben", "cid"]), max_size=6)


@settings(deadline=None, database=None, max_examples=100)
@given(_PEOPLE, _PEOPLE, _PEOPLE)
def test_whoever_is_asked_for_otherwise_is_named(
    names: dict[tuple[str, int], str],
    lookups: dict[tuple[str, int], str],
    published: dict[tuple[str, int], str],
) -> None:
    sides = [[row(key, who) for key, who in side.items()] for side in (names, lookups, published)]
    found = reconciled_rows(*sides)
    assert found.asked_otherwise == named(
        *(
            key
            for key, who in names.items()
            if lookups.get(key, who) != who or published.get(key, who) != who
        )
    )
    assert found.balanced is (names == lookups == published)
