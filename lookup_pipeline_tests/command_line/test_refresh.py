"""A refresh never takes a profile out of a partition, whatever becomes of it."""

from collections import Counter

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, Workplace, told

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(20)]

REFRESH = ("run", "--date", DAY, "--force-refresh", "--yes", "--timeout", "20")


@pytest.fixture
def published(workplace: Workplace, sandbox: RunningSandbox) -> list[dict[str, object]]:
    """Twenty profiles that were paid for."""
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    profiles = workplace.rows("profiles")
    assert len(profiles) == len(PEOPLE)
    return profiles


def without_refresh(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Profiles as they are but for what is said about their refresh."""
    return [
        {name: value for name, value in row.items() if not name.startswith("refresh_")}
        for row in rows
    ]


def test_a_refresh_with_a_wrong_key_takes_no_profile_away_and_goes_on_when_that_is_mended(
    workplace: Workplace, sandbox: RunningSandbox, published: list[dict[str, object]]
) -> None:
    done = workplace.run(*REFRESH, ROCKETREACH_API_KEY="wrong")
    assert done.returncode == 1, told(done)
    assert "Refreshes pending: 20. These rows keep the profile they have" in done.stdout
    profiles = workplace.rows("profiles")
    assert without_refresh(profiles) == without_refresh(published)
    assert {row["refresh_state"] for row in profiles} == {"queued"}
    assert workplace.rows("pending_lookups") == workplace.rows("failed_lookups") == []
    (partition,) = workplace.status()["partitions"]
    assert (partition["complete"], partition["queued"], partition["match_rate"]) == (20, 0, 1)
    assert partition["refreshes"]["queued"] == 20

    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    assert len(sandbox.charges()) == 2 * len(PEOPLE)
    profiles = workplace.rows("profiles")
    assert {row["refresh_state"] for row in profiles} == {None}
    before = {row["lookup_id"] for row in published}
    assert len(before | {row["lookup_id"] for row in profiles}) == 2 * len(PEOPLE)


def test_a_refresh_that_a_days_maximum_holds_back_leaves_all_profiles_and_is_not_settled(
    workplace: Workplace, sandbox: RunningSandbox, published: list[dict[str, object]]
) -> None:
    done = workplace.run(*REFRESH, LOOKUP_PIPELINE_MAX_NEW_LOOKUPS_PER_DAY="25")
    assert done.returncode == 3, told(done)
    assert "15 rows are still pending" in done.stdout
    profiles = workplace.rows("profiles")
    assert Counter(row["refresh_state"] for row in profiles) == {None: 5, "queued": 15}
    kept = [row for row in profiles if row["refresh_state"] is not None]
    assert all(row in without_refresh(published) for row in without_refresh(kept))
    assert workplace.rows("pending_lookups") == []
    assert len(sandbox.charges()) == 25


def test_refreshes_that_fail_or_are_lost_are_told_beside_the_profiles_that_stay(
    workplace: Workplace, sandbox: RunningSandbox, published: list[dict[str, object]]
) -> None:
    sandbox.change(seed=3, not_found=0.5, drop_connection_after=0.3)
    done = workplace.run(*REFRESH)
    assert done.returncode == 0, told(done)
    profiles = workplace.rows("profiles")
    assert len(profiles) == len(PEOPLE)
    assert workplace.rows("pending_lookups") == workplace.rows("failed_lookups") == []
    ended = Counter((row["refresh_state"], row["refresh_failure_kind"]) for row in profiles)
    failed, lost = ended["failed", "not_found"], ended["unconfirmed", "unconfirmed"]
    assert min(failed, lost) > 0, told(done)
    assert ended[None, None] == len(PEOPLE) - failed - lost
    assert f"Refreshes without a profile: {failed + lost}." in done.stdout
    assert f"{lost} of them are unconfirmed" in done.stdout
    kept = [row for row in profiles if row["refresh_state"] is not None]
    assert all(row in without_refresh(published) for row in without_refresh(kept))

    sandbox.change(not_found=0, drop_connection_after=0)
    charged = len(sandbox.charges())
    again = workplace.run("resubmit", "--unconfirmed", "--date", DAY, "--yes")
    assert again.returncode == 0, told(again)
    assert len(sandbox.charges()) == charged + lost
    ended = Counter(row["refresh_state"] for row in workplace.rows("profiles"))
    assert ended == {None: len(PEOPLE) - failed, "failed": failed}
