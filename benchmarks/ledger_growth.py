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
from datetime import date
from pathlib import Path
from typing import cast

from dagster import DagsterInstance, build_sensor_context
from sqlalchemy import update
from upath import UPath

from lookup_pipeline.enrichment.identities import learn_identities
from lookup_pipeline.enrichment.names import write_names
from lookup_pipeline.enrichment.publish import publish
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.identities import GIVEN_UP
from lookup_pipeline.ledger.tables import partitions
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.files import find_files
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachClient, StatusAnswer
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline_tests.ledger.filling import PROFILE, every_date, settled, store_lookups

FEW, MANY = 10_000, 1_000_000
DUE = 10_000
REFRESHED = 50_000

# Of the time with many to the time with few, at most.
BOUND = 1.5

# Rounds of each piece of work: at least so many, and for at least so many seconds.
LEAST_ROUNDS, SECONDS_OF_ROUNDS = 3, 5


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
    """A ledger that holds so many settled lookups, and the folders beside it."""

    def __init__(self, root: Path, stored: int) -> None:
        self.names = root / "names"
        self.names.mkdir(parents=True)
        self.folders = Folders(names_url=str(self.names), output_url=str(root / "output"))
        self.output = self.folders.output
        self.resource = LedgerResource(url=f"sqlite:///{root / 'ledger.db'}")
        self.ledger = self.resource.open()
        self.dates = every_date()
        self.refreshed = False
        began = time.perf_counter()
        store_lookups(self.ledger, settled(stored), self.dates)
        self._ask_for_publications()
        self.filling = time.perf_counter() - began

    def _ask_for_publications(self) -> None:
        """Let every fifth partition have news, for which a run was asked for."""
        is_chosen = partitions.c.lookup_date.like("%2") | partitions.c.lookup_date.like("%4")
        with self.ledger.write() as connection:
            connection.execute(
                update(partitions)
                .where(is_chosen)
                .values(news_version=2, publication_attempts=6, publication_requested_at=utc_now())
            )


class _AnsweringApi:
    """Knows everybody, at once."""

    def check_status(self, ids: Sequence[int]) -> list[StatusAnswer]:
        return [StatusAnswer(each, "complete", True, PROFILE) for each in ids]


class _AnsweringRocketReach(RocketReach):
    @contextmanager
    def client(self) -> Iterator[RocketReachClient]:
        yield cast("RocketReachClient", _AnsweringApi())


def tick(growing: GrowingLedger, due: int = DUE) -> Iterator[None]:
    """One evaluation of the sensor, with so many lookups due, all of which are complete."""
    store_lookups(growing.ledger, [State.IN_FLIGHT] * due, growing.dates)
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(
            instance=instance,
            resources={
                "ledger": growing.resource,
                "folders": growing.folders,
                "rocketreach": _AnsweringRocketReach(requests_per_second=0),
            },
        )
        yield
        lookup_status_sensor(context)


def registration(growing: GrowingLedger) -> Iterator[None]:
    """A partition of one new row."""
    lookup_date = next(growing.dates)
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
        followed = [State.COMPLETE] * REFRESHED
        store_lookups(growing.ledger, followed, growing.dates, ending=GIVEN_UP + "{}")
    store_lookups(growing.ledger, [State.QUEUED], growing.dates, prefix="v1:")
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
