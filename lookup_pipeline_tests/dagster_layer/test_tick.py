"""A tick never exceeds its bound, whatever waits inside."""

import threading
import time
from collections.abc import Iterator

import pytest
from dagster import SensorDefinition, SkipReason

from lookup_pipeline import queue_sensor, sensors, tick
from lookup_pipeline.ledger import LedgerError
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.rocketreach import client
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline_tests.dagster_layer.conftest import Project, evaluate

SENSORS = [lookup_status_sensor, queued_lookups_sensor]
each_sensor = pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)


@pytest.fixture
def stalled() -> Iterator[threading.Event]:
    """What never comes while the test lasts."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(
    ("sensor", "module", "name"),
    [
        (lookup_status_sensor, sensors, "end_dead_runs"),
        (lookup_status_sensor, sensors, "check_lineage"),
        (queued_lookups_sensor, queue_sensor, "_note_failed_runs"),
    ],
)
def test_a_tick_that_waits_for_anything_ends_in_time_and_says_so(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    stalled: threading.Event,
    sensor: SensorDefinition,
    module: object,
    name: str,
) -> None:
    monkeypatch.setattr(tick, "TICK_SECONDS", 0.3)

    def wait(*_arguments: object) -> None:
        stalled.wait(60)
        raise RuntimeError("the test is over")

    monkeypatch.setattr(module, name, wait)
    # Open already: what a late tick goes on with is not to meet the next test.
    assert project.ledger.file.exists()
    begun = time.monotonic()
    with pytest.raises(tick.TickTimeoutError, match="next tick tries again"):
        evaluate(sensor, project)
    assert time.monotonic() - begun < 5


@each_sensor
def test_a_tick_waits_briefly_for_the_ledgers_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch, sensor: SensorDefinition
) -> None:
    monkeypatch.setattr(tick, "LOCK_SECONDS", 0.1)
    ledger = project.ledger
    begun = time.monotonic()
    with ledger.write(), pytest.raises(LedgerError, match="locked"):
        evaluate(sensor, project)
    assert time.monotonic() - begun < 5, "not the half minute that a run waits"
    assert isinstance(evaluate(sensor, project), SkipReason)


def test_what_a_tick_begins_in_time_ends_in_time() -> None:
    recording = 2 * tick.LOCK_SECONDS
    assert sensors.POLL_SECONDS + client.POLL_SECONDS + recording < tick.TICK_SECONDS <= 45


def test_a_runs_patience_with_the_ledger_is_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections are shared."""
    monkeypatch.setattr(tick, "LOCK_SECONDS", 0.1)
    evaluate(lookup_status_sensor, project)
    with project.ledger.write() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
