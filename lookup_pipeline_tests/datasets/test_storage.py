"""Replacing a partition's file whole: what readers see, and what a failure leaves."""

import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from lookup_pipeline.datasets import storage
from lookup_pipeline.datasets.columns import (
    DATASETS,
    FAILED_LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
    REJECTED_NAMES,
    Dataset,
)
from lookup_pipeline.datasets.storage import (
    DatasetFolder,
    PartitionWriter,
    StorageError,
    replace_together,
)
from lookup_pipeline_tests.datasets.helpers import (
    DATE,
    FILE,
    NEXT_DATE,
    files_below,
    rows_of,
    write,
)

HOUR = 3600
NAMES_FILE = f"names/lookup_date={DATE}/part-0.parquet"


def count(folder: DatasetFolder, dataset: Dataset = NAMES, date: str = DATE) -> int:
    return folder.rows(dataset, date)


def lines_of(batches: Iterable[pa.RecordBatch]) -> list[int]:
    return [row["source_row"] for batch in batches for row in batch.to_pylist()]


# Layout and content --------------------------------------------------------------------------


def test_the_layout_is_hives(folder: DatasetFolder, root: Path) -> None:
    assert not folder.exists(NAMES, DATE)
    write(folder, NAMES, rows_of(NAMES, 3))
    assert folder.exists(NAMES, DATE)
    assert files_below(root) == [NAMES_FILE]
    assert folder.location(NAMES, DATE) == str(root / NAMES_FILE)
    assert folder.location(NAMES) == str(root / "names")


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_an_empty_partition_has_the_schema_of_a_full_one(
    folder: DatasetFolder, root: Path, dataset: Dataset
) -> None:
    write(folder, dataset, rows_of(dataset, 3))
    write(folder, dataset, [], NEXT_DATE)
    full, empty = (
        pq.read_schema(root / dataset.name / f"lookup_date={date}" / "part-0.parquet")
        for date in (DATE, NEXT_DATE)
    )
    assert full.equals(empty, check_metadata=True)
    assert full.equals(dataset.schema)
    assert (count(folder, dataset), count(folder, dataset, NEXT_DATE)) == (3, 0)


def test_the_file_is_compressed_with_zstd(folder: DatasetFolder, root: Path) -> None:
    write(folder, NAMES, rows_of(NAMES, 3))
    group = pq.ParquetFile(root / NAMES_FILE).metadata.row_group(0)
    used = {group.column(place).compression for place in range(group.num_columns)}
    assert used == {"ZSTD"}


def test_rows_come_back_as_they_were_written_in_batches(folder: DatasetFolder) -> None:
    rows = rows_of(NAMES, 7, requested_name="Zoë", source_columns=[("team", "a"), ("x", "")])
    with folder.writer(NAMES, DATE) as writer:
        writer.write(rows[:4])
        writer.write([])
        writer.write(rows[4:])
        assert writer.rows == 7
        writer.finish()
        assert lines_of(writer.batches(3, ["source_row"])) == list(range(2, 9))
        writer.replace()
    batches = list(folder.batches(NAMES, DATE, 3))
    assert all(batch.num_rows <= 3 for batch in batches)
    read = [row for batch in batches for row in batch.to_pylist()]
    absent = {name: None for name in NAMES.schema.names if name not in rows[0]}
    assert read == [absent | row for row in rows]


def test_the_same_rows_make_the_same_file(folder: DatasetFolder, root: Path) -> None:
    write(folder, NAMES, rows_of(NAMES, 5))
    before = (root / NAMES_FILE).read_bytes()
    write(folder, NAMES, rows_of(NAMES, 5))
    assert (root / NAMES_FILE).read_bytes() == before


def row_groups(path: Path) -> list[int]:
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]


def test_small_batches_make_large_row_groups(folder: DatasetFolder, root: Path) -> None:
    rows = rows_of(NAMES, 12_000)
    with folder.writer(NAMES, DATE) as writer:
        for start in range(0, len(rows), 1_000):
            writer.write(rows[start : start + 1_000])
        writer.finish()
        writer.replace()
    assert row_groups(root / NAMES_FILE) == [5_000, 5_000, 2_000]
    lines = lines_of(folder.batches(NAMES, DATE, 5_000, ["source_row"]))
    assert lines == list(range(2, 12_002))


