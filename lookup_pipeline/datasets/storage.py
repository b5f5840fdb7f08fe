"""Where the datasets lie, and how a partition's file is replaced whole."""

import errno
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from lookup_pipeline.datasets.columns import LOOKUP_ID, Dataset

# Temporary files lie in the same file system, so that putting them in place is a rename, but in no
# dataset's folder: readers that take a whole folder take every file that lies in it.
_UNFINISHED = ".unfinished"

# A temporary file this old belongs to a process that died: no partition takes a day to write.
_STALE_SECONDS = 86_400

# The ending of an old file that is kept while several are replaced together.
_KEPT = ".kept"

# Readers skip and decode by row group, so small ones cost them time and space. A profile is about
# 5 KB: a group takes some 25 MB while it waits to be full, and about as much to be written.
_GROUP_ROWS = 5_000


# Before the names of our own entries in a file's key-value metadata.
_FACT = "lookup_pipeline."


class StorageError(Exception):
    """A dataset can't be written; the message names the file, the reason and the cure."""


@contextmanager
def _told_plainly(path: UPath | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} can't be written: {error.strerror or error}. This file is as it "
            "was before: make room, or see that the folder can be written to "
            "(LOOKUP_PIPELINE_OUTPUT_URL), then run again."
        ) from error


class DatasetFolder:
    """The output folder or object-store URL, in Hive layout, one file a partition."""

    def __init__(self, url: str) -> None:
        root = UPath(url)
        # What only local files have (durability, putting back) is to hold for file:// as well.
        self._root = UPath(root.path) if root.protocol in {"file", "local"} else root

    @property
    def root(self) -> UPath:
        """The folder or URL itself."""
        return self._root

    def path(self, dataset: Dataset, lookup_date: str) -> UPath:
        """The Parquet file of one partition."""
        return self._root / dataset.name / f"lookup_date={lookup_date}" / "part-0.parquet"

    def location(self, dataset: Dataset, lookup_date: str | None = None) -> str:
        """The file of one partition, or the dataset's folder, as text for people."""
        path = self._root / dataset.name if lookup_date is None else self.path(dataset, lookup_date)
        return str(path)

    def writer(self, dataset: Dataset, lookup_date: str) -> "PartitionWriter":
        """Begin to replace one partition's file; see `PartitionWriter`."""
        name = f"{dataset.name}-{lookup_date}-{uuid4().hex}.parquet"
        return PartitionWriter(
            self.path(dataset, lookup_date), self._root / _UNFINISHED / name, dataset.schema
        )

    def exists(self, dataset: Dataset, lookup_date: str) -> bool:
        """Whether the partition has a file."""
        return self.path(dataset, lookup_date).exists()

    def partitions(self, dataset: Dataset) -> list[str]:
        """Return the partition keys that have a file, in order."""
        folder = self._root / dataset.name
        folder.fs.invalidate_cache()
        if not folder.exists():
            return []
        keys = (path.name.partition("lookup_date=") for path in folder.iterdir())
        found = sorted(key for before, _sign, key in keys if key and not before)
        return [key for key in found if self.exists(dataset, key)]

    def facts(self, dataset: Dataset, lookup_date: str) -> dict[str, str]:
        """Return what `PartitionWriter.note` put into a partition's file.

        Nothing without a file, of a damaged one, or of one that an older version wrote.
        """
        return {
            name.decode().removeprefix(_FACT): value.decode()
            for name, value in (self._metadata(dataset, lookup_date) or {}).items()
            if name.startswith(_FACT.encode())
        }

    def is_whole(self, dataset: Dataset, lookup_date: str) -> bool:
        """Whether the partition has a file, with a beginning and an end."""
        return self._metadata(dataset, lookup_date) is not None

    def _metadata(self, dataset: Dataset, lookup_date: str) -> Mapping[bytes, bytes] | None:
        # Whether it exists is not asked beforehand: in a store each question is a request.
        with (
            suppress(FileNotFoundError, pa.ArrowInvalid),
            self.path(dataset, lookup_date).open("rb") as file,
        ):
            return pq.read_metadata(file).metadata or {}
        return None

    def rows(self, dataset: Dataset, lookup_date: str) -> int:
        """How many rows one partition has; 0 without a file."""
        if not self.exists(dataset, lookup_date):
            return 0
        with self._opened(dataset, lookup_date) as file:
            return int(pq.read_metadata(file).num_rows)

    def highest_lookup_id(self, dataset: Dataset, lookup_date: str) -> int:
        """Return the highest lookup id in a partition's file, by its footer; 0 without rows."""
        with self._opened(dataset, lookup_date) as file:
            footer = pq.read_metadata(file)
        column = dataset.schema.get_field_index(LOOKUP_ID.name)
        found = [
            footer.row_group(place).column(column).statistics
            for place in range(footer.num_row_groups)
        ]
        return max((int(str(each.max)) for each in found if each is not None), default=0)

    def batches(
        self, dataset: Dataset, lookup_date: str, rows: int, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """One partition, in batches of at most so many rows.

        Args:
            dataset: which one.
            lookup_date: partition key.
            rows: at most so many at once.
            columns: these, as far as the file has them; None for all.
        """
        with self._opened(dataset, lookup_date) as file:
            yield from pq.ParquetFile(file).iter_batches(batch_size=rows, columns=columns)

    @contextmanager
    def _opened(self, dataset: Dataset, lookup_date: str) -> Iterator[Any]:
        """Open a partition's file to read its rows.

        Raises:
            StorageError: it is damaged.
        """
        path = self.path(dataset, lookup_date)
        try:
            with path.open("rb") as file:
                yield file
        except pa.ArrowInvalid as error:
            raise StorageError(
                f"{path} is damaged: it is no Parquet file, or a part of one. Restore it from a "
                "copy, or move it away and materialize the partition again."
            ) from error


class PartitionWriter:
    """Writes one partition's file under a temporary name; `replace` puts it in place.

    Used as a context manager: what was not put in place is removed at the end or, where that fails,
    by another writer a day later. Entering it and every method raise
    `StorageError` where the disk or the store reports an `OSError`; leaving it never does.
    """

    def __init__(self, target: UPath, temporary: UPath, schema: pa.Schema) -> None:
        self._target = target
        self._temporary = temporary
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0

    def __enter__(self) -> Self:
        with _told_plainly(self._target):
            for path in (self._target, self._temporary):
                _make_folder(path.parent)
            self._remove_stale()
            self._file: Any = self._temporary.open("wb")
            self._parquet = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # On a full disk closing fails as well: the first failure is the one to tell.
            with suppress(OSError):
                self._close()
        finally:
            # Neither a failure on the way nor a file in its place is undone by what stays behind.
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows."""
        if rows:
            self.write_batch(pa.RecordBatch.from_pylist(rows, schema=self._schema))

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the dataset's schema.

        Raises:
            pa.ArrowInvalid: a column that may not be null holds one.
        """
        for field, column in zip(self._schema, batch.columns, strict=True):
            if column.null_count and not field.nullable:
                # Parquet would refuse it with its row group, thousands of rows later.
                raise pa.ArrowInvalid(f"the column {field.name} may not be null")
        self.rows += batch.num_rows
        while batch.num_rows >= (room := _GROUP_ROWS - sum(map(len, self._waiting))):
            self._waiting.append(batch.slice(0, room))
            self._write_group()
            batch = batch.slice(room)
        self._waiting.append(batch)

    def note(self, facts: Mapping[str, str]) -> None:
        """Put texts into the file's metadata, for programs: which state of what it shows."""
        self._parquet.add_key_value_metadata(
            {f"{_FACT}{name}": value for name, value in facts.items()}
        )

    def finish(self) -> None:
        """Complete the temporary file, durably; nothing can be written after it."""
        if any(map(len, self._waiting)):
            self._write_group()
        with _told_plainly(self._target):
            self._close()

    def batches(self, rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of the finished temporary file, in batches: what a reader will see."""
        with _told_plainly(self._target), self._temporary.open("rb") as file:
            yield from pq.ParquetFile(file).iter_batches(batch_size=rows, columns=columns)

    def replace(self) -> None:
        """Put the finished file in the place of the old one, at once."""
        with _told_plainly(self._target):
            if isinstance(self._temporary, Path) and isinstance(self._target, Path):
                _rename(self._temporary, self._target)
            else:
                # An object store has no rename, but a reader sees an object only once it is whole.
                self._target.fs.mv(self._temporary.path, self._target.path)

    def old_file_kept(self) -> AbstractContextManager[None]:
        """Keep the old file for the length of a block, and put it back when the block fails.

        Only on a local disk; on an object store nothing is kept.
        """
        if isinstance(self._target, Path) and isinstance(self._temporary, Path):
            return _kept(self._target, self._temporary.with_name(self._temporary.name + _KEPT))
        return nullcontext()

    def _write_group(self) -> None:
        # In one piece: where the batches were cut would show in the pages of the file.
        rows = pa.Table.from_batches(self._waiting).combine_chunks()
        self._waiting.clear()
        with _told_plainly(self._target):
            self._parquet.write_table(rows, row_group_size=_GROUP_ROWS)

    def _close(self) -> None:
        if self._file.closed:
            return
        try:
            self._parquet.close()
        finally:
            if isinstance(self._target, Path):
                # On disk before it takes the target's name: a power cut leaves no empty file.
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()

    def _remove_stale(self) -> None:
        folder = self._temporary.parent
        if isinstance(folder, Path):
            for path in (*folder.glob("*.parquet"), *folder.glob(f"*{_KEPT}")):
                # Another process may put its own in place meanwhile.
                with suppress(FileNotFoundError):
                    found = path.stat()
                    # A kept file is as old as its rows; that it was linked to changed its ctime.
                    since = found.st_ctime if path.suffix == _KEPT else found.st_mtime
                    if _is_stale(since):
                        path.unlink()
            return
        # A store that does not tell ages, or may not be listed, keeps them.
        with suppress(OSError, NotImplementedError):
            folder.fs.invalidate_cache(folder.path)
            for name in folder.fs.ls(folder.path, detail=False):
                with suppress(FileNotFoundError):
                    if name.endswith(".parquet") and _is_stale(
                        folder.fs.modified(name).timestamp()
                    ):
                        folder.fs.rm_file(name)


def _is_stale(since: float) -> bool:
    return time.time() - since > _STALE_SECONDS


def _make_folder(folder: UPath) -> None:
    """Make a folder, and those above it, so that a power cut does not undo it."""
    if not isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync_folder(each.parent)


def _rename(source: Path, target: Path) -> None:
    """Give a file another name, so that a power cut does not undo it."""
    source.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems (network shares, FUSE) have nothing to sync in a folder.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def write_whole(path: UPath, content: bytes) -> None:
    """Write a small file so that nobody ever reads half of it; on a local disk durably.

    Raises:
        OSError: it cannot be written.
    """
    if not isinstance(path, Path):
        # An object store shows an object only once it is whole.
        path.write_bytes(content)
        return
    _make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_together(writers: Iterable[PartitionWriter]) -> None:
    """Put several finished files in place: all of them or, on a local disk, none.

    There the old files are kept until the last new one is in place, and put back when one can't be
    replaced or the process is interrupted. An object store knows no such way back: the files
    replaced before the failure stay. So do, anywhere, those of a process killed in the middle. The
    next publication heals both, since the ledger has not noted this one; `names` is healed by the
    next run that reads its files.

    Raises:
        StorageError: a file can't be replaced, or can't be put back; the message names each.
    """
    writers = list(writers)
    with ExitStack() as stack:
        # All before the first replacement, so that readers see old beside new for two renames only.
        for writer in writers:
            stack.enter_context(writer.old_file_kept())
        for writer in writers:
            writer.replace()


@contextmanager
def _kept(target: Path, kept: Path) -> Iterator[None]:
    try:
        with _told_plainly(target):
            was_there = target.exists()
            if target.is_file():
                _link_or_copy(target, kept)
        try:
            yield
        except BaseException as failure:
            try:
                if kept.exists():
                    _rename(kept, target)
                elif not was_there:
                    target.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{failure} Besides, {target} can't be put back: {error.strerror or error}. "
                    "It shows newer rows than the partition's other files until a run replaces "
                    "them all."
                ) from error
            raise
    finally:
        # What can't be removed now is removed by a writer a day later.
        with suppress(OSError):
            kept.unlink(missing_ok=True)


def _link_or_copy(source: Path, copy: Path) -> None:
    try:
        copy.hardlink_to(source)
    except OSError:
        # Some file systems (FAT, many network shares) know no links.
        shutil.copy2(source, copy)
        with copy.open("rb") as file:
            # It may become the published file: see `_close`.
            os.fsync(file.fileno())
