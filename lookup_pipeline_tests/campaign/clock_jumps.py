"""The machine's clock jumps an hour, forward or back, in the middle of the work."""

import time

from lookup_pipeline.ledger import State
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import Options, opened_workplace, result_of

_ROWS = 60

# Requests a second: slow enough that the jump meets a submission in the middle.
_RATE = 50
_ENFORCED = 100


def clock_jumps(options: Options) -> Result:
    """Every second jump goes back; others poll and publish as it happens."""
    result = Result("clock jumps 1 h", rounds=max(4, options.rounds // 5))
    with opened_workplace(options, result.scenario) as place:
        place.sandbox.change(
            requests_per_second=_ENFORCED, complete_after_polls=1, latency_seconds=0.05
        )
        random, days = place.random, place.names.days
        held_up = 0
        for number in range(result.rounds):
            place.arrive(_ROWS)
            place.register()
            crew = place.workers(3)
            begin(
                crew,
                [
                    Task(step="submit", days=days, rate=_RATE),
                    Task(step="poll", rate=_RATE),
                    Task(step="publish", days=days),
                ],
            )
            time.sleep(random.uniform(0, 1))
            place.advance_clock(hours=-1 if number % 2 else 1)
            for worker in crew:
                worker.ended()
            # A submission ends when all is sent, whatever the clock shows.
            held_up += place.in_state(State.QUEUED)
            # Between submission and poll, and between poll and publication, it jumps as well.
            hours = random.choice([-1, 1])
            place.advance_clock(hours=hours)
            place.pipeline.poll(rate=_RATE)
            place.advance_clock(hours=-hours)
            place.pipeline.publish(random.choice(days))
        if held_up:
            result.problems = [f"{held_up} rows were not sent because the clock jumped"]
        return result_of(place, result, doubt=False)
