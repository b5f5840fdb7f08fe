"""One DAGSTER_HOME for the pipeline and its simulation, and nothing that crosses over.

A daemon goes on with whatever it finds on in its home: what was launched in the simulation would
spend credits, and what waits for the real API would be answered with invented people.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import (
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import BACKFILL_ID_TAG, WILL_RETRY_TAG

from lookup_pipeline.command_line.errors import NotStartedError
from lookup_pipeline.command_line.exclusive import held
from lookup_pipeline.command_line.instance import open_instance
from lookup_pipeline.datasets.columns import DATASETS
from lookup_pipeline.simulation import MARK, PROCESS_VARIABLE

# As workspace.yaml and pyproject.toml name it. Other projects' schedules are not run by ours.
_CODE_LOCATION = "lookup_pipeline"

_ASSETS = frozenset(dataset.name for dataset in DATASETS)

# Seconds. A daemon that lives says so every 30.
_HEARTBEAT = 35.0

_OPEN_BACKFILLS = [
    BulkActionStatus.REQUESTED,
    BulkActionStatus.CANCELING,
    BulkActionStatus.FAILING,
]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Leftovers:
    """What the next daemon in a home would go on with, of our code location.

    Attributes:
        schedules: Those that are on.
        backfills: Those that are not finished.
        runs: Those that are not finished, but for those of `lookup-pipeline run`: these work in
            a process of their own, which no daemon takes over.
        repeats: The failed runs that a daemon would repeat.
    """

    schedules: Sequence[InstigatorState]
    backfills: Sequence[PartitionBackfill]
    runs: Sequence[DagsterRun]
    repeats: Sequence[DagsterRun]

    def __bool__(self) -> bool:
        return any((self.schedules, self.backfills, self.runs, self.repeats))

    def __str__(self) -> str:
        counted = (
            (len(self.backfills), "backfill", "backfills"),
            (len(self.runs), "open run", "open runs"),
            (len(self.repeats), "failed run to be repeated", "failed runs to be repeated"),
        )
        return ", ".join(
            [f"schedule {schedule.name}" for schedule in self.schedules]
            + [
                f"{number} {one if number == 1 else many}"
                for number, one, many in counted
                if number
            ]
        )


def find_leftovers(instance: DagsterInstance) -> Leftovers:
    """What is on in an instance.

    Sensors are not looked at: ours go by the ledger, and a simulation has one of its own.
    """
    schedules = instance.all_instigator_state(
        instigator_type=InstigatorType.SCHEDULE, instigator_statuses={InstigatorStatus.RUNNING}
    )
    failed = instance.get_runs(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"})
    )
    return Leftovers(
        [each for each in schedules if each.repository_selector.location_name == _CODE_LOCATION],
        [
            each
            for each in instance.get_backfills(BulkActionsFilter(statuses=_OPEN_BACKFILLS))
            if _is_our_backfill(each)
        ],
        [
            run
            for run in instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES))
            if _is_our_run(run)
        ],
        [
            run
            for run in failed
            # A backfill's are repeated only as long as it is open itself.
            if run.is_complete_and_waiting_to_retry
            and BACKFILL_ID_TAG not in run.tags
            and _is_our_run(run)
        ],
    )


def _is_our_run(run: DagsterRun) -> bool:
    origin = run.remote_job_origin
    return origin is not None and _is_ours(origin.repository_origin)


def _is_our_backfill(backfill: PartitionBackfill) -> bool:
    origin, assets = backfill.partition_set_origin, backfill.asset_selection
    if origin is not None:
        return _is_ours(origin.repository_origin)
    # One that names neither may be ours: better stopped in vain than paid for.
    return assets is None or not _ASSETS.isdisjoint(key.to_user_string() for key in assets)


def _is_ours(repository: RemoteRepositoryOrigin) -> bool:
    return repository.code_location_origin.location_name == _CODE_LOCATION


def stop_leftovers(instance: DagsterInstance) -> Leftovers:
    """Stop all that is on in an instance without a daemon; returns what it was."""
    found = find_leftovers(instance)
    for schedule in found.schedules:
        instance.update_instigator_state(schedule.with_status(InstigatorStatus.STOPPED))
    for backfill in found.backfills:
        instance.update_backfill(
            backfill._replace(status=BulkActionStatus.CANCELED, backfill_end_timestamp=time.time())
        )
    for run in found.runs:
        instance.report_run_canceled(run, "The simulation it belonged to has ended.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    for run in found.repeats:
        instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
    return found


@contextmanager
def simulation_in(home: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keep what is done in a home during the block from going on after it.

    A simulation that was killed is recognised by its mark, and cleaned up after first.

    Args:
        home: DAGSTER_HOME, prepared. Processes that the block starts have to carry it in
            `PROCESS_VARIABLE`: those that are left at the end are killed.
        say: told in a line what was stopped, if anything was.

    Raises:
        NotStartedError: the pipeline itself, or another simulation, is at work in the home.
    """
    cure = "or give `make dev` a folder of its own: DAGSTER_HOME=/an/absolute/folder make dev"
    mark = home / MARK
    with held(home, f"Another `make dev` is at work in {home}: end it, {cure}"):
        with open_instance() as instance:
            if mark.exists():
                _kill_processes(home)
            if _daemon_lives(instance, say):
                raise NotStartedError(
                    f"A Dagster daemon is at work in {home}, and would take up what belongs to the "
                    f"simulation: end it, {cure}"
                )
            found = find_leftovers(instance)
            if found and not mark.exists():
                raise NotStartedError(
                    f"Under way in {home}: {found}. The simulation would take it up: end it (in "
                    f"the Dagster UI, or by letting it finish), {cure}"
                )
            _clean_up(instance, mark, say)
        mark.touch()
        try:
            yield
        finally:
            with _undisturbed():
                _kill_processes(home)
                with open_instance() as instance:
                    _clean_up(instance, mark, say)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no impatient second signal break off what is short and must be done."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in _ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _clean_up(instance: DagsterInstance, mark: Path, say: Callable[[str], None]) -> None:
    stopped = stop_leftovers(instance)
    # Those of a daemon that has ended would hold up the next start.
    instance.wipe_daemon_heartbeats()
    mark.unlink(missing_ok=True)
    # Last: the terminal may be gone.
    if stopped:
        say(f"Nothing of the simulation is left on; stopped: {stopped}.")


def _daemon_lives(instance: DagsterInstance, say: Callable[[str], None]) -> bool:
    """Whether a daemon is at work, on whatever machine; one that has just ended takes a while."""
    last = _last_heartbeat(instance)
    end = last + _HEARTBEAT
    if time.time() < end:
        say("A daemon was at work here a moment ago; waiting whether it still is (half a minute) …")
    while time.time() < end:
        if _last_heartbeat(instance) > last:
            return True
        time.sleep(0.5)
    return False


def _last_heartbeat(instance: DagsterInstance) -> float:
    return max((each.timestamp for each in instance.get_daemon_heartbeats().values()), default=0)


def _kill_processes(home: Path) -> None:
    """Kill what a simulation in this home has left behind."""
    killed = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(PROCESS_VARIABLE) == str(home):
                process.kill()
                killed.append(process)
        except psutil.Error:
            # Gone meanwhile, or somebody else's.
            continue
    psutil.wait_procs(killed, timeout=10)
