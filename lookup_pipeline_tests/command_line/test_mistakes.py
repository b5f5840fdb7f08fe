"""Mistakes of setting up: each ends in one message that names the cause and the cure."""

import pytest

from lookup_pipeline.command_line.exclusive import held
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline.settings import PACKAGE
from lookup_pipeline_tests.command_line.workplace import DAY, Command, Workplace, told

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(4)]


def assert_one_message(done: Command) -> None:
    assert done.returncode == 1, told(done)
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in told(done)


def test_no_key_is_said_with_the_variable_and_the_sandbox_and_status_still_shows_partitions(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv([*PEOPLE, ["Nobody At All", "", ""]])
    done = workplace.run("run", "--date", DAY, ROCKETREACH_API_KEY=" ")
    assert_one_message(done)
    assert f"Rejected of {DAY}: 1 " in done.stdout
    assert "ROCKETREACH_API_KEY is not set" in done.stderr
    assert "lookup-pipeline sandbox" in done.stderr
    assert "4 rows stay queued" in done.stderr
    assert sandbox.requests().total == 0

    shown = workplace.run("status", "--date", DAY, ROCKETREACH_API_KEY="")
    assert shown.returncode == 0
    line = next(line for line in shown.stdout.splitlines() if DAY in line)
    # Date, rows, queued, in flight, complete, failed.
    assert [cell.strip() for cell in line.split("│")[1:7]] == [DAY, "4", "4", "0", "0", "0"]
    assert "ROCKETREACH_API_KEY is not set" in shown.stdout


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_misspelt_maximum_stops_before_anything_is_sent(
    workplace: Workplace, sandbox: RunningSandbox, command: str
) -> None:
    workplace.write_csv(PEOPLE)
    done = workplace.run(command, "--date", DAY, LOOKUP_PIPELINE_MIN_CREDIT="3")
    assert_one_message(done)
    assert (
        "LOOKUP_PIPELINE_MIN_CREDIT is no setting; LOOKUP_PIPELINE_MIN_CREDITS is. Which is meant?"
    ) in done.stderr
    assert sandbox.requests().total == 0
    other = workplace.run("plan", "--date", DAY, ROCKETREACH_TEAM="ours")
    assert other.returncode == 0, told(other)


def test_a_wrong_key_is_said_with_cause_and_cure_and_stands_nowhere(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    key = "wr0ng-k3y-nobody-may-read"
    workplace.write_csv(PEOPLE)
    done = workplace.run("run", "--date", DAY, ROCKETREACH_API_KEY=key)
    assert_one_message(done)
    assert "HTTP 401: Invalid API key." in done.stderr
    assert "check ROCKETREACH_API_KEY" in done.stderr
    assert "4 rows stay queued" in done.stderr
    assert key not in told(done)
    assert workplace.files_that_tell("HTTP 401") != [], "the instance does hold the failure"
    assert workplace.files_that_tell(key) == []
    for word in ("Byron", sandbox.api_key):
        assert word not in told(done)
        assert workplace.files_that_tell(word) == []

    status = workplace.status(ROCKETREACH_API_KEY=key)
    assert [partition["queued"] for partition in status["partitions"]] == [4]
    assert "401" in status["account_error"]
    assert key not in str(status)


def test_a_broken_file_is_named_with_its_line_and_the_cure_and_changes_nothing(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE)
    earlier = workplace.root / "output" / "names" / f"lookup_date={DAY}" / "part-0.parquet"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"what was read the last time")
    path = workplace.names / f"{DAY}.csv"
    japanese = "New One,Elsewhere,\n山田太郎 Secretname,東京電力,\n".encode("shift_jis")
    path.write_bytes(path.read_bytes() + japanese)
    done = workplace.run("run", "--date", DAY)
    assert_one_message(done)
    assert f"{DAY}.csv, line 7: " in done.stderr
    assert "To mend it: " in done.stderr
    assert "Nothing was changed" in done.stderr
    assert "Secretname" not in told(done)
    assert earlier.read_bytes() == b"what was read the last time"
    assert list(earlier.parent.iterdir()) == [earlier]
    assert sandbox.requests().total == 0


def test_a_names_folder_that_is_not_there_is_said_once_for_all_dates(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    folder = str(workplace.root / "not-mounted")
    done = workplace.run(
        "run", "--date", "2025-03-01", "--to", DAY, LOOKUP_PIPELINE_NAMES_URL=folder
    )
    assert_one_message(done)
    assert len(done.stderr.splitlines()) == 1
    assert f"There is no names folder {folder}." in done.stderr
    assert "LOOKUP_PIPELINE_NAMES_URL" in done.stderr
    assert sandbox.requests().total == 0


def test_nothing_registered_is_said_in_words(workplace: Workplace) -> None:
    done = workplace.run("status")
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing is registered yet.")


def test_a_second_demo_leaves_the_first_alone(workplace: Workplace) -> None:
    folder = PACKAGE.parent / "data" / "demo"
    folder.mkdir(exist_ok=True)
    with held(folder, "another test runs the demo"):
        done = workplace.run("demo")
    assert_one_message(done)
    assert f"Another demo is at work in {folder}" in done.stderr


def test_a_ledger_that_is_none_is_named_with_the_cure(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE)
    (workplace.root / "ledger.db").write_text("This is a letter to the editor. " * 100)
    for arguments in (["run", "--date", DAY], ["status"]):
        done = workplace.run(*arguments)
        assert_one_message(done)
        assert "ledger.db fails: file is not a database" in done.stderr
    assert sandbox.requests().total == 0


def test_an_output_folder_that_can_not_be_written_is_named_with_the_cure(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(PEOPLE)
    (workplace.root / "output").write_text("a file where the folder should be")
    done = workplace.run("run", "--date", DAY)
    assert_one_message(done)
    assert f"{workplace.root / 'output'}/names" in done.stderr
    assert "can't be written: Not a directory" in done.stderr
    assert "LOOKUP_PIPELINE_OUTPUT_URL" in done.stderr
    assert sandbox.requests().total == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--date", "yesterday"], "does not match the format"),
        (["--date", "2025-02-28"], "no partition 2025-02-28: they go from 2025-03-01"),
        (["--date", DAY, "--to", "2025-03-02"], "lies before"),
        (["--date", DAY, "--timeout", "nan"], "a number of seconds"),
    ],
)
def test_what_is_no_date_and_no_time_is_bad_usage(
    workplace: Workplace, sandbox: RunningSandbox, arguments: list[str], message: str
) -> None:
    done = workplace.run("run", *arguments)
    assert done.returncode == 2, told(done)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workplace.root / "output").exists()
    assert sandbox.requests().total == 0


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        (["status"], "LOOKUP_PIPELINE_LEDGER_URL", "no url at all"),
        (["status"], "LOOKUP_PIPELINE_LEDGER_URL", "sqlite+nonsense:///ledger.db"),
        (["status"], "LOOKUP_PIPELINE_LEDGER_URL", "sqlite://"),
        (["status"], "LOOKUP_PIPELINE_LEDGER_URL", "sqlite:////proc/no/ledger.db"),
        (["run", "--date", DAY], "DAGSTER_HOME", "/proc/no"),
        (["run", "--date", DAY], "ROCKETREACH_API_KEY", "k\u00e9y"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_MIN_MATCH_RATE", "30"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_DEADLINE_HOURS", "soon"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_PUBLISH_INTERVAL_SECONDS", "-1"),
        (["run", "--date", DAY], "ROCKETREACH_REQUESTS_PER_SECOND", "inf"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_START_DATE", "last year"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_START_DATE", "2999-01-01"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_NIGHTLY_TIMEZONE", "Mars/Base"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_NIGHTLY_HOUR", "25"),
        (["run", "--date", DAY], "ROCKETREACH_REQUESTS_PER_SECOND", "ten"),
        (["run", "--date", DAY], "ROCKETREACH_LOOKUP_TYPE", "standart"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_NAMES_URL", "nonsense://names"),
        (["run", "--date", DAY], "LOOKUP_PIPELINE_OUTPUT_URL", "nonsense://output"),
        (["run", "--date", DAY], "ROCKETREACH_BASE_URL", "127.0.0.1:8787/api/v2"),
        (["run", "--date", DAY], "ROCKETREACH_BASE_URL", "http://127.0.0.1:port/api/v2"),
        (["run", "--date", DAY], "ROCKETREACH_BASE_URL", "http://127.0.0.1/api/v2/person"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named_and_nothing_is_sent(
    workplace: Workplace,
    sandbox: RunningSandbox,
    command: list[str],
    variable: str,
    value: str,
) -> None:
    workplace.write_csv(PEOPLE)
    done = workplace.run(*command, **{variable: value})
    assert_one_message(done)
    assert variable in done.stderr
    assert sandbox.requests().total == 0
