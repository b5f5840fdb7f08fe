"""Every row is published about the person it asks for, or nothing is published at all."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select, update

from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, PROFILES, Dataset
from lookup_pipeline.datasets.storage import DatasetFolder, PartitionWriter, StorageError
from lookup_pipeline.enrichment.publish import RowReconciliationError
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger.identities import GIVEN_UP
from lookup_pipeline.ledger.tables import aliases, lookups, memberships
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import DAY, Person, Pipeline, people, sent

ANN, BEN, CID = ("Ann Ode", "Acme"), ("Ben Poe", "Bolt"), ("Cid Roe", "Core")
FIRST, SECOND = f"{DAY}.csv:2", f"{DAY}.csv:3"


@pytest.fixture
def settled(pipeline: Pipeline) -> Pipeline:
    """Ann, Ben and Cid, found and published."""
    pipeline.register([ANN, BEN, CID])
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    return pipeline


def names_alone(pipeline: Pipeline, rows: Sequence[Person]) -> None:
    pipeline.write_csv(rows)
    pipeline.read_names()


def refused(pipeline: Pipeline) -> RowReconciliationError:
    before = pipeline.files()
    with pytest.raises(RowReconciliationError) as raised:
        pipeline.publish()
    assert pipeline.files() == before, "nothing is replaced"
    return raised.value


def people_by_row(pipeline: Pipeline) -> list[tuple[str, int]]:
    """Who was asked for in each row, and whose profile stands there."""
    return [(row["requested_name"], row["profile_id"]) for row in pipeline.rows(PROFILES)]


def test_reordered_names_are_not_published_until_lookups_is_materialized(
    settled: Pipeline, sandbox: RunningSandbox
) -> None:
    ids = dict(people_by_row(settled))
    names_alone(settled, [BEN, ANN, CID])
    error = refused(settled)
    assert error.reconciliation.asked_otherwise == (FIRST, SECOND)
    told = str(error)
    assert (
        f"2 rows about somebody else in names than in lookups or the ledger (such as {FIRST}, "
        in told
    )
    assert f"Materialize `lookups` of {DAY}" in told
    assert not any(part in told for person in (ANN, BEN) for part in person)

    register(settled.ledger, settled.output, DAY)
    assert settled.publish().reconciliation.balanced
    assert people_by_row(settled) == [(name, ids[name]) for name, _ in (BEN, ANN, CID)]
    assert max(sent(sandbox).values()) == 1


def test_a_person_in_the_place_of_another_is_not_published_either(settled: Pipeline) -> None:
    names_alone(settled, [ANN, ("Dee Sow", "Bolt"), CID])
    assert refused(settled).reconciliation.asked_otherwise == (SECOND,)


def test_rows_of_which_only_further_columns_changed_are_published(settled: Pipeline) -> None:
    path = settled.write_csv([ANN, BEN, CID])
    path.write_text(path.read_text().replace("CC-1", "CC-9"))
    settled.read_names()
    assert settled.publish().reconciliation.balanced


class FullFolder(DatasetFolder):
    """Has no room for the end of a file."""

    def writer(self, dataset: Dataset, lookup_date: str) -> PartitionWriter:
        writer = super().writer(dataset, lookup_date)

        def fail() -> None:
            raise StorageError("no room")

        writer.finish = fail  # type: ignore[method-assign]
        return writer


def test_a_registration_that_died_before_its_file_is_not_published(settled: Pipeline) -> None:
    names_alone(settled, [BEN, ANN, CID])
    with pytest.raises(StorageError):
        register(settled.ledger, FullFolder(str(settled.root / "output")), DAY)
    assert refused(settled).reconciliation.asked_otherwise == (FIRST, SECOND)
    register(settled.ledger, settled.output, DAY)
    assert settled.publish().reconciliation.balanced


def test_names_replaced_while_they_are_registered_are_not_published(settled: Pipeline) -> None:
    changed = False

    def change(_rows: int) -> None:
        nonlocal changed
        changed = True
        names_alone(settled, [CID, BEN, ANN])

    names_alone(settled, [BEN, ANN, CID])
    register(settled.ledger, settled.output, DAY, progress=change)
    assert changed
    assert len(refused(settled).reconciliation.asked_otherwise) == 3


def test_a_lookups_file_of_another_run_is_not_published(settled: Pipeline) -> None:
    path = Path(str(settled.output.path(LOOKUPS, DAY)))
    aside = settled.root / "lookups of the run before"
    shutil.copy(path, aside)
    settled.register([BEN, ANN, CID])
    shutil.copy(aside, path)
    assert refused(settled).reconciliation.asked_otherwise == (FIRST, SECOND)


def rewrite(pipeline: Pipeline, dataset: Dataset, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pipeline.table(dataset)), str(pipeline.output.path(dataset, DAY)))


def test_other_lookup_ids_in_lookups_are_no_disagreement(settled: Pipeline) -> None:
    def renumber(table: pa.Table) -> pa.Table:
        numbers = pa.array(range(100, 100 + table.num_rows))
        return table.set_column(table.schema.get_field_index("lookup_id"), "lookup_id", numbers)

    rewrite(settled, LOOKUPS, renumber)
    assert settled.publish().reconciliation.balanced


def test_names_of_an_older_version_are_published_and_still_compared(settled: Pipeline) -> None:
    def without_identities(table: pa.Table) -> pa.Table:
        return table.drop_columns(["identity", "query"])

    rewrite(settled, NAMES, without_identities)
    assert settled.publish().reconciliation.balanced
    names_alone(settled, [BEN, ANN, CID])
    rewrite(settled, NAMES, without_identities)
    assert refused(settled).reconciliation.asked_otherwise == (FIRST, SECOND)


def lookup_ids(pipeline: Pipeline) -> list[int]:
    return [row.lookup_id for row in pipeline.ledger_rows().values()]


def test_a_row_served_by_a_lookup_for_somebody_else_is_not_published(settled: Pipeline) -> None:
    ann, ben, _cid = lookup_ids(settled)
    with settled.ledger.write() as connection:
        connection.execute(
            update(memberships).where(memberships.c.lookup_id == ann).values(lookup_id=ben)
        )
    error = refused(settled)
    assert error.reconciliation.served_otherwise == (FIRST,)
    assert f"1 rows served by a lookup for somebody else (such as {FIRST})" in str(error)
    register(settled.ledger, settled.output, DAY)
    assert settled.publish().reconciliation.balanced


@pytest.mark.parametrize("given_up", [False, True])
def test_a_row_that_finds_its_lookup_by_an_alias_is_published(
    settled: Pipeline, given_up: bool
) -> None:
    ann, *_ = lookup_ids(settled)
    with settled.ledger.write() as connection:
        found = connection.scalars(select(lookups.c.identity).where(lookups.c.lookup_id == ann))
        connection.execute(insert(aliases).values(identity=found.one(), lookup_id=ann))
        other = "v2:name:another form" + (f"{GIVEN_UP}{ann}" if given_up else "")
        connection.execute(update(lookups).where(lookups.c.lookup_id == ann).values(identity=other))
    assert settled.publish().reconciliation.balanced


def test_a_lookup_of_older_rules_is_published(settled: Pipeline) -> None:
    with settled.ledger.write() as connection:
        connection.execute(update(lookups).values(identity="v1:" + lookups.c.identity))
    assert settled.publish().reconciliation.balanced


def test_hundreds_of_reordered_rows_are_counted_and_a_few_named(pipeline: Pipeline) -> None:
    everybody = people(300)
    pipeline.register(everybody)
    names_alone(pipeline, everybody[::-1])
    told = str(refused(pipeline))
    assert "300 rows about somebody else" in told
    assert told.count(f"{DAY}.csv:") == 5
