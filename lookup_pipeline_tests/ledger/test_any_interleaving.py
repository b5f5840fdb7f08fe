"""The invariants hold whatever happens in whichever order, over the real ledger.

Times are the machine's own. Any answer may come late and repeatedly; those that do not put a
lookup back into the queue may come from anywhere.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, select

from lookup_pipeline.ledger import SETTLED, FailureKind, State
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.clock_steps import CLOCKS_DIFFER_BY, heal_moments
from lookup_pipeline.ledger.identities import GIVEN_UP, own_identity
from lookup_pipeline.ledger.polling import (
    EARLIER,
    LATE_POLL,
    POLL_LEASE,
    claim_due,
    expire_deadlines,
)
from lookup_pipeline.ledger.publications import (
    claim_publication,
    is_settled,
    news_version,
    partitions_with_news,
    record_publication,
    release_publication,
    rows_of,
)
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import RequestedRow
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.ledger.submissions import LEASE, claim, expire_leases, queued_ids
from lookup_pipeline.ledger.tables import lookups, memberships, partitions
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    SECOND,
    T0,
    Stored,
    complete,
    failed,
    fresh_ledger,
    in_flight,
    put_back,
    register,
    row,
    rows_for,
    stored_lookups,
    unconfirmed,
)

DATES = [DATE, NEXT_DATE]
PEOPLE = ["ann", "ben", "cid", "dan"]
DEADLINE = timedelta(minutes=3)
COMPLETE_AFTER = timedelta(minutes=20)
FAILED_AFTER = timedelta(minutes=5)

_ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["a.csv", "b.csv"]), st.integers(2, 4)), st.sampled_from(PEOPLE)
).map(
    lambda found: [row(line, person, file=file) for (file, line), person in sorted(found.items())]
)
_KINDS = st.sampled_from(
    ["complete", "failed", "in_flight", "without_id", "unconfirmed", "not_processed", "retryable"]
)


@dataclass(slots=True)
class Sent:
    """A request that left, or is asked about: its answer names the claim."""

    lookup_id: int
    claim: int


@dataclass(slots=True)
class Seen:
    """What the ledger held after the last step."""

    lookups: dict[int, Stored] = field(default_factory=dict)
    payers: dict[int, str | None] = field(default_factory=dict)
    # File, line and lookup of every row; and the lookup that it shows.
    rows: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    shown: dict[str, list[int]] = field(default_factory=dict)
    news: dict[str, int] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)
    identities: dict[int, str] = field(default_factory=dict)
    with_news: list[str] = field(default_factory=list)
    settled: dict[str, bool] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    offered: set[int] = field(default_factory=set)


class AnyInterleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._open = fresh_ledger()
        self.ledger = self._open.__enter__()
        self.now = T0
        self.sent: list[Sent] = []
        self.polled: list[Sent] = []
        self.snapshots: list[tuple[str, int]] = []
        self.published: dict[str, int] = {}
        self.wanted: dict[str, list[RequestedRow]] = {}
        # Lookups whose last request may have been processed: nobody may send them.
        self.risky: dict[int, Sent] = {}
        # The newest claim of each: whatever it says, and however often, nobody else speaks for it.
        self.claims: dict[int, Sent] = {}
        self.seen = Seen()
        self.released: set[int] = set()
        # Lookups that the operator had sent again, and that nobody has sent since.
        self.ordered: set[int] = set()
        # Rows that were published with a profile, and whom they asked for.
        self.profiled: dict[tuple[str, str, int], str] = {}
        self.payloads_made = 0
        # By how much the clock is ahead, and whether the ledger was told the time since.
        self.ahead, self.told_ahead = timedelta(0), False

    def teardown(self) -> None:
        self._open.__exit__(None, None, None)

    # What happens ------------------------------------------------------------------------------

    @initialize(rows=_ROWS)
    def begin(self, rows: list[RequestedRow]) -> None:
        # Everyone is asked for and sent, so that every example gets to what comes after.
        self.register_rows(DATE, [*rows, *rows_for(PEOPLE, file="z.csv")], 2)
        self.every_invariant_holds()
        self.claim_some(DATE, "run-1", len(PEOPLE), stale=False, seconds=0)

    @rule(date=st.sampled_from(DATES), rows=_ROWS, batch=st.integers(1, 4))
    def register_rows(self, date: str, rows: list[RequestedRow], batch: int) -> None:
        assert register(self.ledger, rows, date, batch).refreshed == 0
        self.wanted[date] = rows

    @rule(
        date=st.sampled_from(DATES),
        rows=_ROWS,
        batch=st.integers(1, 4),
        forced=st.booleans(),
        after=st.sampled_from([timedelta(0), FAILED_AFTER, COMPLETE_AFTER]),
    )
    def register_rows_that_may_be_refreshed(
        self, date: str, rows: list[RequestedRow], batch: int, forced: bool, after: timedelta
    ) -> None:
        self.now += after
        refresh = Refresh(
            self.now,
            complete_after=COMPLETE_AFTER,
            failed_after=FAILED_AFTER,
            all_before=self.now if forced else None,
        )
        before = self.seen
        registered = register(self.ledger, rows, date, batch, refresh)
        self.wanted[date] = rows
        with self.ledger.read() as connection:
            identities = select(lookups.c.identity, lookups.c.lookup_id)
            now = {row.identity: row.lookup_id for row in connection.execute(identities)}
        followed = {
            old: now[who]
            for old, who in before.identities.items()
            if GIVEN_UP not in who and now[who] != old
        }
        assert registered.refreshed == len(followed)
        for old in followed:
            self._check_refresh(old, date, forced=forced)

    def _check_refresh(self, old: int, date: str, *, forced: bool) -> None:
        """Whoever pays for this lookup's person again had reason to."""
        ended = self.seen.lookups[old]
        assert ended.state in (State.COMPLETE, State.FAILED), "never what may yet end, or in doubt"
        assert ended.next_poll_at is None
        assert ended.settled_at is not None
        if forced and ended.settled_at < self.now:
            return
        has_profile = ended.state is State.COMPLETE or ended.keeps_lookup_id is not None
        assert self.now - ended.settled_at >= (COMPLETE_AFTER if has_profile else FAILED_AFTER)
        assert str(self.seen.payers[old]) < date
        served = {self.seen.identities[lookup_id] for _, _, lookup_id in self.seen.rows[date]}
        assert self.seen.identities[old] not in {own_identity(each) for each in served}

    @rule(
        date=st.sampled_from(DATES),
        owner=st.sampled_from(["run-1", "run-2", "run-3"]),
        most=st.integers(1, 4),
        stale=st.booleans(),
        seconds=st.sampled_from([0, 20, 100]),
    )
    def claim_some(self, date: str, owner: str, most: int, stale: bool, seconds: int) -> None:
        self.now += seconds * SECOND
        with self.ledger.write() as connection:
            ids = queued_ids(connection, date, self.now)[:most]
            if stale:
                # A process whose list is old names lookups that were sent meanwhile.
                ids += list(self.seen.lookups)
            claimed = claim(connection, ids, owner, self.now)
        for each in claimed:
            before = self.seen.lookups[each.lookup_id]
            assert each.lookup_id not in self.risky, "it would be paid for twice"
            assert before.state is State.QUEUED
            assert before.not_before is None or before.not_before <= self.now
            assert each.attempts == before.attempts + 1
            request = Sent(each.lookup_id, each.number)
            self.sent.append(request)
            self.risky[each.lookup_id] = request
            self.claims[each.lookup_id] = request
            self.ordered.discard(each.lookup_id)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), kind=_KINDS, wait=st.sampled_from([0, 5, 90]))
    def any_request_is_answered(self, data: st.DataObject, kind: str, wait: int) -> None:
        self._answer_request(data.draw(st.sampled_from(self.sent), label="request"), kind, wait)

    @precondition(lambda self: self.sent)
    @rule(place=st.integers(0, 3), kind=_KINDS, wait=st.sampled_from([0, 5, 90]))
    def a_request_is_answered_in_time(self, place: int, kind: str, wait: int) -> None:
        self._answer_request(self.sent[-1 - place % len(self.sent)], kind, wait)

    def _answer_request(self, request: Sent, kind: str, wait: int) -> None:
        sent_again = kind in ("not_processed", "retryable")
        if sent_again and self.claims.get(request.lookup_id) is request:
            self.released.add(request.lookup_id)
        self._record(self._answer(kind, request.lookup_id, request.claim, wait))

    @precondition(lambda self: self.seen.lookups)
    @rule(data=st.data(), kind=_KINDS)
    def someone_else_answers(self, data: st.DataObject, kind: str) -> None:
        """A webhook, a stranger, a defect: whatever it says, nothing is sent again."""
        lookup_id = data.draw(st.sampled_from(sorted(self.seen.lookups)), label="lookup")
        self.ordered.discard(lookup_id)
        self._record(self._answer(kind, lookup_id, None, 0))

    @rule(by=st.sampled_from([timedelta(hours=1), timedelta(days=365)]), tells=st.booleans())
    def the_clock_is_set_ahead(self, by: timedelta, tells: bool) -> None:
        """Whether or not somebody begins to work on it, and tells the ledger so."""
        self._tick()
        self.ahead += by
        self.now += by
        if tells:
            self._tick()
            self.told_ahead = True

    @precondition(lambda self: self.ahead)
    @rule()
    def the_clock_is_right_again(self) -> None:
        self.now -= self.ahead
        self._tick()
        with self.ledger.read() as connection:
            for each in stored_lookups(connection).values():
                latest = self.now + (timedelta(0) if self.told_ahead else LATE_POLL)
                latest += CLOCKS_DIFFER_BY
                assert each.next_poll_at is None or each.next_poll_at <= latest
                if self.told_ahead and each.state is State.QUEUED:
                    assert each.not_before is None or each.not_before <= self.now
        with self.ledger.write() as connection:
            expire_leases(connection, self.now + LEASE + CLOCKS_DIFFER_BY + SECOND)
            assert State.SUBMITTING not in {
                each.state for each in stored_lookups(connection).values()
            }, "no claim outlives its lease"
        self.ahead, self.told_ahead = timedelta(0), False

    def _tick(self) -> None:
        with self.ledger.write() as connection:
            heal_moments(connection, self.now)

    @precondition(lambda self: self._any_in(State.IN_FLIGHT) or self._any_in(State.FAILED))
    @rule(
        limit=st.integers(1, 3),
        seconds=st.sampled_from([0, 20, POLL_LEASE.seconds, LATE_POLL.seconds]),
        earlier=st.sampled_from([timedelta(0), EARLIER]),
    )
    def ask_about_what_is_due(self, limit: int, seconds: int, earlier: timedelta) -> None:
        self.now += seconds * SECOND
        with self.ledger.write() as connection:
            due = claim_due(connection, limit, self.now, earlier=earlier)
        assert len(due) <= limit
        times = []
        for each in due:
            before = self.seen.lookups[each.lookup_id]
            late = before.failure_kind in ("timed_out", "unconfirmed")
            assert before.state is State.IN_FLIGHT or late
            assert each.state is before.state
            assert each.profile_id == before.profile_id is not None
            assert each.claim == before.claim_number
            assert before.next_poll_at is not None
            assert before.next_poll_at <= self.now + earlier
            times.append(before.next_poll_at)
        taken = {each.lookup_id for each in due}
        for lookup_id, before in self.seen.lookups.items():
            left = lookup_id not in taken and before.state is State.IN_FLIGHT
            if left and before.next_poll_at and before.next_poll_at <= self.now + earlier:
                assert len(due) == limit
                assert before.next_poll_at >= max(times)
        self.polled += [Sent(each.lookup_id, each.claim) for each in due]

    @precondition(lambda self: self.polled)
    @rule(data=st.data(), kind=st.sampled_from(["complete", "failed", "in_flight"]))
    def a_poll_is_answered(self, data: st.DataObject, kind: str) -> None:
        asked = data.draw(st.sampled_from(self.polled), label="polled")
        told = self._answer(kind, asked.lookup_id, asked.claim, 20)
        self._record(replace(told, polled=True))

    @precondition(lambda self: self._any_in(State.SUBMITTING))
    @rule(after=st.sampled_from([timedelta(0), LEASE + SECOND]))
    def leases_expire(self, after: timedelta) -> None:
        self.now += after
        with self.ledger.write() as connection:
            expire_leases(connection, self.now)

    @precondition(lambda self: self._any_in(State.IN_FLIGHT))
    @rule(after=st.sampled_from([timedelta(0), DEADLINE + SECOND]))
    def deadlines_expire(self, after: timedelta) -> None:
        self.now += after
        with self.ledger.write() as connection:
            expire_deadlines(connection, self.now)

    @precondition(lambda self: self._any_in(State.FAILED) or self._any_in(State.UNCONFIRMED))
    @rule(
        date=st.sampled_from(DATES),
        kinds=st.sets(st.sampled_from(FailureKind), min_size=1),
        hours_ago=st.sampled_from([0, 1]),
    )
    def the_operator_has_some_sent_again(
        self, date: str, kinds: set[FailureKind], hours_ago: int
    ) -> None:
        self.now += SECOND
        asked_at = self.now - timedelta(hours=hours_ago)
        meant = set()
        for _file, _line, lookup_id in self.seen.rows[date]:
            ended = self.seen.lookups[lookup_id]
            if GIVEN_UP in self.seen.identities[lookup_id]:
                continue
            if ended.failure_kind in kinds and ended.settled_at and ended.settled_at < asked_at:
                meant.add(lookup_id)
        self.released |= meant
        self.ordered |= meant
        with self.ledger.write() as connection:
            assert requeue(connection, date, kinds, asked_at) == len(meant)

    @rule(date=st.sampled_from(DATES))
    def a_publication_begins(self, date: str) -> None:
        self.snapshots.append((date, self.seen.news[date]))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def a_publication_ends(self, data: st.DataObject) -> None:
        date, version = data.draw(st.sampled_from(self.snapshots), label="snapshot")
        with self.ledger.write() as connection:
            # What happens in between has a machine of its own.
            claimed = claim_publication(connection, date, version, self.now)
            if claimed:
                assert release_publication(connection, claimed)
                record_publication(connection, date, version, 0, self.now)
        assert (claimed is not None) == (version >= self.published.get(date, 0))
        if claimed and version:
            self.published[date] = version

    def _any_in(self, state: State) -> bool:
        return any(each.state is state for each in self.seen.lookups.values())

    # How it is said ----------------------------------------------------------------------------

    def _answer(self, kind: str, lookup_id: int, claim: int | None, wait: int) -> Answer:
        later = self.now + wait * SECOND
        match kind:
            case "complete":
                self.payloads_made += 1
                return complete(lookup_id, b'{"n":%d}' % self.payloads_made, claim=claim)
            case "failed":
                return failed(lookup_id, claim=claim)
            case "in_flight" | "without_id":
                known = kind == "in_flight"
                return in_flight(
                    lookup_id,
                    profile_id=7 if known else None,
                    poll_at=later if known else None,
                    deadline=self.now + DEADLINE,
                    claim=claim,
                )
            case "unconfirmed":
                return unconfirmed(lookup_id, claim)
            case _:
                return put_back(
                    lookup_id,
                    claim,
                    not_before=later if wait else None,
                    not_processed=kind == "not_processed",
                )

    def _record(self, answer: Answer) -> None:
        with self.ledger.write() as connection:
            record(connection, [answer], self.now)

    # What must hold ----------------------------------------------------------------------------

    @invariant()
    def every_invariant_holds(self) -> None:
        self._nothing_forbidden_happened()
        self._every_row_stands_there_exactly_once()
        self._what_was_paid_for_stays_published()
        self._what_may_have_been_paid_for_is_not_offered_again()
        self._exactly_the_unpublished_partitions_have_news()
        self._a_partition_is_settled_once_no_row_waits()
        self._one_identity_is_one_lookup()

    def _nothing_forbidden_happened(self) -> None:
        before, after = self.seen, self._look()
        for lookup_id, was in before.lookups.items():
            self._check_move(lookup_id, was, after.lookups[lookup_id])
        for lookup_id, payload in before.payloads.items():
            assert after.payloads.get(lookup_id, payload) == payload, "the first profile stays"
        for date in DATES:
            self._check_news(date, before, after)
        self.seen, self.released = after, set()

    def _check_move(self, lookup_id: int, was: Stored, is_now: Stored) -> None:
        if was.state is State.COMPLETE:
            assert is_now == was
        if was.state is not State.QUEUED and is_now.state is State.QUEUED:
            assert lookup_id in self.released, (
                "only its own claim, or the operator, may put it back"
            )
            self.risky.pop(lookup_id, None)
        if lookup_id in self.ordered and is_now.state is not State.QUEUED:
            assert is_now.state is State.COMPLETE, "an earlier request's answer undid the order"
            self.ordered.discard(lookup_id)
        if is_now.state in SETTLED:
            # One that timed out is still asked about, now and then; so is one in doubt.
            asked = is_now.failure_kind in ("timed_out", "unconfirmed")
            assert is_now.next_poll_at is None or (asked and is_now.profile_id is not None)
            assert is_now.settled_at is not None
        else:
            assert is_now.settled_at is None
        assert (is_now.failure_kind is None) or is_now.state is not State.COMPLETE

    def _check_news(self, date: str, before: Seen, after: Seen) -> None:
        grown = after.news[date] - before.news.get(date, 0)
        assert grown >= 0
        rows_changed = after.rows[date] != before.rows.get(date, [])
        rows_changed |= after.shown[date] != before.shown.get(date, [])
        moved = changed_words = False
        # Its rows, and those it pays for wherever they have gone.
        concerned = {lookup_id for _file, _line, lookup_id in after.rows[date]}
        concerned |= {lookup_id for lookup_id, payer in after.payers.items() if payer == date}
        for lookup_id in concerned:
            if (was := before.lookups.get(lookup_id)) is None:
                continue
            is_now = after.lookups[lookup_id]
            # A claim alone is no news: it ends in news within a lease.
            claimed = (was.state, is_now.state) == (State.QUEUED, State.SUBMITTING)
            moved |= was.state is not is_now.state and not claimed
            changed_words |= was.failure_kind != is_now.failure_kind
            changed_words |= was.keeps_lookup_id != is_now.keeps_lookup_id
        if rows_changed or moved or changed_words:
            assert grown > 0, "the files would never show it"
        elif grown:
            # Only a partition that was never heard of is news without a change.
            assert before.news.get(date, 0) == 0
            assert date in self.wanted

    def _look(self) -> Seen:
        seen = Seen()
        with self.ledger.read() as connection:
            seen.lookups = stored_lookups(connection)
            payers = connection.execute(select(lookups.c.lookup_id, lookups.c.first_date))
            seen.payers = {row.lookup_id: row.first_date for row in payers}
            identities = connection.execute(select(lookups.c.lookup_id, lookups.c.identity))
            seen.identities = {row.lookup_id: row.identity for row in identities}
            seen.with_news = [each.lookup_date for each in partitions_with_news(connection)]
            seen.settled = {date: is_settled(connection, date) for date in DATES}
            versions = select(partitions.c.lookup_date, partitions.c.published_version)
            seen.published = {
                row.lookup_date: row.published_version for row in connection.execute(versions)
            }
            end = self.now + timedelta(days=365)
            seen.offered = {each for date in DATES for each in queued_ids(connection, date, end)}
            for date in DATES:
                seen.news[date] = news_version(connection, date)
                found = [each for batch in rows_of(connection, date) for each in batch]
                seen.rows[date] = self._memberships(connection, date)
                seen.shown[date] = [each.lookup_id for each in found]
                for each, (_file, _line, lookup_id) in zip(found, seen.rows[date], strict=True):
                    own = seen.lookups[lookup_id]
                    if own.keeps_lookup_id is None or own.state is State.COMPLETE:
                        assert each.lookup_id == lookup_id
                        assert each.refresh_state is None
                    else:
                        assert each.lookup_id == own.keeps_lookup_id
                        assert each.state is State.COMPLETE
                        assert each.refresh_state is own.state
                        assert each.refresh_failure_kind == own.failure_kind
                    assert each.state is seen.lookups[each.lookup_id].state
                    assert (each.payload is not None) == (each.state is State.COMPLETE)
                    if each.payload is not None:
                        seen.payloads[each.lookup_id] = each.payload
        return seen

    def _memberships(self, connection: Connection, date: str) -> list[tuple[str, int, int]]:
        found = connection.execute(
            select(memberships.c.source_file, memberships.c.source_row, memberships.c.lookup_id)
            .where(memberships.c.lookup_date == date)
            .order_by(memberships.c.source_file, memberships.c.source_row)
        )
        return [(row.source_file, row.source_row, row.lookup_id) for row in found]

    def _what_was_paid_for_stays_published(self) -> None:
        asked = {
            (date, each.source_file, each.source_row): each.identity
            for date, wanted in self.wanted.items()
            for each in wanted
        }
        self.profiled = {
            row: person for row, person in self.profiled.items() if asked.get(row) == person
        }
        for date, rows in self.seen.rows.items():
            for (file, line, _lookup_id), shown in zip(rows, self.seen.shown[date], strict=True):
                row = (date, file, line)
                if self.seen.lookups[shown].state is State.COMPLETE:
                    self.profiled[row] = asked[row]
                assert row not in self.profiled or shown in self.seen.payloads, "it was paid for"

    def _every_row_stands_there_exactly_once(self) -> None:
        for date, wanted in self.wanted.items():
            keys = [(file, line) for file, line, _lookup_id in self.seen.rows[date]]
            assert keys == [(each.source_file, each.source_row) for each in wanted]
            assert all(lookup_id in self.seen.lookups for _, _, lookup_id in self.seen.rows[date])

    def _what_may_have_been_paid_for_is_not_offered_again(self) -> None:
        assert not self.seen.offered & self.risky.keys()

    def _exactly_the_unpublished_partitions_have_news(self) -> None:
        assert self.seen.published == {date: self.published.get(date, 0) for date in self.wanted}
        assert self.seen.with_news == sorted(
            date for date in self.wanted if self.seen.news[date] > self.published.get(date, 0)
        )

    def _a_partition_is_settled_once_no_row_waits(self) -> None:
        for date, settled in self.seen.settled.items():
            states = {self.seen.lookups[each].state for _, _, each in self.seen.rows[date]}
            assert settled is (states <= SETTLED)

    def _one_identity_is_one_lookup(self) -> None:
        identities = self.seen.identities.values()
        assert len(identities) == len(set(identities)) == len(self.seen.lookups)


AnyInterleaving.TestCase.settings = settings(
    deadline=None, database=None, max_examples=30, stateful_step_count=30
)
# Only a failure takes minutes: Hypothesis looks for the shortest story that shows it.
TestAnyInterleaving = pytest.mark.timeout(900)(AnyInterleaving.TestCase)
