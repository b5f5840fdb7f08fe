"""`lookup-pipeline plan`: what will be charged is said before, and nothing is sent."""

import re
from datetime import timedelta
from typing import Any

import msgspec

from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, NEXT_DAY, Workplace, told

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(6)]
NOBODY = ["No Employer", "", ""]
AGAIN = ["ADA0  byron", "employer 0", ""]


def plan(workplace: Workplace, *arguments: str, **environment: str) -> dict[str, Any]:
    done = workplace.run("plan", "--json", "--date", DAY, *arguments, **environment)
    assert done.returncode == 0, told(done)
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def write_two_dates(workplace: Workplace) -> None:
    workplace.write_csv([*PEOPLE[:4], NOBODY, AGAIN])
    workplace.write_csv([*PEOPLE[2:], NOBODY], NEXT_DAY)


def test_the_forecast_is_what_is_charged_where_everybody_is_found(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    write_two_dates(workplace)
    first, second = plan(workplace, "--to", NEXT_DAY)["partitions"]
    assert first == {
        "lookup_date": DAY,
        "rows_usable": 5,
        "rows_rejected": 1,
        "rows_reused": 1,
        "new_lookups": 4,
        "refreshed": 0,
        "queued_lookups": 0,
        "credits_at_most": 4,
        "stay_queued": 0,
        "days": [{"day": utc_now().date().isoformat(), "lookups": 4}],
    }
    assert (second["rows_reused"], second["new_lookups"], second["rows_rejected"]) == (2, 2, 1)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 0, told(done)
    assert len(sandbox.charges()) == 4 + 2
    assert plan(workplace, "--to", NEXT_DAY)["total"]["credits_at_most"] == 0
    assert workplace.run("run", "--date", DAY, "--to", NEXT_DAY).returncode == 0
    assert len(sandbox.charges()) == 6


def test_what_is_doubtful_about_the_files_is_said_before_anything_is_paid(
    workplace: Workplace,
) -> None:
    (workplace.names / f"{DAY}.csv").write_bytes("name,company\nKurt Gödel,IAS\n".encode("cp1252"))
    (workplace.names / f"{NEXT_DAY}.tsv").write_text("email\n")
    missing, guess = plan(workplace, "--to", NEXT_DAY)["warnings"]
    assert missing.startswith(f"There is no CSV file of {NEXT_DAY} in ")
    assert f"({NEXT_DAY}.tsv is none)" in missing
    assert guess.startswith(f"{DAY}.csv: read as Windows-1252, which is a guess")
    shown = workplace.run("plan", "--date", DAY, "--to", NEXT_DAY).stdout
    assert f"Warning: {missing}" in shown
    assert DAY in shown
    assert NEXT_DAY in shown


def test_a_days_maximum_and_the_floor_of_credits_are_kept_by_the_plan_as_by_the_run(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=10, complete_after_polls=0)
    write_two_dates(workplace)
    limits = {
        "LOOKUP_PIPELINE_MAX_NEW_LOOKUPS_PER_DAY": "3",
        "LOOKUP_PIPELINE_MIN_CREDITS": "5",
    }
    found = plan(workplace, "--to", NEXT_DAY, **limits)
    today = utc_now().date()
    days = [today.isoformat(), (today + timedelta(days=1)).isoformat()]
    total = found["total"]
    assert total["days"] == [{"day": days[0], "lookups": 3}, {"day": days[1], "lookups": 2}]
    assert (total["credits_at_most"], total["stay_queued"]) == (5, 1)
    assert [each["credits_at_most"] for each in found["partitions"]] == [4, 1]
    (held_back,) = found["warnings"]
    assert held_back.startswith("1 lookups stay queued: no credits are left above the floor")
    shown = workplace.run("plan", "--date", DAY, "--to", NEXT_DAY, **limits).stdout
    assert f"Warning: {held_back}." in shown
    assert re.search(rf"{days[1]} +│ +2 ", shown)
    workplace.run("run", "--date", DAY, "--to", NEXT_DAY, "--timeout", "60", **limits)
    assert len(sandbox.lookups()) == 3
    # The rest of the dates comes by itself, and is said where somebody plans another one.
    (warning,) = plan(workplace, **limits)["warnings"][-1:]
    assert "2 queued lookups of other dates go out by themselves" in warning


def test_too_few_credits_are_a_warning_in_both_forms(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=3)
    write_two_dates(workplace)
    assert plan(workplace)["warnings"] == ["3 credits left, up to 4 needed"]
    shown = workplace.run("plan", "--date", DAY).stdout
    assert "Warning: 3 credits left, up to 4 needed." in shown


def test_who_is_not_found_makes_it_cheaper_never_dearer(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(seed=5, not_found=0.3, without_contact=0.2)
    workplace.write_csv([[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(40)])
    most = plan(workplace)["total"]["credits_at_most"]
    workplace.run("run", "--date", DAY)
    assert 0 < len(sandbox.charges()) < most == 40


def test_nothing_is_sent_but_the_account_call_and_nothing_is_registered(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    write_two_dates(workplace)
    plan(workplace, "--to", NEXT_DAY)
    assert sandbox.requests().by_operation == {"account": 1}
    assert workplace.status()["partitions"] == []
    assert not (workplace.root / "output").exists()


def test_what_waits_in_the_queue_is_counted_as_it_will_be_sent(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    write_two_dates(workplace)
    workplace.run("run", "--date", DAY, "--max-new-lookups", "1", "--timeout", "60")
    assert len(sandbox.lookups()) == 1
    found = plan(workplace)["total"]
    assert (found["new_lookups"], found["queued_lookups"], found["credits_at_most"]) == (0, 3, 3)


def test_a_maximum_of_the_run_bounds_what_it_costs(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    write_two_dates(workplace)
    total = plan(workplace, "--max-new-lookups", "3")["total"]
    assert total["credits_at_most"] == 3
    done = workplace.run("run", "--date", DAY, "--max-new-lookups", "3")
    assert done.returncode == 3, told(done)
    assert "the run may send 3 lookups" in done.stdout
    assert len(sandbox.lookups()) == 3


def test_what_one_run_leaves_in_the_queue_another_sends(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE[:2])
    workplace.write_csv(PEOPLE[:2], NEXT_DAY)
    found = plan(workplace, "--to", NEXT_DAY, "--max-new-lookups", "1")
    assert [each["credits_at_most"] for each in found["partitions"]] == [1, 1]
    workplace.run("run", "--date", DAY, "--to", NEXT_DAY, "--max-new-lookups", "1")
    assert len(sandbox.lookups()) == 2


def test_the_plans_limits_say_how_long_it_takes(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials")
    workplace.write_csv([[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(120)])
    # Seven minutes for the hundred of an hour, and the rest in the second one.
    assert 3_600 <= plan(workplace)["seconds"] < 3_600 + 120
    shown = workplace.run("plan", "--date", DAY).stdout
    assert re.search(r"Sending takes about 6\d minutes; results arrive later.", shown)


def test_credits_that_are_not_recognised_are_told_with_the_accounts_kinds(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(credit_names="provider", credits=9)
    write_two_dates(workplace)
    found = plan(workplace)
    assert (found["credits_remaining"], found["warnings"]) == (9, [])
    gold = {"ROCKETREACH_CREDIT_TYPE": "gold"}
    found = plan(workplace, **gold)
    assert found["credits_remaining"] is None
    (warning,) = found["warnings"]
    assert "'gold'" in warning
    assert "standard_lookup" in warning
    assert workplace.status(**gold)["warnings"] == [warning]


def test_without_a_key_all_but_the_account_is_told(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    write_two_dates(workplace)
    found = plan(workplace, ROCKETREACH_API_KEY="")
    assert found["total"]["credits_at_most"] == 4
    assert "ROCKETREACH_API_KEY is not set" in found["account_error"]
    assert sandbox.requests().total == 0


def test_a_file_that_can_not_be_read_is_told_as_by_the_run(workplace: Workplace) -> None:
    (workplace.names / f"{DAY}.csv").write_bytes(b"colour,size\n")
    done = workplace.run("plan", "--date", DAY)
    assert done.returncode == 1
    assert f"{DAY}.csv, line" in done.stderr


def test_a_forced_refresh_says_its_cost_first_and_without_a_yes_sends_nothing(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE[:3])
    workplace.run("run", "--date", DAY)
    assert plan(workplace, "--force-refresh")["total"]["refreshed"] == 3
    done = workplace.run("run", "--date", DAY, "--force-refresh")
    assert done.returncode == 1
    assert "At most 3 credits" in done.stdout
    assert len(sandbox.lookups()) == 3
    done = workplace.run("run", "--date", DAY, "--force-refresh", "--yes")
    assert done.returncode == 0, told(done)
    assert len(sandbox.charges()) == 6
    assert len(workplace.rows("profiles")) == 3
    assert workplace.status()["partitions"][0]["credits"] == 6


def test_status_tells_what_is_queued_until_when_and_whether_it_goes_on_by_itself(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE)
    workplace.write_csv(PEOPLE[:1], NEXT_DAY)
    workplace.run("run", "--date", DAY, "--max-new-lookups", "2")
    shown = workplace.run("status").stdout
    assert f"Stopped: {DAY} since " in shown
    assert "(run_limit: the run had a maximum of its own). To send the rest, run it again" in shown
    limit = {"LOOKUP_PIPELINE_MAX_NEW_LOOKUPS_PER_DAY": "3"}
    done = workplace.run("run", "--date", DAY, "--timeout", "30", **limit)
    assert done.returncode == 3, "it does not wait for midnight, which its time does not reach"
    shown = workplace.run("status").stdout
    assert f"Waiting: {DAY} since " in shown
    assert "(limits: max_new_lookups_per_day); queued_lookups_sensor resumes it at " in shown
    found = workplace.status()
    (partition,) = found["partitions"]
    assert partition["queued_until"].endswith("T00:00:00Z")
    sent = len(sandbox.lookups()) - partition["credits"]
    assert partition["may_have_been_charged"] == found["may_have_been_charged"]["total"] == sent
    (wait,) = found["waits"]
    assert (wait["lookup_date"], wait["reason"], wait["resumes"]) == (DAY, "limits", True)
    assert wait["until"] == partition["queued_until"]