def test_a_partition_without_rows_has_a_schema_and_no_row_group(
    folder: DatasetFolder, root: Path
) -> None:
    write(folder, NAMES, [])
    assert row_groups(root / NAMES_FILE) == []
    assert pq.read_schema(root / NAMES_FILE).equals(NAMES.schema)


def test_the_file_does_not_tell_how_the_batches_were_cut(folder: DatasetFolder, root: Path) -> None:
    rows = rows_of(NAMES, 21_000)
    for place, row in enumerate(rows):
        # No two alike and some absent: each column fills pages of its own.
        row["requested_name"] = f"{place * 2654435761 % 2**32:x}" * 20
        row["requested_title"] = None if place % 3 else f"title {place}"
        row["source_columns"] = [("team", f"{place}")] * (place % 4)
    written = set()
    for size in (1_000, 997, 10_000, 20_000, len(rows)):
        with folder.writer(NAMES, DATE) as writer:
            for start in range(0, len(rows), size):
                writer.write(rows[start : start + size])
            writer.finish()
            writer.replace()
        written.add((root / NAMES_FILE).read_bytes())
    assert len(written) == 1


def test_a_null_where_none_may_be_is_refused(folder: DatasetFolder, root: Path) -> None:
    write(folder, NAMES, rows_of(NAMES, 1))
    with pytest.raises(pa.ArrowInvalid, match="source_file"), folder.writer(NAMES, DATE) as writer:
        writer.write(rows_of(NAMES, 1, source_file=None))
    assert (files_below(root), count(folder)) == ([NAMES_FILE], 1)


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_datasets_may_lie_at_a_url(tmp_path: Path, scheme: str) -> None:
    where = tmp_path if scheme == "file" else f"/{uuid4().hex}"
    folder = DatasetFolder(f"{scheme}://{where}")
    for rows in (3, 2):
        write(folder, NAMES, rows_of(NAMES, rows))
        assert count(folder) == rows
        below = folder.path(NAMES, DATE).parent
        assert [path.name for path in below.iterdir()] == ["part-0.parquet"]


# Readers -------------------------------------------------------------------------------------


@pytest.fixture
def published(folder: DatasetFolder, root: Path) -> Path:
    """Three profiles on one day, none on the next."""
    rows = rows_of(
        PROFILES,
        3,
        name="Zoë",
        emails=[{"email": "zoe@example.com"}],
        source_columns=[("team", "a")],
    )
    write(folder, PROFILES, rows)
    write(folder, PROFILES, [], NEXT_DATE)
    return root / "profiles"


ALIKE = {"duckdb": {DATE: 3}, "pandas": {DATE: 3}, "polars": {DATE: 3}}


def by_date(published: Path) -> dict[str, dict[str, int]]:
    """The rows of each date, as each of the readers that the README names counts them."""
    pattern = f"{published}/*/*.parquet"
    query = "SELECT lookup_date, count(*) FROM read_parquet(?, hive_partitioning=true) GROUP BY 1"
    frame = pd.read_parquet(published)
    lazy = pl.scan_parquet(published, hive_partitioning=True)
    rows = lazy.group_by("lookup_date").len().collect().rows()
    counted = frame.groupby("lookup_date", observed=True).size()
    return {
        "duckdb": {str(date): n for date, n in duckdb.execute(query, [pattern]).fetchall()},
        "pandas": {str(date): int(n) for date, n in counted.items()},
        "polars": {str(date): n for date, n in rows},
    }


def test_every_reader_counts_the_same_rows_and_sees_the_date(published: Path) -> None:
    assert by_date(published) == ALIKE


def test_every_reader_sees_the_nested_values(published: Path) -> None:
    pattern = f"{published}/*/*.parquet"
    query = "SELECT emails[1].email, source_columns['team'] FROM read_parquet(?)"
    assert duckdb.execute(query, [pattern]).fetchone() == ("zoe@example.com", "a")
    emails = pl.scan_parquet(pattern).select("emails").collect()["emails"].to_list()
    assert emails[0][0]["email"] == "zoe@example.com"
    assert pd.read_parquet(published)["emails"][0][0]["email"] == "zoe@example.com"


