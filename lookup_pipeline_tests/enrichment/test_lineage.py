"""A ledger that is older than the world sends nothing and replaces nothing."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete

from lookup_pipeline.datasets.columns import LOOKUPS, PROFILES
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.datasets.submission_counters import SubmissionCounter, SubmissionCounters
from lookup_pipeline.enrichment.lineage import (
    CLAIMS_PER_COUNTER,
    CounterKeeper,
    OutdatedLedgerError,
    check_lineage,
)
from lookup_pipeline.ledger import State, open_ledger
from lookup_pipeline.ledger.lineage import read_lineage, require_reconcile
from lookup_pipeline.ledger.tables import submission_counters
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    Pipeline,
    once,
    opened_pipeline,
    people,
    sent,
)


def copy_of_ledger(pipeline: Pipeline) -> Path:
    """A copy of the ledger as it stands now, as a file system's snapshot has it."""
    copy = pipeline.root / "copy.db"
    with (
        closing(sqlite3.connect(pipeline.root / "ledger.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


@contextmanager
def restored(pipeline: Pipeline, sandbox: RunningSandbox, copy: Path) -> Iterator[Pipeline]:
    """The pipeline on a copy of its ledger, put back in its place."""
    pipeline.ledger.close()
    for path in pipeline.root.glob("ledger.db*"):
        path.unlink()
    shutil.copyfile(copy, pipeline.root / "ledger.db")
    with opened_pipeline(pipeline.root, sandbox.base_url, sandbox.api_key) as opened:
        yield opened


def objects(pipeline: Pipeline) -> list[SubmissionCounter]:
    return SubmissionCounters(pipeline.output).read()


def test_a_copy_from_before_the_submission_sends_nobody_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    copy = copy_of_ledger(pipeline)
    pipeline.submit()
    with restored(pipeline, sandbox, copy) as old:
        with pytest.raises(OutdatedLedgerError, match="ledger reconcile"):
            old.submit()
        assert old.states() == {State.QUEUED: 5}
    assert set(sent(sandbox).values()) == {1}


def test_a_copy_from_the_middle_of_a_run_sends_nobody_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2 * CLAIMS_PER_COUNTER))
    copies: list[Path] = []
    with once(lambda: len(sent(sandbox)) > 10, lambda: copies.append(copy_of_ledger(pipeline))):
        pipeline.submit()
    with (
        restored(pipeline, sandbox, copies[0]) as old,
        pytest.raises(OutdatedLedgerError, match="submitted that it does not know"),
    ):
        old.submit()
    assert set(sent(sandbox).values()) == {1}


def test_a_new_ledger_beside_old_datasets_sends_nothing(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output" / ".submissions")
    pipeline.ledger.close()
    (pipeline.root / "ledger.db").unlink()
    with opened_pipeline(pipeline.root, sandbox.base_url, sandbox.api_key) as new:
        with pytest.raises(OutdatedLedgerError, match="is empty, but"):
            new.submit()
        with pytest.raises(OutdatedLedgerError, match="is empty, but"):
            new.publish()


def test_empty_partitions_are_no_sign_of_a_lost_ledger(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register([])
    pipeline.publish()
    pipeline.ledger.close()
    (pipeline.root / "ledger.db").unlink()
    with opened_pipeline(pipeline.root, sandbox.base_url, sandbox.api_key) as new:
        check_lineage(new.ledger, new.output)


def test_of_two_ledgers_that_submit_into_one_folder_the_second_is_refused(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    twin_root = pipeline.root / "twin"
    twin_root.mkdir()
    shutil.copyfile(copy_of_ledger(pipeline), twin_root / "ledger.db")
    with opened_pipeline(twin_root, sandbox.base_url, sandbox.api_key) as twin:
        twin.output = pipeline.output
        twin.register(people(3, "Hopper"), NEXT_DAY)
        twin.submit(NEXT_DAY)
    for refused in (lambda: pipeline.register(people(3, "Curie")), pipeline.submit):
        with pytest.raises(OutdatedLedgerError, match="the ledger of another output folder"):
            refused()


def test_a_ledger_marked_for_reconcile_neither_sends_nor_publishes(pipeline: Pipeline) -> None:
    pipeline.register(people(1))
    with pipeline.ledger.write() as connection:
        require_reconcile(connection, "it is a backup")
    for step in (pipeline.submit, pipeline.publish):
        with pytest.raises(OutdatedLedgerError, match="it is a backup"):
            step()


def test_a_file_that_shows_a_newer_version_is_not_replaced(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    pipeline.settle()
    pipeline.publish()
    before = pipeline.files()
    with restored(pipeline, sandbox, copy) as old:
        with pytest.raises(OutdatedLedgerError, match=f"files of {DAY}.* show version"):
            old.publish()
        # Polls may raise its version to that of the file: by then it is refused for good.
        old.settle()
        with pytest.raises(OutdatedLedgerError):
            old.publish()
        assert old.files() == before


def test_a_file_of_an_unknown_incarnation_is_not_replaced(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(1))
    pipeline.publish()
    facts = pipeline.output.facts(PROFILES, DAY)
    with pipeline.ledger.read() as connection:
        assert facts["incarnation"] == read_lineage(connection).incarnation
    other_root = pipeline.root / "other"
    other_root.mkdir()
    with opened_pipeline(other_root, sandbox.base_url, sandbox.api_key) as other:
        other.register(people(1))
        other.output = pipeline.output
        with pytest.raises(OutdatedLedgerError, match="another ledger"):
            other.publish()


def test_a_folder_that_was_lost_is_filled_again(pipeline: Pipeline) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output")
    pipeline.register(people(3))
    assert pipeline.publish().reconciliation.rows["profiles"] > 0


def test_a_ledger_from_before_the_counters_is_taken_as_it_is(pipeline: Pipeline) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output" / ".submissions")
    with pipeline.ledger.write() as connection:
        connection.execute(delete(submission_counters))
    pipeline.register(people(4))
    assert pipeline.submit().accepted == 2
    assert len(objects(pipeline)) == 1


def test_nothing_is_sent_where_the_counter_cannot_be_shown(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    (pipeline.root / "output" / ".submissions").write_text("a file, no folder")
    with pytest.raises(StorageError, match="nothing is sent without it"):
        pipeline.submit()
    assert not sent(sandbox)
    assert pipeline.states() == {State.QUEUED: 3}


def test_a_garbled_counter_is_told_and_stops_the_submission(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(1))
    folder = pipeline.root / "output" / ".submissions"
    folder.mkdir()
    (folder / "x.json").write_text("<html>")
    with pytest.raises(StorageError, match=r"x\.json is not a submission counter"):
        pipeline.submit()
    assert not sent(sandbox)


def test_a_submission_ends_with_one_closed_counter(pipeline: Pipeline) -> None:
    for day in (DAY, NEXT_DAY):
        pipeline.register(people(3, family=f"Of {day}"), day)
        pipeline.submit(day)
    (left,) = objects(pipeline)
    assert not left.is_open
    with pipeline.ledger.read() as connection:
        assert read_lineage(connection).counter == left.counter


def test_a_submission_with_nothing_to_send_raises_no_counter(pipeline: Pipeline) -> None:
    pipeline.register([])
    pipeline.submit()
    assert objects(pipeline) == []


def test_parallel_submissions_do_not_overwrite_each_other(pipeline: Pipeline) -> None:
    with (
        CounterKeeper(pipeline.ledger, pipeline.output, pipeline.clock) as first,
        CounterKeeper(pipeline.ledger, pipeline.output, pipeline.clock) as second,
    ):
        for keeper in (first, second, first):
            wait_for_room(pipeline, keeper)
            keeper.note_claims(CLAIMS_PER_COUNTER)
        assert len(objects(pipeline)) == 2
        assert all(each.is_open for each in objects(pipeline))


def room(pipeline: Pipeline, keeper: CounterKeeper) -> int:
    with keeper.shown_when_committed(), pipeline.ledger.write() as connection:
        return keeper.room(connection)


def wait_for_room(pipeline: Pipeline, keeper: CounterKeeper) -> int:
    until = time.monotonic() + 30
    while not (found := room(pipeline, keeper)):
        assert time.monotonic() < until
        time.sleep(0.005)
    return found


def test_no_claim_is_made_beyond_what_the_counter_covers(pipeline: Pipeline) -> None:
    with CounterKeeper(pipeline.ledger, pipeline.output, pipeline.clock) as keeper:
        assert room(pipeline, keeper) == 0
        assert wait_for_room(pipeline, keeper) == CLAIMS_PER_COUNTER
        (shown,) = objects(pipeline)
        keeper.note_claims(CLAIMS_PER_COUNTER)
        assert room(pipeline, keeper) == 0
        assert wait_for_room(pipeline, keeper) == CLAIMS_PER_COUNTER
        (next_one,) = objects(pipeline)
        assert next_one.counter > shown.counter


def test_a_store_that_stalls_holds_up_claims_but_no_answers(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.register(people(CLAIMS_PER_COUNTER + 20))
    goes_on = threading.Event()
    write = SubmissionCounters.write

    def stalling(self: SubmissionCounters, counter: SubmissionCounter) -> None:
        if counter.counter > 1:
            assert goes_on.wait(60)
        write(self, counter)

    monkeypatch.setattr(SubmissionCounters, "write", stalling)
    settled: list[int] = []

    def look() -> None:
        settled.append(len(sent(sandbox)))
        goes_on.set()

    def all_covered_are_answered() -> bool:
        waiting = {State.QUEUED: 20}
        return pipeline.states().items() >= waiting.items() and (
            State.SUBMITTING not in pipeline.states()
        )

    with once(all_covered_are_answered, look):
        report = pipeline.submit()
    assert settled == [CLAIMS_PER_COUNTER]
    assert report.accepted == CLAIMS_PER_COUNTER + 20


def test_the_counters_are_json_that_a_person_can_read(pipeline: Pipeline) -> None:
    pipeline.register(people(1))
    pipeline.submit()
    (path,) = (pipeline.root / "output" / ".submissions").iterdir()
    found = msgspec.json.decode(path.read_bytes())
    assert found.keys() == {"writer", "counter", "is_open", "written_at"}


def test_readers_of_the_datasets_see_no_counters(pipeline: Pipeline) -> None:
    pipeline.register(people(1))
    pipeline.submit()
    pipeline.publish()
    assert pipeline.output.partitions(LOOKUPS) == [DAY]
    top = {path.name for path in (pipeline.root / "output").iterdir()}
    assert {name for name in top if not name.startswith(".")} == {
        "names",
        "rejected_names",
        "lookups",
        "profiles",
        "failed_lookups",
        "pending_lookups",
    }


def test_a_ledger_opened_twice_is_one_ledger(pipeline: Pipeline) -> None:
    pipeline.register(people(1))
    pipeline.submit()
    again = open_ledger(f"sqlite:///{pipeline.root / 'ledger.db'}")
    try:
        check_lineage(again, pipeline.output)
    finally:
        again.close()


def test_a_counter_whose_transaction_failed_is_never_shown(pipeline: Pipeline) -> None:
    with CounterKeeper(pipeline.ledger, pipeline.output, pipeline.clock) as keeper:

        def fail() -> None:
            with keeper.shown_when_committed(), pipeline.ledger.write() as connection:
                keeper.room(connection)
                raise RuntimeError("the disk is full")

        with pytest.raises(RuntimeError):
            fail()
        with keeper.shown_when_committed(), pipeline.ledger.write():
            pass
        assert objects(pipeline) == []
        assert wait_for_room(pipeline, keeper) == CLAIMS_PER_COUNTER
    check_lineage(pipeline.ledger, pipeline.output)
