"""`lookup-pipeline ledger`: back up, restore and reconcile, as an operator types it."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, NEXT_DAY, Workplace, told

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(60)]
OTHERS = [[f"Grace{place} Hopper", f"Univac {place}", ""] for place in range(10)]


def sent(sandbox: RunningSandbox) -> Counter[str]:
    return Counter(lookup.query["name"] for lookup in sandbox.lookups())


def backed_up(workplace: Workplace, name: str) -> Path:
    file = workplace.root / name
    done = workplace.run("ledger", "backup", str(file))
    assert done.returncode == 0, told(done)
    return file


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def published(workplace: Workplace) -> dict[str, str]:
    """In which dataset each name stands, over both dates."""
    return {
        row["requested_name"]: dataset
        for day in (DAY, NEXT_DAY)
        for dataset in ("profiles", "failed_lookups", "pending_lookups")
        for row in workplace.rows(dataset, day)
    }


@pytest.mark.parametrize("moment", ["between runs", "in the middle of a run"])
def test_a_restored_backup_sends_nobody_twice_and_loses_no_row(
    workplace: Workplace, sandbox: RunningSandbox, moment: str
) -> None:
    workplace.write_csv(PEOPLE)
    workplace.write_csv(OTHERS, NEXT_DAY)
    part = workplace.run("run", "--date", DAY, "--max-new-lookups", "24", "--timeout", "30")
    assert part.returncode == 3, told(part)
    if moment == "between runs":
        backup = backed_up(workplace, "backup.db")
        rest = workplace.run("run", "--date", DAY)
    else:
        sandbox.change(latency_seconds=0.2)
        running = workplace.start("run", "--date", DAY)
        wait_until(lambda: len(sandbox.lookups()) > 30)
        backup = backed_up(workplace, "backup.db")
        _, errors = running.communicate(timeout=120)
        assert running.returncode == 0, errors
        sandbox.change(latency_seconds=0)
        rest = workplace.run("run", "--date", DAY)
    assert rest.returncode == 0, told(rest)
    assert workplace.run("run", "--date", NEXT_DAY).returncode == 0
    before = published(workplace)
    assert Counter(before.values()) == {"profiles": 70}

    restored = workplace.run("ledger", "restore", str(backup))
    assert restored.returncode == 1
    assert "may have been sent since" in restored.stdout
    assert "Not confirmed: nothing was changed" in restored.stderr
    for refused in (
        workplace.run("run", "--date", DAY),
        workplace.run("run", "--date", NEXT_DAY),
        workplace.run("resubmit", "--failed", "--unconfirmed", "--yes"),
    ):
        assert refused.returncode == 1, told(refused)
        assert "lookup-pipeline ledger reconcile" in told(refused)
    assert "was restored from" in workplace.status()["ledger_problem"]
    assert "was restored from" in workplace.run("plan", "--date", DAY).stdout
    assert published(workplace) == before

    reconciled = workplace.run("ledger", "reconcile", "--yes")
    assert reconciled.returncode == 0, told(reconciled)
    assert workplace.status()["ledger_problem"] is None
    for day in (DAY, NEXT_DAY):
        done = workplace.run("run", "--date", day)
        assert done.returncode == 0, told(done)
    assert published(workplace) == before
    assert set(sent(sandbox).values()) == {1}


def test_a_lost_ledger_is_rebuilt_from_its_datasets(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(OTHERS)
    assert workplace.run("run", "--date", DAY).returncode == 0
    for path in workplace.root.glob("ledger.db*"):
        path.unlink()
    refused = workplace.run("run", "--date", DAY)
    assert refused.returncode == 1
    assert "It is empty, but" in told(refused) or "that it does not know" in told(refused)
    reconciled = workplace.run("ledger", "reconcile", "--yes")
    assert reconciled.returncode == 0, told(reconciled)
    assert "10 of 10 profiles were fetched again" in reconciled.stdout
    assert workplace.run("run", "--date", DAY).returncode == 0
    assert len(workplace.rows("profiles")) == 10
    assert set(sent(sandbox).values()) == {1}


def test_what_may_have_been_sent_since_the_backup_is_said_and_left_to_the_operator(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    workplace.write_csv(OTHERS)
    sandbox.change(credits=0)
    assert workplace.run("run", "--date", DAY).returncode == 1
    backup = backed_up(workplace, "backup.db")
    sandbox.change(credits=100, complete_after_polls=1000)
    dying = workplace.start("run", "--date", DAY)
    wait_until(lambda: len(sandbox.lookups()) == len(OTHERS))
    dying.kill()
    dying.communicate()
    restored = workplace.run("ledger", "restore", str(backup), "--yes")
    assert restored.returncode == 0, told(restored)
    assert "At stake: up to 10 credits" in restored.stdout
    workplace.run("run", "--date", DAY)
    assert {row["failure_kind"] for row in workplace.rows("failed_lookups")} == {"unconfirmed"}
    assert set(sent(sandbox).values()) == {1}


def test_a_ledger_that_agrees_with_its_datasets_is_left_alone(workplace: Workplace) -> None:
    workplace.write_csv(OTHERS[:1])
    assert workplace.run("run", "--date", DAY).returncode == 0
    done = workplace.run("ledger", "reconcile")
    assert done.returncode == 0
    assert "there is nothing to reconcile" in done.stdout


def test_info_says_how_large_the_ledger_is_and_what_it_holds(workplace: Workplace) -> None:
    workplace.write_csv(OTHERS)
    assert workplace.run("run", "--date", DAY).returncode == 0
    shown = workplace.run("ledger", "info")
    assert shown.returncode == 0, told(shown)
    assert "problem: none" in shown.stdout
    found = msgspec.json.decode(workplace.run("ledger", "info", "--json").stdout)
    assert found["rows"]["lookups"] == found["rows"]["memberships"] == len(OTHERS)
    assert found["file_bytes"] > 0
    assert found["problem"] is None


def test_a_restore_keeps_the_ledger_that_was_there(workplace: Workplace) -> None:
    workplace.write_csv(OTHERS[:2])
    assert workplace.run("run", "--date", DAY).returncode == 0
    backup = backed_up(workplace, "backup.db")
    assert workplace.run("ledger", "restore", str(backup), "--yes").returncode == 0
    (kept,) = workplace.root.glob("ledger.db.replaced-*[0-9]")
    with closing(sqlite3.connect(kept)) as opened:
        assert opened.execute("SELECT count(*) FROM lookups").fetchone() == (2,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not there"),
        (b"", "no ledger of this pipeline"),
        (b"name,company\nAda,Univac\n" * 100, "cannot be read as a ledger"),
    ],
    ids=["missing", "empty", "a CSV file"],
)
def test_what_is_no_ledger_is_not_restored(
    workplace: Workplace, content: bytes | None, said: str
) -> None:
    workplace.write_csv(OTHERS[:1])
    assert workplace.run("run", "--date", DAY).returncode == 0
    file = workplace.root / "copy.db"
    if content is not None:
        file.write_bytes(content)
    done = workplace.run("ledger", "restore", str(file), "--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert workplace.status()["partitions"][0]["complete"] == 1


def test_a_damaged_copy_is_not_restored(workplace: Workplace) -> None:
    workplace.write_csv(OTHERS)
    assert workplace.run("run", "--date", DAY).returncode == 0
    backup = backed_up(workplace, "backup.db")
    content = bytearray(backup.read_bytes())
    content[4096:12288] = bytes(8192)
    backup.write_bytes(content)
    done = workplace.run("ledger", "restore", str(backup), "--yes")
    assert done.returncode == 1
    assert "damaged" in done.stderr or "cannot be read" in done.stderr


def test_a_backup_overwrites_nothing(workplace: Workplace) -> None:
    file = workplace.root / "backup.db"
    file.write_text("something else")
    done = workplace.run("ledger", "backup", str(file))
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert file.read_text() == "something else"
