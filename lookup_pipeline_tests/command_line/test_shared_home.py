"""What is on in a home at the start and at the end of a simulation."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from lookup_pipeline.command_line import shared_home
from lookup_pipeline.command_line.errors import NotStartedError
from lookup_pipeline.command_line.instance import is_switched_off, open_instance, prepare_home
from lookup_pipeline.command_line.shared_home import find_leftovers, simulation_in
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline.simulation import MARK, PROCESS_VARIABLE, refuse_leftover

ALL = "schedule nightly_enrichment, 1 backfill, 3 open runs, 1 failed run to be repeated"


class Home:
    """A home of its own, and what a user's clicks in the UI leave in it."""

    def __init__(self, folder: Path, instance: DagsterInstance) -> None:
        self.folder = folder
        self.mark = folder / MARK
        self.instance = instance
        self.said: list[str] = []

    def simulation(self) -> AbstractContextManager[None]:
        return simulation_in(self.folder, self.said.append)

    def switch_schedule_on(self, location: str = "lookup_pipeline") -> InstigatorState:
        return self.instance.add_instigator_state(
            InstigatorState(
                repository(location).get_instigator_origin("nightly_enrichment"),
                InstigatorType.SCHEDULE,
                InstigatorStatus.RUNNING,
                ScheduleInstigatorData("0 2 * * *", time.time()),
            )
        )

    def launch_backfill(
        self,
        status: BulkActionStatus = BulkActionStatus.REQUESTED,
        asset: str = "lookups",
    ) -> None:
        self.instance.add_backfill(
            PartitionBackfill(
                backfill_id=f"backfill-{asset}-{status.value}",
                status=status,
                from_failure=False,
                tags={},
                backfill_timestamp=time.time(),
                asset_selection=[AssetKey(asset)],
            )
        )

    def launch_run(
        self, status: DagsterRunStatus, location: str = "lookup_pipeline", **tags: str
    ) -> DagsterRun:
        run: DagsterRun = create_run_for_test(
            self.instance,
            job_name="enrichment_job",
            status=status,
            tags={f"dagster/{name}": value for name, value in tags.items()},
            remote_job_origin=repository(location).get_job_origin("enrichment_job"),
        )
        return run

    def leave_everything_on(self) -> None:
        self.switch_schedule_on()
        self.launch_backfill()
        for status in ("QUEUED", "NOT_STARTED", "STARTED"):
            self.launch_run(DagsterRunStatus(status))
        self.launch_run(DagsterRunStatus.FAILURE, will_retry="true")

    def beat(self) -> None:
        """What a daemon does as long as it lives."""
        self.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SCHEDULER", "id"))

    def on(self) -> str:
        return str(find_leftovers(self.instance))


