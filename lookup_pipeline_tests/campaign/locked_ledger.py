"""A ledger that another process keeps locked while everybody works."""

import time

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import DAYS, Options, opened_workplace, result_of

_DAYS = DAYS[:3]
_ROWS = 70

# Requests a second of all three submitters, and what the provider allows: a seventh is room for a
# machine that wakes them late, and none for all of them at once when the lock is gone.
_RATE = 20
_ENFORCED = 23


def locked_ledger(options: Options) -> Result:
    """The lock comes in the middle of three submissions, with requests in the air."""
    result = Result("ledger locked", rounds=1)
    with opened_workplace(options, result.scenario, days=_DAYS) as place:
        place.sandbox.change(requests_per_second=_ENFORCED, latency_seconds=0.2)
        place.arrive(_ROWS, _DAYS)
        place.register()
        crew = place.workers(6)
        locker, submitters, others = crew[0], crew[1:4], crew[4:]
        begin(submitters, [Task(step="submit", days=(day,), rate=_RATE) for day in _DAYS])
        while submitters[0].works and len(place.sandbox.lookups()) < 30:
            time.sleep(0.01)
        begin([locker], [Task(step="lock", seconds=options.lock_seconds)])
        locker.expect("locked")
        begin(others, [Task(step="poll", rate=_RATE), Task(step="publish", days=_DAYS)])
        sent = len(place.sandbox.lookups())
        locker.ended(after=options.lock_seconds)
        sent_meanwhile = len(place.sandbox.lookups()) - sent
        stopped = [said for each in submitters + others if (said := each.ended()) is not None]
        result.remarks = f"{options.lock_seconds:g} s, {sent_meanwhile} sent meanwhile"
        result.problems = [f"gave up: {said}" for said in stopped]
        return result_of(place, result, doubt=False)
