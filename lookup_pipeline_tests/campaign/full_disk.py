"""A disk that is full while files are written, and while answers are recorded."""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import (
    DAYS,
    Options,
    Workplace,
    opened_workplace,
    result_of,
)

# Room for what a scenario writes, and little more.
_MEGABYTES = 24
_DAYS = DAYS[:2]
_ROWS = 100

# Bytes left at first, which double until they suffice: one of the last times there is room for the
# new files and none for a copy of them.
_LITTLE_FOR_NAMES = 2_000
_LITTLE_FOR_PROFILES = 32_000

# Seconds for which the disk stays full: much shorter than what `submit` bears.
_FULL = 3.0


class NoMountError(Exception):
    """This process may not mount a file system."""


def full_disk_files(options: Options) -> Result:
    """The output folder's disk is full while names, lookups and profiles are written."""
    result = Result("disk full, files", rounds=max(2, options.rounds // 20))
    try:
        with TemporaryDirectory(prefix="campaign-") as root, _small_disk(Path(root, "output")):
            return _write_files(options, Path(root), result)
    except NoMountError as error:
        return Result(result.scenario, not_run=str(error))


def full_disk_ledger(options: Options) -> Result:
    """The ledger's disk is full while lookups are sent, polled and published."""
    result = Result("disk full, ledger", rounds=max(2, options.rounds // 20))
    try:
        with TemporaryDirectory(prefix="campaign-") as outside:
            root = Path(outside, "pipeline")
            with _small_disk(root):
                return _write_ledger(options, root, result)
    except NoMountError as error:
        return Result(result.scenario, not_run=str(error))


def _write_files(options: Options, root: Path, result: Result) -> Result:
    failed = 0
    with opened_workplace(options, result.scenario, root=root, days=_DAYS) as place:
        for _ in range(result.rounds):
            place.arrive(_ROWS, _DAYS)
            failed += _with_ever_more_room(place, "register", _LITTLE_FOR_NAMES)
            for day in _DAYS:
                place.pipeline.submit(day)
            place.advance_clock(minutes=5)
            place.pipeline.poll()
            failed += _with_ever_more_room(place, "publish", _LITTLE_FOR_PROFILES)
        result.remarks = f"{failed} times no room"
        if not failed:
            result.problems = ["the disk was never full"]
        return result_of(place, result, doubt=False)


def _write_ledger(options: Options, root: Path, result: Result) -> Result:
    failed = 0
    with opened_workplace(options, result.scenario, root=root, days=_DAYS) as place:
        place.sandbox.change(latency_seconds=0.1, complete_after_polls=0)
        for _ in range(result.rounds):
            place.arrive(_ROWS, _DAYS)
            place.register()
            before = len(place.sandbox.lookups())
            crew = place.workers(3)
            begin(crew[:1], [Task(step="submit", days=_DAYS)])
            while crew[0].works and len(place.sandbox.lookups()) < before + 20:
                time.sleep(0.01)
            _shorten_log(root / "ledger.db")
            with _no_room(root):
                begin(crew[1:], [Task(step="poll"), Task(step="publish", days=_DAYS)])
                time.sleep(_FULL)
            failed += sum(worker.ended() is not None for worker in crew)
            place.advance_clock(minutes=5)
        result.remarks = f"{failed} times no room"
        if not failed:
            result.problems = ["the disk was never full"]
        return result_of(place, result, doubt=False)


def _with_ever_more_room(place: Workplace, step: str, room: int) -> int:
    """Have a step done on a disk that is full at first; how often there was no room."""
    room = place.random.randrange(room, 2 * room)
    for failed in range(20):
        (worker,) = place.workers(1)
        with _no_room(place.root / "output", but=room):
            begin([worker], [Task(step=step, days=_DAYS)])
            if worker.ended() is None:
                return failed
        room *= 2
    raise RuntimeError(f"{step} fails with {room:,} bytes of room")


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    options = f"size={_MEGABYTES}m"
    try:
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise NoMountError(f"not run: {error}") from error
    if mount.returncode:
        raise NoMountError(
            f"not run: a small disk can't be mounted here ({mount.stderr.strip()}); run it as "
            "root, or under unshare --map-root-user --mount"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _no_room(folder: Path, *, but: int = 0) -> Iterator[None]:
    """The folder's disk is full, but for so many bytes, for the length of a block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - but))
    try:
        yield
    finally:
        filler.unlink()


def _shorten_log(ledger: Path) -> None:
    """Give the room in the ledger's log back, or commits would find some for a while."""
    with closing(sqlite3.connect(ledger, timeout=10)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