def test_readers_of_the_whole_folder_work_while_a_partition_is_written(
    folder: DatasetFolder, published: Path
) -> None:
    with folder.writer(PROFILES, NEXT_DATE) as writer:
        writer.write(rows_of(PROFILES, 2))
        assert by_date(published) == ALIKE


def test_a_reader_never_sees_half_a_file_or_none(folder: DatasetFolder, root: Path) -> None:
    # Two sizes, each of its own content: a mixture would show.
    sizes = {10: "short", 5_000: "long"}
    write(folder, NAMES, rows_of(NAMES, 10, requested_name="short"))
    done, problems, reads = threading.Event(), list[str](), 0

    def replace_again_and_again() -> None:
        try:
            for _ in range(20):
                for rows, name in reversed(sizes.items()):
                    write(folder, NAMES, rows_of(NAMES, rows, requested_name=name))
        finally:
            done.set()

    writer = threading.Thread(target=replace_again_and_again)
    writer.start()
    seen = set[int]()
    while not done.is_set():
        found = [path for path in root.glob("names/*/*") if not path.name.startswith(".")]
        if [path.name for path in found] != ["part-0.parquet"]:
            problems.append(f"saw {found}")
        # Opened once: a reader that opens a path twice may meet two versions, each one whole.
        with (root / NAMES_FILE).open("rb") as file:
            table = pq.read_table(file, columns=["requested_name"])
        names = set(table["requested_name"].to_pylist())
        if names != {sizes.get(table.num_rows)}:
            problems.append(f"{table.num_rows} rows of {names}")
        seen.add(table.num_rows)
        reads += 1
    writer.join()
    assert problems == []
    assert reads > 10
    assert seen == set(sizes)


# Failures ------------------------------------------------------------------------------------


@pytest.fixture
def old(folder: DatasetFolder, root: Path) -> Iterator[bytes]:
    """A file that was there before; whatever the test does, it is there after."""
    write(folder, NAMES, rows_of(NAMES, 1))
    before = (root / NAMES_FILE).read_bytes()
    yield before
    assert files_below(root) == [NAMES_FILE]
    assert (root / NAMES_FILE).read_bytes() == before


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("finished", [False, True])
def test_an_exception_leaves_the_old_file_and_no_other(
    folder: DatasetFolder, finished: bool
) -> None:
    def write_and_fail() -> None:
        with folder.writer(NAMES, DATE) as writer:
            writer.write(rows_of(NAMES, 3))
            if finished:
                writer.finish()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()


@pytest.mark.usefixtures("old")
def test_what_is_not_put_in_place_is_removed(folder: DatasetFolder) -> None:
    with folder.writer(NAMES, DATE) as writer:
        writer.write(rows_of(NAMES, 3))
        writer.finish()


@pytest.mark.usefixtures("old")
def test_a_row_that_does_not_fit_leaves_the_old_file(folder: DatasetFolder) -> None:
    with pytest.raises(pa.ArrowInvalid), folder.writer(NAMES, DATE) as writer:
        writer.write(rows_of(NAMES, 3, source_row="three"))


@pytest.mark.usefixtures("old")
def test_two_writers_of_one_partition_do_not_disturb_each_other(folder: DatasetFolder) -> None:
    with folder.writer(NAMES, DATE) as first, folder.writer(NAMES, DATE) as second:
        first.write(rows_of(NAMES, 3))
        second.write(rows_of(NAMES, 2))
        first.finish()
        second.finish()
        columns = ["source_row"]
        assert lines_of(first.batches(9, columns)) == [2, 3, 4]
        assert lines_of(second.batches(9, columns)) == [2, 3]


_WRITE_MORE_THAN_ALLOWED = """
import resource, sys
from lookup_pipeline.datasets.columns import NAMES
from lookup_pipeline.datasets.storage import DatasetFolder, StorageError
from lookup_pipeline_tests.datasets.helpers import DATE, rows_of

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rows = rows_of(NAMES, 20_000)
for place, row in enumerate(rows):
    row["requested_name"] = f"{place * 2654435761 % 2**32:x}"
try:
    with DatasetFolder(sys.argv[1]).writer(NAMES, DATE) as writer:
        for start in range(0, len(rows), 1000):
            writer.write(rows[start : start + 1000])
        writer.finish()
        writer.replace()
except StorageError as error:
    print(error.__cause__.errno)
"""


