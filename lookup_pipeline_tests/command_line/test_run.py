"""`lookup-pipeline run`: from CSV to Parquet, and what its exit code says."""

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import duckdb

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import (
    DAY,
    NEXT_DAY,
    SCRIPT,
    Workplace,
    told,
)
from lookup_pipeline_tests.enrichment.pipeline import once

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(6)]
MAIL = "zeb.quagmire@example.org"


def test_a_date_is_enriched_to_the_end_once_and_status_adds_up(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(seed=2, not_found=0.3, complete_after_polls=2)
    workplace.write_csv([*PEOPLE, ["", "", MAIL], ["Only A Name", "", ""]])
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)

    rows = {name: workplace.rows(name) for name in ("names", "profiles", "failed_lookups")}
    published = rows["profiles"] + rows["failed_lookups"]
    assert sorted(row["source_row"] for row in published) == [2, 3, 4, 5, 6, 7, 8]
    assert [row["source_row"] for row in rows["names"]] == [2, 3, 4, 5, 6, 7, 8]
    assert workplace.rows("pending_lookups") == []
    assert [row["source_row"] for row in workplace.rows("rejected_names")] == [9]
    outcomes = Counter(lookup.outcome for lookup in sandbox.lookups())
    assert outcomes == {"found": len(rows["profiles"]), "not_found": len(rows["failed_lookups"])}
    assert len(outcomes) == 2, "the seed shows both"

    # The table: date, rows, queued, in flight, complete, failed, match rate, credits.
    line = next(line for line in done.stdout.splitlines() if DAY in line and "│" in line)
    cells = [cell.strip() for cell in line.strip("│┃ ").split("│")]
    found, missing = outcomes["found"], outcomes["not_found"]
    assert cells[:6] == [DAY, "7", "0", "0", str(found), str(missing)]
    assert cells[6:] == [f"{found / 7:.0%}", str(len(sandbox.charges()))]
    assert str(workplace.root / "output" / "profiles") in done.stdout
    assert "read_parquet" in done.stdout
    assert f"Rejected of {DAY}: 1 (rejected_names says why)." in done.stdout

    assert MAIL not in told(done)
    assert workplace.files_that_tell(MAIL) == []
    assert workplace.files_that_tell(sandbox.api_key) == []
    assert workplace.files_that_tell(DAY) != [], "the instance does hold the runs"

    requests = sandbox.requests().total
    before = {name: workplace.rows(name) for name in ("profiles", "failed_lookups", "lookups")}
    again = workplace.run("run", "--date", DAY, ROCKETREACH_API_KEY="")
    assert again.returncode == 0, "a settled partition needs no key" + told(again)
    assert sandbox.requests().total == requests
    assert {name: workplace.rows(name) for name in before} == before

    status = workplace.status()
    (partition,) = status["partitions"]
    states = ("queued", "submitting", "in_flight", "complete", "failed", "unconfirmed")
    assert sum(partition[state] for state in states) == partition["rows"] == 7
    assert (partition["lookup_date"], partition["complete"]) == (DAY, found)
    assert partition["failed"] == missing
    assert partition["match_rate"] == found / 7
    assert partition["credits"] == len(sandbox.charges())
    standard = status["account"]["credit_usage"][0]
    assert (standard["credit_type"], standard["used"]) == ("standard", len(sandbox.charges()))
    assert status["account"]["rate_limits"]
    assert status["account_error"] is None
    (other,) = workplace.status("--date", NEXT_DAY)["partitions"]
    assert (other["lookup_date"], other["rows"], other["match_rate"]) == (NEXT_DAY, 0, None)


def test_lookups_still_in_flight_when_time_runs_out_end_in_3_and_a_second_run_finishes(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_seconds=100_000)
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY, "--timeout", "4")
    assert done.returncode == 3, told(done)
    assert re.search(r"6 rows are still pending after \d+ seconds", done.stdout), told(done)
    assert "Nothing is lost" in done.stdout
    pending = workplace.rows("pending_lookups")
    assert [row["state"] for row in pending] == ["in_flight"] * 6
    assert workplace.rows("profiles") == []
    assert sandbox.charges() == []

    sandbox.advance(seconds=100_001)
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    assert len(workplace.rows("profiles")) == 6
    assert workplace.rows("pending_lookups") == []
    assert len(sandbox.lookups()) == len(sandbox.charges()) == 6


