"""What the provider's plan still allows: lookups in each of its windows, and credits above a floor.

The account call tells the figures; each claim takes its lookups off them, in every process, so the
plan's limits are kept and not bumped into. What is used up is asked about again when the window is
expected to open, and now and then before: how the provider lays its windows is not published.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import allowances, days, lookups
from lookup_pipeline.ledger.times import EPOCH, UtcTime

CREDITS = "credits"
"""The allowance that is no window: what may be spent above the floor."""

WINDOWS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    # The longest there is: what a month means to the provider is not published.
    "month": timedelta(days=31),
}

# Requests take their time to arrive, the first of a window no less than that of the next one.
_MARGIN = timedelta(seconds=1)

# Between looks at the account while a window is used up: it may open earlier than expected, and may
# be filled by somebody else. A twelfth of the window, from a minute to an hour; credits likewise.
_LOOKS = 12
_SHORTEST_BETWEEN_LOOKS = timedelta(minutes=1)
# One that should have opened, and has not, may have begun a little later than we know, with a
# request that was long on its way: for so long after its opening it is looked at more often.
_LATE_OPENING = timedelta(seconds=15)
_LONGEST_BETWEEN_LOOKS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one window of the plan, or the credits, allowed when the account was asked.

    Attributes:
        name: of `WINDOWS`, or `CREDITS`.
        limit: lookups in a whole window; None for credits.
        remaining: lookups left.
    """

    name: str
    limit: int | None
    remaining: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How things stood just before the account was asked; see `learn`.

    Attributes:
        at: when.
        in_air: lookups sent whose answer was not recorded: the account may not have counted them.
        in_flight: lookups in flight: the account may not have charged them.
    """

    at: datetime
    in_air: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Left:
    """What may be sent now.

    Attributes:
        lookups: how many.
        by: the allowance that leaves the least.
        opens_at: when there is expected to be more, where there is nothing.
        look_again_at: when to ask the account again, where there is nothing.
    """

    lookups: int
    by: str
    opens_at: datetime = EPOCH
    look_again_at: datetime = EPOCH


@dataclass(frozen=True, slots=True)
class Known:
    """An allowance as it stands.

    Attributes:
        name: of `WINDOWS`, or `CREDITS`.
        limit: lookups in a whole window; None for credits.
        remaining: lookups left.
        opened_at: when the first lookup of the window left, as we know it.
        look_again_at: used up: the account is not asked before then.
    """

    name: str
    limit: int | None
    remaining: int
    opened_at: datetime | None = None
    look_again_at: datetime | None = None

    def spend(self, number: int, now: datetime) -> "Known":
        """Return it after so many lookups, as `spend` leaves it where nobody asks the account."""
        remaining, opened_at = self.remaining - number, self.opened_at or now
        if remaining > 0:
            return replace(self, remaining=remaining, opened_at=opened_at)
        length = WINDOWS.get(self.name)
        at = now + _LONGEST_BETWEEN_LOOKS if length is None else opened_at + length + _MARGIN
        return replace(self, remaining=0, opened_at=opened_at, look_again_at=at)

    def reopen(self, now: datetime) -> "Known":
        """Return it as a new window where this one is over."""
        length = WINDOWS.get(self.name)
        if length is None or self.limit is None or self.opened_at is None:
            return self
        if self.opened_at + length + _MARGIN > now:
            return self
        return Known(self.name, self.limit, self.limit)


# Built once: composing a statement costs more than running it.
_KNOWN = select(allowances).order_by(allowances.c.name)
_SPEND = (
    update(allowances)
    .values(
        remaining=allowances.c.remaining - bindparam("number"),
        opened_at=func.coalesce(allowances.c.opened_at, bindparam("now", type_=UtcTime)),
    )
    .returning(allowances.c.name, allowances.c.opened_at, allowances.c.remaining)
)
_COUNT = (
    update(days)
    .where(days.c.day == bindparam("today"))
    .values(sent=days.c.sent + bindparam("number"))
)


def mark(connection: Connection, now: datetime) -> Mark:
    """Note how things stand before the account is asked."""

    def number(state: State) -> int:
        found = select(func.count()).where(lookups.c.state == state.value)
        return connection.execute(found).scalar_one()

    return Mark(now, number(State.SUBMITTING), number(State.IN_FLIGHT))


def learn(connection: Connection, found: Sequence[Allowance], asked: Mark, now: datetime) -> None:
    """Replace what was known by what the account says.

    What was sent around the time of the question is taken off, whether or not the account has
    counted it: too little for a while is better than too much.
    """
    uncounted = asked.in_air + sent_between(connection, asked.at, now)
    before = connection.execute(select(allowances.c.name, allowances.c.opened_at))
    opened: dict[str, datetime | None] = {row.name: row.opened_at for row in before}
    connection.execute(delete(allowances))
    for each in found:
        remaining = max(each.remaining - uncounted, 0)
        opened_at = opened.get(each.name)
        if opened_at is not None and opened_at > now:
            # The clock was set back since.
            opened_at = now
        length = WINDOWS.get(each.name)
        is_full = each.remaining == each.limit
        is_over = opened_at is None or length is None or opened_at + length <= now
        if opened_at and length and length / _LOOKS < _LATE_OPENING and each.remaining <= 0:
            is_over = opened_at + length + _LATE_OPENING <= now
        if is_full or is_over:
            # A new window: it opens with the next lookup, or was opened by somebody else just now.
            opened_at = None if is_full else now
        look_again_at = None
        if not remaining:
            look_again_at = _look_again_at(each.name, opened_at, now)
            if each.remaining > 0:
                look_again_at = now + _MARGIN
        connection.execute(
            insert(allowances).values(
                name=each.name,
                limit=each.limit,
                remaining=remaining,
                opened_at=opened_at,
                look_again_at=look_again_at,
            )
        )


def look_again(connection: Connection, at: datetime) -> None:
    """Have nobody ask about what is used up before then, and somebody afterwards."""
    connection.execute(
        update(allowances).where(allowances.c.remaining == 0).values(look_again_at=at)
    )


def known(connection: Connection) -> list[Known]:
    """Every allowance as it stands."""
    return [
        Known(row.name, row.limit, row.remaining, row.opened_at, row.look_again_at)
        for row in connection.execute(_KNOWN)
    ]


def left(connection: Connection) -> Left | None:
    """What may be sent by what is known; None where nothing limits it. The account is not asked."""
    return find_left(known(connection))


def find_left(every: Sequence[Known]) -> Left | None:
    """What these allowances let out; None where there are none."""
    if not every:
        return None
    tightest = min(every, key=lambda row: row.remaining)
    if tightest.remaining:
        return Left(tightest.remaining, tightest.name)
    used_up = {
        row.name: _opens_at(row.name, row.opened_at, row.look_again_at or EPOCH)
        for row in every
        if not row.remaining
    }
    last = max(used_up, key=used_up.__getitem__)
    look_again_at = min(row.look_again_at or EPOCH for row in every if not row.remaining)
    return Left(0, last, used_up[last], look_again_at)


def spend(connection: Connection, sent_at: Sequence[datetime], now: datetime) -> None:
    """Take lookups that were claimed off every allowance, and count them on their day.

    Args:
        connection: a write transaction.
        sent_at: when each of them leaves.
        now: the current time.
    """
    if not sent_at:
        return
    _count(connection, sent_at, 1)
    spent = connection.execute(_SPEND, {"number": len(sent_at), "now": now}).all()
    for name, opened_at, remaining in spent:
        if remaining <= 0:
            look_again_at = _look_again_at(name, opened_at, now)
            if name == CREDITS:
                # Most of what was claimed may cost nothing: the account knows.
                look_again_at = now + _MARGIN
            connection.execute(
                update(allowances)
                .where(allowances.c.name == name)
                .values(remaining=0, look_again_at=look_again_at)
            )


def give_back(connection: Connection, sent_at: Sequence[datetime]) -> None:
    """Requests that certainly were not processed do not count on the day on which they left.

    Their day, not that of their answer: midnight may lie between, and the new day must not get
    their room.
    """
    _count(connection, sent_at, -1)


def sent_on(connection: Connection, now: datetime) -> int:
    """How many requests were sent today, UTC, that may have been processed: each try counts."""
    found = select(days.c.sent).where(days.c.day == now.date().isoformat())
    return max(connection.scalar(found) or 0, 0)


def next_day(now: datetime) -> datetime:
    """When the day ends by which `sent_on` counts: midnight, UTC."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _count(connection: Connection, sent_at: Sequence[datetime], each: int) -> None:
    for day, number in Counter(at.date().isoformat() for at in sent_at).items():
        counted = connection.execute(_COUNT, {"today": day, "number": each * number})
        if not counted.rowcount:
            connection.execute(insert(days).values(day=day, sent=each * number))


