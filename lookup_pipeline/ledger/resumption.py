"""Waits: which partitions have work left, why it stopped, since when, and until when.

A wait is noted when a run begins to work on a partition, and removed only when nothing is left to
do. So a run that is killed, or fails in whatever way, leaves it behind, and the partition is taken
up again. A wait without an end is one that an operator stopped.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from lookup_pipeline.ledger import allowances, limits
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.ledger.tables import waits
from lookup_pipeline.ledger.times import EPOCH


class WaitReason(StrEnum):
    """Why a partition waits."""

    RUNNING = "running"
    """A run works on it."""
    LIMITS = "limits"
    """The provider's limits, its cooldown, or a spend cap."""
    ACCOUNT = "account"
    """Key, credits or plan."""
    OUTAGE = "outage"
    """The API does not answer as it should."""
    LEDGER = "ledger"
    """The ledger can't be read or written."""
    STORAGE = "storage"
    """Files can't be read or written."""
    CONFIGURATION = "configuration"
    """A setting is missing or invalid."""
    ERROR = "error"
    """Anything else that ended a run."""
    INTERRUPTED = "interrupted"
    """Its run ended without an error of its own: it was probably killed."""
    CANCELED = "canceled"
    """Stopped: an operator canceled or interrupted its run."""
    RUN_LIMIT = "run_limit"
    """Stopped: its run had a maximum of its own, in lookups or in time."""
    INPUT = "input"
    """Stopped: a file of the partition can't be read; the next run reads it again."""


STOPPED = frozenset({WaitReason.CANCELED, WaitReason.RUN_LIMIT, WaitReason.INPUT})
"""Reasons that end only when somebody runs the partition again."""


class Stage(StrEnum):
    """How far a partition's work has come: what a run has to begin with."""

    READ = "read"
    """Its CSV files have to be read."""
    REGISTER = "register"
    """Its rows have to be registered."""
    SUBMIT = "submit"
    """What is queued has to be sent."""


# A run that lives renews its wait; one of another host, or of a Dagster instance that is gone, is
# believed to live for so long after it did so last.
RUN_LEASE = timedelta(minutes=15)
RENEW_EVERY = timedelta(minutes=1)

# Between attempts that fail: doubling. An outage that is over is noticed within the longest.
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wait:
    """A partition with work left.

    Attributes:
        lookup_date: partition key.
        reason: why it waits.
        detail: what happened, for a person to read; holds no personal data.
        stage: what has to be done.
        since: when it began to wait.
        until: when it is taken up again; None where an operator stopped it.
        attempts: failed attempts in a row.
        run_id: the run that works on it, or did so last.
        request: names the run that was asked for and has not taken it up.
        in_backfill: whether a backfill wants it.
    """

    lookup_date: str
    reason: WaitReason
    detail: str | None
    stage: Stage
    since: datetime
    until: datetime | None
    attempts: int
    run_id: str | None
    request: str | None
    in_backfill: bool

    @property
    def resumes(self) -> bool:
        """Whether it is taken up again without an operator."""
        return self.until is not None


_COLUMNS = [waits.c[name] for name in Wait.__dataclass_fields__]


def pause_after(attempts: int, longest: timedelta = LONGEST_PAUSE) -> timedelta:
    """How long to leave a partition alone after so many failed attempts in a row (from 1)."""
    return min(FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20)), longest)


def begin(
    connection: Connection,
    lookup_date: str,
    stage: Stage,
    run_id: str,
    now: datetime,
    *,
    in_backfill: bool = False,
    resumes: bool = True,
) -> None:
    """Note that a run works on a partition, or has come to its next stage.

    Args:
        connection: a write transaction.
        lookup_date: partition key.
        stage: what the run is about to do.
        run_id: the run.
        now: the current time.
        in_backfill: whether a backfill wants it.
        resumes: whether what the run leaves undone is taken up again by itself.
    """
    before = find_wait(connection, lookup_date)
    values: dict[str, Any] = {
        "reason": WaitReason.RUNNING.value,
        "stage": stage.value,
        "until": now + RUN_LEASE if resumes else None,
        "run_id": run_id,
        "request": None,
        "in_backfill": in_backfill,
        "noted_at": now,
    }
    if before is None:
        connection.execute(
            insert(waits).values(lookup_date=lookup_date, since=now, attempts=0, **values)
        )
    else:
        _set(connection, [lookup_date], values)


def renew(connection: Connection, lookup_date: str, run_id: str, now: datetime) -> None:
    """Note that the run that works on a partition lives."""
    connection.execute(
        update(waits)
        .where(
            waits.c.lookup_date == lookup_date,
            waits.c.run_id == run_id,
            waits.c.reason == WaitReason.RUNNING.value,
            waits.c.until.is_not(None),
        )
        .values(until=now + RUN_LEASE, noted_at=now)
    )


def hold(
    connection: Connection,
    lookup_date: str,
    reason: WaitReason,
    detail: str,
    until: datetime | None,
    now: datetime,
    *,
    attempts: int = 0,
) -> None:
    """Have a partition whose run has ended wait until then; None where an operator stopped it."""
    values: dict[str, Any] = {
        "reason": reason.value,
        "detail": detail,
        "until": until,
        "attempts": attempts,
        "request": None,
        "noted_at": now,
    }
    _set(connection, [lookup_date], values)


