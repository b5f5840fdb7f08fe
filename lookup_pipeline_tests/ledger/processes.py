"""What the tests run in processes of their own; importable, so that they can be spawned."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from lookup_pipeline.ledger import open_ledger
from lookup_pipeline.ledger.submissions import claim, queued_ids
from lookup_pipeline_tests.ledger.helpers import DATE, T0

SPAWN = multiprocessing.get_context("spawn")
# Seconds: a process that has said nothing for so long is stuck.
PATIENCE = 60


def claim_everything(url: str, owner: str, together: Barrier, told: "Queue[Any]") -> None:
    """Claim the partition, three at a time, always of the head of the queue; tell the ids."""
    ledger = open_ledger(url)
    claimed: list[int] = []
    together.wait(PATIENCE)
    while True:
        with ledger.read() as connection:
            ids = queued_ids(connection, DATE, T0)[:3]
        if not ids:
            break
        with ledger.write() as connection:
            claimed += [each.lookup_id for each in claim(connection, ids, owner, T0)]
    told.put(claimed)
    ledger.close()


def open_new_ledgers(urls: list[str], together: Barrier, told: "Queue[Any]") -> None:
    """Open each ledger at the same moment as the other processes; tell what went wrong."""
    errors = []
    for url in urls:
        together.wait(PATIENCE)
        try:
            open_ledger(url).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(repr(error))
    told.put(errors)


def claim_and_hang(url: str, owner: str, told: "Queue[Any]") -> None:
    """Commit the claim of two lookups, claim two more without committing, and hang."""
    ledger = open_ledger(url)
    with ledger.read() as connection:
        ids = queued_ids(connection, DATE, T0)
    with ledger.write() as connection:
        committed = [each.lookup_id for each in claim(connection, ids[:2], owner, T0)]
    with ledger.write() as connection:
        claim(connection, ids[2:4], owner, T0)
        told.put(committed)
        SPAWN.Event().wait(PATIENCE)


def start(target: Callable[..., None], *arguments: object) -> SpawnProcess:
    process = SPAWN.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process