def sent_between(connection: Connection, since: datetime, now: datetime) -> int:
    """How many lookups were sent since: those that were put back and wait count, once.

    What was sent later than now was sent on a clock that was ahead: nobody knows when.
    """
    found = select(func.count()).where(lookups.c.submitted_at.between(since, now))
    return connection.execute(found).scalar_one()


def _opens_at(name: str, opened_at: datetime | None, look_again_at: datetime) -> datetime:
    length = WINDOWS.get(name)
    if length is None or opened_at is None:
        return look_again_at
    # Expected to be open already, though it is not: nothing goes out before somebody has looked.
    return max(opened_at + length + _MARGIN, look_again_at)


def _look_again_at(name: str, opened_at: datetime | None, now: datetime) -> datetime:
    length = WINDOWS.get(name)
    if length is None or opened_at is None:
        return now + _LONGEST_BETWEEN_LOOKS
    opens_at = opened_at + length + _MARGIN
    if opens_at <= now:
        return now + min(length / _LOOKS, _LONGEST_BETWEEN_LOOKS)
    soon = now + min(max(length / _LOOKS, _SHORTEST_BETWEEN_LOOKS), _LONGEST_BETWEEN_LOOKS)
    # Not twice within a moment: the opening itself is not missed.
    return opens_at if opens_at - soon < _SHORTEST_BETWEEN_LOOKS else soon
