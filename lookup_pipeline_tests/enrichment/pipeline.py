"""The flows as a test drives them: a folder, a ledger, a client, and a clock that can be moved."""

import csv
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select
from upath import UPath

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    PENDING_LOOKUPS,
    PROFILES,
    Dataset,
)
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.account import Plan
from lookup_pipeline.enrichment.budget import SubmissionPolicy
from lookup_pipeline.enrichment.names import write_names
from lookup_pipeline.enrichment.poll import PollReport, poll
from lookup_pipeline.enrichment.publish import PUBLISHED, Publication, publish
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.enrichment.report import SubmissionReport
from lookup_pipeline.enrichment.submit import submit
from lookup_pipeline.ledger import Ledger, State, open_ledger
from lookup_pipeline.ledger.counts import PartitionCounts, count_partitions
from lookup_pipeline.ledger.publications import LedgerRow, rows_of
from lookup_pipeline.ledger.registration import Registered
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.names.files import find_files
from lookup_pipeline.rocketreach import RocketReachClient
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.rocketreach.raw_server import Request, http

DAY = "2026-01-05"
NEXT_DAY = "2026-01-06"

DEADLINE = timedelta(hours=24)

Person = tuple[str, str]
Row = dict[str, Any]


class MovableClock:
    """The real time, plus what a test has moved it on; `speed` makes pauses short."""

    def __init__(self, speed: float = 1) -> None:
        self._begun = datetime.now(UTC)
        self._monotonic = time.monotonic()
        self._speed = speed
        self._advanced = timedelta(0)

    def __call__(self) -> datetime:
        passed = timedelta(seconds=(time.monotonic() - self._monotonic) * self._speed)
        return self._begun + passed + self._advanced

    def advance(self, **by: float) -> None:
        self._advanced += timedelta(**by)