def repository(location: str = "lookup_pipeline") -> RemoteRepositoryOrigin:
    target = LoadableTargetOrigin(module_name="lookup_pipeline.definitions")
    return RemoteRepositoryOrigin(
        InProcessCodeLocationOrigin(target, location_name=location), "__repository__"
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    folder = prepare_home()
    with open_instance() as instance:
        yield Home(folder, instance)


def test_what_a_simulation_switches_on_or_launches_is_stopped_at_its_end(home: Home) -> None:
    with home.simulation():
        home.leave_everything_on()
        assert home.mark.exists()
        assert home.on() == ALL
    assert home.on() == ""
    assert home.said == [f"Nothing of the simulation is left on; stopped: {ALL}."]
    assert not home.mark.exists()
    assert {state.status for state in home.instance.all_instigator_state()} == {
        InstigatorStatus.STOPPED
    }
    assert {each.status for each in home.instance.get_backfills()} == {BulkActionStatus.CANCELED}
    runs = [(run.status.value, run.tags.get("dagster/will_retry")) for run in runs_of(home)]
    assert sorted(runs, key=str) == [("CANCELED", None)] * 3 + [("FAILURE", "false")]


def test_a_sensor_that_was_turned_off_is_known(home: Home) -> None:
    assert not is_switched_off("queued_lookups_sensor")
    home.instance.add_instigator_state(
        InstigatorState(
            repository().get_instigator_origin("queued_lookups_sensor"),
            InstigatorType.SENSOR,
            InstigatorStatus.STOPPED,
        )
    )
    assert is_switched_off("queued_lookups_sensor")
    assert not is_switched_off("lookup_status_sensor")


def test_it_is_stopped_however_the_simulation_ends(home: Home) -> None:
    with suppress(SystemExit), home.simulation():
        home.switch_schedule_on()
        raise SystemExit(143)
    assert home.on() == ""


def test_a_second_signal_does_not_break_the_clean_up_off(home: Home) -> None:
    before = signal.getsignal(signal.SIGINT)
    during = []
    with simulation_in(home.folder, lambda _: during.append(signal.getsignal(signal.SIGINT))):
        home.switch_schedule_on()
    assert during == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_canceled_run_gives_its_place_in_the_pool_back(home: Home) -> None:
    pool = home.instance.event_log_storage
    pool.set_concurrency_slots("rocketreach", 1)
    with home.simulation():
        run = home.launch_run(DagsterRunStatus.STARTED)
        assert pool.claim_concurrency_slot("rocketreach", run.run_id, "lookups").is_claimed
    assert pool.get_concurrency_info("rocketreach").claimed_slots == []


def test_a_simulation_that_left_nothing_on_says_nothing(home: Home) -> None:
    for _ in range(2):
        with home.simulation():
            home.beat()
    assert home.said == []


def test_what_a_killed_simulation_left_on_is_stopped_at_the_next_start(home: Home) -> None:
    home.leave_everything_on()
    home.mark.touch()
    with home.simulation():
        assert home.on() == ""
        assert home.said == [f"Nothing of the simulation is left on; stopped: {ALL}."]
        assert home.mark.exists()


def test_what_a_killed_simulation_left_on_spends_nothing_under_a_real_daemon(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = home.launch_run(DagsterRunStatus.STARTED)
    by_hand = create_run_for_test(home.instance, status=DagsterRunStatus.STARTED)
    refuse_leftover(home.instance, launched)
    home.mark.touch()
    refuse_leftover(home.instance, by_hand)
    with pytest.raises(ConfigurationError, match="may belong to its simulation") as error:
        refuse_leftover(home.instance, launched)
    assert f"remove {home.mark}" in str(error.value)
    monkeypatch.setenv(PROCESS_VARIABLE, str(home.folder))
    refuse_leftover(home.instance, launched)


def test_the_processes_of_a_killed_simulation_are_ended_at_the_next_start(home: Home) -> None:
    def left_by(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], env=os.environ | {PROCESS_VARIABLE: folder})

    with left_by(str(home.folder)) as ours, left_by("/another/home") as another:
        home.mark.touch()
        with home.simulation():
            assert not psutil.pid_exists(ours.pid)
        assert another.poll() is None
        another.kill()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (Home.switch_schedule_on, "schedule nightly_enrichment"),
        (Home.launch_backfill, "1 backfill"),
        (lambda home: home.launch_run(DagsterRunStatus.QUEUED), "1 open run"),
        (
            lambda home: home.launch_run(DagsterRunStatus.FAILURE, will_retry="true"),
            "1 failed run to be repeated",
        ),
    ],
)
def test_it_does_not_start_where_the_pipeline_itself_is_under_way(
    home: Home, what: Callable[[Home], object], told: str
) -> None:
    what(home)
    with pytest.raises(NotStartedError) as error, home.simulation():
        pass
    assert f"Under way in {home.folder}: {told}." in str(error.value)
    assert "DAGSTER_HOME=/an/absolute/folder make dev" in str(error.value)
    assert home.on() == told, "nothing of it was touched"
    assert not home.mark.exists()


def test_it_starts_where_all_has_come_to_its_end_and_leaves_alone_what_is_not_its_own(
    home: Home,
) -> None:
    home.launch_backfill(BulkActionStatus.COMPLETED_SUCCESS)
    for status in ("SUCCESS", "FAILURE", "CANCELED"):
        home.launch_run(DagsterRunStatus(status))
    home.launch_run(DagsterRunStatus.FAILURE, will_retry="true", auto_retry_run_id="another")
    home.launch_run(DagsterRunStatus.FAILURE, will_retry="true", backfill="canceled")
    another = home.switch_schedule_on("another_project")
    home.launch_backfill(asset="somebody_elses")
    home.launch_run(DagsterRunStatus.QUEUED, "another_project")
    home.launch_run(DagsterRunStatus.FAILURE, "another_project", will_retry="true")
    # As `lookup-pipeline run` begins one, in another terminal.
    in_process = create_run_for_test(home.instance, status=DagsterRunStatus.STARTED)
    before = runs_of(home)
    with home.simulation():
        pass
    assert runs_of(home) == before
    assert in_process in before
    assert list(home.instance.all_instigator_state()) == [another]
    requested = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
    (backfill,) = home.instance.get_backfills(requested)
    assert backfill.asset_selection == [AssetKey("somebody_elses")]


def test_two_simulations_do_not_share_a_home(home: Home) -> None:
    with (
        home.simulation(),
        pytest.raises(NotStartedError, match=f"Another `make dev` is at work in {home.folder}"),
        home.simulation(),
    ):
        pass


def test_it_does_not_start_beside_a_living_daemon(home: Home) -> None:
    home.beat()
    next_beat = threading.Timer(1, home.beat)
    next_beat.start()
    with (
        pytest.raises(NotStartedError, match=f"daemon is at work in {home.folder}"),
        home.simulation(),
    ):
        pass
    next_beat.join()
    assert "waiting" in home.said[0]


def test_it_starts_as_soon_as_a_daemon_has_been_silent_for_long_enough(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_home, "_HEARTBEAT", 1.0)
    home.beat()
    with home.simulation():
        assert "waiting" in home.said[0]


def runs_of(home: Home) -> list[DagsterRun]:
    return list(home.instance.get_runs())
