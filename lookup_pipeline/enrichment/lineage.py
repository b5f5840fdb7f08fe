"""Whether the ledger is older than the world: what it must not be before anything is sent.

A restored, copied or rolled-back ledger takes for queued what was sent since. What the datasets and
the counters beside them show decides; `ledger.lineage` describes the counters.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self
from uuid import uuid4

from sqlalchemy import Connection

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.datasets.storage import DatasetFolder, StorageError
from lookup_pipeline.datasets.submission_counters import SubmissionCounter, SubmissionCounters
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.ledger import Ledger, LedgerError
from lookup_pipeline.ledger.identities import last_lookup
from lookup_pipeline.ledger.lineage import (
    is_known_incarnation,
    known_counters,
    raise_counter,
    read_lineage,
    require_reconcile,
)
from lookup_pipeline.ledger.publications import highest_version, news_version

# One counter covers so many claims, or so many seconds of them: what an older ledger could miss
# where its submission died right after the copy was made.
CLAIMS_PER_COUNTER = 100
SECONDS_PER_COUNTER = 10.0

# The next counter is raised when so much of this one is used: a store that takes seconds to write
# holds up nothing.
_RAISE_AHEAD = 0.5

_CURE = (
    "Nothing is sent and nothing is published until you run `lookup-pipeline ledger reconcile`, "
    "which takes up what the datasets and free status calls can prove, and asks before it changes "
    "anything."
)

INCARNATION, VERSION, COUNTER = "incarnation", "published_version", "submission_counter"
"""The names of the facts in a published file's metadata."""


class OutdatedLedgerError(Exception):
    """The ledger is older than its datasets; the message says how it shows and what to do."""

    def __init__(self, ledger: Ledger, reason: str) -> None:
        super().__init__(f"The ledger {ledger.url} must be reconciled: {reason}. {_CURE}")


def check_lineage(ledger: Ledger, folder: DatasetFolder) -> list[SubmissionCounter]:
    """Refuse a ledger that is older than what lies in the output folder. Sends nothing.

    Returns:
        The counters beside the datasets.

    Raises:
        OutdatedLedgerError: it is older, lost, or another one's.
        StorageError: the folder's counters cannot be read.
    """
    # Before the ledger is read: it commits a counter before the object shows it.
    objects = SubmissionCounters(folder).read()
    with ledger.read() as connection:
        held = read_lineage(connection)
        known = known_counters(connection, [each.writer for each in objects])
        is_empty = last_lookup(connection) == 0
    if held.reconcile_reason is not None:
        raise OutdatedLedgerError(ledger, held.reconcile_reason)
    newest = max(objects, key=lambda each: each.counter - known.get(each.writer, 0), default=None)
    if newest is not None and newest.counter > known.get(newest.writer, 0):
        raise OutdatedLedgerError(
            ledger,
            f"lookups were submitted that it does not know (up to number {newest.counter}, it "
            f"knows {known.get(newest.writer, 0)}). It is an older copy, or the ledger of another "
            f"output folder than {folder.root}",
        )
    if is_empty and not objects and _has_rows(folder):
        raise OutdatedLedgerError(
            ledger,
            f"it is empty, but {folder.root} holds published lookups. The ledger that published "
            "them is gone, or LOOKUP_PIPELINE_LEDGER_URL names another one",
        )
    return objects