@dataclass
class Pipeline:
    """One ledger, one output folder, one API."""

    root: Path
    ledger: Ledger
    output: DatasetFolder
    client: RocketReachClient
    clock: MovableClock = field(default_factory=MovableClock)

    def write_csv(self, people: Sequence[Person], day: str = DAY) -> Path:
        path = self.root / "names" / f"{day}.csv"
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "current_employer", "Cost Centre"])
            writer.writerows([*person, f"CC-{place}"] for place, person in enumerate(people))
        return path

    def read_names(self, day: str = DAY) -> None:
        """What the `names` asset does with a date's files."""
        files = find_files(UPath(str(self.root / "names")), date.fromisoformat(day))
        write_names(files, self.output, day)

    def register(self, people: Sequence[Person], day: str = DAY) -> Registered:
        self.write_csv(people, day)
        self.read_names(day)
        return register(self.ledger, self.output, day)

    def submit(
        self,
        day: str = DAY,
        *,
        owner: str = "run",
        rate: float = 0,
        lookup_type: str = "standard",
        seconds: float | None = None,
        windows: dict[str, int] | None = None,
        min_credits: int = 0,
        progress: Callable[[SubmissionReport], None] = lambda _report: None,
        **caps: int,
    ) -> SubmissionReport:
        policy = SubmissionPolicy(
            Plan(lookup_type, rate, windows or {}, min_credits), DEADLINE, seconds, **caps
        )
        return submit(
            self.ledger,
            self.output,
            self.client,
            day,
            owner,
            policy,
            clock=self.clock,
            progress=progress,
        )

    def poll(self, *, rate: float = 0, seconds: float = 30, adopts: bool = True) -> PollReport:
        return poll(
            self.ledger,
            self.client,
            requests_per_second=rate,
            deadline=DEADLINE,
            seconds=seconds,
            adopts=adopts,
            clock=self.clock,
        )

    def settle(self) -> None:
        """Poll, at each lookup's own time, until nothing is in flight."""
        for _ in range(20):
            if not self.counts_of_all()[State.IN_FLIGHT]:
                return
            self.clock.advance(minutes=5)
            self.poll()
        raise AssertionError("the lookups do not settle")

    def publish(self, day: str = DAY) -> Publication:
        return publish(self.ledger, self.output, day, clock=self.clock)

    def counts(self, day: str = DAY) -> PartitionCounts:
        with self.ledger.read() as connection:
            (counts,) = count_partitions(connection, [day])
        return counts

    def states(self, day: str = DAY) -> dict[State, int]:
        """Rows by state, those states only that have any."""
        return {state: rows for state, rows in self.counts(day).states.items() if rows}

    def counts_of_all(self) -> Counter[State]:
        with self.ledger.read() as connection:
            partitions = count_partitions(connection)
        return sum((Counter(each.states) for each in partitions), Counter[State]())

    def ledger_rows(self, day: str = DAY) -> dict[str, LedgerRow]:
        """The partition's rows in the ledger, by the name asked for."""
        with self.ledger.read() as connection:
            rows = [row for batch in rows_of(connection, day) for row in batch]
        return {msgspec.json.decode(row.requested)["requested_name"]: row for row in rows}

    def paid_for(self, day: str = DAY) -> set[str]:
        """The names asked for whose lookups cost a credit, by the ledger."""
        with self.ledger.read() as connection:
            paid = set(connection.scalars(select(lookups.c.lookup_id).where(lookups.c.credits > 0)))
        return {name for name, row in self.ledger_rows(day).items() if row.lookup_id in paid}

    def table(self, dataset: Dataset, day: str = DAY) -> pa.Table:
        """A partition's file, as a reader finds it."""
        return pq.ParquetFile(str(self.output.path(dataset, day))).read()

    def rows(self, dataset: Dataset, day: str = DAY) -> list[Row]:
        return self.table(dataset, day).to_pylist()

    def published(self, day: str = DAY) -> dict[str, str]:
        """The published dataset in which each name stands; fails when one stands in two."""
        places: dict[str, str] = {}
        for dataset in PUBLISHED:
            for row in self.rows(dataset, day):
                assert row["requested_name"] not in places
                places[row["requested_name"]] = dataset.name
        return places

    def published_rows(self, day: str = DAY) -> list[tuple[str, int]]:
        return sorted(
            (row["source_file"], row["source_row"])
            for dataset in (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
            for row in self.rows(dataset, day)
        )

    def files(self) -> dict[str, bytes]:
        """Every file of the output folder, byte for byte."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted((self.root / "output").rglob("*"))
            if path.is_file()
        }


@contextmanager
def opened_pipeline(root: Path, base_url: str, api_key: str) -> Iterator[Pipeline]:
    """A pipeline on the ledger and the output below `root`, whatever they hold already."""
    ledger = open_ledger(f"sqlite:///{root / 'ledger.db'}")
    try:
        with RocketReachClient(base_url, api_key) as client:
            yield Pipeline(root, ledger, DatasetFolder(str(root / "output")), client)
    finally:
        ledger.close()


def people(number: int, family: str = "Byron") -> list[Person]:
    """So many different people."""
    return [(f"Ada{place} {family}", f"Employer {place}") for place in range(number)]


def to_lookups(answer: Callable[[Request], bytes]) -> Callable[[Request], bytes]:
    """What a raw server says, but for the account call: there it knows of no limit."""
    return lambda request: http(200, b"{}") if "/account" in request.path else answer(request)


def sent(sandbox: RunningSandbox) -> Counter[str]:
    """How often each person's lookup was processed by the provider."""
    return Counter(lookup.query["name"] for lookup in sandbox.lookups())


@contextmanager
def once(
    condition: Callable[[], bool], action: Callable[[], None], *, seconds: float = 30
) -> Iterator[None]:
    """Beside the block, do something as soon as a condition holds; it must come to hold."""
    done = threading.Event()

    def watch() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                action()
                done.set()
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        watcher.join()
    assert done.is_set(), "what the test waits for never happened"