def test_a_range_may_hold_a_day_without_a_file_which_ends_empty(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 0, told(done)
    assert [len(workplace.rows("profiles", day)) for day in (DAY, NEXT_DAY)] == [6, 0]
    assert f"Warning: There is no CSV file of {NEXT_DAY}" in done.stdout
    for dataset in ("names", "rejected_names", "lookups", "failed_lookups", "pending_lookups"):
        assert workplace.rows(dataset, NEXT_DAY) == []
    for day, rows in ((DAY, "6"), (NEXT_DAY, "0"), ("total", "6")):
        line = next(line for line in done.stdout.splitlines() if day in line and "│" in line)
        assert line.split("│")[2].strip() == rows


def test_a_day_without_a_file_can_be_made_an_error_and_the_other_dates_go_on(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE, NEXT_DAY)
    done = workplace.run(
        "run", "--date", DAY, "--to", NEXT_DAY, LOOKUP_PIPELINE_MISSING_FILE="fail"
    )
    assert done.returncode == 1, told(done)
    assert f"There is no CSV file of {DAY}" in done.stderr
    assert len(workplace.rows("profiles", NEXT_DAY)) == 6
    planned = workplace.run("plan", "--date", DAY, LOOKUP_PIPELINE_MISSING_FILE="fail")
    assert "so its run fails (LOOKUP_PIPELINE_MISSING_FILE=fail)" in planned.stdout


def test_a_moment_of_trouble_while_polling_does_not_end_the_run(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1)
    workplace.write_csv(PEOPLE)

    def in_flight() -> bool:
        return len(sandbox.lookups()) == len(PEOPLE)

    def asked_in_vain() -> bool:
        return sandbox.requests().by_answer.get("502", 0) > 0

    with (
        once(in_flight, lambda: sandbox.change(error_502_html=1)),
        once(asked_in_vain, lambda: sandbox.change(error_502_html=0)),
    ):
        done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    assert len(workplace.rows("profiles")) == len(PEOPLE)


def test_the_trouble_of_another_date_is_not_this_ones(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1)
    workplace.write_csv([PEOPLE[0]], NEXT_DAY)
    assert workplace.run("run", "--date", NEXT_DAY, "--timeout", "1").returncode == 3
    shutil.rmtree(workplace.root / "output" / "names" / f"lookup_date={NEXT_DAY}")
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    assert len(workplace.rows("profiles")) == len(PEOPLE)


def test_runs_that_were_killed_hold_up_no_other_run(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    # As many as the pool has places.
    everybody = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(120)]
    workplace.write_csv(everybody)
    sandbox.change(latency_seconds=0.5, complete_after_polls=0)

    def sent_at_least(number: int) -> Callable[[], bool]:
        return lambda: len(sandbox.lookups()) >= number

    for killed in (1, 2):
        process = workplace.start("run", "--date", DAY)
        with once(sent_at_least(20 * killed), process.kill):
            process.communicate(timeout=60)
    sandbox.change(latency_seconds=0)
    done = workplace.run("run", "--date", DAY, "--timeout", "20")
    # What the killed ones had in the air is held until their leases end.
    assert done.returncode == 3, told(done)
    counts = workplace.status("--date", DAY)["partitions"][0]
    assert counts["submitting"] + counts["complete"] == len(everybody)
    assert 0 < counts["submitting"] <= 32
    assert len({lookup.query["name"] for lookup in sandbox.lookups()}) == len(sandbox.lookups())


def test_the_time_given_bounds_the_submission_too(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv([[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(60)])
    done = workplace.run(
        "run", "--date", DAY, "--timeout", "3", ROCKETREACH_REQUESTS_PER_SECOND="4"
    )
    assert done.returncode == 3, told(done)
    counts = workplace.status("--date", DAY)["partitions"][0]
    assert 0 < counts["complete"] < 20
    assert counts["complete"] + counts["queued"] == 60


def test_an_account_out_of_credits_ends_in_an_error_once_what_was_paid_for_is_published(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    everybody = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(30)]
    workplace.write_csv(everybody)
    workplace.write_csv([["Grace Hopper", "Univac", ""]], NEXT_DAY)
    sandbox.change(credits=20, complete_after_polls=1)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 1, told(done)
    assert "out of credits" in done.stderr
    assert "10 rows stay queued" in done.stderr
    assert len(workplace.rows("profiles")) == len(sandbox.charges()) == 20
    assert [row["state"] for row in workplace.rows("pending_lookups")] == ["queued"] * 10
    assert len(sandbox.lookups()) == 20, "the next date is not tried on this account"

    sandbox.change(credits=100)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 0, told(done)
    assert len(workplace.rows("profiles")) == 30
    assert len(sandbox.charges()) == 31


def test_while_a_window_is_awaited_lookups_are_polled_and_published_and_the_account_left_alone(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(plan="essentials", complete_after_polls=1)
    workplace.write_csv([[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(20)])
    often = {"LOOKUP_PIPELINE_PUBLISH_INTERVAL_SECONDS": "1"}
    process = workplace.start("run", "--date", DAY, **often)
    published = workplace.root / "output" / "profiles" / f"lookup_date={DAY}" / "part-0.parquet"
    try:
        with once(
            lambda: published.exists() and len(workplace.rows("profiles")) == 15,
            lambda: process.send_signal(signal.SIGINT),
            seconds=50,
        ):
            _, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert len(sandbox.lookups()) == 15, "the minute's are used up, and the next one is awaited"
    assert sandbox.requests().by_operation["account"] == 1
    assert [row["state"] for row in workplace.rows("pending_lookups")] == ["queued"] * 5


def test_a_file_that_can_not_be_read_does_not_hold_up_the_other_dates(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    (workplace.names / f"{DAY}.csv").write_bytes("name,company\n山田太郎,\n".encode("shift_jis"))
    workplace.write_csv(PEOPLE, NEXT_DAY)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 1, told(done)
    assert f"{DAY}.csv, line 2: " in done.stderr
    assert len(workplace.rows("profiles", NEXT_DAY)) == len(PEOPLE)


def test_a_date_that_can_not_be_written_leaves_the_others_followed_and_published(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1)
    workplace.write_csv(PEOPLE)
    workplace.write_csv(PEOPLE[:1], NEXT_DAY)
    in_the_way = workplace.root / "output" / "lookups" / f"lookup_date={NEXT_DAY}"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where a folder should be")
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 1, told(done)
    assert done.stderr.count("failed: ") == 1, "told once, by its cause"
    assert f"{in_the_way}/part-0.parquet can't be written" in done.stderr
    assert len(workplace.rows("profiles")) == len(PEOPLE)


def test_a_key_that_is_revoked_midway_leaves_nothing_unpublished_that_was_paid_for(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1_000)
    workplace.write_csv([["Grace Hopper", "Univac", ""]])
    assert workplace.run("run", "--date", DAY, "--timeout", "1").returncode == 3
    # Published a moment ago, so the sensor alone would leave it for some minutes.
    sandbox.change(complete_after_polls=0, latency_seconds=0.3)
    everybody = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(400)]
    workplace.write_csv([["Grace Hopper", "Univac", ""], *everybody])
    with once(lambda: len(sandbox.lookups()) > 25, lambda: sandbox.change(account_state="revoked")):
        done = workplace.run("run", "--date", DAY)
    assert done.returncode == 1, told(done)
    assert "check ROCKETREACH_API_KEY" in done.stderr
    assert len(workplace.rows("profiles")) == len(sandbox.charges()) > 20


def test_what_is_due_of_another_date_is_no_trouble_of_a_settled_one(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=1_000)
    workplace.write_csv(PEOPLE[:1], NEXT_DAY)
    assert workplace.run("run", "--date", NEXT_DAY, "--timeout", "1").returncode == 3
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE[1:])
    assert workplace.run("run", "--date", DAY).returncode == 0
    done = workplace.run("run", "--date", DAY, ROCKETREACH_API_KEY="")
    assert done.returncode == 0, told(done)


def test_the_lines_that_read_the_files_can_be_copied_whatever_the_folder_is_called(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE)
    folder = workplace.root / 'it\'s $HOME "here"'
    done = workplace.run("run", "--date", DAY, LOOKUP_PIPELINE_OUTPUT_URL=str(folder))
    assert done.returncode == 0, told(done)
    pandas_line = done.stdout.partition("        or  ")[2].splitlines()[0]
    shown = subprocess.run(["sh", "-c", pandas_line], capture_output=True, text=True, check=True)
    assert "[6 rows x" in shown.stdout
    duckdb_line = done.stdout.partition("Read them:  duckdb -c ")[2].splitlines()[0]
    sql = subprocess.check_output(["sh", "-c", f"printf %s {duckdb_line}"], text=True)
    assert len(duckdb.execute(sql).fetchall()) == 6


def test_rows_nobody_can_vouch_for_are_told(workplace: Workplace, sandbox: RunningSandbox) -> None:
    sandbox.change(html_200=1)
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    for shown in (done.stdout, workplace.run("status").stdout):
        assert "Unconfirmed: 6." in shown
        assert "only 0% of the settled rows have a profile" in shown
    assert {row["failure_kind"] for row in workplace.rows("failed_lookups")} == {"unconfirmed"}


def test_a_run_out_of_time_says_until_when_the_provider_keeps_rows_waiting(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(down=True, retry_after_seconds=600)
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY, "--timeout", "4")
    assert done.returncode == 3, told(done)
    assert "6 of them are queued until 20" in done.stdout
    assert len(workplace.rows("pending_lookups")) == 6


def test_an_interrupt_ends_the_command_in_one_line_and_the_next_goes_on(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    everybody = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(60)]
    workplace.write_csv(everybody)
    sandbox.change(latency_seconds=0.5, complete_after_polls=0)
    process = workplace.start("run", "--date", DAY)
    with once(lambda: len(sandbox.lookups()) >= 10, lambda: process.send_signal(signal.SIGINT)):
        _said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "Interrupted. Nothing is lost: run the same command again.\n"
    sandbox.change(latency_seconds=0)
    done = workplace.run("run", "--date", DAY)
    assert done.returncode == 0, told(done)
    assert len(workplace.rows("profiles")) == len(sandbox.lookups()) == 60


def test_help_needs_no_configuration_and_does_not_wait_for_dagster(workplace: Workplace) -> None:
    for arguments in (["--help"], ["run", "--help"], ["status", "-h"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", str(SCRIPT), *arguments],
            env={"PATH": "/usr/bin:/bin"},
            cwd=workplace.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, told(done)
        assert "Usage: " in done.stdout
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "click" in imported
        assert not imported & {"dagster", "pandas", "pyarrow", "sqlalchemy"}
    assert not (workplace.root / ".dagster").exists()
