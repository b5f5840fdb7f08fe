"""Waiting for leave to send one request, from the limiter that all processes share."""

import time

from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.ledger import Ledger, limits


def wait_for_permit(
    ledger: Ledger, operation: str, requests_per_second: float, clock: Clock
) -> None:
    """Wait until one request of an operation may leave: sends within the ceiling of all processes.

    Args:
        ledger: where the limiter is.
        operation: whose cooldown is kept.
        requests_per_second: the ceiling; 0 lifts it.
        clock: tells the time.
    """
    while True:
        with ledger.write() as connection:
            permits = limits.take(connection, operation, 1, requests_per_second, clock())
        if permits.slots:
            limits.sleep_until(permits.slots[0], clock())
            return
        time.sleep(permits.wait.total_seconds())
