"""A ledger with any number of lookups, by direct inserts: a million take half a minute."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice

import msgspec
import zstandard
from sqlalchemy import Connection, insert

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.bulk import insert_rows
from lookup_pipeline.ledger.identities import last_lookup, note_learned
from lookup_pipeline.ledger.tables import lookups, memberships, partitions, payloads
from lookup_pipeline.ledger.times import EPOCH, MICROSECOND, utc_now
from lookup_pipeline.names.identity import CURRENT_PREFIX, RULES_VERSION

ROWS_OF_A_PARTITION = 1_000
_ROWS_OF_A_TRANSACTION = 50_000

PROFILE = msgspec.json.encode(
    {
        "status": "complete",
        "name": "Grace Hopper",
        "current_employer": "Navy",
        "emails": [{"email": f"grace.{n}@example.org", "type": "professional"} for n in range(5)],
        "job_history": [{"company_name": f"Employer {n}", "title": "Admiral"} for n in range(10)],
    }
)
_STORED_PROFILE = zstandard.ZstdCompressor(level=3).compress(PROFILE)

_COLUMNS = (
    "lookup_id",
    "identity",
    "parameters",
    "state",
    "profile_id",
    "claim_number",
    "attempts",
    "submitted_at",
    "next_poll_at",
    "deadline_at",
    "settled_at",
    "first_date",
)


def settled(number: int) -> list[State]:
    """So many states: three of four complete, the others failed."""
    return [State.COMPLETE if n % 4 else State.FAILED for n in range(number)]


def every_date() -> Iterator[str]:
    """Partition keys of long ago, each once."""
    return ((date(1900, 1, 1) + timedelta(days=n)).isoformat() for n in range(40_000))


def store_lookups(
    ledger: Ledger,
    states: Sequence[State],
    dates: Iterator[str],
    prefix: str = CURRENT_PREFIX,
    ending: str = "",
) -> None:
    """Add so many lookups in published partitions of their own; each is asked for by one row.

    Args:
        ledger: where they are stored.
        states: where they stand; those in flight were sent, and are due, since twenty seconds.
        dates: the partitions to take.
        prefix: what their identities begin with.
        ending: what their identities end with; `{}` is the lookup's id.
    """
    for start in range(0, len(states), _ROWS_OF_A_TRANSACTION):
        some = states[start : start + _ROWS_OF_A_TRANSACTION]
        with ledger.write() as connection:
            _store(connection, some, dates, prefix, ending)
            if prefix == CURRENT_PREFIX:
                # As a registration does.
                note_learned(connection, RULES_VERSION, last_lookup(connection), utc_now())


def _store(
    connection: Connection, states: Sequence[State], dates: Iterator[str], prefix: str, ending: str
) -> None:
    first = last_lookup(connection) + 1
    days = list(islice(dates, -(-len(states) // ROWS_OF_A_PARTITION)))
    since = (utc_now() - EPOCH) // MICROSECOND - 20_000_000
    rows: list[tuple[object, ...]] = []
    members: list[tuple[object, ...]] = []
    profiles: list[tuple[object, ...]] = []
    for place, state in enumerate(states):
        lookup_id, day, at = first + place, days[place // ROWS_OF_A_PARTITION], since + place
        name, employer = f"Person{lookup_id} Name", f"Employer {lookup_id % 313}"
        identity = f"{prefix}name:{name}|{employer}".lower() + ending.format(lookup_id)
        parameters = f'{{"name":"{name}","current_employer":"{employer}"}}'
        requested = f'{{"requested_name":"{name}","requested_employer":"{employer}"}}'
        times = (at, at, None) if state is State.IN_FLIGHT else (None, None, at)
        sent = (lookup_id + 1_000_000, 1, 1, at)
        rows.append((lookup_id, identity, parameters, state.value, *sent, *times, day))
        members.append((day, "a.csv", place + 2, lookup_id, False, requested))
        if state is State.COMPLETE:
            profiles.append((lookup_id, _STORED_PROFILE, at))
    insert_rows(connection, lookups, _COLUMNS, rows)
    insert_rows(connection, memberships, tuple(memberships.columns.keys()), members)
    insert_rows(connection, payloads, tuple(payloads.columns.keys()), profiles)
    published = {"news_version": 1, "published_version": 1, "published_at": utc_now()}
    connection.execute(insert(partitions), [{"lookup_date": day, **published} for day in days])
