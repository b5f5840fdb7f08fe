"""Small objects beside the datasets: how far each submission has come, for an older ledger to see.

One JSON file a writer, in a folder that readers of datasets skip. `ledger.lineage` says what for.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
from upath import UPath

from lookup_pipeline.datasets.storage import DatasetFolder, StorageError, write_whole

_FOLDER = ".submissions"

# A writer raises its counter every ten seconds while it claims: one that is silent for a day is
# gone, and its object proves nothing that a higher counter does not.
_STALE = timedelta(days=1)


class SubmissionCounter(msgspec.Struct, frozen=True):
    """One writer's object.

    Attributes:
        writer: one submission of one process.
        counter: as the ledger has committed it.
        is_open: whether claims may follow that this counter covers.
        written_at: when, by the writer's clock.
    """

    writer: str
    counter: int
    is_open: bool
    written_at: datetime


class SubmissionCounters:
    """The objects beside one output folder's datasets."""

    def __init__(self, folder: DatasetFolder) -> None:
        self._folder: UPath = folder.root / _FOLDER

    def read(self) -> list[SubmissionCounter]:
        """Return every writer's counter.

        Raises:
            StorageError: one cannot be read.
        """
        with _reported(self._folder, "read"):
            # A listing that was remembered would hide what others have written since.
            self._folder.fs.invalidate_cache()
            if not self._folder.exists():
                return []
            found = [self._read(path) for path in self._folder.iterdir() if _is_counter(path)]
        return [each for each in found if each is not None]

    def write(self, counter: SubmissionCounter) -> None:
        """Write one writer's counter, whole and durably.

        Raises:
            StorageError: it cannot be written.
        """
        path = self._path(counter.writer)
        with _reported(path, "written"):
            write_whole(path, msgspec.json.encode(counter))

    def remove_covered(self, found: Iterable[SubmissionCounter], by: SubmissionCounter) -> None:
        """Remove those of the found objects that a higher counter makes superfluous.

        Not those of submissions that may still claim.
        """
        for each in found:
            ended = not each.is_open or by.written_at - each.written_at > _STALE
            if each.counter < by.counter and ended:
                path = self._path(each.writer)
                with _reported(path, "removed"):
                    path.unlink(missing_ok=True)

    def _path(self, writer: str) -> UPath:
        return self._folder / f"{writer}.json"

    def _read(self, path: UPath) -> SubmissionCounter | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            # Another writer has removed it meanwhile: a higher counter covers it.
            return None
        try:
            return msgspec.json.decode(content, type=SubmissionCounter)
        except msgspec.DecodeError as error:
            raise StorageError(
                f"{path} is not a submission counter of this pipeline ({error}). Nothing is sent "
                "while it lies there. Move it away, then run `lookup-pipeline ledger reconcile`."
            ) from error


def _is_counter(path: UPath) -> bool:
    return path.suffix == ".json"


@contextmanager
def _reported(path: UPath, what: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        # The libraries of object stores have errors of their own, such as for missing credentials.
        why = getattr(error, "strerror", None) or f"{error} ({type(error).__name__})"
        raise StorageError(
            f"{path} cannot be {what}: {why}. It shows whether the ledger is an older copy, so "
            "nothing is sent without it. Make room, or make the folder readable and writable "
            "(LOOKUP_PIPELINE_OUTPUT_URL and its credentials), then run again."
        ) from error