def stop(connection: Connection, lookup_dates: Collection[str], detail: str, now: datetime) -> None:
    """Note that an operator wants nothing more of these partitions sent."""
    values: dict[str, Any] = {
        "reason": WaitReason.CANCELED.value,
        "detail": detail,
        "until": None,
        "request": None,
        "noted_at": now,
    }
    _set(connection, lookup_dates, values)


def postpone(
    connection: Connection,
    lookup_dates: Collection[str],
    until: datetime,
    now: datetime,
    **reason: Any,
) -> None:
    """Look at these partitions again at that time: they can't be resumed now.

    Args:
        connection: a write transaction.
        lookup_dates: partition keys.
        until: when to look again.
        now: the current time.
        reason: `reason`, `detail` and `attempts`, where they are others than before.
    """
    connection.execute(
        update(waits)
        # A run may have taken one up meanwhile, or somebody may have stopped it.
        .where(
            waits.c.lookup_date.in_(lookup_dates),
            waits.c.until.is_not(None),
            waits.c.reason != WaitReason.RUNNING.value,
        )
        .values(until=until, request=None, noted_at=now, **reason)
    )


def resume_now(connection: Connection, now: datetime) -> list[str]:
    """Have every partition that waits for its time be due; returns which."""
    return sorted(
        connection.scalars(
            update(waits)
            .where(waits.c.until.is_not(None), waits.c.reason != WaitReason.RUNNING.value)
            .values(until=now, request=None, noted_at=now)
            .returning(waits.c.lookup_date)
        )
    )


def note_request(
    connection: Connection, lookup_date: str, request: str, now: datetime, until: datetime
) -> None:
    """Note that a run was asked for; look again at `until` whether it has begun."""
    _set(connection, [lookup_date], {"request": request, "until": until, "noted_at": now})


def resolve(connection: Connection, lookup_date: str) -> None:
    """Nothing is left to do for a partition."""
    connection.execute(delete(waits).where(waits.c.lookup_date == lookup_date))


def find_wait(connection: Connection, lookup_date: str) -> Wait | None:
    """The wait of one partition; None where it has none."""
    found = connection.execute(select(*_COLUMNS).where(waits.c.lookup_date == lookup_date)).first()
    return None if found is None else _wait(found)


def is_outage_known(connection: Connection, lookup_date: str) -> bool:
    """Whether a partition's last attempt has failed, or any partition waits for an outage's end."""
    own = and_(waits.c.lookup_date == lookup_date, waits.c.attempts > 0)
    # One that nobody resumes tells nothing of today.
    others = and_(waits.c.reason == WaitReason.OUTAGE.value, waits.c.until.is_not(None))
    found = select(waits.c.lookup_date).where(or_(own, others))
    return connection.execute(found.limit(1)).first() is not None


def find_waits(connection: Connection, lookup_dates: Collection[str] | None = None) -> list[Wait]:
    """The waits of these partitions, or of all, the oldest partition first."""
    found = select(*_COLUMNS).order_by(waits.c.lookup_date)
    if lookup_dates is not None:
        found = found.where(waits.c.lookup_date.in_(lookup_dates))
    return [_wait(row) for row in connection.execute(found)]


def waits_to_look_at(connection: Connection, now: datetime) -> list[Wait]:
    """Waits whose time has come, and those whose run may have ended.

    Nightly partitions before those of a backfill, the oldest first.
    """
    found = connection.execute(
        select(*_COLUMNS)
        .where(or_(waits.c.until <= now, waits.c.reason == WaitReason.RUNNING.value))
        .order_by(waits.c.in_backfill, waits.c.lookup_date)
    )
    return [_wait(row) for row in found]


def due_to_resume(connection: Connection, now: datetime) -> list[Wait]:
    """Waits that a run may take up now: their time has come, and no run is known to have them.

    What has nothing left to send is resolved on the way; where lookups may not be sent yet, the
    partition is not due yet.
    """
    due = []
    for wait in waits_to_look_at(connection, now):
        if wait.reason is WaitReason.RUNNING or wait.request is not None:
            continue
        if wait.stage is Stage.SUBMIT:
            ready_at = next_ready_at(connection, wait.lookup_date)
            if ready_at is None:
                resolve(connection, wait.lookup_date)
            if ready_at is None or ready_at > now:
                continue
        due.append(wait)
    return due


def queued_until(connection: Connection, lookup_date: str) -> datetime | None:
    """When a partition's queued lookups are expected to go out.

    None when none is queued, or when nothing is known to hold them.
    """
    ready_at = next_ready_at(connection, lookup_date)
    if ready_at is None:
        return None
    wait = find_wait(connection, lookup_date)
    # That of a run that works on it is a lease.
    waits_until = None if wait is None or wait.reason is WaitReason.RUNNING else wait.until
    left = allowances.left(connection)
    window = left.opens_at if left is not None and not left.lookups else None
    cooldown = limits.blocked_until(connection, limits.LOOKUPS)
    until = max(filter(None, (ready_at, waits_until, window, cooldown)))
    return until if until > EPOCH else None


def _set(connection: Connection, lookup_dates: Collection[str], values: dict[str, Any]) -> None:
    connection.execute(update(waits).where(waits.c.lookup_date.in_(lookup_dates)).values(values))


def _wait(row: Row[*tuple[Any, ...]]) -> Wait:
    values = row._asdict()
    values["reason"], values["stage"] = WaitReason(values["reason"]), Stage(values["stage"])
    return Wait(**values)
