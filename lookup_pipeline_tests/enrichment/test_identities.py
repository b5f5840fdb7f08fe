"""Rules by which rows mean the same person change; nobody is looked up a second time for it."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import select

from lookup_pipeline.enrichment import identities
from lookup_pipeline.enrichment.identities import learn_identities, new_lookups_learned
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger import identities as ledger_identities
from lookup_pipeline.ledger.identities import known_lookups, learned_up_to
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered, Registration, RequestedRow
from lookup_pipeline.ledger.submissions import queued_ids
from lookup_pipeline.ledger.tables import aliases, identity_rules, lookups
from lookup_pipeline.names.identity import RULES_VERSION, build_query
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    T0,
    answer,
    claim_all,
    complete,
    counted_statements,
    failed,
    fresh_ledger,
    published_rows,
    serving,
)

FILE = "a.csv"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with fresh_ledger() as opened:
        yield opened


def old_row(line: int, old: str, **requested: str) -> RequestedRow:
    """A row as another version of the rules registered it, under another identity."""
    query = build_query(**requested)
    assert query is not None
    texts = {f"requested_{field}": value for field, value in requested.items()}
    return RequestedRow(
        FILE, line, f"v1:{old}", query.as_json(), msgspec.json.encode(texts).decode()
    )


def new_row(line: int, **requested: str) -> RequestedRow:
    query = build_query(**requested)
    assert query is not None
    return RequestedRow(FILE, line, query.identity, query.as_json(), "{}")


def register(
    ledger: Ledger, rows: Sequence[RequestedRow], date: str, refresh: Refresh | None = None
) -> Registered:
    registration = Registration(date, refresh)
    with ledger.write() as connection:
        return registration.add(connection, rows) + registration.finish(connection)


def lookup_ids(ledger: Ledger, date: str) -> list[int]:
    return [row.lookup_id for row in published_rows(ledger, date)]


ADA = {"name": "Ada Lovelace", "employer": "Acme"}
SPELLED_OTHERWISE = {"name": "Dr. Ada Lovelace, PhD", "employer": "ACME, Inc."}


def test_a_row_finds_the_lookup_that_older_rules_made(ledger: Ledger) -> None:
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    learn_identities(ledger)
    again = register(ledger, [new_row(2, **ADA), new_row(3, **SPELLED_OTHERWISE)], NEXT_DATE)
    assert (again.new_lookups, lookup_ids(ledger, NEXT_DATE)) == (0, [1, 1])
    assert [row.reused for row in published_rows(ledger, NEXT_DATE)] == [True, True]


def test_the_same_partition_again_changes_nothing_but_the_identity(ledger: Ledger) -> None:
    row = old_row(2, "ada", **ADA)
    register(ledger, [row], DATE)
    learn_identities(ledger)
    today = row._replace(identity=new_row(2, **ADA).identity)
    assert register(ledger, [today], DATE) == Registered(rows=1)


def test_what_the_old_rules_took_for_one_person_stays_one_lookup(ledger: Ledger) -> None:
    ben = {"name": "Ben Lovelace", "employer": "Acme"}
    register(ledger, [old_row(2, "lovelace", **ADA), old_row(3, "lovelace", **ben)], DATE)
    learn_identities(ledger)
    again = register(ledger, [new_row(2, **ben), new_row(3, **ADA)], NEXT_DATE)
    assert (again.new_lookups, lookup_ids(ledger, NEXT_DATE)) == (0, [1, 1])


def test_of_two_lookups_that_are_one_person_now_the_one_with_a_profile_serves(
    ledger: Ledger,
) -> None:
    register(ledger, [old_row(2, "ada", **ADA), old_row(3, "dr ada", **SPELLED_OTHERWISE)], DATE)
    claim_all(ledger)
    answer(ledger, complete(2))
    learn_identities(ledger)
    register(ledger, [new_row(2, **ADA)], NEXT_DATE)
    assert lookup_ids(ledger, NEXT_DATE) == [2]


def test_a_row_keeps_the_lookup_that_was_sent_for_it_whatever_the_new_rules_merge(
    ledger: Ledger,
) -> None:
    rows = [old_row(2, "dr ada", **SPELLED_OTHERWISE), old_row(3, "ada", **ADA)]
    register(ledger, rows, DATE)
    claims = claim_all(ledger)
    # The first failed; the second is still under way when the new version starts.
    answer(ledger, failed(claims[0].lookup_id))
    learn_identities(ledger)
    today = [row._replace(identity=new_row(2, **ADA).identity) for row in rows]
    register(ledger, today, DATE)
    assert lookup_ids(ledger, DATE) == [2, 2]
    answer(ledger, complete(2))
    register(ledger, [new_row(2, **ADA)], NEXT_DATE)
    assert lookup_ids(ledger, NEXT_DATE) == [2]


def test_two_profiles_that_the_new_rules_merge_stay_with_their_rows(ledger: Ledger) -> None:
    rows = [old_row(2, "dr ada", **SPELLED_OTHERWISE), old_row(3, "ada", **ADA)]
    register(ledger, rows, DATE)
    claim_all(ledger)
    answer(ledger, complete(1), complete(2))
    learn_identities(ledger)
    identity = new_row(2, **ADA).identity
    register(ledger, [row._replace(identity=identity) for row in rows], DATE)
    assert lookup_ids(ledger, DATE) == [1, 2]


def test_of_two_that_were_never_sent_one_is_sent(ledger: Ledger) -> None:
    register(ledger, [old_row(2, "dr ada", **SPELLED_OTHERWISE)], DATE)
    register(ledger, [old_row(2, "ada", **ADA)], NEXT_DATE)
    learn_identities(ledger)
    assert lookup_ids(ledger, NEXT_DATE) == [1]
    with ledger.read() as connection:
        assert queued_ids(connection, DATE, T0) == [1]
        assert queued_ids(connection, NEXT_DATE, T0) == [1]


@pytest.mark.parametrize("sent", [False, True])
def test_what_was_never_sent_is_asked_by_the_new_rules(ledger: Ledger, *, sent: bool) -> None:
    asked = {"name": "Jr. Smith", "current_employer": "Acme"}
    row = old_row(2, "smith", name="Smith, Jr.", employer="Acme")
    register(ledger, [row._replace(parameters=msgspec.json.encode(asked).decode())], DATE)
    if sent:
        claim_all(ledger)
    learn_identities(ledger)
    with ledger.read() as connection:
        (parameters,) = connection.scalars(select(lookups.c.parameters))
    assert msgspec.json.decode(parameters)["name"] == ("Jr. Smith" if sent else "Smith Jr.")
    again = register(ledger, [new_row(2, name="Smith Jr.", employer="Acme")], NEXT_DATE)
    assert again.new_lookups == 0


def test_what_an_old_process_registers_afterwards_is_learned_too(ledger: Ledger) -> None:
    register(ledger, [old_row(2, "eve", name="Eve", employer="Acme")], DATE)
    learn_identities(ledger)
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    learn_identities(ledger)
    assert register(ledger, [new_row(2, **ADA)], NEXT_DATE).new_lookups == 0


def test_a_lookup_whose_rows_are_gone_is_found_by_what_was_sent(ledger: Ledger) -> None:
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    register(ledger, [], DATE)
    learn_identities(ledger)
    assert register(ledger, [new_row(2, **ADA)], NEXT_DATE).new_lookups == 0


def test_a_lookup_that_a_newer_one_follows_passes_its_rows_on(ledger: Ledger) -> None:
    register(ledger, [old_row(2, "ada", **SPELLED_OTHERWISE)], DATE)
    claim_all(ledger)
    answer(ledger, complete(1))
    refresh = Refresh(T0 + timedelta(days=9), all_before=T0 + timedelta(days=1))
    register(ledger, [old_row(2, "ada", **ADA)], NEXT_DATE, refresh)
    learn_identities(ledger)
    with ledger.read() as connection:
        identity = new_row(2, **SPELLED_OTHERWISE).identity
        assert known_lookups(connection, [identity])[identity].lookup_id == 2


def test_a_person_known_by_an_alias_is_refreshed_once_and_keeps_the_profile_till_then(
    ledger: Ledger,
) -> None:
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    claim_all(ledger)
    answer(ledger, complete(1))
    learn_identities(ledger)
    refresh = Refresh(T0 + timedelta(days=9), complete_after=timedelta(days=5))
    assert register(ledger, [new_row(2, **ADA)], NEXT_DATE, refresh).refreshed == 1
    assert register(ledger, [new_row(2, **ADA)], NEXT_DATE, refresh).refreshed == 0
    register(ledger, [new_row(2, **ADA)], DATE, refresh)
    for date in (DATE, NEXT_DATE):
        assert serving(ledger, date) == [2]
        # The newer lookup has no profile yet.
        assert lookup_ids(ledger, date) == [1]


@pytest.mark.parametrize("unsent", [False, True])
def test_a_profile_stays_with_its_row_whatever_the_new_rules_merge_it_with(
    ledger: Ledger, *, unsent: bool
) -> None:
    """The row's refresh failed or waits, and another lookup of the same person has no profile."""
    row = old_row(2, "ada", **ADA)
    register(ledger, [new_row(2, **ADA)], NEXT_DATE)
    claim_all(ledger, date=NEXT_DATE)
    answer(ledger, failed(1))
    register(ledger, [row], DATE)
    claim_all(ledger)
    answer(ledger, complete(2))
    register(ledger, [row], DATE, Refresh(T0, all_before=T0 + timedelta(days=1)))
    if not unsent:
        claim_all(ledger)
        answer(ledger, failed(3))
    learn_identities(ledger)
    assert lookup_ids(ledger, DATE) == [2]
    register(ledger, [row._replace(identity=new_row(2, **ADA).identity)], DATE)
    assert lookup_ids(ledger, DATE) == [2]


