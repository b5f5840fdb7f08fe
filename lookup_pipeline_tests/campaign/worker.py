"""A process that does the work and may be killed: one step of the flows, once or over and over.

Run as `python -m lookup_pipeline_tests.campaign.worker FOLDER CLOCK_FILE`; the API is in the
environment. It gets ready, reads a `Task` from its standard input, says `begun` when it starts on
it, and tells an error that belongs to the flows on its standard output.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from random import Random
from typing import cast
from unittest import mock

import msgspec
from upath import UPath

from lookup_pipeline.datasets.storage import PartitionWriter, StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.names import write_names
from lookup_pipeline.enrichment.publish import NotReadyError, publish
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.ledger import LedgerError
from lookup_pipeline.names.files import find_files
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.campaign.clock import FileClock
from lookup_pipeline_tests.enrichment.pipeline import Pipeline, opened_pipeline

BEGUN = "begun"

# Seconds after which a process that should have ended counts as stuck.
_PATIENCE = 90

_STOPPED = 3
"""Exit code: an error of the flows, told on standard output, ended the work."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do.

    Attributes:
        step: one of `STEPS`.
        days: the partitions, in this order.
        rate: requests a second; 0 for as many as there can be.
        seconds: no request leaves after so long; for `lock`, how long it lasts; for
            `publish-slowly`, how long each file takes to move.
        for_ever: begin again at the end.
    """

    step: str
    days: tuple[str, ...] = ()
    rate: float = 0
    seconds: float | None = None
    for_ever: bool = False


def register_day(pipeline: Pipeline, day: str) -> None:
    """Materialize `names`, `rejected_names` and `lookups`, as the assets do."""
    files = find_files(UPath(str(pipeline.root / "names")), date.fromisoformat(day))
    write_names(files, pipeline.output, day)
    register(pipeline.ledger, pipeline.output, day)


def _register(pipeline: Pipeline, task: Task) -> None:
    for day in task.days:
        register_day(pipeline, day)


def _submit(pipeline: Pipeline, task: Task) -> None:
    for day in task.days:
        pipeline.submit(day, owner=f"run-{os.getpid()}", rate=task.rate, seconds=task.seconds)


def _poll(pipeline: Pipeline, task: Task) -> None:
    pipeline.poll(rate=task.rate)


def _publish(pipeline: Pipeline, task: Task) -> None:
    for day in task.days:
        # A day that nobody has registered yet.
        with suppress(NotReadyError):
            publish(pipeline.ledger, pipeline.output, day, clock=pipeline.clock)


def _publish_slowly(pipeline: Pipeline, task: Task) -> None:
    """Publish on a disk that stalls whenever a file is moved."""
    replace = PartitionWriter.replace

    def stalled(writer: PartitionWriter) -> None:
        time.sleep(cast("float", task.seconds))
        replace(writer)

    with mock.patch.object(PartitionWriter, "replace", stalled):
        _publish(pipeline, task)


def _lock(pipeline: Pipeline, task: Task) -> None:
    """Keep every other writer out of the ledger."""
    with pipeline.ledger.write():
        print("locked", flush=True)
        time.sleep(cast("float", task.seconds))


STEPS: dict[str, Callable[[Pipeline, Task], None]] = {
    "register": _register,
    "submit": _submit,
    "poll": _poll,
    "publish": _publish,
    "publish-slowly": _publish_slowly,
    "lock": _lock,
}


class Worker:
    """A worker process, seen from outside."""

    def __init__(self, root: Path, clock_file: Path, sandbox: RunningSandbox) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(root), str(clock_file)],
            env=os.environ
            | {"ROCKETREACH_BASE_URL": sandbox.base_url, "ROCKETREACH_API_KEY": sandbox.api_key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def give(self, task: Task) -> None:
        """Give it its task; it says `BEGUN` as soon as it starts on it."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(task).decode() + "\n")
        self._process.stdin.flush()

    def expect(self, word: str) -> None:
        """Wait until it says a word.

        Raises:
            RuntimeError: it says something else.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.strip() != word:
            raise RuntimeError(f"a worker failed: {line}{self._process.communicate()[0]}")

    def kill(self) -> str | None:
        """Kill it without a word; what it had said if it had ended by itself."""
        os.kill(self._process.pid, signal.SIGKILL)
        said = self._process.communicate()[0]
        return None if self._process.returncode == -signal.SIGKILL else said.strip()

    @property
    def works(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ended(self, *, after: float = 0) -> str | None:
        """Wait for its end; the error of the flows that stopped it, or None where none did.

        Args:
            after: seconds that its task takes by itself.

        Raises:
            RuntimeError: it failed in another way.
            subprocess.TimeoutExpired: it is stuck.
        """
        said = self._process.communicate(timeout=after + _PATIENCE)[0].strip()
        if self._process.returncode == _STOPPED:
            return said
        if self._process.returncode:
            raise RuntimeError(f"a worker failed: {said}")
        return None

    def discard(self) -> None:
        """Be rid of it, whatever it does."""
        if self.works:
            self._process.kill()
        self._process.communicate()


def begin(workers: Sequence[Worker], tasks: Sequence[Task]) -> None:
    """Have each worker start on its task; back when all have."""
    for worker, task in zip(workers, tasks, strict=True):
        worker.give(task)
    for worker in workers:
        worker.expect(BEGUN)


def kill_at_random(workers: Sequence[Worker], random: Random, within: float) -> list[str]:
    """Kill each of them at its own moment within so many seconds from now.

    Returns:
        What those said that had ended by themselves, which nobody asked them to.
    """
    begun = time.monotonic()
    moments = sorted((random.uniform(0, within), place) for place in range(len(workers)))
    said = []
    for moment, place in moments:
        time.sleep(max(0, begun + moment - time.monotonic()))
        said.append(workers[place].kill())
    return [text for text in said if text is not None]


def main(folder: str, clock_file: str) -> None:
    """Do one task."""
    task = msgspec.json.decode(sys.stdin.readline(), type=Task)
    with opened_pipeline(
        Path(folder), os.environ["ROCKETREACH_BASE_URL"], os.environ["ROCKETREACH_API_KEY"]
    ) as pipeline:
        pipeline.clock = FileClock(Path(clock_file))
        print(BEGUN, flush=True)
        try:
            STEPS[task.step](pipeline, task)
            while task.for_ever:
                STEPS[task.step](pipeline, task)
        except (
            LedgerError,
            OutdatedLedgerError,
            StorageError,
            SubmissionStoppedError,
        ) as error:
            print(f"{type(error).__name__}: {error}")
            sys.exit(_STOPPED)


if __name__ == "__main__":
    main(*sys.argv[1:])
