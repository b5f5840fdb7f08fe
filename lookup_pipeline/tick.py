"""The bound of a sensor's tick: Dagster gives it 60 seconds, and loses its result after that."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from lookup_pipeline.ledger.sqlite import lock_patience
from lookup_pipeline.private_errors import without_personal_data

# A request that is under way when nothing new may begin takes 15 seconds at most, and its answer
# has to be recorded.
TICK_SECONDS = 44.0

LOCK_SECONDS = 3.0
"""A tick waits so long for another writer: the next tick comes in seconds anyway."""

_T = TypeVar("_T")


class TickTimeoutError(Exception):
    """A tick has taken too long; the next one begins anew."""


def bounded(work: Callable[[], _T]) -> _T:
    """Do a tick's work within its bound, whatever it waits for: a disk, a store, a database.

    The ledger's locks are waited for briefly. Work that is late goes on in a thread of its own
    until what it waits for ends; what it was about to ask for, the next tick asks for.

    Raises:
        TickTimeoutError: it has taken too long.
    """
    ended: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            with lock_patience(LOCK_SECONDS), without_personal_data():
                ended.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised where the tick is waited for
            ended.put((None, error))

    threading.Thread(target=run, name="tick", daemon=True).start()
    try:
        result, error = ended.get(timeout=TICK_SECONDS)
    except queue.Empty:
        raise TickTimeoutError(
            f"The tick was given up after {TICK_SECONDS:.0f} seconds: the output folder, the "
            "ledger's disk or Dagster's database does not answer. The next tick tries again."
        ) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # without an error there is one