def _has_rows(folder: DatasetFolder) -> bool:
    return any(
        folder.rows(dataset, date)
        for dataset in (LOOKUPS, PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
        for date in folder.partitions(dataset)
    )


def facts_of(connection: Connection, lookup_date: str) -> dict[str, str]:
    """Return what a partition's files say of the state of the ledger that they show."""
    held = read_lineage(connection)
    return {
        INCARNATION: held.incarnation,
        VERSION: str(news_version(connection, lookup_date)),
        COUNTER: str(held.counter),
    }


def check_published(
    ledger: Ledger, folder: DatasetFolder, lookup_date: str
) -> dict[str, dict[str, str]]:
    """Refuse to replace a partition's files that show a newer state than the ledger's.

    Returns:
        By published dataset, the facts that its file names.

    Raises:
        OutdatedLedgerError: they do. From then on the ledger must be reconciled.
    """
    found = {
        dataset.name: folder.facts(dataset, lookup_date)
        for dataset in (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
    }
    for facts in found.values():
        if INCARNATION in facts:
            _check_facts(ledger, folder, lookup_date, facts)
    return found


def _check_facts(
    ledger: Ledger, folder: DatasetFolder, lookup_date: str, facts: Mapping[str, str]
) -> None:
    with ledger.read() as connection:
        is_known = is_known_incarnation(connection, facts[INCARNATION])
        known_version = highest_version(connection, lookup_date)
    if is_known and int(facts[VERSION]) <= known_version:
        return
    reason = (
        f"the files of {lookup_date} in {folder.root} show version {facts[VERSION]} of it, it "
        f"knows {known_version}"
        if is_known
        else f"the files of {lookup_date} in {folder.root} were published by another ledger, or a "
        "later restored copy of this one"
    )
    with ledger.write() as connection:
        require_reconcile(connection, reason)
    raise OutdatedLedgerError(ledger, reason)


class CounterKeeper:
    """Keeps one submission's counter raised ahead of its claims.

    The counter is committed in the ledger first, then shown beside the datasets; claims follow.
    So an object never shows more than the ledger knows, and a ledger that lacks claims lacks their
    counter as well. It is raised in a transaction of the submission's own, and shown by a thread:
    a store that is slow to answer holds up claims, never the answers to those that are in the air.

    Entering the context checks the ledger; the first claim has the first counter raised, leaving
    raises the last one.
    """

    def __init__(self, ledger: Ledger, folder: DatasetFolder, clock: Clock) -> None:
        self._ledger = ledger
        self._folder = folder
        self._counters = SubmissionCounters(folder)
        self._clock = clock
        self._writer = uuid4().hex
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counter")
        self._raised: int | None = None
        self._showing: Future[None] | None = None
        # When (monotonic) the counter was raised that is shown; None before the first.
        self._covered_since: float | None = None
        self._raised_at = 0.0
        # Claims since the counter that is shown, and those of them that the next one covers.
        self._claims = self._before_raising = 0

    def __enter__(self) -> Self:
        """Check the ledger.

        Raises:
            OutdatedLedgerError: it is older than the world; nothing may be sent.
            StorageError: the counters cannot be read; nothing may be sent.
        """
        check_lineage(self._ledger, self._folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        if self._covered_since is None and self._showing is None:
            # It has claimed nothing.
            return
        # Without the last one, more lookups than need be count as in doubt after a restore.
        with suppress(LedgerError, OutdatedLedgerError, StorageError):
            with self._ledger.write() as connection:
                counter = raise_counter(connection, self._writer)
            self._show(counter, is_open=False)

    def room(self, connection: Connection) -> int:
        """Return how many claims may be made now; raise the next counter in time.

        Args:
            connection: the claims' write transaction, within `shown_when_committed`.

        Raises:
            OutdatedLedgerError: another ledger has submitted meanwhile.
            StorageError: the counter cannot be shown.
        """
        if self._showing is not None and self._showing.done():
            self._showing.result()
            self._showing = None
            self._covered_since = self._raised_at
            self._claims -= self._before_raising
        used = 1.0
        if self._covered_since is not None:
            age = time.monotonic() - self._covered_since
            used = max(age / SECONDS_PER_COUNTER, self._claims / CLAIMS_PER_COUNTER)
        if used >= _RAISE_AHEAD and self._showing is None:
            self._raised = raise_counter(connection, self._writer)
            self._raised_at, self._before_raising = time.monotonic(), self._claims
        return CLAIMS_PER_COUNTER - self._claims if used < 1 else 0

    def note_claims(self, number: int) -> None:
        """Count claims that were made."""
        self._claims += number

    @contextmanager
    def shown_when_committed(self) -> Iterator[None]:
        """Have a counter shown that the transaction in this block raises, once it is committed."""
        self._raised = None
        yield
        if self._raised is not None:
            self._showing = self._thread.submit(self._show, self._raised, is_open=True)

    def _show(self, counter: int, *, is_open: bool) -> None:
        shown = SubmissionCounter(self._writer, counter, is_open, self._clock())
        self._counters.write(shown)
        # After our own is there to be seen: of two ledgers that begin at once, one sees the other.
        others = check_lineage(self._ledger, self._folder)
        self._counters.remove_covered(others, shown)
