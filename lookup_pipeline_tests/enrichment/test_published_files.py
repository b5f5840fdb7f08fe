"""Published files that are deleted, damaged or replaced are noticed and published again."""

import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from upath import UPath

from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, PROFILES, Dataset
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.enrichment.published_files import PARTITIONS_A_LOOK, check_files
from lookup_pipeline.ledger.publications import claim_publication, partitions_with_news
from lookup_pipeline.ledger.tables import partitions
from lookup_pipeline_tests.enrichment.pipeline import DAY, NEXT_DAY, Pipeline, people


def check(pipeline: Pipeline) -> list[str]:
    return check_files(pipeline.ledger, pipeline.output, clock=pipeline.clock)


def dates_with_news(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as connection:
        return [each.lookup_date for each in partitions_with_news(connection)]


def file_of(pipeline: Pipeline, dataset: Dataset, day: str = DAY) -> Path:
    return Path(str(pipeline.output.path(dataset, day)))


@pytest.fixture
def published(pipeline: Pipeline) -> Pipeline:
    """Two days, of which nothing is known that is not published."""
    for day in (DAY, NEXT_DAY):
        pipeline.register(people(3), day)
        pipeline.publish(day)
    assert dates_with_news(pipeline) == []
    return pipeline


def heals(pipeline: Pipeline) -> None:
    """The day is noticed, once, and published as it was."""
    (told,) = check(pipeline)
    assert told == (
        f"The published files of {DAY} are gone, damaged or older than what was published: they "
        "are published again."
    )
    assert dates_with_news(pipeline) == [DAY]
    pipeline.publish()
    assert len(pipeline.published_rows()) == 3
    assert check(pipeline) == []
    assert dates_with_news(pipeline) == []


def test_files_as_they_were_published_are_no_news(published: Pipeline) -> None:
    for _ in range(3):
        assert check(published) == []
    assert dates_with_news(published) == []


@pytest.mark.parametrize("dataset", PUBLISHED, ids=lambda dataset: dataset.name)
def test_a_deleted_file_is_published_again(published: Pipeline, dataset: Dataset) -> None:
    file_of(published, dataset).unlink()
    heals(published)


def test_deleted_folders_are_published_again(published: Pipeline) -> None:
    for dataset in PUBLISHED:
        shutil.rmtree(file_of(published, dataset).parent)
    heals(published)


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no end"])
def test_a_damaged_file_is_published_again(published: Pipeline, damage: bytes) -> None:
    file_of(published, PROFILES).write_bytes(damage)
    heals(published)


def test_a_file_of_an_older_publication_is_published_again(published: Pipeline) -> None:
    path, aside = file_of(published, PROFILES), published.root / "older"
    shutil.copy(path, aside)
    published.register(people(2))
    published.register(people(3))
    published.publish()
    assert check(published) == []
    shutil.copy(aside, path)
    heals(published)


def test_a_file_that_does_not_tell_its_version_counts_as_in_place(published: Pipeline) -> None:
    """An older version of the program wrote it."""
    with published.output.writer(PROFILES, DAY) as writer:
        writer.finish()
        writer.replace()
    assert check(published) == []


@pytest.mark.parametrize("needed", [NAMES, LOOKUPS], ids=lambda dataset: dataset.name)
def test_what_a_publication_would_need_and_is_gone_too_is_told_with_the_cure(
    published: Pipeline, needed: Dataset
) -> None:
    for dataset in (PROFILES, needed):
        file_of(published, dataset).unlink()
    (told,) = check(published)
    assert f"The published files of {DAY} are gone or damaged, and so is `{needed.name}`" in told
    assert f"`lookup-pipeline run --date {DAY}`" in told
    assert dates_with_news(published) == [], "each publication would be refused"


def test_an_output_folder_that_is_not_there_is_not_filled_again(published: Pipeline) -> None:
    """It may not be mounted."""
    shutil.rmtree(published.root / "output")
    assert len(check(published)) == 2
    assert dates_with_news(published) == []
    assert not (published.root / "output").exists()


def test_a_partition_with_news_is_published_anyway(published: Pipeline) -> None:
    published.register(people(4))
    file_of(published, PROFILES).unlink()
    assert check(published) == []
    assert dates_with_news(published) == [DAY]


def test_files_that_are_being_moved_are_left_alone(published: Pipeline) -> None:
    file_of(published, PROFILES).unlink()
    with published.ledger.write() as connection:
        assert claim_publication(connection, DAY, 1_000, published.clock())
    check(published)
    assert dates_with_news(published) == []


@pytest.fixture
def many(pipeline: Pipeline) -> list[str]:
    """Three looks' worth of published days."""
    days = [f"2026-02-{day:02}" for day in range(1, 3 * PARTITIONS_A_LOOK + 1)]
    for day in days:
        pipeline.register([], day)
        pipeline.publish(day)
    return days


def looked_at(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days of which files are looked at, from now on."""
    found: list[str] = []
    facts = DatasetFolder.facts

    def watched(folder: DatasetFolder, dataset: Dataset, lookup_date: str) -> dict[str, str]:
        found.append(lookup_date)
        return facts(folder, dataset, lookup_date)

    monkeypatch.setattr(DatasetFolder, "facts", watched)
    return found


def test_a_look_costs_the_same_however_many_partitions_there_are_and_all_have_their_turn(
    pipeline: Pipeline, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = looked_at(pipeline, monkeypatch)
    for day in (many[0], many[-1]):
        file_of(pipeline, PROFILES, day).unlink()
    seen: list[str] = []
    for _ in range(3):
        pipeline.clock.advance(seconds=15)
        check(pipeline)
        assert len(set(found)) == PARTITIONS_A_LOOK
        seen += sorted(set(found))
        found.clear()
    assert seen == many
    assert dates_with_news(pipeline) == [many[0], many[-1]]


def test_a_clock_that_was_wrong_keeps_no_partition_from_its_turn(
    pipeline: Pipeline, many: list[str]
) -> None:
    with pipeline.ledger.write() as connection:
        connection.execute(
            update(partitions)
            .where(partitions.c.lookup_date == many[-1])
            .values(files_checked_at=pipeline.clock() + timedelta(days=365))
        )
    file_of(pipeline, PROFILES, many[-1]).unlink()
    for _ in range(3):
        pipeline.clock.advance(seconds=15)
        check(pipeline)
    assert dates_with_news(pipeline) == [many[-1]]


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that does not answer until the event is set."""
    over, whole = threading.Event(), DatasetFolder.facts

    def stalled(folder: DatasetFolder, dataset: Dataset, lookup_date: str) -> dict[str, str]:
        assert over.wait(30)
        return whole(folder, dataset, lookup_date)

    monkeypatch.setattr(DatasetFolder, "facts", stalled)
    yield over
    over.set()


def test_a_stalled_disk_holds_up_nobody_and_is_looked_at_again_when_it_answers(
    published: Pipeline, stall: threading.Event
) -> None:
    file_of(published, PROFILES).unlink()
    (told,) = check_files(published.ledger, published.output, clock=published.clock, seconds=0.05)
    assert "did not answer within 0.05 seconds" in told
    (told,) = check(published)
    assert "has stalled" in told, "no second look beside the first"
    with published.ledger.write():
        pass
    stall.set()
    for _ in range(100):
        if dates_with_news(published):
            break
        check(published)
        threading.Event().wait(0.05)
    assert dates_with_news(published) == [DAY]


def test_a_store_that_fails_is_told_and_the_others_are_looked_at(
    published: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DatasetFolder.facts

    def fail(folder: DatasetFolder, dataset: Dataset, lookup_date: str) -> dict[str, str]:
        if lookup_date == DAY:
            raise PermissionError("ann@example.com")
        return whole(folder, dataset, lookup_date)

    monkeypatch.setattr(DatasetFolder, "facts", fail)
    file_of(published, PROFILES, NEXT_DAY).unlink()
    first, second = check(published)
    assert f"The published files of {DAY} can't be checked" in first
    assert "PermissionError" in first
    assert "@" not in first
    assert f"The published files of {NEXT_DAY} are gone" in second
    assert dates_with_news(published) == [NEXT_DAY]


@pytest.mark.usefixtures("store")
def test_an_object_that_was_deleted_is_published_again(pipeline: Pipeline) -> None:
    pipeline.output = DatasetFolder("s3://people/output")
    pipeline.register(people(3))
    pipeline.publish()
    assert check(pipeline) == []
    key = pipeline.output.path(PROFILES, DAY)
    # By somebody else: what this process has listed before still holds it.
    list(key.parent.iterdir())
    other = UPath(str(key), skip_instance_cache=True)
    other.unlink()
    (told,) = check(pipeline)
    assert "are published again" in told
    pipeline.publish()
    assert check(pipeline) == []
    assert dates_with_news(pipeline) == []
