"""`lookup-pipeline names check`: how files would be read, and every problem, touching nothing."""

import gzip
from typing import Any

import msgspec

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
        "3 rows can be looked up, 2 are rejected.",
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
        "0 rows can be looked up, 2 are rejected"
        in workplace.run("names", "check", str(path)).stdout
    )


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


def test_nothing_is_touched(workplace: Workplace) -> None:
    path = workplace.names / "mess.csv"
    path.write_text(MESS)
    before = sorted(workplace.root.rglob("*"))
    check(workplace, str(path))
    assert sorted(workplace.root.rglob("*")) == before
    assert path.read_text() == MESS
