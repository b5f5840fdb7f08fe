"""Where the datasets lie, and how a partition's file is replaced whole."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from lookup_pipeline.datasets.columns import Dataset

# Temporary files lie in the same file system, so that putting them in place is a rename, but in no
# dataset's folder: readers that take a whole folder take every file that lies in it.
_UNFINISHED = ".unfinished"

# A temporary file this old belongs to a process that died: no partition takes a day to write.
_STALE_SECONDS = 86_400


class StorageError(Exception):
    """A dataset can't be written; the message names the file, the reason and the cure."""


@contextmanager
def _told_plainly(path: UPath) -> Iterator[None]:
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
        self._root = UPath(url)

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

    def read(self, dataset: Dataset, lookup_date: str, columns: list[str]) -> pa.Table:
        """Some columns of one partition, whole."""
        with self.path(dataset, lookup_date).open("rb") as file:
            return pq.read_table(file, columns=columns)

    def batches(self, dataset: Dataset, lookup_date: str, rows: int) -> Iterator[pa.RecordBatch]:
        """One partition, in batches of at most so many rows."""
        with self.path(dataset, lookup_date).open("rb") as file:
            yield from pq.ParquetFile(file).iter_batches(batch_size=rows)


class PartitionWriter:
    """Writes one partition's file under a temporary name; `replace` puts it in place.

    Used as a context manager: what was not put in place is removed at the end. Every method raises
    `StorageError` where the file can't be written.
    """

    def __init__(self, target: UPath, temporary: UPath, schema: pa.Schema) -> None:
        self._target = target
        self._temporary = temporary
        self._schema = schema
        self.rows = 0

    def __enter__(self) -> Self:
        with _told_plainly(self._target):
            for path in (self._target, self._temporary):
                path.parent.mkdir(parents=True, exist_ok=True)
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
            self._temporary.unlink(missing_ok=True)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows."""
        if rows:
            self.write_batch(pa.RecordBatch.from_pylist(rows, schema=self._schema))

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the dataset's schema."""
        with _told_plainly(self._target):
            self._parquet.write_batch(batch)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """Complete the temporary file, durably; nothing can be written after it."""
        with _told_plainly(self._target):
            self._close()

    def read(self, columns: list[str]) -> pa.Table:
        """Some columns of the finished temporary file: what a reader will see."""
        with self._temporary.open("rb") as file:
            return pq.read_table(file, columns=columns)

    def replace(self) -> None:
        """Put the finished file in the place of the old one, at once."""
        with _told_plainly(self._target):
            if isinstance(self._temporary, Path):
                self._temporary.replace(self._target)
            else:
                # An object store has no rename, but a reader sees an object only once it is whole.
                self._target.fs.mv(self._temporary.path, self._target.path)

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
        if not isinstance(self._temporary, Path):
            return
        for path in self._temporary.parent.glob("*.parquet"):
            # Another process may put its own in place meanwhile.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
