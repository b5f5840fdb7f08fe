"""Four processes on one partition at the same moment, some of them killed: nobody is sent twice.

The module is also what two of them run: `job` runs Dagster's submission_job; `sensor` evaluates
queued_lookups_sensor, says `requested`, reads a line, and runs what the sensor has asked for.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, cast

import psutil
import pytest
from dagster import DagsterInstance, SensorResult, build_sensor_context
from sqlalchemy import select, update

from lookup_pipeline.command_line.instance import prepare_home
from lookup_pipeline.datasets.columns import FAILED_LOOKUPS
from lookup_pipeline.definitions import build_defs
from lookup_pipeline.enrichment.submit import WORKERS
from lookup_pipeline.ledger import State, limits
from lookup_pipeline.ledger.resumption import Stage, WaitReason, begin, hold
from lookup_pipeline.ledger.tables import limits as limits_table
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import DAY, Pipeline, people, sent

pytestmark = pytest.mark.slow

PEOPLE = 360

# Short enough that a submission waits for its end, long enough that all of them begin within it.
_SILENCE = timedelta(seconds=85)

_PATIENCE = 60

_RUN = [str(Path(sys.executable).with_name("lookup-pipeline")), "run", "--date", DAY]
_JOB = [sys.executable, "-m", __name__, "job"]
_SENSOR = [sys.executable, "-m", __name__, "sensor"]

Process = subprocess.Popen[bytes]


class Contenders:
    """Processes that send what is queued of the same partition of the same ledger."""

    def __init__(self, pipeline: Pipeline, sandbox: RunningSandbox) -> None:
        self._pipeline = pipeline
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROCKETREACH_", "LOOKUP_PIPELINE_", "DAGSTER_"))
        } | {
            "ROCKETREACH_API_KEY": sandbox.api_key,
            "ROCKETREACH_BASE_URL": sandbox.base_url,
            "ROCKETREACH_REQUESTS_PER_SECOND": "0",
            "LOOKUP_PIPELINE_NAMES_URL": str(pipeline.root / "names"),
            "LOOKUP_PIPELINE_OUTPUT_URL": str(pipeline.root / "output"),
            "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{pipeline.root / 'ledger.db'}",
        }
        self.all: list[Process] = []

    def start(self, command: list[str], home: str) -> Process:
        with (self._pipeline.root / f"{len(self.all)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                # Pools would let two of them submit at once: each of these has a place of its own.
                env=self._environment | {"DAGSTER_HOME": str(self._pipeline.root / home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if command is _SENSOR else log,
                stderr=log,
            )
        self.all.append(process)
        return process

    def log(self, process: Process) -> str:
        path = self._pipeline.root / f"{self.all.index(process)}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-4_000:]

    def wait_until_they_submit(self, *processes: Process) -> None:
        """Until their workers stand ready, with nothing to send."""
        for process in processes:
            seen = psutil.Process(process.pid)
            until = time.monotonic() + _PATIENCE
            while seen.num_threads() <= WORKERS:
                assert process.poll() is None, self.log(process)
                assert time.monotonic() < until, self.log(process)
                time.sleep(0.05)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < until, "what the test waits for never happened"
        time.sleep(0.02)


@contextmanager
def contenders(pipeline: Pipeline, sandbox: RunningSandbox) -> Iterator[Contenders]:
    found = Contenders(pipeline, sandbox)
    try:
        yield found
    finally:
        for process in found.all:
            process.kill()
            process.communicate()


def senders(pipeline: Pipeline) -> set[str | None]:
    """The runs that have sent somebody."""
    with pipeline.ledger.read() as connection:
        sent_by = select(lookups.c.claimed_by).where(lookups.c.claimed_by.is_not(None))
        return set(connection.scalars(sent_by))


def silence(pipeline: Pipeline) -> None:
    """Have every process wait, as after a Retry-After."""
    with pipeline.ledger.write() as connection:
        limits.block(connection, limits.LOOKUPS, pipeline.clock() + _SILENCE)


def end_silence(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as connection:
        connection.execute(update(limits_table).values(blocked_until=None))


def test_four_processes_on_one_partition_some_of_them_killed_send_nobody_twice(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    pipeline.register(people(PEOPLE))
    # Long enough in the air for a death to leave some in doubt.
    sandbox.change(latency_seconds=0.5, complete_after_polls=0)
    with pipeline.ledger.write() as connection:
        now = pipeline.clock()
        begin(connection, DAY, Stage.SUBMIT, "earlier", now)
        hold(connection, DAY, WaitReason.LIMITS, "the provider's limits", now, now)

    with contenders(pipeline, sandbox) as four:
        by_sensor = four.start(_SENSOR, "home of the sensor")
        assert cast("IO[bytes]", by_sensor.stdout).readline() == b"requested\n", four.log(by_sensor)
        silence(pipeline)
        cast("IO[bytes]", by_sensor.stdin).write(b"go\n")
        cast("IO[bytes]", by_sensor.stdin).flush()
        command = four.start(_RUN, "home of the commands")
        job = four.start(_JOB, "home of the job")
        four.wait_until_they_submit(by_sensor, command, job)
        # In a home that stands: Dagster does not stand being set up by two at once.
        other_command = four.start(_RUN, "home of the commands")
        four.wait_until_they_submit(other_command)
        assert sandbox.lookups() == [], "everybody waits for the end of the silence"

        end_silence(pipeline)
        wait_until(lambda: len(senders(pipeline)) == 4)
        for killed in (command, job):
            killed.kill()
        silence(pipeline)
        assert pipeline.counts().states[State.QUEUED] > 0, "killed before the end"
        again = [four.start(_RUN, "home of the commands"), four.start(_JOB, "home of the job")]
        four.wait_until_they_submit(*again)
        in_doubt = pipeline.counts().states[State.SUBMITTING]
        assert 0 < in_doubt <= 2 * WORKERS, "killed with requests in the air"

        end_silence(pipeline)
        wait_until(lambda: pipeline.states().keys() == {State.COMPLETE, State.SUBMITTING})
        for of_dagster in (by_sensor, again[1]):
            assert of_dagster.wait(_PATIENCE) == 0, four.log(of_dagster)
        # Those of the command follow what is in doubt, until its lease is over.
        for following in (other_command, again[0]):
            assert following.poll() is None, four.log(following)
            following.send_signal(signal.SIGINT)

    assert len(senders(pipeline)) > 4, "what was started again has sent some, too"
    assert max(sent(sandbox).values()) == 1

    pipeline.clock.advance(seconds=61)
    assert pipeline.submit().accepted == 0
    publication = pipeline.publish()
    assert max(sent(sandbox).values()) == 1
    assert publication.reconciliation.balanced
    assert len(pipeline.published()) == PEOPLE
    assert publication.failure_kinds == {"unconfirmed": in_doubt}
    doubtful = {row["requested_name"] for row in pipeline.rows(FAILED_LOOKUPS)}
    assert {name for name, _ in people(PEOPLE)} - doubtful <= set(sent(sandbox))


def run_job(day: str, tags: Mapping[str, str]) -> None:
    with DagsterInstance.get() as instance:
        job = build_defs().resolve_job_def("submission_job")
        assert job.execute_in_process(partition_key=day, instance=instance, tags=dict(tags)).success


def run_what_the_sensor_requests() -> None:
    with DagsterInstance.get() as instance:
        resources = {
            "ledger": LedgerResource(),
            "folders": Folders(),
            "rocketreach": RocketReach(),
        }
        result = queued_lookups_sensor(build_sensor_context(instance=instance, resources=resources))
    assert isinstance(result, SensorResult), result
    (request,) = result.run_requests or ()
    print("requested", flush=True)
    sys.stdin.readline()
    run_job(str(request.partition_key), request.tags)


if __name__ == "__main__":
    prepare_home()
    if sys.argv[1] == "job":
        run_job(DAY, {})
    else:
        run_what_the_sensor_requests()
