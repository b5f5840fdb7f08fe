"""Publishing: one snapshot, whole files, all or nothing, never an older one over a newer."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
    Dataset,
)
from lookup_pipeline.datasets.storage import DatasetFolder, StorageError
from lookup_pipeline.enrichment.publish import (
    PUBLISHED,
    NotReadyError,
    RowReconciliationError,
    publish,
)
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import DAY, NEXT_DAY, Pipeline, people


class MeddledFolder(DatasetFolder):
    """Does something once, while a publication holds its snapshot and has not yet replaced."""

    def __init__(self, url: str, meddle: Callable[[], object]) -> None:
        super().__init__(url)
        self._meddle: Callable[[], object] | None = meddle

    def batches(
        self, dataset: Dataset, lookup_date: str, rows: int, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        meddle, self._meddle = self._meddle, None
        if meddle:
            meddle()
        return super().batches(dataset, lookup_date, rows, columns)


def published_tables(pipeline: Pipeline) -> dict[str, pa.Table]:
    return {dataset.name: pipeline.table(dataset) for dataset in PUBLISHED}


def temporary_files(root: Path) -> list[str]:
    return [path.name for path in (root / "output" / ".unfinished").iterdir()]


def test_publishing_again_with_nothing_new_gives_identical_data(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(seed=3, failed=0.2, not_found=0.2, complete_after_polls=3, extra_polls=20)
    pipeline.register(people(40))
    pipeline.submit()
    for _ in range(4):
        pipeline.clock.advance(minutes=5)
        pipeline.poll()
    assert pipeline.states().keys() >= {State.IN_FLIGHT, State.COMPLETE, State.FAILED}
    first = pipeline.publish()
    tables, files = published_tables(pipeline), pipeline.files()
    pipeline.clock.advance(hours=1)
    second = pipeline.publish()
    assert (second.version, second.states) == (first.version, first.states)
    for name, table in published_tables(pipeline).items():
        assert table.equals(tables[name])
    assert pipeline.files() == files
    assert temporary_files(pipeline.root) == []


def test_published_rows_are_those_of_names_and_lookups_at_every_stage(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(seed=1, failed=0.2, not_found=0.2, credits=25, complete_after_polls=2)
    pipeline.register([*people(30), *people(5)])
    expected = [(f"{DAY}.csv", line) for line in range(2, 37)]

    def assert_complete() -> None:
        pipeline.publish()
        for dataset in (NAMES, LOOKUPS):
            rows = pipeline.rows(dataset)
            assert [(row["source_file"], row["source_row"]) for row in rows] == expected
        assert pipeline.published_rows() == expected

    assert_complete()
    for trouble in ({"error_500": 1}, {"error_500": 0, "credits": 10_000}):
        with suppress(SubmissionStoppedError):
            pipeline.submit()
        assert_complete()
        sandbox.change(**trouble)
        pipeline.clock.advance(minutes=5)
        pipeline.poll()
        assert_complete()


def test_the_same_schema_in_every_partition(pipeline: Pipeline) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    pipeline.register([], NEXT_DAY)
    pipeline.publish(NEXT_DAY)
    for dataset in (*PUBLISHED, NAMES, LOOKUPS):
        # What the files' own metadata say, which version of what they show, is not the schema's.
        full, empty = (
            pipeline.table(dataset, day).schema.remove_metadata() for day in (DAY, NEXT_DAY)
        )
        assert full.equals(empty, check_metadata=True)


@pytest.mark.parametrize("done", ["nothing", "names"])
def test_what_has_not_been_materialized_is_named_with_what_to_do(
    pipeline: Pipeline, done: str
) -> None:
    pipeline.write_csv(people(2))
    if done == "names":
        pipeline.read_names()
    with pytest.raises(NotReadyError) as raised:
        pipeline.publish()
    told = str(raised.value)
    assert ("`lookups`" if done == "names" else "`names`") + f" has no file for {DAY}" in told
    assert "materialize `names` and `lookups` of this partition first" in told
    assert "enrichment_job" in told
    assert not pipeline.output.exists(PROFILES, DAY)


def test_registering_before_reading_the_names_says_so(pipeline: Pipeline) -> None:
    with pytest.raises(FileNotFoundError):
        register(pipeline.ledger, pipeline.output, DAY)
    assert not pipeline.output.exists(LOOKUPS, DAY)


@pytest.mark.parametrize("change", ["a row more", "a row less"])
def test_rows_that_do_not_add_up_leave_the_old_files_and_say_which(
    pipeline: Pipeline, change: str
) -> None:
    everybody = people(6)
    pipeline.register(everybody)
    pipeline.submit()
    pipeline.publish()
    pipeline.settle()
    # `names` is materialized again, and `lookups` is not.
    pipeline.write_csv([*everybody, ("New One", "Anywhere")] if "more" in change else everybody[:5])
    pipeline.read_names()
    before = pipeline.files()
    with pytest.raises(RowReconciliationError) as raised:
        pipeline.publish()
    reconciliation = raised.value.reconciliation
    row = f"{DAY}.csv:8" if "more" in change else f"{DAY}.csv:7"
    assert (reconciliation.missing if "more" in change else reconciliation.surplus) == (row,)
    assert reconciliation.unregistered == (row,)
    assert row in str(raised.value)
    assert "nothing was published" in str(raised.value)
    assert pipeline.files() == before
    with pipeline.ledger.read() as connection:
        assert [each.lookup_date for each in partitions_with_news(connection)] == [DAY]

    register(pipeline.ledger, pipeline.output, DAY)
    assert pipeline.publish().reconciliation.balanced


@pytest.mark.parametrize("broken", PUBLISHED, ids=lambda dataset: dataset.name)
def test_a_file_that_can_not_be_put_in_place_leaves_all_three_as_they_were(
    pipeline: Pipeline, broken: Dataset
) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.publish()
    pipeline.settle()
    target = Path(str(pipeline.output.path(broken, DAY)))
    aside = target.with_name("aside")
    before = pipeline.files()

    def put_a_folder_in_its_place() -> None:
        target.rename(aside)
        (target / "full").mkdir(parents=True)

    folder = MeddledFolder(str(pipeline.root / "output"), put_a_folder_in_its_place)
    with pytest.raises(StorageError, match=str(target)):
        publish(pipeline.ledger, folder, DAY, clock=pipeline.clock)
    (target / "full").rmdir()
    target.rmdir()
    aside.rename(target)
    assert pipeline.files() == before
    assert temporary_files(pipeline.root) == []
    with pipeline.ledger.read() as connection:
        assert [each.lookup_date for each in partitions_with_news(connection)] == [DAY]

    assert pipeline.publish().replaced
    assert len(pipeline.rows(PROFILES)) == 5


def test_an_older_snapshot_does_not_replace_a_newer_publication(pipeline: Pipeline) -> None:
    pipeline.register(people(5))
    pipeline.submit()

    def settle_and_publish() -> None:
        pipeline.settle()
        assert pipeline.publish().replaced

    folder = MeddledFolder(str(pipeline.root / "output"), settle_and_publish)
    older = publish(pipeline.ledger, folder, DAY, clock=pipeline.clock)
    assert not older.replaced
    assert older.states[State.IN_FLIGHT] == 5, "it did see the older state"
    assert len(pipeline.rows(PROFILES)) == 5
    assert pipeline.rows(PENDING_LOOKUPS) == []
    assert temporary_files(pipeline.root) == []
    with pipeline.ledger.read() as connection:
        assert partitions_with_news(connection) == []


def test_news_that_come_while_publishing_are_published_next_time(pipeline: Pipeline) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    folder = MeddledFolder(str(pipeline.root / "output"), pipeline.settle)
    assert publish(pipeline.ledger, folder, DAY, clock=pipeline.clock).replaced
    assert len(pipeline.rows(PENDING_LOOKUPS)) == 5
    with pipeline.ledger.read() as connection:
        assert [each.lookup_date for each in partitions_with_news(connection)] == [DAY]
    pipeline.publish()
    assert len(pipeline.rows(PROFILES)) == 5


def test_every_partition_with_a_shared_lookup_gets_its_news(pipeline: Pipeline) -> None:
    pipeline.register(people(3), DAY)
    pipeline.register(people(1), NEXT_DAY)
    pipeline.submit(DAY)
    pipeline.publish(DAY)
    pipeline.publish(NEXT_DAY)
    with pipeline.ledger.read() as connection:
        assert partitions_with_news(connection) == []
    pipeline.settle()
    with pipeline.ledger.read() as connection:
        news = partitions_with_news(connection)
    assert [each.lookup_date for each in news] == [DAY, NEXT_DAY]


def test_publishing_sends_nothing(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    pipeline.register(people(3))
    pipeline.publish()
    assert sandbox.requests().total == 0
    assert pipeline.rows(FAILED_LOOKUPS) == []
    assert len(pipeline.rows(PENDING_LOOKUPS)) == 3


def test_credits_that_a_publication_does_not_tell_of_are_told_by_the_next(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    pipeline.register(people(3))
    pipeline.submit()
    quiet = publish(
        pipeline.ledger, pipeline.output, DAY, clock=pipeline.clock, reports_credits=False
    )
    assert (quiet.replaced, quiet.new_credits) == (True, 0)
    assert [pipeline.publish().new_credits for _ in range(2)] == [3, 0]
