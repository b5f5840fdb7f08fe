"""Looking after published files: deleted, damaged or replaced by older ones, they are news."""

from collections.abc import Mapping, Sequence
from threading import Lock, Thread

from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, Dataset
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.lineage import VERSION, OutdatedLedgerError, check_published
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.publications import (
    PublishedPartition,
    note_files_checked,
    note_outdated_files,
    partitions_to_check,
)
from lookup_pipeline.ledger.times import utc_now

# Partitions a look: a few milliseconds on a disk, up to a second in an object store. With a look
# every 15 seconds, a year of partitions takes 20 minutes.
PARTITIONS_A_LOOK = 5

# Seconds that a look may take: a stalled disk must not hold up a tick.
_SECONDS = 5.0

_one_look = Lock()


def check_files(
    ledger: Ledger, folder: DatasetFolder, *, clock: Clock = utc_now, seconds: float = _SECONDS
) -> list[str]:
    """Have a few partitions published again whose files are not the ones that were published.

    Those that were not looked at for longest, so that all have their turn and a look costs the same
    however many there are. No transaction is open while files are looked at.

    Returns:
        What an operator should know.
    """
    with ledger.read() as connection:
        chosen = partitions_to_check(connection, PARTITIONS_A_LOOK, clock())
    if not chosen:
        return []
    look = _Look(ledger, folder, chosen)
    look.take(seconds)
    with ledger.write() as connection:
        # Also those that no look was had at: one whose files stall must not keep out the others.
        note_files_checked(connection, [each.lookup_date for each in chosen], clock())
        note_outdated_files(connection, list(look.outdated))
    return list(look.messages)


class _Look:
    """A look at the files of some partitions, in a thread that may be left behind.

    Attributes:
        outdated: whose files are gone, damaged or not of the published version.
        messages: what an operator should know.
    """

    def __init__(
        self, ledger: Ledger, folder: DatasetFolder, partitions: Sequence[PublishedPartition]
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._partitions = partitions
        self.outdated: list[PublishedPartition] = []
        self.messages: list[str] = []
        # Shared by the thread: a store's library makes a connection for each that opens it.
        _ = folder.root.fs

    def take(self, seconds: float) -> None:
        """Look for at most so long."""
        if not _one_look.acquire(blocking=False):
            self.messages.append(
                f"An earlier look at the files in {self._folder.root} has stalled."
            )
            return
        thread = Thread(target=self._run, name="check files", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self.messages.append(
                f"{self._folder.root} did not answer within {seconds:g} seconds; published files "
                "were not checked."
            )

    def _run(self) -> None:
        try:
            # What a store listed before may have been deleted since.
            self._folder.root.fs.invalidate_cache()
            for each in self._partitions:
                try:
                    self._check(each)
                except OutdatedLedgerError as error:
                    self.messages.append(str(error))
                except Exception as error:  # noqa: BLE001 - a store's library raises what it likes
                    self.messages.append(
                        f"The published files of {each.lookup_date} can't be checked in "
                        f"{self._folder.root}: {type(error).__name__}."
                    )
        finally:
            _one_look.release()

    def _check(self, partition: PublishedPartition) -> None:
        # Nothing of this ledger is newer: it has no news since.
        facts = check_published(self._ledger, self._folder, partition.lookup_date)
        if all(self._is_in_place(each, partition, facts[each.name]) for each in PUBLISHED):
            return
        date = partition.lookup_date
        gone = [
            f"`{each.name}`" for each in (NAMES, LOOKUPS) if not self._folder.exists(each, date)
        ]
        if gone:
            # A publication would be refused again and again: perhaps the folder is not mounted.
            self.messages.append(
                f"The published files of {date} are gone or damaged, and so is "
                f"{' and '.join(gone)}: see that {self._folder.root} is there, then run "
                f"`lookup-pipeline run --date {date}`. Only people who are new cost anything."
            )
            return
        self.outdated.append(partition)
        self.messages.append(
            f"The published files of {date} are gone, damaged or older than what was published: "
            "they are published again."
        )

    def _is_in_place(
        self, dataset: Dataset, partition: PublishedPartition, facts: Mapping[str, str]
    ) -> bool:
        shown = facts.get(VERSION)
        # A file of an older version of the program does not tell.
        return shown == str(partition.version) or (
            shown is None and self._folder.is_whole(dataset, partition.lookup_date)
        )
