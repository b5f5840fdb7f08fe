"""Reconcile takes up what can be proved, by identity, and leaves the rest in doubt."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.datasets.submission_counters import SubmissionCounter, SubmissionCounters
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage
from lookup_pipeline.enrichment.reconcile import Reconciliation, fetch_profiles, reconcile
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import FailureKind, State
from lookup_pipeline.ledger.lineage import read_lineage, require_reconcile
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.ledger.tables import lookups, payloads
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    DEADLINE,
    NEXT_DAY,
    Pipeline,
    Row,
    opened_pipeline,
    people,
    sent,
)
from lookup_pipeline_tests.enrichment.test_lineage import copy_of_ledger, restored


@contextmanager
def lost(pipeline: Pipeline, sandbox: RunningSandbox) -> Iterator[Pipeline]:
    """The pipeline with a new, empty ledger."""
    pipeline.ledger.close()
    for path in pipeline.root.glob("ledger.db*"):
        path.unlink()
    with opened_pipeline(pipeline.root, sandbox.base_url, sandbox.api_key) as opened:
        yield opened


def take_up(pipeline: Pipeline, *, dry_run: bool = False) -> Reconciliation:
    return reconcile(
        pipeline.ledger, pipeline.output, DEADLINE, dry_run=dry_run, clock=pipeline.clock
    )


def shown(pipeline: Pipeline, dataset: Any, day: str = DAY) -> list[Row]:
    """A dataset's rows, but for the ids of their lookups."""
    return [{**row, "lookup_id": None} for row in pipeline.rows(dataset, day)]


