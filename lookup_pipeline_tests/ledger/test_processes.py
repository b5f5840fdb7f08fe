"""Several processes on one ledger file, and one that is killed in the middle."""

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from lookup_pipeline.ledger import State, open_ledger
from lookup_pipeline.ledger.submissions import LEASE, expire_leases
from lookup_pipeline_tests.ledger.helpers import (
    OTHER,
    OWNER,
    SECOND,
    T0,
    claim_all,
    published_rows,
    register,
    rows_for,
    sqlite_url,
    states_of,
)
from lookup_pipeline_tests.ledger.processes import (
    PATIENCE,
    SPAWN,
    claim_and_hang,
    claim_everything,
    open_new_ledgers,
    start,
)


def test_four_processes_claim_every_lookup_exactly_once(tmp_path: Path) -> None:
    people, processes = 400, 4
    url = sqlite_url(tmp_path)
    ledger = open_ledger(url)
    register(ledger, rows_for(f"person {number}" for number in range(people)))
    together, told = SPAWN.Barrier(processes), SPAWN.Queue()
    started = [
        start(claim_everything, url, f"run-{number}", together, told) for number in range(processes)
    ]
    claimed: list[int] = [each for _ in started for each in told.get(timeout=PATIENCE)]
    for process in started:
        process.join(PATIENCE)
    assert sorted(claimed) == sorted(states_of(ledger))
    assert {row.attempts for row in published_rows(ledger)} == {1}
    ledger.close()


def test_six_processes_that_open_a_new_ledger_at_once_all_succeed(tmp_path: Path) -> None:
    processes, ledgers = 6, 5
    urls = [f"sqlite:///{tmp_path / f'ledger-{number}.db'}" for number in range(ledgers)]
    together, told = SPAWN.Barrier(processes), SPAWN.Queue()
    started = [start(open_new_ledgers, urls, together, told) for _ in range(processes)]
    errors: list[Any] = [each for _ in started for each in told.get(timeout=PATIENCE)]
    for process in started:
        process.join(PATIENCE)
    assert errors == []


def test_what_a_killed_process_had_sent_becomes_unconfirmed_and_the_rest_stays_queued(
    tmp_path: Path,
) -> None:
    url = sqlite_url(tmp_path)
    ledger = open_ledger(url)
    register(ledger, rows_for(["ann", "ben", "cid", "dan", "eve"]))
    told = SPAWN.Queue()
    process = start(claim_and_hang, url, OWNER, told)
    in_the_air = told.get(timeout=PATIENCE)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL

    # Nobody may send them now, nor after the lease, nor ever.
    rest = sorted(set(states_of(ledger)) - set(in_the_air))
    assert states_of(ledger) == {
        **dict.fromkeys(in_the_air, State.SUBMITTING),
        **dict.fromkeys(rest, State.QUEUED),
    }
    with ledger.write() as connection:
        assert expire_leases(connection, T0 + LEASE + SECOND) == len(in_the_air) == 2
    claimed = claim_all(ledger, T0 + timedelta(days=365), owner=OTHER)
    assert [each.lookup_id for each in claimed] == rest
    assert {lookup_id: states_of(ledger)[lookup_id] for lookup_id in in_the_air} == dict.fromkeys(
        in_the_air, State.UNCONFIRMED
    )
    ledger.close()
