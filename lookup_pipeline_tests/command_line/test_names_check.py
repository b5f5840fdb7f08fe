"""`lookup-pipeline names check`: how files would be read, and every problem, touching nothing."""

import gzip
import os
import sys
from typing import Any

import msgspec
import pytest

from lookup_pipeline_tests.command_line.workplace import Workplace, told

MESS = """Contacts of the fair;;;
Full Name;Company;E-Mail;Id
"Dr. Grace Hopper, PhD";Navy;N/A;
Ada Lovelace;Acme;foo;
Nobody;;bar;
"a@example.org";Acme;;
Eve "the" Online;Acme;eve@example.org;
"""


def check(workplace: Workplace, *files: str) -> list[dict[str, Any]]:
    done = workplace.run("names", "check", "--json", *files)
    assert done.returncode == 0, told(done)
    found: list[dict[str, Any]] = msgspec.json.decode(done.stdout)
    return found


def test_it_tells_what_was_detected_what_would_be_asked_and_every_problem(
    workplace: Workplace,
) -> None:
    path = workplace.names / "any name.csv.gz"
    path.write_bytes(gzip.compress(MESS.encode("utf-16")))
    (found,) = check(workplace, str(path))
    assert found["encoding"] == "UTF-16"
    assert found["encoding_confidence"] == 1
    assert (found["delimiter"], found["compression"]) == ("semicolon", "gzip")
    assert (found["title_lines"], found["header_line"]) == ([1], 2)
    assert found["columns"] == [
        {"column": "Full Name", "read_as": "name"},
        {"column": "Company", "read_as": "employer"},
        {"column": "E-Mail", "read_as": "email"},
        {"column": "Id", "read_as": "id"},
    ]
    assert found["first_rows"] == [
        {"line": 3, "query": {"name": "Grace Hopper", "current_employer": "Navy"}},
        {"line": 4, "query": {"name": "Ada Lovelace", "current_employer": "Acme"}},
        {"line": 7, "query": {"email": "eve@example.org"}},
    ]
    assert found["problems"] == [
        {"line": 4, "rejected": False, "reasons": ["email 'foo' is not an e-mail address"]},
        {
            "line": 5,
            "rejected": True,
            "reasons": ["email 'bar' is not an e-mail address", "a name without an employer"],
        },
        {
            "line": 6,
            "rejected": True,
            "reasons": ["name 'a@example.org' is an e-mail address, not a name"],
        },
    ]
    assert (found["rows_usable"], found["rows_rejected"]) == (3, 2)
    (title,) = found["warnings"]
    assert "line 1, above the header row on line 2, was taken for a title" in title


def test_people_read_the_same_as_text(workplace: Workplace) -> None:
    path = workplace.names / "mess.csv"
    path.write_text(MESS)
    done = workplace.run("names", "check", str(path))
    assert done.returncode == 0, told(done)
    for words in (
        "separated by semicolon",
        "header row on line 2",
        "line 4, passed over: email 'foo' is not an e-mail address",
        "line 5, rejected: email 'bar' is not an e-mail address; a name without an employer",
        "Rows that can be looked up: 3. Rejected: 2.",
    ):
        assert words in done.stdout


def test_a_file_of_rejected_rows_only_shows_each_with_its_reason(workplace: Workplace) -> None:
    path = workplace.names / "rejected.csv"
    path.write_text("company,notes\nAcme,a\nIBM,b\n")
    (found,) = check(workplace, str(path))
    assert found["problems"] == [
        {"line": line, "rejected": True, "reasons": ["an employer without a name"]}
        for line in (2, 3)
    ]
    assert (
        "Rows that can be looked up: 0. Rejected: 2."
        in workplace.run("names", "check", str(path)).stdout
    )


# A tool's export in which URL is the company's web site, so that every row has a problem.
WEB_SITES = "".join(
    f"Ada {number},Acme,a{number}@example.org,https://acme.example/{number}\n"
    for number in range(30)
)


def test_many_problems_of_one_kind_do_not_drown_the_others(workplace: Workplace) -> None:
    path = workplace.names / "export.csv"
    nobody = "Ada Lovelace,,,\n" * 25
    surplus = ",,a@example.org,,more\n,,b@example.org,,more,and more\n"
    path.write_text(f"name,company,email,URL\n{WEB_SITES}{nobody}{surplus}")
    shown = workplace.run("names", "check", str(path)).stdout.splitlines()
    problems = [line.strip() for line in shown if line.startswith(("  line ", "  … ", "  --"))]
    assert [problem.split(":")[0] for problem in problems] == [
        *(f"line {line}, passed over" for line in range(2, 22)),
        *(f"line {line}, rejected" for line in range(32, 52)),
        *(f"line {line}, rejected" for line in (57, 58)),
        "… and 5 more rejected",
        "… and 10 more passed over",
        "--all shows each of them.",
    ]
    assert problems[-3:-1] == [
        "… and 5 more rejected: a name without an employer",
        (
            "… and 10 more passed over: linkedin_url '…' is not the address of a LinkedIn profile "
            "(linkedin.com/in/… or linkedin.com/pub/…)"
        ),
    ]
    (found,) = check(workplace, str(path))
    assert [problem["line"] for problem in found["problems"]] == list(range(2, 59))
    shown = workplace.run("names", "check", "--all", str(path)).stdout.splitlines()
    assert len([line for line in shown if line.startswith("  line ")]) == 57


