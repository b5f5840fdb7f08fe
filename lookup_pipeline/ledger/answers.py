"""Recording what became of a lookup, whichever way the answer came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import zstandard
from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from lookup_pipeline.ledger.identities import GIVEN_UP
from lookup_pipeline.ledger.news import note_news_of
from lookup_pipeline.ledger.refresh import keep_late_profile
from lookup_pipeline.ledger.states import SETTLED, State, may_move
from lookup_pipeline.ledger.tables import lookups, payloads


@dataclass(frozen=True, slots=True)
class Answer:
    """What is now known about one lookup.

    Attributes:
        lookup_id: the ledger's id.
        state: the state it asks for; `states.may_move` decides.
        claim: the number of the request it is about, where that is known; see `states.may_move`.
        api_status: the provider's status, as received.
        profile_id: the provider's id of the person.
        request_id: the provider's id of the submission.
        polled: whether it came from a poll.
        next_poll_at: when to ask again (`IN_FLIGHT`).
        deadline_at: when to give up (`IN_FLIGHT`; the first one stays).
        not_before: when it may be sent again (`QUEUED`).
        not_processed: the request certainly was not processed (`QUEUED`): it is no attempt.
        payload: the profile's JSON (`COMPLETE`).
        credits: credits it cost (`COMPLETE`).
        failure_kind: a `FailureKind` (`FAILED`, `UNCONFIRMED`).
        failure_reason: the provider's words, or ours where it said nothing.
        http_status: of the answer that ended it.
    """

    lookup_id: int
    state: State
    claim: int | None = None
    api_status: str | None = None
    profile_id: int | None = None
    request_id: str | None = None
    polled: bool = False
    next_poll_at: datetime | None = None
    deadline_at: datetime | None = None
    not_before: datetime | None = None
    not_processed: bool = False
    payload: bytes | None = None
    credits: int = 0
    failure_kind: str | None = None
    failure_reason: str | None = None
    http_status: int | None = None


# Built once: composing a statement costs more than running it.
_HELD = (
    select(
        lookups.c.lookup_id,
        lookups.c.identity,
        lookups.c.state,
        lookups.c.failure_kind,
        lookups.c.claim_number,
        lookups.c.deadline_at,
    )
    .where(lookups.c.lookup_id.in_(bindparam("lookup_ids", expanding=True)))
    .with_for_update()
)

_SET = (
    "state",
    "next_poll_at",
    "deadline_at",
    "not_before",
    "settled_at",
    "credits",
    "failure_kind",
    "failure_reason",
    "http_status",
)
# What is learnt once stays when a later answer does not repeat it.
_KEPT = ("api_status", "profile_id", "request_id", "last_polled_at")


def _given(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=lookups.c[name].type)


_UPDATE = (
    update(lookups)
    .where(lookups.c.lookup_id == bindparam("key"))
    .values(
        {name: _given(name) for name in _SET}
        | {name: func.coalesce(_given(name), lookups.c[name]) for name in _KEPT}
        | {"attempts": lookups.c.attempts + _given("attempts")}
    )
)


def record(connection: Connection, answers: Sequence[Answer], now: datetime) -> int:
    """Record answers, those that the states allow; returns how many lookups changed.

    An answer that the states do not allow (a poll that says `searching` of a lookup that is
    complete by now) changes nothing. An answer that repeats the state refreshes its details.
    """
    if not answers:
        return 0
    held = {
        row.lookup_id: row
        for row in connection.execute(
            _HELD, {"lookup_ids": [answer.lookup_id for answer in answers]}
        )
    }
    updates: dict[int, dict[str, Any]] = {}
    profiles: dict[int, bytes] = {}
    changed: list[int] = []
    late: dict[int, str] = {}
    later: list[Answer] = []
    seen: set[int] = set()
    for answer in answers:
        if answer.lookup_id in seen:
            # A second answer about the same lookup meets what the first one left.
            later.append(answer)
            continue
        seen.add(answer.lookup_id)
        row = held.get(answer.lookup_id)
        if row is None or not may_move(
            State(row.state),
            answer.state,
            claim=answer.claim,
            latest_claim=row.claim_number,
            failure_kind=row.failure_kind,
        ):
            continue
        # A failure replaces another only where that one was a time-out: other words, so news.
        if row.state != answer.state or answer.state is State.FAILED:
            changed.append(answer.lookup_id)
        updates[answer.lookup_id] = _values(answer, row.deadline_at, now)
        if answer.payload is not None:
            profiles[answer.lookup_id] = answer.payload
        if answer.state is State.COMPLETE and GIVEN_UP in row.identity:
            late[answer.lookup_id] = row.identity
    _write(connection, updates)
    store_payloads(connection, profiles, now)
    shown = [
        newer
        for lookup_id, identity in late.items()
        for newer in keep_late_profile(connection, identity, lookup_id)
    ]
    if changed:
        note_news_of(connection, changed + shown)
    return len(changed) + record(connection, later, now)


def _values(answer: Answer, deadline: datetime | None, now: datetime) -> dict[str, Any]:
    return {
        "key": answer.lookup_id,
        "state": answer.state.value,
        "api_status": answer.api_status,
        "profile_id": answer.profile_id,
        "request_id": answer.request_id,
        "last_polled_at": now if answer.polled else None,
        "next_poll_at": answer.next_poll_at,
        "deadline_at": deadline or answer.deadline_at,
        "not_before": answer.not_before,
        "attempts": -1 if answer.not_processed else 0,
        "settled_at": now if answer.state in SETTLED else None,
        "credits": answer.credits,
        "failure_kind": answer.failure_kind,
        "failure_reason": answer.failure_reason,
        "http_status": answer.http_status,
    }


def _write(connection: Connection, updates: dict[int, dict[str, Any]]) -> None:
    if updates:
        connection.execute(_UPDATE, list(updates.values()))


def store_payloads(connection: Connection, profiles: dict[int, bytes], now: datetime) -> None:
    """Keep these lookups' profiles, as JSON, in place of any that are there."""
    if not profiles:
        return
    # Level 3: a quarter of the size at 30,000 profiles a second; higher levels gain little.
    compressor = zstandard.ZstdCompressor(level=3)
    connection.execute(delete(payloads).where(payloads.c.lookup_id.in_(list(profiles))))
    connection.execute(
        insert(payloads),
        [
            {"lookup_id": key, "payload": compressor.compress(payload), "received_at": now}
            for key, payload in profiles.items()
        ],
    )