@pytest.mark.usefixtures("old")
# Full at the first bytes, in the middle, and when the end of the file is written.
@pytest.mark.parametrize("limit", [0, 20_000, 100_000])
def test_a_full_disk_leaves_the_old_file_and_says_so(root: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_MORE_THAN_ALLOWED, str(root), str(limit)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        # Bytecode would be a file beyond the limit as well.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.stdout.split() == [str(errno.EFBIG)]


def test_the_files_of_the_full_disk_test_are_larger_than_its_limits(
    folder: DatasetFolder, root: Path
) -> None:
    rows = rows_of(NAMES, 20_000)
    for place, row in enumerate(rows):
        row["requested_name"] = f"{place * 2654435761 % 2**32:x}"
    write(folder, NAMES, rows)
    assert (root / NAMES_FILE).stat().st_size > 100_000
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_folder_that_vanishes_fails_the_write_and_other_partitions_stay(
    folder: DatasetFolder, root: Path
) -> None:
    write(folder, NAMES, rows_of(NAMES, 1), NEXT_DATE)

    def write_while_it_vanishes() -> None:
        with folder.writer(NAMES, DATE) as writer:
            writer.write(rows_of(NAMES, 1))
            shutil.rmtree(root / "names" / f"lookup_date={DATE}")
            writer.finish()
            writer.replace()

    with pytest.raises(StorageError, match="can't be written: No such file"):
        write_while_it_vanishes()
    assert count(folder, NAMES, NEXT_DATE) == 1
    assert not folder.exists(NAMES, DATE)


def test_what_dead_processes_left_is_removed_a_day_later(folder: DatasetFolder, root: Path) -> None:
    """Whatever name a temporary file has: one is left behind by a writer that is never closed."""
    write(folder, NAMES, rows_of(NAMES, 1))
    for hours in (1, 25):
        before = set(files_below(root))
        abandoned = folder.writer(NAMES, DATE)
        abandoned.__enter__()
        abandoned.write(rows_of(NAMES, 1))
        abandoned.finish()
        (left,) = set(files_below(root)) - before
        age = time.time() - hours * HOUR
        os.utime(root / left, (age, age))
        if hours == 1:
            young = left
    write(folder, NAMES, rows_of(NAMES, 2))
    assert set(files_below(root)) == {NAMES_FILE, young}
    assert count(folder) == 2


@pytest.mark.usefixtures("store")
def test_what_dead_processes_left_in_an_object_store_is_removed_a_day_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the store's own times: the object of a process that died before it was copied."""
    folder, unfinished = (
        DatasetFolder("s3://people/output"),
        UPath("s3://people/output/.unfinished"),
    )

    def left() -> list[str]:
        unfinished.fs.invalidate_cache()
        return sorted(path.name for path in unfinished.iterdir())

    abandoned = folder.writer(NAMES, DATE)
    abandoned.__enter__()
    abandoned.write(rows_of(NAMES, 1))
    abandoned.finish()
    (unfinished / "of somebody else.txt").write_text(FILE)
    (dead, foreign) = left()
    write(folder, REJECTED_NAMES, rows_of(REJECTED_NAMES, 1))
    assert left() == [dead, foreign], "it may live"
    monkeypatch.setattr(storage, "time", SimpleNamespace(time=lambda: time.time() + 25 * HOUR))
    write(folder, REJECTED_NAMES, rows_of(REJECTED_NAMES, 2))
    assert left() == [foreign]
    assert count(folder, REJECTED_NAMES) == 2


def test_a_store_that_tells_no_ages_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_store: object, _path: str) -> None:
        raise NotImplementedError

    folder = DatasetFolder(f"memory:///{uuid4().hex}")
    monkeypatch.setattr(type(folder.path(NAMES, DATE).fs), "modified", refuse)
    abandoned = folder.writer(NAMES, DATE)
    abandoned.__enter__()
    abandoned.finish()
    write(folder, NAMES, rows_of(NAMES, 1))
    assert count(folder) == 1


