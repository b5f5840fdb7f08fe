"""Everything that the simulated API can do wrong, all at once."""

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Task, begin
from lookup_pipeline_tests.campaign.workplace import Options, opened_workplace, result_of

REQUEST_FAULTS = (
    "drop_connection_before",
    "drop_connection_after",
    "cut_body",
    "html_200",
    "error_502_html",
    "error_500",
    "error_503",
)
"""Trouble that meets a request; each may be charged at most once."""

PEOPLE_FAULTS = ("not_found", "failed", "without_contact", "unknown_status", "unknown_fields")
"""Trouble that belongs to a person."""

# Each of them, at once.
_LEAST, _MOST = 0.05, 0.30

# People in a round, and for how long they are sent before the faults change.
_ROWS = 60
_SECONDS = 3.0

# Requests a second, and what the provider allows; see `kills`.
_RATE = 50
_ENFORCED = 100


def faults(options: Options) -> Result:
    """The matrix of faults of which none may be charged twice."""
    return _matrix(options, "faults", REQUEST_FAULTS)


def processed_500s(options: Options) -> Result:
    """The same, and requests that are processed and then answered 500.

    The provider's texts say of a 500 to try again later. Whether it was processed cannot be seen,
    so it may be charged again, once for each attempt: those charges are told in the remarks.
    """
    return _matrix(options, "faults, 500s processed", (*REQUEST_FAULTS, "error_500_after"))


def _matrix(options: Options, scenario: str, request_faults: tuple[str, ...]) -> Result:
    result = Result(scenario, rounds=max(2, options.rounds // 5))
    with opened_workplace(options, scenario) as place:
        random = place.random
        place.sandbox.change(requests_per_second=_ENFORCED, complete_after_polls=1, extra_polls=2)
        place.register()
        stopped = 0
        for _ in range(result.rounds):
            place.arrive(_ROWS)
            place.register()
            place.sandbox.change(
                retry_after_seconds=random.choice([0, 1]),
                **{name: random.uniform(_LEAST, _MOST) for name in request_faults + PEOPLE_FAULTS},
            )
            days = place.names.days
            crew = place.workers(4)
            begin(
                crew,
                [
                    Task(step="submit", days=days, rate=_RATE, seconds=_SECONDS),
                    Task(step="submit", days=days[::-1], rate=_RATE, seconds=_SECONDS),
                    Task(step="poll", rate=_RATE),
                    Task(step="publish", days=days),
                ],
            )
            stopped += sum(worker.ended() is not None for worker in crew)
            place.advance_clock(minutes=random.uniform(1, 20))
        wrong = sum(
            number
            for answer, number in place.sandbox.requests().by_answer.items()
            if answer not in {"200", "201", "404"}
        )
        result.remarks = f"{wrong} requests met a fault, {stopped} runs gave up for the time being"
        return result_of(place, result, processed_500s="error_500_after" in request_faults)
