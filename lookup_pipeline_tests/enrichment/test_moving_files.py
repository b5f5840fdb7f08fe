"""Moving published files: nobody waits for it, and a publisher that stalled leaves nothing old."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import MethodType
from uuid import uuid4

import pytest
from upath import UPath

from lookup_pipeline.datasets.columns import PENDING_LOOKUPS, PROFILES, Dataset
from lookup_pipeline.datasets.storage import DatasetFolder, PartitionWriter, StorageError
from lookup_pipeline.enrichment.poll import expire
from lookup_pipeline.enrichment.publish import PUBLISHED, Publication, publish
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.publications import (
    PUBLICATION_LEASE,
    claim_publication,
    partitions_with_news,
)
from lookup_pipeline_tests.enrichment.pipeline import DAY, Pipeline, people

# Seconds: what another writer may wait at most, and when a test gives up.
BOUND, PATIENCE = 1, 20


class HookedFolder(DatasetFolder):
    """Does something before each file is moved into place, and after the last; told how many are.

    What it raises is raised by the move.
    """

    def __init__(self, url: str, before: Callable[[int], None]) -> None:
        super().__init__(url)
        self._before, self._moved = before, 0

    def writer(self, dataset: Dataset, lookup_date: str) -> PartitionWriter:
        writer = super().writer(dataset, lookup_date)
        replace = writer.replace

        def hooked(_self: PartitionWriter) -> None:
            self._before(self._moved)
            replace()
            self._moved += 1
            if self._moved == len(PUBLISHED):
                self._before(self._moved)

        writer.replace = MethodType(hooked, writer)  # type: ignore[method-assign]
        return writer


@pytest.fixture
def in_flight(pipeline: Pipeline) -> Pipeline:
    """Five people, submitted and published as pending."""
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.publish()
    return pipeline


def note_news(pipeline: Pipeline) -> None:
    """Another row: whatever is published next is newer."""
    pipeline.register(people(6))


def dates_with_news(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as connection:
        return [each.lookup_date for each in partitions_with_news(connection)]


def publish_with(pipeline: Pipeline, before: Callable[[int], None]) -> Publication:
    folder = HookedFolder(str(pipeline.root / "output"), before)
    return publish(pipeline.ledger, folder, DAY, clock=pipeline.clock)


PLACES = range(len(PUBLISHED) + 1)


def at(place: int, action: Callable[[], object]) -> Callable[[int], None]:
    def before(moved: int) -> None:
        if moved == place:
            action()

    return before


# A publisher that stalls -------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_one_that_stalled_and_wakes_after_a_newer_one_has_the_partition_published_again(
    in_flight: Pipeline, place: int
) -> None:
    note_news(in_flight)

    def settle_and_publish() -> None:
        in_flight.submit()
        in_flight.settle()
        assert in_flight.publish().replaced
        assert dates_with_news(in_flight) == []

    stalled = publish_with(in_flight, at(place, settle_and_publish))
    assert stalled.states[State.IN_FLIGHT] == 5, "it wrote the older state"
    assert not stalled.replaced
    assert dates_with_news(in_flight) == [DAY]
    assert in_flight.publish().replaced
    assert len(in_flight.rows(PROFILES)) == 6
    assert in_flight.rows(PENDING_LOOKUPS) == []
    assert dates_with_news(in_flight) == []


def test_one_that_stalled_before_it_claimed_moves_nothing(in_flight: Pipeline) -> None:
    note_news(in_flight)
    in_flight.publish()
    before = in_flight.files()
    moves: list[int] = []
    with in_flight.ledger.write() as connection:
        # As if another had begun to move what is newer.
        assert claim_publication(connection, DAY, 1_000, in_flight.clock()) is not None
    assert not publish_with(in_flight, moves.append).replaced
    assert moves == []
    assert in_flight.files() == before


@pytest.mark.parametrize("place", PLACES[:-1])
def test_old_files_put_back_over_newer_ones_are_news(in_flight: Pipeline, place: int) -> None:
    note_news(in_flight)

    def publish_newer_and_fail() -> None:
        in_flight.submit()
        in_flight.settle()
        in_flight.publish()
        raise StorageError("no room")

    with pytest.raises(StorageError):
        publish_with(in_flight, at(place, publish_newer_and_fail))
    assert dates_with_news(in_flight) == [DAY]
    assert in_flight.publish().replaced
    assert len(in_flight.rows(PROFILES)) == 6


class Killed(BaseException):
    """Ends a publication as a kill does: nothing of it runs any more."""


@pytest.mark.parametrize("place", PLACES)
def test_one_that_stalled_and_died_after_a_newer_one_is_healed_after_its_lease(
    in_flight: Pipeline, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_news(in_flight)

    def publish_newer() -> None:
        in_flight.submit()
        in_flight.settle()
        in_flight.publish()

    def killed(*_arguments: object) -> bool:
        raise Killed

    def before(moved: int) -> None:
        if moved == place:
            publish_newer()
        if moved == len(PUBLISHED):
            monkeypatch.setattr("lookup_pipeline.enrichment.publish.release_publication", killed)

    with pytest.raises(Killed):
        publish_with(in_flight, before)
    monkeypatch.undo()
    expire(in_flight.ledger, clock=in_flight.clock)
    assert dates_with_news(in_flight) == []
    in_flight.clock.advance(seconds=PUBLICATION_LEASE / timedelta(seconds=1) + 1)
    expire(in_flight.ledger, clock=in_flight.clock)
    assert dates_with_news(in_flight) == [DAY]
    assert in_flight.publish().replaced
    assert len(in_flight.rows(PROFILES)) == 6


# Others, meanwhile -------------------------------------------------------------------------------


class Stall:
    """Blocks whoever calls it until it is over."""

    def __init__(self) -> None:
        self.begun, self._over = threading.Event(), threading.Event()

    def __call__(self, *_arguments: object) -> None:
        self.begun.set()
        assert self._over.wait(PATIENCE)

    def end(self) -> None:
        self._over.set()


@contextmanager
def nobody_waits(pipeline: Pipeline, stall: Stall, work: Callable[[], object]) -> Iterator[None]:
    """While `work` stalls, another writer gets the ledger at once, and again."""
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert stall.begun.wait(PATIENCE), "what the test waits for never happened"
        for _ in range(3):
            begun = time.monotonic()
            with pipeline.ledger.write():
                assert time.monotonic() - begun < BOUND
        yield
    finally:
        stall.end()
        worker.join(PATIENCE)


@pytest.mark.parametrize("place", PLACES)
def test_nobody_waits_while_a_stalled_disk_moves_a_file(in_flight: Pipeline, place: int) -> None:
    note_news(in_flight)
    stall = Stall()
    with nobody_waits(in_flight, stall, lambda: publish_with(in_flight, at(place, stall))):
        assert dates_with_news(in_flight) == [DAY], "it is not published yet"
    assert dates_with_news(in_flight) == []


def test_nobody_waits_for_copies_on_a_file_system_without_hard_links(
    in_flight: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    copy, stall = shutil.copy2, Stall()

    def copy_slowly(source: Path, target: Path) -> None:
        stall()
        copy(source, target)

    note_news(in_flight)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(shutil, "copy2", copy_slowly)
    with nobody_waits(in_flight, stall, in_flight.publish):
        pass
    assert dates_with_news(in_flight) == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_nobody_waits_while_an_object_store_copies(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A store knows no rename: each of the three objects is copied."""
    pipeline.output = DatasetFolder(f"memory:///{uuid4().hex}")
    pipeline.register(people(5))
    store = type(UPath("memory:///").fs)
    move, stall, moves = store.mv, Stall(), list[str]()

    def move_slowly(of_thread: object, source: str, target: str) -> None:
        moves.append(target)
        if len(moves) == number:
            stall()
        move(of_thread, source, target)

    monkeypatch.setattr(store, "mv", move_slowly)
    with nobody_waits(pipeline, stall, pipeline.publish):
        assert len(moves) == number
    assert dates_with_news(pipeline) == []
    assert pipeline.output.rows(PENDING_LOOKUPS, DAY) == 5
