"""What ends a command, and what `status` and the daemon's sensor make of it."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_sensor_context
from sqlalchemy import update

from lookup_pipeline.ledger.tables import waits
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import end_dead_runs
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, Workplace

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(100)]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def begin_slow_run(workplace: Workplace, sandbox: RunningSandbox) -> subprocess.Popen[str]:
    """A run that has sent some of its people and will not be done for long."""
    workplace.write_csv(PEOPLE)
    sandbox.change(latency_seconds=1)
    command = workplace.start("run", "--date", DAY)
    wait_until(lambda: len(sandbox.lookups()) >= 5)
    return command


@contextmanager
def tick(workplace: Workplace, sandbox: RunningSandbox) -> Iterator[SensorResult | SkipReason]:
    """What the daemon's sensor makes of it."""
    rocketreach = RocketReach(
        api_key=sandbox.api_key, base_url=sandbox.base_url, requests_per_second=0
    )
    with DagsterInstance.from_config(str(workplace.home)) as instance:
        end_dead_runs(instance)
        context = build_sensor_context(
            instance=instance,
            resources={
                "ledger": ledger(workplace),
                "folders": Folders(output_url=str(workplace.root / "output")),
                "rocketreach": rocketreach,
            },
        )
        result = queued_lookups_sensor(context)
        assert isinstance(result, SensorResult | SkipReason)
        yield result


def ledger(workplace: Workplace) -> LedgerResource:
    return LedgerResource(url=f"sqlite:///{workplace.root / 'ledger.db'}")


@pytest.fixture(autouse=True)
def partitions_of_the_command(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(workplace.home))
    key = "lookup_pipeline.queue_sensor.DAILY.has_partition_key"
    monkeypatch.setattr(key, lambda _key: True)


def test_a_killed_command_is_resumed_by_the_sensor(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    command = begin_slow_run(workplace, sandbox)
    command.kill()
    command.communicate()
    (wait,) = workplace.status()["waits"]
    assert wait["reason"] == "running", "it left its note behind"
    with tick(workplace, sandbox) as result:
        assert isinstance(result, SkipReason)
    (wait,) = workplace.status()["waits"]
    assert (wait["reason"], wait["resumes"]) == ("interrupted", True)
    assert f"Waiting: {DAY} since " in workplace.run("status").stdout
    with ledger(workplace).open().write() as connection:
        connection.execute(update(waits).values(until=utc_now()))
    with tick(workplace, sandbox) as result:
        assert isinstance(result, SensorResult)
        (request,) = result.run_requests or ()
        assert request.partition_key == DAY


def test_an_interrupted_command_stays_stopped_and_status_says_so(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    command = begin_slow_run(workplace, sandbox)
    command.send_signal(signal.SIGINT)
    command.communicate()
    assert command.returncode == 130
    with tick(workplace, sandbox) as result:
        assert isinstance(result, SkipReason)
    (wait,) = workplace.status()["waits"]
    assert (wait["reason"], wait["until"], wait["resumes"]) == ("canceled", None, False)
    told = workplace.run("status").stdout
    assert f"Stopped: {DAY} since " in told
    assert "(canceled: its run was interrupted). To send the rest, run it again." in told
    sandbox.change(latency_seconds=0)
    assert workplace.run("run", "--date", DAY).returncode == 0
    assert workplace.status()["waits"] == []


def test_a_strange_retry_after_is_obeyed_for_an_hour_told_everywhere_and_can_be_lifted(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE[:3])
    a_year = 365 * 86_400
    sandbox.change(down=True, retry_after_seconds=a_year)
    done = workplace.run("run", "--date", DAY, "--timeout", "30")
    assert done.returncode == 3
    assert "the provider asked not to be called (Retry-After" in done.stdout
    status = workplace.status()
    until = datetime.fromisoformat(status["cooldowns"]["lookup"])
    assert timedelta(minutes=50) < until - utc_now() <= timedelta(hours=1)
    assert status["waits"][0]["until"] == status["cooldowns"]["lookup"]
    assert "`lookup-pipeline resume` lifts it" in workplace.run("status").stdout
    with tick(workplace, sandbox) as result:
        assert isinstance(result, SkipReason)
        assert "`lookup-pipeline resume` lifts it" in str(result.skip_message)

    sandbox.change(down=False)
    lifted = workplace.run("resume").stdout
    assert "Cooldown of lookup until" in lifted
    assert f"Resumed at the next tick of queued_lookups_sensor: {DAY}." in lifted
    assert workplace.status()["cooldowns"] == {}
    with tick(workplace, sandbox) as result:
        assert isinstance(result, SensorResult)
