"""What enriching a partition will cost, before anything is written or sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from lookup_pipeline.datasets.columns import NAMES
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.duration_estimate import Sending, Simulation
from lookup_pipeline.enrichment.identities import learn_identities
from lookup_pipeline.enrichment.register import BATCH, requested_rows
from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.identities import known_lookups
from lookup_pipeline.ledger.refresh import Refresh, lookups_of, outdated
from lookup_pipeline.names.files import NamesFile

if TYPE_CHECKING:
    from lookup_pipeline.names.report import FileReport


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a partition's CSV files ask for.

    Attributes:
        lookup_date: partition key.
        usable: rows that can be looked up.
        rejected: rows that can't.
        reused: usable rows whose lookup is known already, or repeats another row's.
        new: lookups that nobody has asked for before.
        refreshed: lookups that follow one whose data are old.
        queued: lookups that were asked for before, and wait in the queue.
        sending: what of it goes out, and when.
    """

    lookup_date: str
    usable: int = 0
    rejected: int = 0
    reused: int = 0
    new: int = 0
    refreshed: int = 0
    queued: int = 0
    sending: Sending = field(default_factory=Sending)

    @property
    def to_send(self) -> int:
        """Lookups that are wanted, whether or not a limit lets them out."""
        return self.new + self.refreshed + self.queued

    def __add__(self, other: "Forecast") -> "Forecast":
        return Forecast(
            self.lookup_date,
            self.usable + other.usable,
            self.rejected + other.rejected,
            self.reused + other.reused,
            self.new + other.new,
            self.refreshed + other.refreshed,
            self.queued + other.queued,
            self.sending + other.sending,
        )


@dataclass(slots=True)
class _SoFar:
    """What the runs of the partitions before will have done.

    Attributes:
        asked_for: people for whom they will have made a lookup, or sent one that waited.
        unsent: those of them whose lookup a limit keeps in the queue, in its order.
    """

    asked_for: set[str] = field(default_factory=set)
    unsent: dict[str, None] = field(default_factory=dict)


def forecast(
    ledger: Ledger,
    files_by_date: Sequence[tuple[str, Sequence[NamesFile]]],
    refresh: Refresh,
    simulation: Simulation,
    reports: "list[FileReport] | None" = None,
) -> list[Forecast]:
    """What these partitions ask for, if they are enriched one after the other.

    Args:
        ledger: what is known already; only read, once it has learned today's identities.
        files_by_date: partition keys, each with its files, in the order of the runs.
        refresh: who is looked up again.
        simulation: lets the runs send.
        reports: takes how each file was read.

    Raises:
        UnreadableFile: a file can't be read as a CSV at all.
    """
    learn_identities(ledger)
    so_far = _SoFar()
    return [
        _of_partition(ledger, date, files, refresh, simulation, so_far, reports)
        for date, files in files_by_date
    ]


def _of_partition(
    ledger: Ledger,
    lookup_date: str,
    files: Sequence[NamesFile],
    refresh: Refresh,
    simulation: Simulation,
    so_far: _SoFar,
    reports: "list[FileReport] | None",
) -> Forecast:
    # pandas takes longer to load than all the rest: only where files are read.
    from lookup_pipeline.names.reader import read_names  # noqa: PLC0415

    found = Forecast(lookup_date)
    here = _Partition(lookup_date, refresh, so_far)
    for batch in read_names(files, reports=reports):
        identities = batch.usable["identity"].tolist()
        with ledger.read() as connection:
            found += here.add(connection, identities)
        found = replace(found, rejected=found.rejected + len(batch.rejected))
    return replace(found, sending=here.send(simulation))


def forecast_names(
    ledger: Ledger, folder: DatasetFolder, lookup_date: str, refresh: Refresh
) -> Forecast:
    """What a partition asks for whose `names` are materialized, before it is registered.

    Raises as `register` does.
    """
    learn_identities(ledger)
    found, here = Forecast(lookup_date), _Partition(lookup_date, refresh, _SoFar())
    for batch in folder.batches(NAMES, lookup_date, BATCH):
        identities = [row.identity for row in requested_rows(batch)]
        with ledger.read() as connection:
            found += here.add(connection, identities)
    return found


class _Partition:
    """The people of one partition, batch by batch."""

    def __init__(self, lookup_date: str, refresh: Refresh, so_far: _SoFar) -> None:
        self._lookup_date = lookup_date
        self._refresh = refresh
        self._so_far = so_far
        self._seen: set[str] = set()
        self._served_before: set[int] | None = None
        # In the order of the queue: what waits by its number, then what waits because of the runs
        # before, then what is new.
        self._waiting: dict[int, str] = {}
        self._new: list[str] = []

    def add(self, connection: Connection, identities: Sequence[str]) -> Forecast:
        """Count some rows, by the people they mean."""
        if self._served_before is None:
            self._served_before = lookups_of(connection, self._lookup_date)
        here = [each for each in dict.fromkeys(identities) if each not in self._seen]
        self._seen.update(here)
        unsent = sum(each in self._so_far.unsent for each in here)
        others = [each for each in here if each not in self._so_far.asked_for]
        known = known_lookups(connection, others)
        old = outdated(
            connection,
            [each.lookup_id for each in known.values()],
            self._lookup_date,
            self._served_before,
            self._refresh,
        )
        waiting = {each.lookup_id: who for who, each in known.items() if each.state is State.QUEUED}
        self._waiting |= waiting
        self._new += [who for who in others if who not in known or known[who].lookup_id in old]
        new = len(others) - len(known)
        refreshed = sum(each.lookup_id in old for each in known.values())
        return Forecast(
            self._lookup_date,
            usable=len(identities),
            reused=len(identities) - new - refreshed,
            new=new,
            refreshed=refreshed,
            queued=len(waiting) + unsent,
        )

    def send(self, simulation: Simulation) -> Sending:
        """Let the partition's run send, and note what it leaves behind for the ones after it."""
        before = [who for who in self._so_far.unsent if who in self._seen]
        queue = [*(self._waiting[number] for number in sorted(self._waiting)), *before, *self._new]
        sending = simulation.send(len(queue))
        self._so_far.asked_for.update(queue)
        self._so_far.unsent |= dict.fromkeys(queue)
        for who in queue[: sending.lookups]:
            del self._so_far.unsent[who]
        return sending
