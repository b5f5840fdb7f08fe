"""What work on a ledger costs when a hundred times as much is stored: it should cost the same.

`make benchmark`, or `python -m benchmarks.ledger_growth --stored 1000000`. Two ledgers are filled,
one with ten thousand settled lookups, one with a million. Then each gets the same work to do, which
is done by the pipeline's own code. The API is a stand-in within this process that answers at once,
so the figures say what the ledger costs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import cast

import msgspec
import zstandard
from dagster import DagsterInstance, build_sensor_context
from sqlalchemy import Connection, case, insert, literal, update
from upath import UPath

from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.identities import learn_identities
from lookup_pipeline.enrichment.names import write_names
from lookup_pipeline.enrichment.publish import publish
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.bulk import insert_rows
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.identities import GIVEN_UP, last_lookup, note_learned
from lookup_pipeline.ledger.tables import lookups, memberships, partitions, payloads
from lookup_pipeline.ledger.times import EPOCH, MICROSECOND, utc_now
from lookup_pipeline.names.files import find_files
from lookup_pipeline.names.identity import CURRENT_PREFIX, RULES_VERSION
from lookup_pipeline.resources import LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachClient, StatusAnswer
from lookup_pipeline.sensors import lookup_status_sensor

FEW, MANY = 10_000, 1_000_000
DUE = 10_000
REFRESHED = 50_000

# Of the time with many to the time with few, at most.
BOUND = 1.5

# Rounds of each piece of work: at least so many, and for at least so many seconds.
LEAST_ROUNDS, SECONDS_OF_ROUNDS = 3, 5
ROWS_OF_A_PARTITION = 1_000
ROWS_OF_A_TRANSACTION = 50_000

_PROFILE = msgspec.json.encode(
    {
        "status": "complete",
        "name": "Grace Hopper",
        "current_employer": "Navy",
        "emails": [{"email": f"grace.{n}@example.org", "type": "professional"} for n in range(5)],
        "job_history": [{"company_name": f"Employer {n}", "title": "Admiral"} for n in range(10)],
    }
)
_STORED_PROFILE = zstandard.ZstdCompressor(level=3).compress(_PROFILE)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stored", type=int, default=MANY)
    stored = parser.parse_args().stored
    with tempfile.TemporaryDirectory() as folder:
        few, many = (GrowingLedger(Path(folder) / str(n), n) for n in (FEW, stored))
        took = {name: measure(work, few, many) for name, work in WORK.items()}
        few.ledger.close()
        many.ledger.close()
    print(f"{FEW:,} and {stored:,} settled lookups stored, {os.cpu_count()} cores")
    print(f"  {'filling':38} {few.filling * 1000:8.1f} ms {many.filling * 1000:8.1f} ms")
    for name, (less, more) in took.items():
        ratio = more / less
        bound = f"; bound {BOUND}: {'kept' if ratio <= BOUND else 'NOT KEPT'}"
        print(
            f"  {name:38} {less * 1000:8.1f} ms {more * 1000:8.1f} ms   ratio {ratio:5.2f}"
            f"{bound if name in BOUNDED else ''}"
        )


def measure(
    work: Callable[["GrowingLedger"], Iterator[None]], few: "GrowingLedger", many: "GrowingLedger"
) -> tuple[float, float]:
    """Seconds that a piece of work takes on each ledger, in the best of some rounds."""
    # In turns: what else the machine does meets both.
    began = time.monotonic()
    rounds: list[tuple[float, float]] = []
    while len(rounds) < LEAST_ROUNDS or time.monotonic() - began < SECONDS_OF_ROUNDS:
        rounds.append((seconds(work(few)), seconds(work(many))))
    less, more = (min(each) for each in zip(*rounds, strict=True))
    return less, more


def seconds(work: Iterator[None]) -> float:
    """Seconds from the first `yield` to the end; what comes before is preparation."""
    next(work)
    began = time.perf_counter()
    next(work, None)
    return time.perf_counter() - began


class GrowingLedger:
    """A ledger that is filled by direct inserts, and the folders beside it."""

    def __init__(self, root: Path, stored: int) -> None:
        self.names = root / "names"
        self.names.mkdir(parents=True)
        self.output = DatasetFolder(str(root / "output"))
        self.resource = LedgerResource(url=f"sqlite:///{root / 'ledger.db'}")
        self.ledger = self.resource.open()
        self._dates = (date(1900, 1, 1) + timedelta(days=n) for n in range(100_000))
        self.refreshed = False
        began = time.perf_counter()
        self.store([State.FAILED if n % 4 == 0 else State.COMPLETE for n in range(stored)])
        self._note_publications()
        self.filling = time.perf_counter() - began

    def next_dates(self, number: int) -> list[str]:
        """So many partition keys that nothing stands in yet."""
        return [each.isoformat() for each in islice(self._dates, number)]

    def store(
        self, states: Sequence[State], prefix: str = CURRENT_PREFIX, ending: str = ""
    ) -> None:
        """Add so many lookups in new partitions; each is asked for by one row.

        Args:
            states: where they stand.
            prefix: what their identities begin with.
            ending: what their identities end with.
        """
        for start in range(0, len(states), ROWS_OF_A_TRANSACTION):
            with self.ledger.write() as connection:
                self._store(
                    connection, states[start : start + ROWS_OF_A_TRANSACTION], prefix, ending
                )

    def _store(
        self, connection: Connection, states: Sequence[State], prefix: str, ending: str
    ) -> None:
        first = last_lookup(connection) + 1
        dates = self.next_dates(-(-len(states) // ROWS_OF_A_PARTITION))
        # Twenty seconds ago, and then one after the other.
        sent = (utc_now() - EPOCH) // MICROSECOND - 20_000_000
        rows, members, profiles = [], [], []
        for place, state in enumerate(states):
            lookup_id, lookup_date = first + place, dates[place // ROWS_OF_A_PARTITION]
            name, employer = (
                f"Person{lookup_id} Name{lookup_id % 977}",
                f"Employer {lookup_id % 313}",
            )
            identity = f"{prefix}name:{name}|{employer}".lower() + ending.format(lookup_id)
            parameters = f'{{"name":"{name}","current_employer":"{employer}"}}'
            requested = f'{{"requested_name":"{name}","requested_employer":"{employer}"}}'
            in_flight = state is State.IN_FLIGHT
            times = (sent + place, sent + place) if in_flight else (None, None)
            settled_at = None if in_flight else sent + place
            numbers = (lookup_id + 1_000_000, 1, 1, sent + place)
            rows.append(
                (
                    lookup_id,
                    identity,
                    parameters,
                    state.value,
                    *numbers,
                    *times,
                    settled_at,
                    lookup_date,
                )
            )
            members.append((lookup_date, "a.csv", place + 2, lookup_id, False, requested))
            if state is State.COMPLETE:
                profiles.append((lookup_id, _STORED_PROFILE, sent + place))
        insert_rows(connection, lookups, _LOOKUP_COLUMNS, rows)
        insert_rows(connection, memberships, tuple(memberships.columns.keys()), members)
        insert_rows(connection, payloads, tuple(payloads.columns.keys()), profiles)
        connection.execute(
            insert(partitions), [{"lookup_date": each, "news_version": 1} for each in dates]
        )
        if prefix == CURRENT_PREFIX:
            # As a registration does.
            note_learned(connection, RULES_VERSION, last_lookup(connection), utc_now())

    def _note_publications(self) -> None:
        """All partitions are published; some have news since, for which a run is asked for."""
        with self.ledger.write() as connection:
            is_even = partitions.c.lookup_date.like("%2") | partitions.c.lookup_date.like("%4")
            connection.execute(
                update(partitions).values(
                    published_version=1,
                    news_version=case((is_even, literal(2)), else_=literal(1)),
                    published_at=utc_now(),
                    publication_attempts=1,
                    publication_requested_at=utc_now(),
                )
            )


_LOOKUP_COLUMNS = (
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


class _AnsweringApi:
    """Knows everybody, at once."""

    def check_status(self, ids: Sequence[int]) -> list[StatusAnswer]:
        return [StatusAnswer(each, "complete", True, _PROFILE) for each in ids]


class _AnsweringRocketReach(RocketReach):
    @contextmanager
    def client(self) -> Iterator[RocketReachClient]:
        yield cast("RocketReachClient", _AnsweringApi())


def tick(growing: GrowingLedger, due: int = DUE) -> Iterator[None]:
    """One evaluation of the sensor, with so many lookups due, all of which are complete."""
    growing.store([State.IN_FLIGHT] * due)
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(
            instance=instance,
            resources={
                "ledger": growing.resource,
                "rocketreach": _AnsweringRocketReach(requests_per_second=0),
            },
        )
        yield
        lookup_status_sensor(context)


def registration(growing: GrowingLedger) -> Iterator[None]:
    """A partition of one new row."""
    (lookup_date,) = growing.next_dates(1)
    (growing.names / f"{lookup_date}.csv").write_text(f"name,employer\nAda {lookup_date},Acme\n")
    files = find_files(UPath(str(growing.names)), date.fromisoformat(lookup_date))
    write_names(files, growing.output, lookup_date)
    yield
    register(growing.ledger, growing.output, lookup_date)


def publication(growing: GrowingLedger) -> Iterator[None]:
    """A partition of one row."""
    for _ in registration(growing):
        pass
    yield
    publish(growing.ledger, growing.output, max(path.stem for path in growing.names.iterdir()))


def counting(growing: GrowingLedger) -> Iterator[None]:
    """What `status` shows of every partition there is."""
    yield
    with growing.ledger.read() as connection:
        count_partitions(connection)


def learning(growing: GrowingLedger) -> Iterator[None]:
    """One lookup that older rules made, where fifty thousand have been followed by newer ones."""
    if not growing.refreshed:
        growing.refreshed = True
        growing.store([State.COMPLETE] * REFRESHED, ending=GIVEN_UP + "{}")
    growing.store([State.QUEUED], prefix="v1:")
    yield
    learn_identities(growing.ledger)


WORK: dict[str, Callable[[GrowingLedger], Iterator[None]]] = {
    f"a tick with {DUE:,} due": tick,
    "a tick with nothing due": lambda growing: tick(growing, 0),
    "registration of one new row": registration,
    "publication of one row": publication,
    f"learning one lookup, {REFRESHED:,} refreshed": learning,
    "status, every partition counted": counting,
}
BOUNDED = tuple(WORK)[:5]


if __name__ == "__main__":
    main()
