"""What reconcile takes up from the files, and which files it leaves alone."""

import shutil
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sqlalchemy import select

from lookup_pipeline.command_line import ledger as command
from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.published_files import check_files
from lookup_pipeline.enrichment.reconcile import fetch_profiles
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import FailureKind, State
from lookup_pipeline.ledger.lineage import require_reconcile
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.rocketreach.models import StatusAnswer
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    Pipeline,
    people,
    sent,
)
from lookup_pipeline_tests.enrichment.test_lineage import (
    copy_of_ledger,
    restored,
)
from lookup_pipeline_tests.enrichment.test_reconcile import lost, take_up
from lookup_pipeline_tests.enrichment.test_unconfirmed import register_ids


def in_flight_and_then_complete(pipeline: Pipeline, sandbox: RunningSandbox) -> Path:
    """A copy in which all are in flight, beside files that show them complete."""
    sandbox.change(complete_after_polls=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    pipeline.clock.advance(minutes=5)
    pipeline.poll()
    assert pipeline.states() == {State.COMPLETE: 3}
    pipeline.publish()
    assert len(pipeline.rows(PROFILES)) == 3
    return copy


def test_the_look_at_the_files_does_not_make_an_older_ledger_new_enough(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """What two ticks of the daemon do with a rolled-back ledger."""
    copy = in_flight_and_then_complete(pipeline, sandbox)
    with restored(pipeline, sandbox, copy) as old:
        check_files(old.ledger, old.output, clock=old.clock)
        with suppress(OutdatedLedgerError):
            old.publish()
        assert len(old.rows(PROFILES)) == 3, "no published file is replaced by an older state"


def test_news_of_its_own_does_not_make_an_older_ledger_new_enough(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """A run of the partition with one row more, from a rolled-back ledger."""
    copy = in_flight_and_then_complete(pipeline, sandbox)
    with restored(pipeline, sandbox, copy) as old:
        try:
            old.register(people(4))
            old.submit()
            old.publish()
        except OutdatedLedgerError:
            pass
        shown = {row["requested_name"] for row in old.rows(PROFILES)}
        assert {name for name, _ in people(3)} <= shown


def test_an_older_ledger_does_not_replace_what_lies_beside_deleted_profiles(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(failed=1, complete_after_polls=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    for _ in range(3):
        pipeline.clock.advance(minutes=5)
        pipeline.poll()
    pipeline.publish()
    assert len(pipeline.rows(FAILED_LOOKUPS)) == 3
    with pipeline.ledger.write() as connection:
        # More news than one, so that versions alone tell.
        assert requeue(connection, DAY, [FailureKind.FAILED], pipeline.clock()) == 3
    pipeline.publish()
    before = pipeline.files()
    with restored(pipeline, sandbox, copy) as old:
        old.output.path(PROFILES, DAY).unlink()
        with pytest.raises(OutdatedLedgerError):
            old.publish()
        assert {k: v for k, v in before.items() if "/profiles/" not in k} == old.files()


def test_a_lost_ledger_is_rebuilt_from_profiles_whose_lookups_file_is_gone(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    assert pipeline.rows(PROFILES)
    pipeline.output.path(LOOKUPS, DAY).unlink()
    with lost(pipeline, sandbox) as new:
        with pytest.raises(OutdatedLedgerError):
            new.register(people(5))
        take_up(new)
        new.register(people(5))
        new.submit()
    assert set(sent(sandbox).values()) == {1}


def test_who_left_the_file_and_is_still_published_is_taken_up(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """`lookups` has been materialized without them; the profiles still show them."""
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    pipeline.register(people(2))
    with lost(pipeline, sandbox) as new:
        take_up(new)
        new.register(people(5))
        new.submit()
    assert set(sent(sandbox).values()) == {1}


def test_what_was_published_unconfirmed_and_is_known_by_id_is_asked_about(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=2, drop_connection_after=1)
    register_ids(pipeline)
    pipeline.submit()
    pipeline.publish()
    sandbox.change(drop_connection_after=0)
    with lost(pipeline, sandbox) as new:
        take_up(new)
        assert new.states() == {State.UNCONFIRMED: 3}
        new.clock.advance(seconds=10)
        new.poll()
        assert new.states() == {State.IN_FLIGHT: 3}


def test_who_timed_out_after_the_copy_is_still_asked_about(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=4)
    pipeline.register(people(3))
    pipeline.submit()
    copy = copy_of_ledger(pipeline)
    pipeline.clock.advance(hours=25)
    pipeline.poll()
    pipeline.poll()
    assert pipeline.states() == {State.FAILED: 3}
    pipeline.publish()
    with restored(pipeline, sandbox, copy) as old:
        old.clock = pipeline.clock
        take_up(old)
        for _ in range(6):
            old.clock.advance(hours=2)
            old.poll()
        assert old.states() == {State.COMPLETE: 3}, "the late answer wins"


def test_what_was_registered_after_a_copy_stays_queued_where_no_claim_came_later(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    copy = copy_of_ledger(pipeline)
    pipeline.register(people(3, "Hopper"), NEXT_DAY)
    with restored(pipeline, sandbox, copy) as old:
        with old.ledger.write() as connection:
            require_reconcile(connection, "it is a backup")
        assert take_up(old).doubtful == 0
        old.submit(NEXT_DAY)
    assert len(sent(sandbox)) == 5


@pytest.mark.parametrize("then", ["state", "sent"])
def test_a_failure_before_a_resubmission_does_not_hide_that_it_may_have_been_sent(
    pipeline: Pipeline, sandbox: RunningSandbox, then: str
) -> None:
    sandbox.change(not_found=1)
    for day in (DAY, NEXT_DAY):
        pipeline.register(people(3), day)
    pipeline.submit()
    for day in (DAY, NEXT_DAY):
        pipeline.publish(day)
    pipeline.clock.advance(minutes=1)
    sandbox.change(seed=5, not_found=0, complete_after_polls=0)
    with pipeline.ledger.write() as connection:
        assert requeue(connection, DAY, [FailureKind.NOT_FOUND], pipeline.clock()) == 3
    pipeline.publish()
    assert {row["state"] for row in pipeline.rows(PENDING_LOOKUPS)} == {"queued"}
    pipeline.submit()
    with lost(pipeline, sandbox) as new:
        new.clock = pipeline.clock
        found = take_up(new)
        if then == "state":
            assert new.states() == {State.UNCONFIRMED: 3}
            assert found.doubtful == 3
            return
        new.clock.advance(days=8)
        later = "2026-01-07"
        new.write_csv(people(3), later)
        new.read_names(later)
        register(new.ledger, new.output, later, Refresh(new.clock(), None, timedelta(days=7)))
        new.submit(later)
    assert len(sandbox.charges()) == 3, "each was charged once: after the resubmission"
    assert set(sent(sandbox).values()) == {2}


def test_a_file_of_an_older_version_takes_no_id_away_that_the_ledger_knows(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger was upgraded with lookups in flight; then a backup of it is put back."""

    monkeypatch.setattr(
        "lookup_pipeline.datasets.storage.PartitionWriter.note", lambda _writer, _facts: None
    )
    sandbox.change(complete_after_polls=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    path = str(pipeline.output.path(PENDING_LOOKUPS, DAY))
    pq.write_table(pipeline.table(PENDING_LOOKUPS).drop_columns(["profile_id"]), path)
    with pipeline.ledger.write() as connection:
        require_reconcile(connection, "it is a backup")
    take_up(pipeline)
    for _ in range(5):
        pipeline.clock.advance(minutes=5)
        pipeline.poll()
    assert pipeline.states() == {State.COMPLETE: 3}


def test_a_failure_that_was_published_as_queued_again_comes_into_doubt(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """One partition, one backup: resubmitted, published, sent; then the ledger is restored."""
    sandbox.change(not_found=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    pipeline.clock.advance(minutes=1)
    sandbox.change(seed=5, not_found=0, complete_after_polls=0)
    with pipeline.ledger.write() as connection:
        assert requeue(connection, DAY, [FailureKind.NOT_FOUND], pipeline.clock()) == 3
    pipeline.publish()
    assert {row["state"] for row in pipeline.rows(PENDING_LOOKUPS)} == {"queued"}
    pipeline.submit()
    assert len(sandbox.charges()) == 3
    with restored(pipeline, sandbox, copy) as old:
        old.clock = pipeline.clock
        found = take_up(old)
        assert old.states() == {State.UNCONFIRMED: 3}
        assert found.doubtful == 3


def test_new_lookup_ids_start_above_those_that_only_profiles_show(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:

    sandbox.change(complete_after_polls=0)
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.publish()
    pipeline.register(people(2))
    published = {row["lookup_id"] for row in pipeline.rows(PROFILES)}
    with lost(pipeline, sandbox) as new:
        take_up(new)
        new.register(people(5, "Hopper"), NEXT_DAY)
        with new.ledger.read() as connection:
            made = set(
                connection.scalars(
                    select(lookups.c.lookup_id).where(lookups.c.first_date == NEXT_DAY)
                )
            )
        assert min(made) > max(published)


def test_a_lost_ledger_is_noticed_by_profiles_alone(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """As an older version left them: without counters; and `lookups` was thought of no use."""
    sandbox.change(complete_after_polls=0)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output" / ".submissions")
    pipeline.output.path(LOOKUPS, DAY).unlink()
    with lost(pipeline, sandbox) as new:
        try:
            new.register(people(3))
            new.submit()
        except OutdatedLedgerError:
            pass
    assert set(sent(sandbox).values()) == {1}


def test_one_charge_is_counted_once_whatever_clock_recorded_it(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1)
    pipeline.register(people(3))
    pipeline.submit()
    copy = copy_of_ledger(pipeline)
    # This host's clock is an hour ahead; the restored one is polled on another host.
    pipeline.clock.advance(hours=1)
    pipeline.poll()
    pipeline.publish()
    with restored(pipeline, sandbox, copy) as old:
        old.clock.advance(minutes=5)
        old.poll()
        assert old.states() == {State.COMPLETE: 3}
        with old.ledger.write() as connection:
            require_reconcile(connection, "it was restored")
        take_up(old)
        assert old.counts().credits == len(sandbox.charges())


def test_counters_go_on_above_those_that_published_files_name(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """The counters' folder was moved away, as the message about a garbled one says to do."""
    pipeline.register(people(10))
    pipeline.submit(max_new=4)
    pipeline.settle()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output" / ".submissions")
    with lost(pipeline, sandbox) as new:
        new.clock = pipeline.clock
        assert take_up(new).doubtful == 6
        new.clock.advance(minutes=1)
        with new.ledger.write() as connection:
            assert requeue(connection, DAY, [FailureKind.UNCONFIRMED], new.clock()) == 6
        new.submit()
        assert len(sent(sandbox)) == 10
        # It is lost as well before anything of it was published.
        with lost(new, sandbox) as newest:
            newest.clock = pipeline.clock
            take_up(newest)
            newest.submit()
    assert set(sent(sandbox).values()) == {1}


def test_profiles_fetched_after_a_publication_are_news(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """The daemon publishes between the reconcile and the end of its fetching."""

    class Provider:
        def check_status(self, ids: list[int]) -> list[StatusAnswer]:
            return [
                StatusAnswer(
                    each,
                    "complete",
                    True,
                    msgspec.json.encode({"id": each, "status": "complete", "name": "New Name"}),
                )
                for each in ids
            ]

    sandbox.change(complete_after_polls=0)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    with lost(pipeline, sandbox) as new:
        found = take_up(new)
        new.publish()
        provider: Any = Provider()
        assert fetch_profiles(new.ledger, provider, found.profiles, 0, clock=new.clock) == 3
        with new.ledger.read() as connection:
            news = partitions_with_news(connection)
        for each in news:
            new.publish(each.lookup_date)
        assert {row["name"] for row in new.rows(PROFILES)} == {"New Name"}


def test_what_comes_into_doubt_and_is_known_by_id_is_asked_about(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=2)
    register_ids(pipeline)
    copy = copy_of_ledger(pipeline)
    pipeline.submit()
    with restored(pipeline, sandbox, copy) as old:
        take_up(old)
        assert old.states() == {State.UNCONFIRMED: 3}
        old.clock.advance(seconds=10)
        old.poll()
        assert old.states() == {State.IN_FLIGHT: 3}, "adopted, as after a kill"


def test_the_command_sees_that_files_show_more_than_a_rolled_back_ledger(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = in_flight_and_then_complete(pipeline, sandbox)
    with restored(pipeline, sandbox, copy) as old:
        monkeypatch.setenv("LOOKUP_PIPELINE_LEDGER_URL", f"sqlite:///{old.root / 'ledger.db'}")
        monkeypatch.setenv("LOOKUP_PIPELINE_OUTPUT_URL", str(old.root / "output"))
        monkeypatch.setenv("ROCKETREACH_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ROCKETREACH_BASE_URL", sandbox.base_url)
        out = StringIO()
        command.reconcile(Console(file=out, width=200), confirmed=True)
        assert "nothing to reconcile" not in out.getvalue()
        assert old.states() == {State.COMPLETE: 3}


def test_a_damaged_lookups_file_is_told_plainly_and_changes_nothing(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.publish()
    Path(str(pipeline.output.path(LOOKUPS, DAY))).write_bytes(b"PAR1 half of a file")
    with lost(pipeline, sandbox) as new:
        with pytest.raises(StorageError, match="is damaged"):
            take_up(new)
        assert new.counts_of_all() == {}
