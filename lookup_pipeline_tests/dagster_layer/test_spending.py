"""What a run says and keeps to about credits: forecast, maxima, floor, refresh."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from sqlalchemy import select, update

from lookup_pipeline import settings
from lookup_pipeline.ledger.resumption import find_waits
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, error_of, metadata

CSV = "name,company\n" + "".join(f"Ada{place} Byron,Employer {place}\n" for place in range(5))
NEXT_DATE = "2026-01-06"


def waiting(project: Project) -> list[str]:
    with project.ledger.read() as connection:
        return [each.lookup_date for each in find_waits(connection) if each.resumes]


def test_the_forecast_stands_in_the_metadata_and_is_what_is_charged(project: Project) -> None:
    project.sandbox.change(complete_after_polls=0)
    project.write(CSV + "Ada0 Byron,Employer 0\nNobody,\n")
    said = metadata(project.run(), "lookups")
    assert said["dagster/partition_row_count"] == 6
    assert (said["rows_rejected"], said["rows_reused"]) == (1, 1)
    assert said["new_lookups"] == said["lookups_to_send"] == 5
    assert said["credits_at_most"] == len(project.sandbox.charges()) == 5
    assert said["expected_seconds"] == 0
    assert metadata(project.run(), "lookups")["credits_at_most"] == 0


def test_a_maximum_in_the_config_ends_the_run_in_success_and_nothing_goes_on_by_itself(
    project: Project,
) -> None:
    project.write(CSV)
    result = project.run(config={"max_new_lookups": 2})
    assert result.success
    said = metadata(result, "lookups")
    assert (said["submitted"], said["rows_queued"], said["credits_at_most"]) == (2, 3, 2)
    assert "the run may send 2 lookups" in str(said["warning"])
    assert len(project.sandbox.lookups()) == 2
    assert waiting(project) == []


def test_a_days_maximum_goes_on_after_midnight_by_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.MAX_NEW_PER_DAY, "3")
    project.write(CSV)
    result = project.run()
    assert result.success
    said = metadata(result, "lookups")
    assert (said["submitted"], said["rows_queued"]) == (3, 2)
    assert "after midnight UTC" in str(said["warning"])
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    until = said["queued_until"]
    assert isinstance(until, float)
    assert datetime.fromtimestamp(until, UTC).date() == tomorrow
    assert waiting(project) == [DATE]


def test_a_floor_of_credits_ends_the_run_in_success(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.MIN_CREDITS, "7")
    project.sandbox.change(credits=10)
    project.write(CSV)
    result = project.run()
    assert result.success
    said = metadata(result, "lookups")
    assert (said["submitted"], said["rows_queued"]) == (3, 2)
    assert "LOOKUP_PIPELINE_MIN_CREDITS" in str(said["warning"])
    assert waiting(project) == [DATE]


@pytest.mark.parametrize("state", ["revoked", "no_credits"])
def test_an_account_in_trouble_is_looked_at_again_by_itself(project: Project, state: str) -> None:
    project.write(CSV)
    project.sandbox.change(account_state=state)
    result = project.run()
    assert "rows stay queued" in error_of(result, "lookups")
    assert waiting(project) == [DATE]


def test_a_plan_that_forbids_lookups_says_what_to_check_and_is_tried_again(
    project: Project,
) -> None:
    project.write(CSV)
    project.sandbox.change(account_state="forbidden")
    assert "check the plan" in error_of(project.run(), "lookups")
    assert waiting(project) == [DATE]


def test_a_forced_refresh_looks_everybody_up_again_once(project: Project) -> None:
    project.sandbox.change(complete_after_polls=0)
    project.write(CSV)
    project.run()
    result = project.run(config={"force_refresh": True})
    said = metadata(result, "lookups")
    assert (said["refreshed"], said["credits_at_most"]) == (5, 5)
    assert said["credits_spent_by_run"] == 5
    assert len(project.sandbox.charges()) == 10
    assert metadata(result, "profiles")["rows_complete"] == 5
    assert metadata(project.run(), "lookups")["refreshed"] == 0


def test_old_people_are_looked_up_again_in_a_newer_partition_only(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.REFRESH_AFTER_DAYS, "30")
    project.sandbox.change(complete_after_polls=0)
    project.write(CSV)
    project.run()
    with project.ledger.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=31)
        connection.execute(update(lookups).values(settled_at=long_ago))
    assert metadata(project.run(), "lookups")["refreshed"] == 0
    project.write(CSV, NEXT_DATE)
    assert metadata(project.run(date=NEXT_DATE), "lookups")["refreshed"] == 5
    assert len(project.sandbox.charges()) == 10


def test_a_refresh_by_age_that_the_account_keeps_from_being_sent_leaves_every_profile(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.sandbox.change(complete_after_polls=0)
    project.write(CSV)
    project.run()
    with project.ledger.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=31)
        connection.execute(update(lookups).values(settled_at=long_ago))
    monkeypatch.setenv(settings.REFRESH_AFTER_DAYS, "30")
    project.sandbox.change(account_state="revoked")
    project.write(CSV, NEXT_DATE)
    project.run(date=NEXT_DATE)
    said = metadata(project.run("publish_job", date=NEXT_DATE), "profiles")
    assert said["dagster/partition_row_count"] == said["rows_complete"] == 5
    assert (said["refreshes_pending"], said["refreshes_failed"], said["match_rate"]) == (5, 0, 1)
    # Under another seed, since whom the sandbox has found stays found.
    project.sandbox.change(account_state="ok", not_found=1, seed=9)
    project.run("submission_job", date=NEXT_DATE)
    said = metadata(project.run("publish_job", date=NEXT_DATE), "profiles")
    assert (said["rows_complete"], said["refreshes_pending"]) == (5, 0)
    assert said["refreshes_failed"] == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (settings.MAX_NEW_PER_RUN, "many"),
        (settings.MAX_NEW_PER_DAY, "1.5"),
        (settings.MIN_CREDITS, "-1"),
        (settings.PLAN_LIMITS, "minute:50"),
        (settings.PLAN_LIMITS, "fortnight=50"),
        (settings.REFRESH_AFTER_DAYS, "soon"),
        (settings.ADOPT_UNCONFIRMED, "yes"),
    ],
)
def test_a_setting_that_is_none_is_told_before_anything_is_sent(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    project.write(CSV)
    result = project.run()
    assert not result.success
    assert any(name in str(event) for event in result.all_events if event.is_step_failure)
    assert project.sandbox.requests().total == 0


def known_before(project: Project) -> list[tuple[object, ...]]:
    """What the ledger holds about the five people of `CSV`."""
    with project.ledger.read() as connection:
        found = connection.execute(select(lookups).where(lookups.c.lookup_id <= 5))
        return [tuple(row) for row in found]


def dies(*_arguments: object, **_options: object) -> None:
    raise RuntimeError("dies here")


@pytest.mark.parametrize(
    ("config", "stops_at", "expected"),
    [
        ({"force_refresh": True}, "register", {"refreshed": 4, "credits_at_most": 5}),
        ({"force_refresh": True, "max_new_lookups": 3}, "register", {"credits_at_most": 3}),
        ({"resubmit": ["unconfirmed"]}, "requeue_wanted", {"resubmitted": 1, "refreshed": 0}),
    ],
)
def test_what_sending_people_again_may_cost_is_told_before_any_of_them_is_touched(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, object],
    stops_at: str,
    expected: dict[str, int],
) -> None:
    project.sandbox.change(complete_after_polls=0)
    project.write(CSV)
    project.run(config={"max_new_lookups": 4})
    project.sandbox.change(html_200=1)
    project.run()
    project.sandbox.change(html_200=0)
    project.write(CSV + "Eve Byron,Employer 9\n")
    before = known_before(project)
    # Its package has the asset under this name.
    module = import_module("lookup_pipeline.assets.lookups")
    monkeypatch.setattr(module, stops_at, dies)
    result = project.run(config=config)
    assert not result.success
    assert known_before(project) == before
    (event,) = (each for each in result.all_events if each.is_asset_observation)
    observation = event.asset_observation_data.asset_observation
    said = {name: value.value for name, value in observation.metadata.items()}
    assert said["new_lookups"] == 1
    assert {name: said[name] for name in expected} == expected
    assert observation.partition == DATE
    assert f"{said['credits_at_most']} credits at most" in str(observation.description)


def test_a_run_that_sends_nobody_again_tells_no_costs_beforehand(project: Project) -> None:
    project.write(CSV)
    result = project.run()
    assert not any(event.is_asset_observation for event in result.all_events)
