"""Taking up what others prove about lookups, in a ledger that is older than the world.

What it holds as queued may have been sent since, so it counts as unconfirmed unless the submission
counters prove that no claim came later. What published files prove is then taken up, by identity:
the ids of a lost ledger mean nothing here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Row,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    update,
)

from lookup_pipeline.ledger.answers import store_payloads
from lookup_pipeline.ledger.bulk import insert_rows, is_one_of
from lookup_pipeline.ledger.counts import credits_of_partition
from lookup_pipeline.ledger.identities import KnownLookup, known_lookups
from lookup_pipeline.ledger.lineage import begin_incarnation, newest_lookup, note_counter, raise_to
from lookup_pipeline.ledger.news import note_news, note_news_of
from lookup_pipeline.ledger.refresh import give_up_identities
from lookup_pipeline.ledger.resumption import Stage, WaitReason, begin, hold
from lookup_pipeline.ledger.states import FailureKind, State
from lookup_pipeline.ledger.tables import lineage, lookups, memberships, partitions, waits
from lookup_pipeline.ledger.times import UtcTime

_kept = lookups.alias("kept")

_RECONCILE = "ledger reconcile"

_REASON = "whether it was sent after this copy of the ledger was made is not known"

WAS_TO_BE_SENT = "it was about to be sent; whether it was is not known"
"""The reason of a doubt that a file proves: an older failure does not end it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one published row proves about the lookup of its identity.

    Attributes:
        identity: by today's rules.
        parameters: JSON text of what is sent to the provider.
        state: `QUEUED` only where the counters prove that no claim came later.
        api_status: the provider's status, as received.
        profile_id: the provider's id of the person.
        attempts: how often it was sent.
        submitted_at: when it was sent last.
        settled_at: when it ended.
        payload: the profile's JSON (`COMPLETE`).
        credits: credits it cost (`COMPLETE`).
        failure_kind: a `FailureKind` (`FAILED`, `UNCONFIRMED`).
        failure_reason: the provider's words, or ours.
        http_status: of the answer that ended it.
        refresh_state: where the lookup stands that is to replace this profile (`COMPLETE`); if
            `QUEUED`, as above.
        refresh_failure_kind: why it brought none.
    """

    identity: str
    parameters: str
    state: State
    api_status: str | None = None
    profile_id: int | None = None
    attempts: int = 0
    submitted_at: datetime | None = None
    settled_at: datetime | None = None
    payload: bytes | None = None
    credits: int = 0
    failure_kind: str | None = None
    failure_reason: str | None = None
    http_status: int | None = None
    refresh_state: State | None = None
    refresh_failure_kind: str | None = None


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A lookup about which evidence was taken up.

    Attributes:
        lookup_id: the ledger's id.
        evidence: what is known of it now.
        is_counted: whether the ledger has counted what it cost before.
    """

    lookup_id: int
    evidence: Evidence
    is_counted: bool


def doubt_unsent(connection: Connection, now: datetime, *, above: int = 0) -> None:
    """Count lookups that the ledger holds for unsent, or being sent, as unconfirmed.

    Args:
        connection: a write transaction.
        now: the current time.
        above: only lookups with a higher id than this.
    """
    doubtful = list(
        connection.scalars(
            update(lookups)
            .where(
                lookups.c.lookup_id > above,
                lookups.c.state.in_([State.QUEUED.value, State.SUBMITTING.value]),
            )
            .values(
                state=State.UNCONFIRMED.value,
                settled_at=now,
                lease_until=None,
                not_before=None,
                # Of one that is known by the provider's id can be asked whether it was accepted.
                next_poll_at=case((lookups.c.profile_id.is_not(None), literal(now, UtcTime))),
                failure_kind=FailureKind.UNCONFIRMED.value,
                failure_reason=_REASON,
            )
            .returning(lookups.c.lookup_id)
        )
    )
    note_news_of(connection, doubtful)


# What the ledger knows stays where a file does not tell.
_KEPT = ("api_status", "profile_id")
_COLUMNS = (
    *_KEPT,
    "submitted_at",
    "settled_at",
    "attempts",
    "failure_kind",
    "failure_reason",
    "http_status",
)


def _given(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=lookups.c[name].type)


_TAKE_UP = (
    update(lookups)
    .where(lookups.c.lookup_id == bindparam("key"))
    .values(
        {name: _given(name) for name in ("state", *_COLUMNS, "deadline_at")}
        | {name: func.coalesce(_given(name), lookups.c[name]) for name in _KEPT}
        | {
            "next_poll_at": case(
                (
                    bindparam("can_be_asked", type_=Boolean())
                    & func.coalesce(_given("profile_id"), lookups.c.profile_id).is_not(None),
                    bindparam("asked_at", type_=UtcTime),
                )
            ),
            "credits": lookups.c.credits + bindparam("more_credits"),
            "lease_until": None,
            "not_before": None,
        }
    )
)