def test_a_dates_folder_is_its_files_and_each_says_to_which_date_it_belongs(
    workplace: Workplace,
) -> None:
    day = workplace.names / "2026-01-06"
    day.mkdir()
    for name in ("b.csv", "a.CSV", "notes.txt", ".hidden.csv"):
        (day / name).write_text("email\na@example.org\n")
    first, second = check(workplace, str(day))
    assert [first["file"], second["file"]] == [f"{day}/a.CSV", f"{day}/b.csv"]
    assert first["lookup_date"] == second["lookup_date"] == "2026-01-06"
    (day / "a.CSV").rename(workplace.names / "leads.csv")
    shown = workplace.run("names", "check", str(day), str(workplace.names / "leads.csv")).stdout
    assert "It belongs to 2026-01-06." in shown
    assert "It belongs to no date yet: call it YYYY-MM-DD.csv" in shown
    assert workplace.run("names", "check", str(workplace.root / "nowhere")).returncode == 1


def test_reasons_that_differ_in_a_number_are_of_one_kind(workplace: Workplace) -> None:
    path = workplace.names / "longer and longer.csv"
    rows = "".join(f"a@example.org{',more' * number}\n" for number in range(1, 31))
    path.write_text(f"email\n{rows}")
    shown = workplace.run("names", "check", str(path)).stdout
    assert "line 21, rejected: the row has more fields than the header row, by 20\n" in shown
    assert "line 22" not in shown
    assert "… and 10 more rejected: the row has more fields than the header row, by …\n" in shown


def test_doubts_are_warnings(workplace: Workplace) -> None:
    path = workplace.names / "doubts.csv"
    path.write_bytes("name,company,id\nKurt Gödel,IAS,1\nAda,Acme,2\nEve,Acme,3\n".encode("cp1252"))
    (found,) = check(workplace, str(path))
    guess, ids = found["warnings"]
    assert "Windows-1252, which is a guess" in guess
    assert "the id column seems to count" in ids


def test_a_file_that_cannot_be_read_is_told_with_line_and_cure_and_the_others_are_read(
    workplace: Workplace,
) -> None:
    good, bad = workplace.names / "good.csv", workplace.names / "bad.csv"
    good.write_text("email\na@example.org\n")
    bad.write_text("colour,size\nred,1\n")
    done = workplace.run("names", "check", "--json", str(bad), str(good), "nowhere.csv")
    assert done.returncode == 1
    unreadable, read, missing = msgspec.json.decode(done.stdout)
    assert unreadable["line"] == 1
    assert "header row" in unreadable["error"]
    assert "begin the file with a header row" in unreadable["cure"]
    assert read["rows_usable"] == 1
    assert missing == {"file": "nowhere.csv", "error": "No such file or directory"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold text only")
def test_a_file_name_that_is_no_text_is_the_error_that_the_pipeline_ends_with(
    workplace: Workplace,
) -> None:
    path = workplace.names / os.fsdecode(b"G\xf6del.csv")
    path.write_text("email\na@example.org\n")
    error = "G\\xf6del.csv, line 1: its name is not UTF-8. To mend it: rename the file"
    as_json = workplace.run("names", "check", "--json", str(path))
    as_text = workplace.run("names", "check", str(path))
    in_folder = workplace.run("names", "check", str(workplace.names))
    assert as_json.returncode == as_text.returncode == in_folder.returncode == 1
    assert error in in_folder.stdout
    (found,) = msgspec.json.decode(as_json.stdout)
    assert found["file"] == f"{workplace.names}/G\\xf6del.csv"
    assert found["error"].startswith(error)
    assert error in as_text.stdout


# Whatever the machine is logged in to; and nobody is asked twice.
LOGGED_OUT = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_CONFIG_FILE": "nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


@pytest.mark.parametrize(
    ("url", "environment", "error"),
    [
        ("s3://people/x.csv", {}, "NoCredentialsError: Unable to locate credentials"),
        (
            "s3://people/x.csv",
            {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"},
            (
                "EndpointConnectionError: Could not connect to the endpoint URL: "
                '"http://127.0.0.1:9/people/x.csv"'
            ),
        ),
        ("http://127.0.0.1:9/x.csv", {}, "FileNotFoundError: http://127.0.0.1:9/x.csv"),
    ],
    ids=["no credentials", "no connection", "an error that says the URL and nothing else"],
)
def test_a_store_that_gives_nothing_is_told_by_the_kind_of_error_and_the_others_are_read(
    workplace: Workplace, url: str, environment: dict[str, str], error: str
) -> None:
    good = workplace.names / "good.csv"
    good.write_text("email\na@example.org\n")
    environment = LOGGED_OUT | environment
    as_json = workplace.run("names", "check", "--json", url, str(good), **environment)
    as_text = workplace.run("names", "check", url, str(good), **environment)
    assert as_json.returncode == as_text.returncode == 1
    failed, read = msgspec.json.decode(as_json.stdout)
    assert failed == {"file": url, "error": error}
    assert read["rows_usable"] == 1
    assert error in as_text.stdout
    assert "Rows that can be looked up: 1." in as_text.stdout
    assert "Traceback" not in as_json.stderr + as_text.stderr


def test_nothing_is_touched(workplace: Workplace) -> None:
    path = workplace.names / "mess.csv"
    path.write_text(MESS)
    before = sorted(workplace.root.rglob("*"))
    check(workplace, str(path))
    assert sorted(workplace.root.rglob("*")) == before
    assert path.read_text() == MESS
