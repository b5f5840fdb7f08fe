"""A disk that stalls whenever a published file is moved, while everybody works."""

import time

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import (
    DAYS,
    Options,
    Workplace,
    opened_workplace,
    result_of,
)

_DAYS = DAYS[:2]
_ROWS = 40

# Seconds for which each of a publication's three moves stalls: longer than any writer may wait.
_STALLS = (1.2, 2.0)

# Seconds that another writer may wait for the ledger while files move.
_BOUND = 1.0

# In this share of the rounds one of the stalled publishers dies while it moves files.
_DYING = 0.5


def stalled_storage(options: Options) -> Result:
    """Publishers stall and overtake each other; some die; other writers must not notice."""
    rounds = max(options.rounds // 10, 2)
    result = Result("storage stalled", rounds=rounds)
    longest, killed = 0.0, 0
    with opened_workplace(options, "stalled-storage", days=_DAYS) as place:
        for _ in range(rounds):
            place.sandbox.change(complete_after_polls=place.random.choice([0, 1, 2]))
            place.arrive(_ROWS, _DAYS)
            place.register()
            *stalled, submitter, poller, quick = place.workers(5)
            days = [tuple(place.random.sample(_DAYS, len(_DAYS))) for _ in stalled]
            begin(
                stalled,
                [
                    Task(step="publish-slowly", days=order, seconds=place.random.choice(_STALLS))
                    for order in days
                ],
            )
            begin(
                [submitter, poller, quick],
                [
                    Task(step="submit", days=_DAYS),
                    Task(step="poll"),
                    Task(step="publish", days=_DAYS),
                ],
            )
            dies = place.random.random() < _DYING
            longest = max(longest, _longest_wait(place, max(_STALLS)))
            if dies:
                stalled[0].kill()
                killed += 1
            workers = [*stalled[dies:], submitter, poller, quick]
            result.problems = [
                *result.problems,
                *(f"gave up: {said}" for each in workers if (said := each.ended()) is not None),
            ]
            place.advance_clock(seconds=place.random.uniform(0, 90))
        result.remarks = f"another writer waited {longest:.2f} s at most; {killed} killed"
        if longest > _BOUND:
            result.problems = [*result.problems, f"another writer waited {longest:.2f} s"]
        return result_of(place, result, doubt=False)


def _longest_wait(place: Workplace, seconds: float) -> float:
    """The longest that a writer waits for the ledger, within so many seconds."""
    longest, end = 0.0, time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        with place.pipeline.ledger.write():
            longest = max(longest, time.monotonic() - begun)
        time.sleep(0.02)
    return longest
