"""A reader that opens the published files all the while and notes what no reader should meet."""

import os
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from lookup_pipeline.datasets.columns import DATASETS, LOOKUPS, Dataset
from lookup_pipeline.datasets.row_reconciliation import KEYS
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.tables import publication_claims
from lookup_pipeline_tests.campaign.names import RowKey

# Seconds between looks: the machine is there for the workers as well.
_PAUSE = 0.02

_SET = (LOOKUPS, *PUBLISHED)
"""Datasets that agree about which rows there are, once a publication is complete."""


class Reader:
    """Reads every file whole, over and over, in a thread, for the length of a block.

    Each file is opened once and read from that handle, so a file that is replaced meanwhile is
    read as it was. Three files are not replaced in one step: a look between two renames, or after a
    death between them, finds old beside new. That is `mixed`, and no fault while the ledger knows
    that the partition is to be published again, or that a publication moves its files or died over
    it. It is one when the ledger takes it for published.

    Attributes:
        looks: files read.
        half_files: what is wrong, one line for each broken file or set of files.
        mixed: sets of files found with old beside new, to be published again.
    """

    def __init__(self, output: DatasetFolder, ledger: Ledger, days: Sequence[str]) -> None:
        self._output = output
        self._ledger = ledger
        self._days = days
        self._seen: set[Path] = set()
        self._mixed: set[tuple[int, ...]] = set()
        self._faults: dict[object, str] = {}
        self._end = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="reader")
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def stop(self) -> None:
        """Look once more, and no more.

        Raises:
            BaseException: what kept it from looking.
        """
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def half_files(self) -> list[str]:
        """What is wrong, one line for each file or set of files."""
        return list(self._faults.values())

    @property
    def mixed(self) -> int:
        """How many sets of files were found with old beside new."""
        return len(self._mixed)

    def _run(self) -> None:
        try:
            while True:
                last = self._end.is_set()
                for day in self._days:
                    self._look(day)
                    self._end.wait(_PAUSE)
                if last:
                    return
        except BaseException as error:  # noqa: BLE001 - a silent reader would see no fault
            self._error = error

    def _look(self, day: str) -> None:
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {}
            for dataset in DATASETS:
                path = self._path(dataset, day)
                try:
                    files[dataset.name] = stack.enter_context(path.open("rb"))
                    self._seen.add(path)
                except FileNotFoundError:
                    if path in self._seen:
                        self._faults[path] = f"{path} is gone"
            tables = {name: self._read(file) for name, file in files.items()}
            held = {each.name: tables.get(each.name) for each in _SET}
            complete = {name: table for name, table in held.items() if table is not None}
            if len(complete) == len(_SET):
                self._compare(day, files, complete)

    def _read(self, file: BinaryIO) -> pa.Table | None:
        self.looks += 1
        try:
            return pq.ParquetFile(file).read()
        except (pa.ArrowException, OSError) as error:
            self._faults[os.fstat(file.fileno()).st_ino] = f"{file.name} can't be read: {error}"
            return None

    def _compare(self, day: str, files: dict[str, BinaryIO], tables: dict[str, pa.Table]) -> None:
        wanted = Counter(_keys(tables[LOOKUPS.name]))
        found = Counter(key for each in PUBLISHED for key in _keys(tables[each.name]))
        if wanted == found:
            return
        with self._ledger.read() as connection:
            known = {each.lookup_date for each in partitions_with_news(connection)}
            known |= set(connection.scalars(select(publication_claims.c.lookup_date)))
        opened = tuple(os.fstat(files[each.name].fileno()).st_ino for each in _SET)
        # Only if these are still the files in place did the ledger speak of them.
        if opened != tuple(self._path(each, day).stat().st_ino for each in _SET):
            return
        if day in known:
            self._mixed.add(opened)
            return
        wrong = sorted((wanted - found) | (found - wanted))
        self._faults[opened] = (
            f"{day} counts as published, but {len(wrong)} rows stand in no file or in two, such as "
            f"{wrong[0]}"
        )

    def _path(self, dataset: Dataset, day: str) -> Path:
        return Path(str(self._output.path(dataset, day)))


def _keys(table: pa.Table) -> list[RowKey]:
    return list(zip(*(table[name].to_pylist() for name in KEYS), strict=True))