def test_a_chain_of_lookups_over_three_versions_of_the_rules_ends_at_the_newest(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = (Refresh(T0, all_before=T0 + timedelta(days=days)) for days in (1, 3))
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    for lookup_id, row, refresh in (
        (1, old_row(2, "ada", **ADA), first),
        (2, new_row(2, **ADA), later),
    ):
        claim_all(ledger)
        answer(ledger, complete(lookup_id), now=T0 + timedelta(days=2 * lookup_id - 2))
        learn_identities(ledger)
        register(ledger, [row], DATE, refresh)
    monkeypatch.setattr(identities, "RULES_VERSION", RULES_VERSION + 1)
    learn_identities(ledger)
    assert register(ledger, [new_row(2, **ADA)], NEXT_DATE).new_lookups == 0
    assert serving(ledger, NEXT_DATE) == [3]


def test_it_is_done_once_for_each_version(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    register(ledger, [old_row(2, "ada", **ADA)], DATE)
    learn_identities(ledger)
    with ledger.read() as connection:
        assert learned_up_to(connection, RULES_VERSION) == 1
        learned = connection.scalars(select(identity_rules.c.learned_at)).all()
    learn_identities(ledger)
    with ledger.read() as connection:
        assert connection.scalars(select(identity_rules.c.learned_at)).all() == learned
    monkeypatch.setattr(identities, "RULES_VERSION", RULES_VERSION + 1)
    learn_identities(ledger)
    with ledger.read() as connection:
        assert learned_up_to(connection, RULES_VERSION + 1) == 1


def test_what_is_registered_is_known_to_todays_rules_unless_an_old_process_comes_between(
    ledger: Ledger,
) -> None:
    def registered(row: RequestedRow, date: str) -> int:
        with ledger.write() as connection, new_lookups_learned(connection):
            Registration(date).add(connection, [row])
        with ledger.read() as connection:
            return learned_up_to(connection, RULES_VERSION)

    assert registered(new_row(2, **ADA), DATE) == 1
    assert registered(new_row(2, **ADA), NEXT_DATE) == 1, "nothing new"
    assert registered(new_row(3, name="Ben", employer="Acme"), DATE) == 2
    register(ledger, [old_row(2, "eve", name="Eve", employer="Acme")], NEXT_DATE)
    assert registered(new_row(4, name="Cid", employer="Acme"), DATE) == 2
    learn_identities(ledger)
    assert registered(new_row(5, name="Dan", employer="Acme"), DATE) == 5


def test_what_is_learned_costs_by_what_is_new_not_by_who_was_refreshed_before(
    ledger: Ledger,
) -> None:
    def statements(line: int) -> int:
        register(ledger, [old_row(line, f"new {line}", name=f"New{line}", employer="Acme")], DATE)
        with counted_statements() as counted:
            learn_identities(ledger)
        return len(counted)

    first = statements(1_000)
    people = [old_row(n, f"p{n}", name=f"Ada{n}", employer="Acme") for n in range(2, 52)]
    register(ledger, people, NEXT_DATE)
    for claimed in claim_all(ledger, date=NEXT_DATE):
        answer(ledger, complete(claimed.lookup_id))
    everybody = Refresh(T0 + timedelta(days=9), all_before=T0 + timedelta(days=1))
    assert register(ledger, people, NEXT_DATE, everybody).refreshed == 50
    learn_identities(ledger)
    assert statements(1_001) == first


def test_dying_in_the_middle_costs_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    register(ledger, [old_row(2, "ada", **ADA)], DATE)

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ledger_identities, "note_learned", killed)
        with pytest.raises(KeyboardInterrupt):
            learn_identities(ledger)
    learn_identities(ledger)
    with ledger.read() as connection:
        assert connection.scalars(select(aliases.c.lookup_id)).all() == [1]
