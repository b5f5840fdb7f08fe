"""The forecast is the truth: it names what goes out on which day, and that goes out."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from upath import UPath

from lookup_pipeline.enrichment.account import Plan, learn_allowances
from lookup_pipeline.enrichment.budget import MAX_NEW, MIN_CREDITS, SubmissionPolicy
from lookup_pipeline.enrichment.duration_estimate import Simulation
from lookup_pipeline.enrichment.forecast import Forecast, forecast
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.names.files import find_files
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    DEADLINE,
    NEXT_DAY,
    Person,
    Pipeline,
    people,
)


def plan(
    pipeline: Pipeline, days: Sequence[str], *, min_credits: int = 0, **maxima: int
) -> list[Forecast]:
    """What `lookup-pipeline plan` makes of files that lie there."""
    policy = SubmissionPolicy(Plan("standard", 0, min_credits=min_credits), DEADLINE, **maxima)
    learn_allowances(pipeline.ledger, pipeline.client, policy.plan, pipeline.clock)
    folder = UPath(str(pipeline.root / "names"))
    files = [(day, find_files(folder, date.fromisoformat(day))) for day in days]
    now = pipeline.clock()
    with pipeline.ledger.read() as connection:
        simulation = Simulation.from_ledger(connection, policy, now)
    return forecast(pipeline.ledger, files, Refresh(now), simulation)


def move_to_noon(pipeline: Pipeline) -> None:
    """So that no midnight comes in between."""
    now = pipeline.clock()
    pipeline.clock.advance(
        hours=24, seconds=(now.replace(hour=12, minute=0, second=0) - now).total_seconds()
    )


def let_out(
    pipeline: Pipeline,
    sandbox: RunningSandbox,
    day: str = DAY,
    *,
    min_credits: int,
    max_a_day: int,
) -> dict[str, int]:
    """What goes out on which day, when the run is resumed whenever its limits let it."""
    found: Counter[str] = Counter()
    for _ in range(30):
        before = len(sandbox.lookups())
        today = pipeline.clock().date().isoformat()
        report = pipeline.submit(day, min_credits=min_credits, max_a_day=max_a_day)
        found[today] += len(sandbox.lookups()) - before
        pipeline.settle()
        if report.waits_until is None or report.capped_by == MIN_CREDITS:
            break
        pause = (report.waits_until - pipeline.clock()).total_seconds() + 1
        if pause > 0:
            pipeline.clock.advance(seconds=pause)
            sandbox.advance(seconds=pause)
    return {day: number for day, number in found.items() if number}


@pytest.mark.parametrize("max_a_day", [1_000, 15])
@pytest.mark.parametrize("min_credits", [0, 80])
def test_what_goes_out_on_which_day_is_what_the_forecast_says(
    pipeline: Pipeline, sandbox: RunningSandbox, max_a_day: int, min_credits: int
) -> None:
    sandbox.change(credits=100)
    move_to_noon(pipeline)
    pipeline.write_csv(people(40))
    (said,) = plan(pipeline, [DAY], max_a_day=max_a_day, min_credits=min_credits)
    pipeline.read_names()
    pipeline.register(people(40))
    went_out = let_out(pipeline, sandbox, max_a_day=max_a_day, min_credits=min_credits)
    assert went_out == said.sending.days
    assert len(sandbox.charges()) == said.sending.lookups
    assert said.sending.lookups == (20 if min_credits else 40)
    held = {MIN_CREDITS: 20} if min_credits else {}
    assert said.sending.held_back == held


def test_the_plans_windows_are_told_by_day(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    sandbox.change(plan="essentials")
    move_to_noon(pipeline)
    pipeline.write_csv(people(1_200))
    (said,) = plan(pipeline, [DAY])
    # Five hundred a day; the second window of a day opens at noon.
    assert list(said.sending.days.values()) == [500, 500, 200]
    assert 2 * 86_400 < said.sending.seconds < 2.5 * 86_400


def test_queued_leftovers_of_another_date_are_a_cost_to_come_though_their_rows_are_reused(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    pipeline.register(people(10))
    assert pipeline.submit(max_new=4).accepted == 4
    pipeline.write_csv([*people(10), ("Grace Hopper", "Univac")], NEXT_DAY)
    (said,) = plan(pipeline, [NEXT_DAY])
    assert (said.reused, said.queued, said.new, said.sending.lookups) == (10, 6, 1, 7)
    pipeline.read_names(NEXT_DAY)
    pipeline.register([*people(10), ("Grace Hopper", "Univac")], NEXT_DAY)
    pipeline.submit(NEXT_DAY)
    assert len(sandbox.charges()) == 4 + said.sending.lookups


def test_what_the_run_before_leaves_is_sent_by_the_next_and_counted_once(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    both: list[Person] = people(6)
    for day in (DAY, NEXT_DAY):
        pipeline.write_csv(both, day)
    first, second = plan(pipeline, [DAY, NEXT_DAY], max_new=4)
    assert [first.sending.lookups, second.sending.lookups] == [4, 2]
    assert first.sending.held_back == {MAX_NEW: 2}
    first, second = plan(pipeline, [DAY, NEXT_DAY], max_a_day=4)
    tomorrow = (pipeline.clock() + timedelta(days=1)).date().isoformat()
    assert first.sending.days[tomorrow] == 2
    assert (second.reused, second.sending.lookups) == (6, 0)