def synced_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders below `root` whose entries are synced, in order, from now on."""
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            found = sorted(each.name for each in path.iterdir())
            synced.append(f"{path.relative_to(root.parent)}: {', '.join(found)}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return synced


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see what is synced")
def test_a_new_name_is_on_disk_before_it_is_relied_on(
    folder: DatasetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = synced_folders(root, monkeypatch)
    with folder.writer(NAMES, DATE) as writer:
        partition = f"output/names/lookup_date={DATE}"
        assert synced == [
            ".: output",
            "output: names",
            f"output/names: lookup_date={DATE}",
            "output: .unfinished, names",
        ], "folders that were made"
        synced.clear()
        writer.finish()
        writer.replace()
        assert synced == [f"{partition}: part-0.parquet"], "the file in its place"
    synced.clear()
    write(folder, NAMES, rows_of(NAMES, 1))
    assert synced == [f"{partition}: part-0.parquet"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see what is synced")
def test_a_file_that_is_put_back_is_on_disk(
    folder: DatasetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_files(folder)
    with finished(folder) as writers:
        new_file_vanishes(root, PENDING_LOOKUPS)
        synced = synced_folders(root, monkeypatch)
        with pytest.raises(StorageError):
            replace_together(writers)
    put_back = [f"output/{name}/lookup_date={DATE}: part-0.parquet" for name in ("profiles",)]
    assert synced[-1:] == put_back


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_only_a_file_system_without_folders_to_sync_is_forgiven(
    folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool
) -> None:
    write(folder, NAMES, rows_of(NAMES, 1))
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError) if fails else nullcontext():
        write(folder, NAMES, rows_of(NAMES, 2))


def test_the_temporary_files_of_others_stay(folder: DatasetFolder, root: Path) -> None:
    write(folder, REJECTED_NAMES, rows_of(REJECTED_NAMES, 1))
    foreign = root / "rejected_names" / f"lookup_date={DATE}" / ".notes.tmp"
    foreign.write_text(FILE)
    os.utime(foreign, (0, 0))
    write(folder, REJECTED_NAMES, rows_of(REJECTED_NAMES, 2))
    assert foreign.exists()


def temporary_file(root: Path) -> Path:
    (found,) = (root / ".unfinished").iterdir()
    return found


def test_a_finished_file_that_can_not_be_read_is_told_as_a_storage_error(
    folder: DatasetFolder, root: Path
) -> None:
    with folder.writer(NAMES, DATE) as writer:
        writer.finish()
        temporary_file(root).unlink()
        with pytest.raises(StorageError, match=f"{root / NAMES_FILE} can't be written: No such"):
            next(writer.batches(9, ["source_row"]))


def test_a_temporary_file_that_can_not_be_removed_hides_no_other_failure(
    folder: DatasetFolder, root: Path
) -> None:
    def write_and_fail() -> None:
        with folder.writer(NAMES, DATE) as writer:
            writer.finish()
            path = temporary_file(root)
            path.unlink()
            path.mkdir()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()


# Several files together ----------------------------------------------------------------------

TOGETHER = (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)


@pytest.fixture(params=["", "file://"], ids=["path", "url"])
def disk(request: pytest.FixtureRequest, root: Path) -> DatasetFolder:
    """The output folder, under each of the names that a local disk has."""
    return DatasetFolder(f"{request.param}{root}")


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def _with_and_without_links(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if not request.param:
        monkeypatch.setattr(Path, "hardlink_to", refuse)


def old_files(folder: DatasetFolder) -> None:
    for dataset in TOGETHER:
        write(folder, dataset, rows_of(dataset, 1))


@contextmanager
def finished(folder: DatasetFolder) -> Iterator[list[PartitionWriter]]:
    """New files of two rows each, not yet in place."""
    with ExitStack() as stack:
        writers = [stack.enter_context(folder.writer(dataset, DATE)) for dataset in TOGETHER]
        for writer, dataset in zip(writers, TOGETHER, strict=True):
            writer.write(rows_of(dataset, 2))
            writer.finish()
        yield writers


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in files_below(root)}


def new_file_vanishes(root: Path, dataset: Dataset) -> None:
    (path,) = root.glob(f".unfinished/{dataset.name}-*")
    path.unlink()


def folder_stands_in_its_place(root: Path, dataset: Dataset) -> None:
    target = root / dataset.name / f"lookup_date={DATE}" / "part-0.parquet"
    target.unlink(missing_ok=True)
    (target / "full").mkdir(parents=True)


@pytest.mark.usefixtures("_with_and_without_links")
@pytest.mark.parametrize("broken", TOGETHER, ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("has_old_files", [True, False])
@pytest.mark.parametrize("break_it", [new_file_vanishes, folder_stands_in_its_place])
def test_one_file_that_can_not_be_replaced_leaves_all_as_they_were(
    disk: DatasetFolder,
    root: Path,
    broken: Dataset,
    has_old_files: bool,
    break_it: Callable[[Path, Dataset], None],
) -> None:
    if has_old_files:
        old_files(disk)
    with finished(disk) as writers:
        break_it(root, broken)
        before = {name: data for name, data in contents(root).items() if "unfinished" not in name}
        with pytest.raises(StorageError, match=f"{broken.name}/.*/part-0.parquet can't be written"):
            replace_together(writers)
    assert contents(root) == before
    assert list((root / ".unfinished").iterdir()) == []


@pytest.mark.usefixtures("_with_and_without_links")
def test_an_interruption_between_two_files_leaves_all_as_they_were(
    folder: DatasetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        assert count(folder, FAILED_LOOKUPS) == 2, "the others are in place"
        raise KeyboardInterrupt

    old_files(folder)
    before = contents(root)
    with finished(folder) as writers:
        monkeypatch.setattr(writers[2], "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            replace_together(writers)
    assert contents(root) == before


@pytest.mark.usefixtures("_with_and_without_links")
def test_files_replaced_together_are_all_new_and_nothing_is_kept(
    disk: DatasetFolder, root: Path
) -> None:
    old_files(disk)
    with finished(disk) as writers:
        replace_together(writers)
    assert [count(disk, dataset) for dataset in TOGETHER] == [2, 2, 2]
    assert list((root / ".unfinished").iterdir()) == []


def test_in_an_object_store_a_failure_leaves_what_was_replaced_before_it() -> None:
    folder = DatasetFolder(f"memory:///{uuid4().hex}")
    old_files(folder)
    with finished(folder) as writers:
        target = folder.path(PENDING_LOOKUPS, DATE)
        unfinished = target.parent.parent.parent / ".unfinished"
        (new,) = (path for path in unfinished.iterdir() if "pending" in path.name)
        new.unlink()
        with pytest.raises(StorageError, match="pending_lookups"):
            replace_together(writers)
    assert [count(folder, dataset) for dataset in TOGETHER] == [2, 2, 1]
    with finished(folder) as writers:
        replace_together(writers)
    assert [count(folder, dataset) for dataset in TOGETHER] == [2, 2, 2]


def test_a_file_that_can_not_be_put_back_is_told_with_the_first_failure(
    folder: DatasetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        shutil.rmtree(root / PROFILES.name)
        raise StorageError("pending_lookups can't be written.")

    old_files(folder)
    with finished(folder) as writers:
        monkeypatch.setattr(writers[2], "replace", fail)
        with pytest.raises(StorageError) as raised:
            replace_together(writers)
    told = str(raised.value)
    assert told.startswith("pending_lookups can't be written. Besides, ")
    assert f"{folder.path(PROFILES, DATE)} can't be put back: No such file or directory" in told
    assert [count(folder, dataset) for dataset in TOGETHER[1:]] == [1, 1], "the others are"


def test_what_a_dead_process_kept_of_an_old_file_is_removed_a_day_after_it_was_kept(
    folder: DatasetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, NAMES, rows_of(NAMES, 1))
    os.utime(root / NAMES_FILE, (0, 0))
    abandoned = folder.writer(NAMES, DATE).old_file_kept()
    abandoned.__enter__()
    kept = temporary_file(root)
    write(folder, NAMES, rows_of(NAMES, 2))
    assert kept.exists(), "it may be needed still, old as its rows are"
    monkeypatch.setattr(storage, "time", SimpleNamespace(time=lambda: time.time() + 25 * HOUR))
    write(folder, NAMES, rows_of(NAMES, 3))
    assert files_below(root) == [NAMES_FILE]