def take_up(
    connection: Connection, found: Sequence[Evidence], now: datetime, deadline: timedelta
) -> list[TakenUp]:
    """Bring lookups in line with what published rows prove, where the ledger knows less.

    A profile always wins, the newer one over an older one; otherwise what happened last.

    Args:
        connection: a write transaction.
        found: the evidence.
        now: the current time.
        deadline: how long a lookup may stay in flight.

    Returns:
        What was taken up.
    """
    by_identity = {each.identity: each for each in found}
    known = known_lookups(connection, by_identity)
    if unknown := [each for identity, each in by_identity.items() if identity not in known]:
        # Of rows that have left their file, or whose `lookups` file is gone.
        _create(connection, unknown)
        known = known_lookups(connection, by_identity)
    held = {
        row.lookup_id: row
        for row in connection.execute(
            select(lookups, _kept.c.settled_at.label("kept_settled_at"))
            .outerjoin(_kept, _kept.c.lookup_id == lookups.c.keeps_lookup_id)
            .where(
                is_one_of(
                    connection,
                    lookups.c.lookup_id,
                    [each.lookup_id for each in known.values()],
                )
            )
        )
    }
    taken = [
        TakenUp(
            lookup.lookup_id,
            by_identity[identity],
            _is_counted(by_identity[identity], held[lookup.lookup_id]),
        )
        for identity, lookup in known.items()
        if _proves_more(by_identity[identity], held[lookup.lookup_id])
    ]
    if taken:
        connection.execute(_TAKE_UP, [_values(each, now, deadline) for each in taken])
        store_payloads(
            connection,
            {
                each.lookup_id: each.evidence.payload
                for each in taken
                if each.evidence.payload is not None
            },
            now,
        )
        note_news_of(connection, [each.lookup_id for each in taken])
    return taken


def _create(connection: Connection, found: Sequence[Evidence]) -> None:
    """Know lookups that no row asks for: who is published was sent."""
    numbers = count(newest_lookup(connection) + 1)
    insert_rows(
        connection,
        lookups,
        ("lookup_id", "identity", "parameters", "state", "failure_kind", "failure_reason"),
        [
            (
                next(numbers),
                each.identity,
                each.parameters,
                State.UNCONFIRMED.value,
                FailureKind.UNCONFIRMED.value,
                _REASON,
            )
            for each in found
        ],
    )


def _proves_more(evidence: Evidence, held: Row[Any]) -> bool:
    before = State(held.state)
    if evidence.state is State.COMPLETE:
        # A refresh keeps an earlier profile, which says nothing of the refresh itself.
        known = held.settled_at if before is State.COMPLETE else held.kept_settled_at
        return known is None or _is_after(evidence.settled_at, known)
    if before is State.COMPLETE:
        return False
    if evidence.state is State.QUEUED:
        return before is State.UNCONFIRMED
    if evidence.failure_reason == WAS_TO_BE_SENT:
        # It had ended before, and was to be sent again.
        return True
    if held.failure_reason == WAS_TO_BE_SENT and evidence.state is State.FAILED:
        return False
    # When something came into doubt says nothing of when it was sent.
    known_at = held.submitted_at if before is State.UNCONFIRMED else _last(held)
    found_at = evidence.settled_at or evidence.submitted_at
    return known_at is None or not _is_after(known_at, found_at)


def _is_counted(evidence: Evidence, held: Row[Any]) -> bool:
    """Whether evidence is about the very request that the ledger has the profile of."""
    is_complete = held.state == State.COMPLETE.value
    return bool(is_complete and held.submitted_at == evidence.submitted_at)


def _last(held: Row[Any]) -> datetime | None:
    at: datetime | None = held.settled_at or held.submitted_at
    return at


