"""kill -9 at random moments, over registering, submitting, polling and publishing."""

import time

from lookup_pipeline_tests.campaign.audit import sent_again
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, Worker, begin, kill_at_random
from lookup_pipeline_tests.campaign.workplace import Options, Workplace, opened_workplace, result_of

# Seconds within which a worker dies: a step over all partitions takes about as long.
_WITHIN = 0.4

# In this share of the rounds they die once requests leave, however slow the machine is; otherwise
# some die while they open the ledger.
_AT_WORK = 0.7

# In this share of the rounds one that registers new rows dies as well.
_REGISTERING = 0.3

# Processes that work at once, at most: enough to get in each other's way.
_MOST = 3

# Requests a second, and what the provider allows, in half of the rounds: a process that the machine
# keeps waiting sends late, which is not the limiter's fault (its own scenario is `limiter`). In the
# other half as many are in the air as can be.
_LIMITED = (100, 200)
_UNLIMITED = (0, 0)


def kills(options: Options) -> Result:
    """Round upon round on one ledger, so that damage would add up."""
    result = Result("kill -9", rounds=options.rounds)
    problems: list[str] = []
    killed = 0
    with opened_workplace(options, "kills") as place:
        place.register()
        ready: list[Worker] = []
        sent_so_far = half_so_far = 0
        for number in range(1, options.rounds + 1):
            # One round ahead: they get ready while others work.
            ready += place.workers(2 * (_MOST + 1) - len(ready))
            tasks = _prepare(place)
            crew = [ready.pop(0) for _ in tasks]
            asked = place.sandbox.requests().total
            begin(crew, tasks)
            if place.random.random() < _AT_WORK:
                _wait_for_requests(place, asked)
            ended = kill_at_random(crew, place.random, _WITHIN)
            killed += len(crew)
            if place.random.random() < _REGISTERING:
                problems += _kill_registration(place, ready.pop(0))
                killed += 1
            sent, half = sent_again(place.sandbox), len(place.reader.half_files)
            if sent > sent_so_far or half > half_so_far:
                steps = [task.step for task in tasks]
                problems.append(
                    f"round {number}, seed {options.seed}: this was the doing of {steps}"
                )
            problems += [f"round {number}: a worker ended by itself: {said}" for said in ended]
            sent_so_far, half_so_far = sent, half
        unfinished = place.unfinished_files()
        result.remarks = f"{killed} processes killed, {unfinished} files half written as they died"
        result.problems = problems
        return result_of(place, result)


def _prepare(place: Workplace) -> list[Task]:
    """New people, a provider in another mood, some time later; and who does what."""
    random = place.random
    rate, enforced = random.choice([_LIMITED, _UNLIMITED])
    place.sandbox.change(
        complete_after_polls=random.choice([0, 1, 2]),
        latency_seconds=random.choice([0.01, 0.05, 0.1]),
        requests_per_second=enforced,
    )
    place.advance_clock(seconds=random.uniform(0, 90))
    place.arrive(random.randrange(40, 120))
    place.register()
    steps = random.choices(["submit", "poll", "publish"], [2, 1, 1], k=random.randint(1, _MOST))
    days = list(place.names.days)
    tasks = []
    for step in steps:
        random.shuffle(days)
        tasks.append(Task(step=step, days=tuple(days), rate=rate, for_ever=True))
    return tasks


def _wait_for_requests(place: Workplace, so_far: int) -> None:
    """Wait until more requests have come than so far, or for two seconds: perhaps none do."""
    end = time.monotonic() + 2
    while place.sandbox.requests().total == so_far and time.monotonic() < end:
        time.sleep(0.01)


def _kill_registration(place: Workplace, worker: Worker) -> list[str]:
    place.arrive(place.random.randrange(40))
    begin([worker], [Task(step="register", days=place.names.days, for_ever=True)])
    return kill_at_random([worker], place.random, _WITHIN)
