"""Three processes at the provider's own limit: it is kept, and it is used."""

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import DAYS, Options, opened_workplace, result_of

# The provider's limit, over all operations and processes.
RATE = 10

_DAYS = DAYS[:3]


def limiter(options: Options) -> Result:
    """Each process submits a partition of its own, for as long as the options say."""
    result, seconds = Result("limiter", rounds=1), options.limiter_seconds
    with opened_workplace(options, result.scenario, days=_DAYS, with_reader=False) as place:
        # Whoever finds a person sent by another process gives a slot away: here nobody does.
        place.names.known_share = 0
        # None of the three runs out of people, even if it does half of the work.
        rows = int(seconds * RATE / 2) + 50
        place.arrive(rows, _DAYS)
        place.register()
        place.sandbox.change(requests_per_second=options.enforced)
        crew = place.workers(len(_DAYS))
        begin(
            crew,
            [Task(step="submit", days=(day,), rate=RATE, seconds=seconds) for day in _DAYS],
        )
        stopped = [said for worker in crew if (said := worker.ended(after=seconds)) is not None]
        times = [lookup.at for lookup in place.sandbox.lookups()]
        share = (len(times) - 1) / (times[-1] - times[0]) / RATE
        counts = place.sandbox.requests()
        result.remarks = (
            f"{counts.total:,} requests by {len(crew)} processes at {RATE} a second, "
            f"{counts.violations} violations, {share:.1%} of the rate used"
        )
        result.problems = [f"gave up: {said}" for said in stopped]
        if share < options.least_share:
            result.problems.append(f"less than {options.least_share:.0%} of the rate was used")
        return result_of(place, result, doubt=False)
