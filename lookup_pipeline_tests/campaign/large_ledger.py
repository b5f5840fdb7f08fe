"""A ledger that holds a million settled lookups, while processes work on new ones and die."""

import time

from sqlalchemy import func, select

from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.sqlite import LONGEST_LOG_BYTES
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin, kill_at_random
from lookup_pipeline_tests.campaign.workplace import Options, Workplace, opened_workplace, result_of
from lookup_pipeline_tests.ledger.filling import every_date, settled, store_lookups

_ROWS = 60

# Seconds within which a worker dies, in every second round.
_WITHIN = 0.4

# Requests a second, and what the provider allows; see `kills`.
_RATE = 50
_ENFORCED = 100


def large_ledger(options: Options) -> Result:
    """Nothing that is stored is touched, and the log stays within bounds."""
    result = Result(f"{options.stored:,} stored", rounds=max(4, options.rounds // 5))
    slowest, longest_log = 0.0, 0
    stopped: list[str] = []
    with opened_workplace(options, "large-ledger") as place:
        ledger, days = place.pipeline.ledger, place.names.days
        store_lookups(ledger, settled(options.stored), every_date())
        place.sandbox.change(requests_per_second=_ENFORCED, complete_after_polls=1)
        before = _states(place, options.stored)
        for number in range(result.rounds):
            place.arrive(_ROWS)
            began = time.monotonic()
            place.register()
            slowest = max(slowest, time.monotonic() - began)
            crew = place.workers(4)
            begin(
                crew,
                [
                    Task(step="submit", days=days, rate=_RATE),
                    Task(step="poll", rate=_RATE),
                    Task(step="publish", days=days, for_ever=number % 2 == 1),
                    Task(step="publish", days=days[::-1], for_ever=number % 2 == 1),
                ],
            )
            if number % 2:
                kill_at_random(crew, place.random, _WITHIN)
            else:
                stopped += [said for worker in crew if (said := worker.ended()) is not None]
            longest_log = max(longest_log, ledger.log_bytes)
            place.advance_clock(minutes=place.random.uniform(1, 20))
        problems = [f"gave up: {said}" for said in stopped]
        if _states(place, options.stored) != before:
            problems.append("lookups that nobody asked for have changed")
        if longest_log > 2 * LONGEST_LOG_BYTES:
            problems.append(f"the write-ahead log has grown to {longest_log:,} bytes")
        result.problems = problems
        result.remarks = (
            f"{len(days)} files registered in {slowest:.1f} s at most, "
            f"the log at most {longest_log / 1e6:.0f} MB"
        )
        return result_of(place, result)


def _states(place: Workplace, stored: int) -> dict[State, int]:
    """Those of the lookups that were there before, by state."""
    with place.pipeline.ledger.read() as connection:
        found = connection.execute(
            select(lookups.c.state, func.count())
            .where(lookups.c.lookup_id <= stored)
            .group_by(lookups.c.state)
        )
        return {State(state): number for state, number in found}
