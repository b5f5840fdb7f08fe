"""Runs whose process died.

Dagster's local launchers can't tell that a run's process is gone: killed, such a run counts as
started for ever, holds its place in the pool, and keeps its partition from being run again.
Each run therefore says in a tag which process works on it.
"""

import socket
from pathlib import Path

import psutil
from dagster import (
    AssetExecutionContext,
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
)

PROCESS_TAG = "lookup_pipeline/process"

# Each container counts its processes from 1.
_NAMESPACE = Path("/proc/self/ns/pid")

# Of this start of the machine.
_BOOT = Path("/proc/sys/kernel/random/boot_id")

# In /proc/PID/stat, of what follows the name in parentheses: ticks from the start of the machine to
# that of the process.
_START_FIELD = 19


def process_tags(run_id: str) -> dict[str, str]:
    """The tag that says that this process works on a run: which run, where, number, beginning.

    The run is named because one that repeats another begins with that one's tags.
    """
    process = psutil.Process()
    return {PROCESS_TAG: f"{run_id}/{_place()}/{process.pid}/{_start_of(process)}"}


def mark_run(context: AssetExecutionContext) -> None:
    """Note that this process works on the run."""
    tags = process_tags(context.run.run_id)
    if not tags.items() <= context.run.tags.items():
        context.instance.add_run_tags(context.run.run_id, tags)


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark runs as failed whose process, on this machine, is gone; returns their ids.

    Their places in the pools are free at once. Nothing is lost with such a run: whatever it had
    sent is in the ledger.
    """
    records = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    )
    ended = []
    for run in (record.dagster_run for record in records):
        of_run, _, process = run.tags.get(PROCESS_TAG, "").partition("/")
        if of_run != run.run_id or not _is_gone(process):
            continue
        # It may have ended well since it was looked up.
        now = instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            continue
        if now.status is DagsterRunStatus.CANCELING:
            # An operator wanted its end, and it did not live to say that it obeyed.
            instance.report_run_canceled(now)
        else:
            instance.report_run_failed(
                now, "The process exited unexpectedly; it was probably killed."
            )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _is_gone(process: str) -> bool:
    rest, _, start = process.rpartition("/")
    place, _, number = rest.rpartition("/")
    if place != _place():
        # Another machine's.
        return False
    try:
        found = psutil.Process(int(number))
        # Dead, and nobody has asked how it ended.
        return found.status() == psutil.STATUS_ZOMBIE or _start_of(found) != start
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True


def _start_of(process: psutil.Process) -> str:
    """When a process began, by a clock that nobody sets.

    The system dates a process by the time at which the machine began, and that time moves when the
    clock is set: a living process would seem to be another one.
    """
    if not _BOOT.exists():
        # Other systems note the time once, when the process begins.
        return f"{process.create_time():.0f}"
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return f"{_BOOT.read_text().strip()}:{stat.rpartition(')')[2].split()[_START_FIELD]}"


def _place() -> str:
    namespace = _NAMESPACE.readlink() if _NAMESPACE.exists() else ""
    return f"{socket.gethostname()}/{namespace}"
