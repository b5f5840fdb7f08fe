"""How many status calls a lookup needs, at the provider's ten requests a second.

`make benchmark`, or `python -m benchmarks.status_calls --people 300`. Lookups are sent over HTTP to
the simulated API while a second thread polls every second, as the command line does. Each lookup
takes its own while there: 3 to 12 seconds, then 20 to 60.
"""

import argparse
import itertools
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from random import Random

from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.account import Plan
from lookup_pipeline.enrichment.budget import SubmissionPolicy
from lookup_pipeline.enrichment.poll import poll
from lookup_pipeline.enrichment.submit import submit
from lookup_pipeline.ledger import Ledger, open_ledger
from lookup_pipeline.ledger.registration import Registration, RequestedRow
from lookup_pipeline.rocketreach import RocketReachClient
from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox

DATE = "2026-01-05"
DEADLINE = timedelta(hours=24)
A_SECOND = 10

# Shortest and longest time at the provider, and calls for each lookup at most.
BOUNDS = ((3, 12, 0.05), (20, 60, 0.15))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=300)
    people = parser.parse_args().people
    print(f"{people} lookups at {A_SECOND} requests a second, polled every second")
    for shortest, longest, bound in BOUNDS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, running_sandbox() as sandbox:
            calls = work(Path(folder), sandbox, people, shortest, longest)
        per_lookup = calls / people
        print(
            f"  {shortest} to {longest} s at the provider: {calls} calls, {per_lookup:.3f} a "
            f"lookup (bound {bound}: {'kept' if per_lookup <= bound else 'NOT KEPT'}), "
            f"{time.monotonic() - began:.0f} s"
        )


def work(root: Path, sandbox: RunningSandbox, people: int, shortest: float, longest: float) -> int:
    """Send everybody and poll until all have settled; the status calls that the API has seen."""
    ledger = open_ledger(f"sqlite:///{root / 'ledger.db'}")
    rows = [
        RequestedRow(
            "a.csv", n, f"person {n}", f'{{"name":"Person {n}","current_employer":"Acme"}}', "{}"
        )
        for n in range(2, people + 2)
    ]
    with ledger.write() as connection:
        Registration(DATE).add(connection, rows)
    done = threading.Event()
    changes = threading.Thread(target=vary, args=(sandbox, shortest, longest, done))
    changes.start()
    sending = threading.Thread(target=send, args=(ledger, DatasetFolder(str(root)), sandbox))
    sending.start()
    settled = 0
    with RocketReachClient(sandbox.base_url, sandbox.api_key) as client:
        while settled < people:
            settled += poll(
                ledger, client, requests_per_second=A_SECOND, deadline=DEADLINE, seconds=30
            ).settled
            time.sleep(1)
    done.set()
    for thread in (sending, changes):
        thread.join()
    ledger.close()
    return sandbox.requests().by_operation["check_status"]


def send(ledger: Ledger, output: DatasetFolder, sandbox: RunningSandbox) -> None:
    """Submit the partition."""
    policy = SubmissionPolicy(Plan("standard", A_SECOND, {}, 0), DEADLINE)
    with RocketReachClient(sandbox.base_url, sandbox.api_key) as client:
        submit(ledger, output, client, DATE, "run", policy)


def vary(sandbox: RunningSandbox, shortest: float, longest: float, done: threading.Event) -> None:
    """Have each lookup take its own while: the time is fixed when the API accepts it."""
    random = Random(1)
    for _ in itertools.takewhile(lambda _: not done.wait(0.02), itertools.repeat(None)):
        sandbox.change(complete_after_seconds=random.uniform(shortest, longest))


if __name__ == "__main__":
    main()
