"""The ledger is put back to an older copy, or lost, in the middle of the work; then reconciled."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from lookup_pipeline.enrichment.reconcile import reconcile
from lookup_pipeline.ledger import open_ledger
from lookup_pipeline.ledger.backup import back_up
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin, kill_at_random
from lookup_pipeline_tests.campaign.workplace import (
    Options,
    Workplace,
    opened_workplace,
    result_of,
)
from lookup_pipeline_tests.enrichment.pipeline import DEADLINE

_ROWS = 60

# Requests a second: slow enough that the copy is made in the middle of a submission.
_RATE = 50


def restores(options: Options) -> Result:
    """A copy is made while others submit, poll and publish; they end, or are killed.

    Then the copy takes the ledger's place, or nothing does, and the same processes are let loose
    on it before it is reconciled.
    """
    result = Result("ledger restored", rounds=max(4, options.rounds // 5))
    sent_unreconciled = refused = 0
    with opened_workplace(options, result.scenario, with_reader=False) as place:
        place.sandbox.change(latency_seconds=0.05, complete_after_polls=1)
        for number in range(result.rounds):
            place.arrive(_ROWS)
            place.register()
            copy = place.root.parent / f"copy-{number}.db"
            _work_and_copy(place, copy, killed=bool(number % 2))
            _put_in_place(place, None if number % 3 == 2 else copy)
            before = len(place.sandbox.lookups())
            refused += _let_loose(place)
            sent_unreconciled += len(place.sandbox.lookups()) - before
            reconcile(place.pipeline.ledger, place.pipeline.output, DEADLINE)
        result.remarks = f"{refused} times refused before it was reconciled"
        if sent_unreconciled:
            result.problems = [f"{sent_unreconciled} lookups sent before it was reconciled"]
        return result_of(place, result)


def _work_and_copy(place: Workplace, copy: Path, *, killed: bool) -> None:
    days = place.names.days
    crew = place.workers(3)
    begin(
        crew,
        [
            Task(step="submit", days=days, rate=_RATE),
            Task(step="poll", rate=_RATE),
            Task(step="publish", days=days),
        ],
    )
    time.sleep(place.random.uniform(0, 0.5))
    if killed:
        back_up(place.pipeline.ledger, copy, place.pipeline.clock())
        kill_at_random(crew, place.random, within=0.5)
        return
    with (
        closing(sqlite3.connect(place.pipeline.ledger.file)) as ledger,
        closing(sqlite3.connect(copy)) as target,
    ):
        ledger.backup(target)
    for worker in crew:
        worker.ended()
    place.pipeline.poll(rate=_RATE)
    place.pipeline.publish(place.random.choice(days))


def _put_in_place(place: Workplace, copy: Path | None) -> None:
    file = place.pipeline.ledger.file
    place.pipeline.ledger.close()
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    if copy is not None:
        shutil.copyfile(copy, file)
    place.pipeline.ledger = open_ledger(f"sqlite:///{file}")


def _let_loose(place: Workplace) -> int:
    """Have everybody work on the ledger as it is; returns how many were refused."""
    days = place.names.days
    crew = place.workers(3)
    begin(
        crew,
        [
            Task(step="register", days=days),
            Task(step="submit", days=days, rate=_RATE),
            Task(step="publish", days=days),
        ],
    )
    return sum(worker.ended() is not None for worker in crew)
