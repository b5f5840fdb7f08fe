"""A partition from CSV to Parquet: every row arrives, every fate in its place, paid for once."""

import csv
from collections import Counter

import msgspec
import pyarrow.parquet as pq
import pytest

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import State
from lookup_pipeline.names.column_names import FIELD_BY_KEY, column_key
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    NEXT_DAY,
    Pipeline,
    people,
    sent,
)


def test_a_partition_ends_in_parquet_with_the_rows_of_its_csv(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    registered = pipeline.register([*people(12), ("Zoë Ó Broin", 'Sand, "Sea" & Co')])
    assert (registered.rows, registered.new_lookups) == (13, 13)
    report = pipeline.submit()
    assert (report.accepted, report.complete, report.failed) == (13, 0, 0)
    assert pipeline.states() == {State.IN_FLIGHT: 13}
    pipeline.settle()
    publication = pipeline.publish()
    assert publication.replaced
    assert publication.reconciliation.balanced

    with (pipeline.root / "names" / f"{DAY}.csv").open(newline="") as file:
        written = [
            (f"{DAY}.csv", line, name, employer, [("Cost Centre", centre)])
            for line, (name, employer, centre) in enumerate(csv.reader(file), 1)
            if line > 1
        ]
    profiles = pipeline.rows(PROFILES)
    assert [
        (
            row["source_file"],
            row["source_row"],
            row["requested_name"],
            row["requested_employer"],
            row["source_columns"],
        )
        for row in profiles
    ] == written
    assert {row["status"] for row in profiles} == {"complete"}
    assert all(row["emails"] or row["phones"] for row in profiles)
    assert all(row["submitted_at"] <= row["completed_at"] for row in profiles)
    by_id = {lookup.profile_id: lookup.query["name"] for lookup in sandbox.lookups()}
    assert {row["profile_id"]: row["requested_name"] for row in profiles} == by_id
    assert pipeline.rows(FAILED_LOOKUPS) == []
    assert pipeline.rows(PENDING_LOOKUPS) == []
    assert [row["reused"] for row in pipeline.rows(LOOKUPS)] == [False] * 13
    assert publication.credits == len(sandbox.charges()) == 13


def test_a_second_run_sends_nothing_and_changes_nothing(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(8))
    pipeline.submit()
    pipeline.settle()
    pipeline.publish()
    before, requests = pipeline.files(), sandbox.requests().total

    again = pipeline.register(people(8))
    assert (again.rows, again.new_lookups, again.changed) == (8, 0, 0)
    report = pipeline.submit()
    assert report.accepted == 0
    assert pipeline.poll().calls == 0
    pipeline.publish()
    assert sandbox.requests().total == requests
    assert pipeline.files() == before


def test_a_person_in_two_dates_and_twice_in_one_file_is_paid_for_once(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    first, second, third = people(3)
    loud = (first[0].upper(), f"  {first[1]} ")
    pipeline.register([first, second, loud], DAY)
    pipeline.register([second, third, first], NEXT_DAY)
    for day in (DAY, NEXT_DAY, DAY):
        pipeline.submit(day)
    pipeline.settle()
    assert sent(sandbox) == {first[0]: 1, second[0]: 1, third[0]: 1}
    assert [charge.lookup_count for charge in sandbox.charges()] == [1, 1, 1]
    credits_by_day = [pipeline.publish(day).credits for day in (DAY, NEXT_DAY)]
    assert credits_by_day == [2, 1], "each credit counts for the partition that asked first"
    assert [row["reused"] for row in pipeline.rows(LOOKUPS, DAY)] == [False, False, True]
    assert [row["reused"] for row in pipeline.rows(LOOKUPS, NEXT_DAY)] == [True, False, True]
    for day in (DAY, NEXT_DAY):
        assert len(pipeline.rows(PROFILES, day)) == 3
    ids = {row["requested_name"]: row["profile_id"] for row in pipeline.rows(PROFILES, DAY)}
    assert ids[first[0]] == ids[loud[0]]


def test_two_spellings_that_meet_at_one_profile_both_get_it(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    """The provider's matching is coarser than ours: two lookups, one profile id, one answer."""
    pipeline.register([("Jean Luc Sato", "Bluepeak"), ("Jean-Luc Sato", "Bluepeak")])
    pipeline.submit()
    assert len({lookup.profile_id for lookup in sandbox.lookups()}) == 1
    pipeline.settle()
    assert pipeline.publish().credits == len(sandbox.charges()) == 2
    assert len(pipeline.rows(PROFILES)) == 2


@pytest.mark.parametrize("polls", [0, 1, 3])
def test_every_fate_lands_in_its_dataset_and_the_credits_agree(
    pipeline: Pipeline, sandbox: RunningSandbox, polls: int
) -> None:
    sandbox.change(
        seed=3,
        complete_after_polls=polls,
        not_found=0.2,
        failed=0.2,
        without_contact=0.2,
        unknown_status=0.3,
        unknown_fields=0.4,
        lookup_as_list=polls == 1,
    )
    pipeline.register(people(60))
    pipeline.submit()
    pipeline.settle()
    publication = pipeline.publish()

    outcomes = {lookup.query["name"]: lookup.outcome for lookup in sandbox.lookups()}
    assert Counter(outcomes.values()).keys() == {
        "found",
        "without_contact",
        "failed",
        "not_found",
    }, "the seed shows every fate"
    expected = {"failed": FAILED_LOOKUPS.name, "not_found": FAILED_LOOKUPS.name}
    assert pipeline.published() == {
        name: expected.get(outcome, PROFILES.name) for name, outcome in outcomes.items()
    }
    for row in pipeline.rows(FAILED_LOOKUPS):
        outcome = outcomes[row["requested_name"]]
        assert row["failure_kind"] == outcome
        assert row["http_status"] == (404 if outcome == "not_found" else None)
        assert row["attempts"] == 1
        assert row["failure_reason"]
    profiles = pipeline.rows(PROFILES)
    for row in profiles:
        has_contact = bool(row["emails"] or row["phones"])
        assert has_contact is (outcomes[row["requested_name"]] == "found")
    extras = [msgspec.json.decode(row["extra"]) for row in profiles if row["extra"]]
    assert 0 < len(extras) < len(profiles)
    assert publication.profiles_with_extra == len(extras)
    assert publication.failure_kinds == {
        kind: number
        for kind, number in Counter(outcomes.values()).items()
        if kind in {"failed", "not_found"}
    }
    charged = {charge.query["name"] for charge in sandbox.charges()}
    assert publication.credits == len(sandbox.charges()) == len(charged)
    assert pipeline.paid_for() == charged


def test_an_undocumented_status_is_in_flight_and_kept_as_received(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(unknown_status=1, complete_after_polls=2)
    pipeline.register(people(5))
    pipeline.submit()
    publication = pipeline.publish()
    assert publication.unknown_statuses == {"cross_checking": 5}
    pending = pipeline.rows(PENDING_LOOKUPS)
    assert {(row["state"], row["api_status"]) for row in pending} == {
        ("in_flight", "cross_checking")
    }
    assert all(row["submitted_at"] and row["last_polled_at"] is None for row in pending)
    pipeline.clock.advance(minutes=5)
    pipeline.poll()
    pipeline.publish()
    assert all(row["last_polled_at"] for row in pipeline.rows(PENDING_LOOKUPS))
    pipeline.settle()
    assert pipeline.publish().unknown_statuses == {}
    assert len(pipeline.rows(PROFILES)) == 5


def test_a_row_that_leaves_the_file_leaves_the_partition_and_comes_back_for_nothing(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    everybody = people(6)
    pipeline.register(everybody)
    pipeline.submit()
    pipeline.settle()
    pipeline.register(everybody[:2])
    pipeline.submit()
    pipeline.publish()
    assert set(pipeline.published()) == {name for name, _ in everybody[:2]}
    assert pipeline.register(everybody).new_lookups == 0
    pipeline.submit()
    pipeline.publish()
    assert set(pipeline.published()) == {name for name, _ in everybody}
    assert max(sent(sandbox).values()) == 1


def test_a_partition_without_rows_is_published_empty(pipeline: Pipeline) -> None:
    pipeline.register([])
    assert pipeline.submit().accepted == 0
    publication = pipeline.publish()
    assert publication.replaced
    assert set(publication.reconciliation.rows.values()) == {0}
    for dataset in PUBLISHED:
        assert pipeline.table(dataset).schema.equals(dataset.schema)
        assert pipeline.rows(dataset) == []


def test_a_names_file_of_an_older_version_is_registered_by_todays_rules(pipeline: Pipeline) -> None:
    pipeline.register(people(2))
    today = {row.lookup_id: row.requested for row in pipeline.ledger_rows().values()}
    older = pipeline.table(NAMES).drop_columns(["identity", "query"])
    pq.write_table(older, str(pipeline.output.path(NAMES, DAY)))
    again = register(pipeline.ledger, pipeline.output, DAY)
    assert (again.new_lookups, again.changed) == (0, 0)
    assert {row.lookup_id: row.requested for row in pipeline.ledger_rows().values()} == today


def test_a_column_that_a_newer_version_reads_pays_for_nobody_again(
    pipeline: Pipeline, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.change(complete_after_polls=0)
    everybody = people(5)
    file = pipeline.write_csv(everybody)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["name", "current_employer", "Mail To"])
        writer.writerows([*person, f"p{place}@x.org"] for place, person in enumerate(everybody))
    pipeline.read_names()
    register(pipeline.ledger, pipeline.output, DAY)
    pipeline.submit()
    monkeypatch.setitem(FIELD_BY_KEY, column_key("mail to"), (0, "email"))
    for _ in range(2):
        pipeline.read_names()
        registered = register(pipeline.ledger, pipeline.output, DAY)
        assert (registered.new_lookups, pipeline.submit().accepted) == (0, 0)
        pipeline.publish()
        assert len(pipeline.rows(PROFILES)) == 5
    (row, *_) = pipeline.rows(PROFILES)
    assert row["requested_email"] == "p0@x.org"
    # Whoever asks by the address elsewhere finds the same lookup.
    file.rename(file.with_name(f"{NEXT_DAY}.csv"))
    pipeline.read_names(NEXT_DAY)
    assert register(pipeline.ledger, pipeline.output, NEXT_DAY).new_lookups == 0
    assert len(sandbox.charges()) == 5