def test_a_lost_ledger_is_rebuilt_and_publishes_the_same_rows(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(not_found=0.3)
    for day, family in ((DAY, "Byron"), (NEXT_DAY, "Hopper")):
        pipeline.register(people(20, family), day)
        pipeline.submit(day)
    pipeline.settle()
    for day in (DAY, NEXT_DAY):
        pipeline.publish(day)
    before = {
        (dataset.name, day): shown(pipeline, dataset, day)
        for dataset in (PROFILES, FAILED_LOOKUPS)
        for day in (DAY, NEXT_DAY)
    }
    assert all(before.values())
    spent = sum(pipeline.counts(day).credits for day in (DAY, NEXT_DAY))
    with lost(pipeline, sandbox) as new:
        found = take_up(new)
        assert found.partitions == 2
        assert found.doubtful == 0
        check_lineage(new.ledger, new.output)
        for day in (DAY, NEXT_DAY):
            new.submit(day)
            new.publish(day)
        assert before == {
            (dataset.name, day): shown(new, dataset, day)
            for dataset in (PROFILES, FAILED_LOOKUPS)
            for day in (DAY, NEXT_DAY)
        }
        assert sum(new.counts(day).credits for day in (DAY, NEXT_DAY)) == spent
    assert set(sent(sandbox).values()) == {1}


def test_a_copy_from_the_middle_is_brought_to_the_published_state(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(30))
    pipeline.submit(max_new=10)
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    before = {dataset.name: shown(pipeline, dataset) for dataset in (PROFILES, FAILED_LOOKUPS)}
    with restored(pipeline, sandbox, copy) as old:
        found = take_up(old)
        assert found.doubtful == 0
        old.submit()
        old.publish()
        assert before == {d.name: shown(old, d) for d in (PROFILES, FAILED_LOOKUPS)}
    assert set(sent(sandbox).values()) == {1}


def test_what_was_sent_and_never_published_is_unconfirmed_and_not_sent_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    copy = copy_of_ledger(pipeline)
    pipeline.submit()
    with restored(pipeline, sandbox, copy) as old:
        assert take_up(old).doubtful == 10
        old.submit()
        old.publish()
        (kinds,) = ({row["failure_kind"] for row in old.rows(FAILED_LOOKUPS)},)
        assert kinds == {"unconfirmed"}
    assert set(sent(sandbox).values()) == {1}


def test_what_was_registered_after_the_copy_and_never_published_is_unconfirmed(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    copy = copy_of_ledger(pipeline)
    pipeline.register(people(3, "Hopper"), NEXT_DAY)
    pipeline.submit(NEXT_DAY)
    with restored(pipeline, sandbox, copy) as old:
        assert take_up(old).doubtful == 3
        assert old.states(NEXT_DAY) == {State.UNCONFIRMED: 3}
        old.submit(NEXT_DAY)
        old.publish(NEXT_DAY)
    assert set(sent(sandbox).values()) == {1}


def test_what_was_in_flight_is_asked_about_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.publish()
    (row, *_) = pipeline.rows(PENDING_LOOKUPS)
    assert row["profile_id"] is not None
    with lost(pipeline, sandbox) as new:
        assert take_up(new).taken_up == {State.IN_FLIGHT: 5}
        new.settle()
        new.publish()
        assert not new.states().get(State.IN_FLIGHT)
        assert len(new.rows(PROFILES)) + len(new.rows(FAILED_LOOKUPS)) == 5


def test_what_was_queued_stays_queued_where_no_claim_came_later(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    pipeline.submit(max_new=4)
    pipeline.settle()
    pipeline.publish()
    with lost(pipeline, sandbox) as new:
        found = take_up(new)
        assert found.taken_up[State.QUEUED] == 6
        assert found.doubtful == 0
        new.submit()
    assert set(sent(sandbox).values()) == {1}
    assert len(sent(sandbox)) == 10


def test_what_was_queued_is_in_doubt_where_a_submission_did_not_end(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    pipeline.submit(max_new=4)
    pipeline.settle()
    pipeline.publish()
    counters = SubmissionCounters(pipeline.output)
    (ended,) = counters.read()
    # As a process leaves it that is killed right after the publication.
    counters.write(SubmissionCounter("0" * 32, ended.counter, True, pipeline.clock()))
    with lost(pipeline, sandbox) as new:
        assert take_up(new).doubtful == 6


def test_a_backup_of_a_quiet_ledger_doubts_nobody(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    pipeline.submit(max_new=4)
    copy = copy_of_ledger(pipeline)
    with restored(pipeline, sandbox, copy) as old:
        with old.ledger.write() as connection:
            require_reconcile(connection, "it is a backup")
        assert take_up(old).doubtful == 0
        old.submit()
    assert set(sent(sandbox).values()) == {1}
    assert len(sent(sandbox)) == 10


def refresh(pipeline: Pipeline, day: str = DAY, *, after: timedelta | None = None) -> Registered:
    """Register again, with everybody to be looked up again; with `after`, by their age."""
    now = pipeline.clock()
    wanted = Refresh(now, after, after) if after else Refresh(now, all_before=now)
    return register(pipeline.ledger, pipeline.output, day, wanted)


def without_refresh(rows: list[Row]) -> list[Row]:
    return [
        {name: value for name, value in row.items() if not name.startswith("refresh_")}
        for row in rows
    ]


@pytest.mark.parametrize("copied", ["before", "registered", "lost"])
def test_a_refresh_that_the_ledger_forgot_is_taken_up_and_nobody_is_sent_a_third_time(
    pipeline: Pipeline, sandbox: RunningSandbox, copied: str
) -> None:
    sandbox.change(complete_after_polls=1)
    pipeline.register(people(20))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    before = copy_of_ledger(pipeline)
    pipeline.clock.advance(days=1)
    assert refresh(pipeline).refreshed == 20
    if copied == "registered":
        before = copy_of_ledger(pipeline)
    sandbox.change(seed=5, not_found=0.3, drop_connection_after=0.3)
    pipeline.submit(max_new=16)
    sandbox.change(not_found=0, drop_connection_after=0)
    pipeline.publish()
    profiles = shown(pipeline, PROFILES)
    states = Counter(row["refresh_state"] for row in profiles)
    assert states.keys() == {"queued", "in_flight", "failed", "unconfirmed"}

    source = lost(pipeline, sandbox) if copied == "lost" else restored(pipeline, sandbox, before)
    with source as old:
        old.clock = pipeline.clock
        take_up(old)
        old.publish()
        after = shown(old, PROFILES)
        assert without_refresh(after) == without_refresh(profiles), "every profile stays"
        left = Counter(row["refresh_state"] for row in after)
        # Their ids are not published, so those in flight can't be asked about.
        in_doubt = states["unconfirmed"] + states["in_flight"]
        assert left == {
            "queued": states["queued"],
            "failed": states["failed"],
            "unconfirmed": in_doubt,
        }
        kinds = Counter(row["refresh_failure_kind"] for row in after)
        assert kinds == {
            None: states["queued"],
            "not_found": states["failed"],
            "unconfirmed": in_doubt,
        }
        old.register(people(20), NEXT_DAY)
        assert refresh(old, NEXT_DAY, after=timedelta(minutes=1)).refreshed == 0
        before_submission = sent(sandbox)
        old.submit(NEXT_DAY)
        old.settle()
        old.publish()
        assert sum((sent(sandbox) - before_submission).values()) == states["queued"]
        assert len(old.rows(PROFILES)) == 20
    assert max(sent(sandbox).values()) == 2


def test_a_newer_profile_than_the_refresh_was_to_replace_is_not_put_back(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """An older partition's file still shows the profile before, and how its refresh stood then."""
    for day in (DAY, NEXT_DAY):
        pipeline.register(people(3), day)
        pipeline.submit(day)
        pipeline.settle()
        pipeline.publish(day)
    pipeline.clock.advance(days=1)
    refresh(pipeline)
    refresh(pipeline, NEXT_DAY)
    pipeline.publish(NEXT_DAY)
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    profiles = shown(pipeline, PROFILES)
    stale = pipeline.rows(PROFILES, NEXT_DAY)
    assert {row["refresh_state"] for row in stale} == {"queued"}
    with lost(pipeline, sandbox) as new:
        new.clock = pipeline.clock
        take_up(new)
        for day in (DAY, NEXT_DAY):
            new.publish(day)
            assert {row["refresh_state"] for row in new.rows(PROFILES, day)} == {None}
            assert [row["completed_at"] for row in new.rows(PROFILES, day)] == [
                row["completed_at"] for row in profiles
            ]


def test_a_dry_run_changes_nothing_and_counts_the_same(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(10))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    with lost(pipeline, sandbox) as new:
        tried = take_up(new, dry_run=True)
        assert new.counts_of_all() == {}
        with pytest.raises(OutdatedLedgerError):
            new.submit()
        assert take_up(new) == tried


def test_new_lookup_ids_start_above_every_published_one(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.publish()
    published = {row["lookup_id"] for row in pipeline.rows(LOOKUPS)}
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


def test_the_further_columns_of_the_csv_come_back(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    with lost(pipeline, sandbox) as new:
        take_up(new)
        (row, *_) = new.ledger_rows().values()
        assert '"Cost Centre":"CC-' in row.requested


def test_each_reconcile_is_a_new_incarnation_that_knows_the_old_ones(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.publish()
    first = pipeline.output.facts(PROFILES, DAY)
    with lost(pipeline, sandbox) as new:
        take_up(new)
        with new.ledger.read() as connection:
            assert read_lineage(connection).incarnation != first["incarnation"]
        new.publish()
        second = new.output.facts(PROFILES, DAY)
    assert second["incarnation"] != first["incarnation"]
    assert int(second["published_version"]) > int(first["published_version"])


def test_another_copy_of_the_same_age_is_refused_after_a_reconcile(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    copy = copy_of_ledger(pipeline)
    pipeline.submit()
    with restored(pipeline, sandbox, copy) as old:
        take_up(old)
        check_lineage(old.ledger, old.output)
        with restored(old, sandbox, copy) as again, pytest.raises(OutdatedLedgerError):
            again.submit()
    assert set(sent(sandbox).values()) == {1}


def test_a_newer_profile_in_the_files_replaces_an_older_one(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(1))
    pipeline.submit()
    pipeline.settle()
    copy = copy_of_ledger(pipeline)
    pipeline.clock.advance(hours=1)
    with pipeline.ledger.write() as connection:
        connection.execute(update(lookups).values(settled_at=pipeline.clock()))
    pipeline.publish()
    (later,) = (row["completed_at"] for row in pipeline.rows(PROFILES))
    with restored(pipeline, sandbox, copy) as old:
        assert take_up(old).taken_up == {State.COMPLETE: 1}
        with old.ledger.read() as connection:
            assert connection.scalar(select(lookups.c.settled_at)) == later


def test_a_profile_is_never_given_up_for_what_a_file_lacks(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    pipeline.settle()
    with pipeline.ledger.write() as connection:
        # Never published since: the files still show them in flight.
        require_reconcile(connection, "it may be older")
    before = pipeline.states()
    take_up(pipeline)
    assert pipeline.states() == before


def test_a_failure_that_an_operator_had_sent_again_is_followed(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(not_found=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.publish()
    copy = copy_of_ledger(pipeline)
    pipeline.clock.advance(hours=1)
    sandbox.change(not_found=0)
    with pipeline.ledger.write() as connection:
        assert requeue(connection, DAY, [FailureKind.NOT_FOUND], pipeline.clock()) == 3
    pipeline.submit()
    pipeline.publish()
    with restored(pipeline, sandbox, copy) as old:
        old.clock.advance(hours=1)
        take_up(old)
        assert not old.states().get(State.FAILED)
        old.submit()
    assert set(sent(sandbox).values()) <= {2}


def test_profiles_are_fetched_again_as_the_provider_has_them(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    with pipeline.ledger.read() as connection:
        before = sorted(connection.scalars(select(payloads.c.payload)))
    with lost(pipeline, sandbox) as new:
        found = take_up(new)
        number = fetch_profiles(new.ledger, new.client, found.profiles, 0, clock=new.clock)
        assert number == len(found.profiles) == new.states()[State.COMPLETE]
        with new.ledger.read() as connection:
            assert sorted(connection.scalars(select(payloads.c.payload))) == before


def test_a_file_of_an_older_version_is_taken_up_as_well(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lookup_pipeline.datasets.storage.PartitionWriter.note", lambda _writer, _facts: None
    )
    pipeline.register(people(5))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    shutil.rmtree(pipeline.root / "output" / ".submissions")
    with lost(pipeline, sandbox) as new:
        with pytest.raises(OutdatedLedgerError):
            new.submit()
        found = take_up(new)
        assert sum(found.taken_up.values()) == 5
        new.publish()
        assert new.published() == pipeline_places(new)


def pipeline_places(pipeline: Pipeline) -> dict[str, str]:
    return {
        row["requested_name"]: dataset.name
        for dataset in (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
        for row in pipeline.rows(dataset)
    }


def test_what_waits_longer_than_its_deadline_is_not_given_up_unasked(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(1))
    pipeline.submit()
    pipeline.publish()
    with lost(pipeline, sandbox) as new:
        new.clock.advance(days=3)
        take_up(new)
        with new.ledger.read() as connection:
            row = connection.execute(select(lookups)).one()
        assert row.deadline_at - row.submitted_at == DEADLINE
        assert row.next_poll_at - new.clock() < timedelta(seconds=5)
        new.poll()
        assert new.states() != {State.FAILED: 1} or new.rows(PENDING_LOOKUPS)