def _is_after(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _values(each: TakenUp, now: datetime, deadline: timedelta) -> dict[str, Any]:
    found = each.evidence
    is_in_flight = found.state is State.IN_FLIGHT
    can_be_asked = (
        found.state in (State.IN_FLIGHT, State.UNCONFIRMED)
        or found.failure_kind == FailureKind.TIMED_OUT
    )
    return {
        "key": each.lookup_id,
        "state": found.state.value,
        **{name: getattr(found, name) for name in _COLUMNS},
        "can_be_asked": can_be_asked,
        "asked_at": now,
        "deadline_at": (found.submitted_at or now) + deadline if is_in_flight else None,
        "more_credits": 0 if each.is_counted else found.credits,
    }


def take_up_refreshes(
    connection: Connection, lookup_date: str, found: Sequence[Evidence], now: datetime
) -> None:
    """Bring refreshes in line with what is published beside the profiles that they are to replace.

    Args:
        connection: a write transaction in which the profiles have been taken up.
        lookup_date: the partition that shows them.
        found: the evidence.
        now: the current time.
    """
    by_identity = {each.identity: each for each in found if each.refresh_state is not None}
    known = known_lookups(connection, by_identity)
    shown = [each.profile_lookup_id for each in known.values() if each.profile_lookup_id]
    times = select(lookups.c.lookup_id, lookups.c.settled_at).where(
        is_one_of(connection, lookups.c.lookup_id, shown)
    )
    settled_at = {row.lookup_id: row.settled_at for row in connection.execute(times)}
    changed = []
    for identity, lookup in known.items():
        evidence, kept = by_identity[identity], lookup.profile_lookup_id
        if kept is None or settled_at[kept] != evidence.settled_at:
            # The ledger knows a newer profile than this refresh was to replace.
            continue
        refresh = lookup
        if lookup.state is State.COMPLETE:
            refresh = _add_refresh(connection, identity, lookup, lookup_date)
        if refresh.state is State.IN_FLIGHT and evidence.refresh_state is State.UNCONFIRMED:
            # It can be asked about.
            continue
        changed.append(refresh.lookup_id)
        _set_refresh(connection, refresh.lookup_id, evidence, now)
        connection.execute(
            update(memberships)
            .where(memberships.c.lookup_date == lookup_date, memberships.c.lookup_id == kept)
            .values(lookup_id=refresh.lookup_id)
        )
    note_news_of(connection, changed)


def _add_refresh(
    connection: Connection, identity: str, followed: KnownLookup, lookup_date: str
) -> KnownLookup:
    """Have a new lookup take over from a complete one, whose profile it keeps."""
    give_up_identities(connection, {identity: followed})
    number = newest_lookup(connection) + 1
    values: dict[str, ColumnElement[Any]] = {
        "lookup_id": literal(number),
        "identity": literal(identity),
        "parameters": lookups.c.parameters,
        "state": literal(State.UNCONFIRMED.value),
        "first_date": literal(lookup_date),
        "keeps_lookup_id": lookups.c.lookup_id,
    }
    earlier = select(*values.values()).where(lookups.c.lookup_id == followed.lookup_id)
    connection.execute(insert(lookups).from_select(list(values), earlier))
    return KnownLookup(number, lookup_date, State.UNCONFIRMED, identity, followed.lookup_id)


def _set_refresh(connection: Connection, lookup_id: int, evidence: Evidence, now: datetime) -> None:
    is_queued = evidence.refresh_state is State.QUEUED
    is_in_doubt = evidence.refresh_state is State.UNCONFIRMED
    kind = FailureKind.UNCONFIRMED.value if is_in_doubt else evidence.refresh_failure_kind
    connection.execute(
        update(lookups)
        .where(lookups.c.lookup_id == lookup_id)
        .values(
            state=evidence.refresh_state,
            failure_kind=None if is_queued else kind,
            failure_reason=_REASON if is_in_doubt else None,
            # When it ended is not published: a refresh by age counts from here.
            settled_at=None if is_queued else now,
            lease_until=None,
            next_poll_at=None,
        )
    )


def finish(
    connection: Connection,
    published: dict[str, int],
    ancestors: Sequence[str],
    counters: dict[str, int],
    counter_up_to: int,
    lookup_ids_up_to: int,
    now: datetime,
) -> None:
    """Make the ledger a new incarnation that may send and publish.

    Args:
        connection: the write transaction in which everything was taken up.
        published: by partition key, the version that its files show.
        ancestors: the incarnations that published them.
        counters: by writer, the counters beside the datasets.
        counter_up_to: the highest counter that a file names.
        lookup_ids_up_to: the highest lookup id that is published.
        now: the current time.
    """
    for lookup_date, version in published.items():
        # The next publication shows a version that no file has shown.
        connection.execute(
            update(partitions)
            .where(partitions.c.lookup_date == lookup_date, partitions.c.claimed_version < version)
            .values(claimed_version=version)
        )
        connection.execute(
            update(partitions)
            .where(partitions.c.lookup_date == lookup_date, partitions.c.news_version < version)
            .values(news_version=version)
        )
        connection.execute(
            update(partitions)
            .where(partitions.c.lookup_date == lookup_date)
            .values(published_credits=credits_of_partition(connection, lookup_date))
        )
    note_news(connection, published)
    _have_queued_resumed(connection, now)
    for writer, counter in counters.items():
        note_counter(connection, writer, counter)
    raise_to(connection, counter_up_to)
    begin_incarnation(connection, ancestors, now)
    connection.execute(
        update(lineage).values(
            reconcile_reason=None,
            lookup_ids_above=max(newest_lookup(connection), lookup_ids_up_to),
        )
    )


def _have_queued_resumed(connection: Connection, now: datetime) -> None:
    """Have partitions with lookups to be sent taken up again: their waits went with the ledger."""
    waiting = select(waits.c.lookup_date)
    dates = connection.scalars(
        select(memberships.c.lookup_date)
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .where(lookups.c.state == State.QUEUED.value, memberships.c.lookup_date.not_in(waiting))
        .distinct()
    )
    for lookup_date in list(dates):
        begin(connection, lookup_date, Stage.SUBMIT, _RECONCILE, now)
        detail = "the ledger was reconciled"
        hold(connection, lookup_date, WaitReason.INTERRUPTED, detail, now, now)


def count_doubtful(connection: Connection) -> int:
    """Return how many lookups are in doubt since they may have been sent from another ledger."""
    found = select(func.count()).where(
        lookups.c.state == State.UNCONFIRMED.value,
        lookups.c.failure_reason.in_([_REASON, WAS_TO_BE_SENT]),
    )
    return connection.execute(found).scalar_one()
