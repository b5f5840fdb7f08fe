"""Opening a ledger, its schema, and how its transactions stand beside each other."""

import sqlite3
import threading
import time
import traceback
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, select, text

from lookup_pipeline.ledger import Ledger, migrations, open_ledger
from lookup_pipeline.ledger.database import LedgerError
from lookup_pipeline.ledger.identities import GIVEN_UP
from lookup_pipeline.ledger.migrate import HEAD
from lookup_pipeline.ledger.registration import Registration
from lookup_pipeline.ledger.sqlite import BUSY_TIMEOUT
from lookup_pipeline.ledger.tables import lookups, memberships, metadata, partitions
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    claim_all,
    news,
    published_rows,
    register,
    rows_for,
    sqlite_url,
    states_of,
)

# Long enough that a call which should wait for it is seen to wait.
HELD = 0.3


def test_the_migrated_schema_is_the_one_the_tables_describe(ledger: Ledger) -> None:
    with ledger.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_has_every_check_and_key(ledger: Ledger) -> None:
    """What Alembic's comparison leaves out."""
    described = create_engine("sqlite://")
    metadata.create_all(described)
    with ledger.read() as connection:
        found, wanted = inspect(connection), inspect(described)
        for table in metadata.tables:
            for look in ("get_check_constraints", "get_pk_constraint", "get_foreign_keys"):
                assert getattr(found, look)(table) == getattr(wanted, look)(table)
    assert wanted.get_check_constraints("lookups")


def test_the_partial_indexes_are_partial_in_the_database(ledger: Ledger) -> None:
    with ledger.read() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        found: dict[str, str] = {row.name: row.sql for row in rows}
    for name, condition in (
        ("ix_lookups_due", "next_poll_at IS NOT NULL"),
        ("ix_lookups_deadline", "state = 'in_flight'"),
        ("ix_lookups_lease", "state = 'submitting'"),
        ("ix_lookups_pending", "state IN ('in_flight', 'queued', 'submitting')"),
    ):
        assert found[name].endswith(f"WHERE {condition}")


def test_the_head_is_the_newest_migration(ledger: Ledger) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
    with ledger.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD


def opened_from(revision: str, folder: Path, *statements: str) -> Ledger:
    """A ledger that an older version left, with these rows, as this version opens it."""
    engine = create_engine(sqlite_url(folder))
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return open_ledger(sqlite_url(folder))


def test_an_older_ledger_learns_which_partition_asked_first(tmp_path: Path) -> None:
    ledger = opened_from(
        "0001",
        tmp_path,
        "INSERT INTO lookups (lookup_id, identity, parameters, state)"
        " VALUES (1, 'ann', '{}', 'queued'), (2, 'ben', '{}', 'queued')",
        "INSERT INTO memberships"
        " (lookup_date, source_file, source_row, lookup_id, reused, requested) VALUES"
        " ('2026-01-06', 'b.csv', 2, 1, 0, '{}'), ('2026-01-05', 'a.csv', 2, 1, 1, '{}'),"
        " ('2026-01-06', 'b.csv', 3, 2, 1, '{}')",
    )
    with ledger.read() as connection:
        found = dict(connection.execute(select(lookups.c.identity, lookups.c.first_date)).all())
    # The row that was there before; where a line put above has hidden it, the oldest partition.
    assert found == {"ann": "2026-01-06", "ben": "2026-01-06"}
    ledger.close()


def test_an_older_ledger_does_not_tell_again_of_credits_it_has_published(tmp_path: Path) -> None:
    ledger = opened_from(
        "0002",
        tmp_path,
        "INSERT INTO lookups"
        " (lookup_id, identity, parameters, state, credits, settled_at, first_date) VALUES"
        " (1, 'ann', '{}', 'complete', 1, 10, '2026-01-05'),"
        " (2, 'ben', '{}', 'complete', 1, 20, '2026-01-05'),"
        " (3, 'cid', '{}', 'complete', 1, 40, '2026-01-05'),"
        " (4, 'dan', '{}', 'complete', 1, 10, '2026-01-04')",
        "INSERT INTO partitions (lookup_date, news_version, published_version, published_at)"
        " VALUES ('2026-01-05', 5, 4, 30), ('2026-01-06', 1, 0, NULL)",
    )
    with ledger.read() as connection:
        columns = select(partitions.c.lookup_date, partitions.c.published_credits)
        found = dict(connection.execute(columns).all())
    # Two were settled, and its own, when it was published; one has come since.
    assert found == {"2026-01-05": 2, "2026-01-06": 0}
    ledger.close()


def test_an_older_ledger_shows_the_profiles_again_that_refreshes_took_away(tmp_path: Path) -> None:
    ledger = opened_from(
        "0008",
        tmp_path,
        "INSERT INTO lookups (lookup_id, identity, parameters, state) VALUES"
        # Found, then not found twice; found and refreshed; never found; found, not found, found.
        f" (1, 'ann{GIVEN_UP}1', '{{}}', 'complete'), (2, 'ann{GIVEN_UP}2', '{{}}', 'failed'),"
        " (3, 'ann', '{}', 'unconfirmed'),"
        f" (4, 'ben{GIVEN_UP}4', '{{}}', 'complete'), (5, 'ben', '{{}}', 'complete'),"
        f" (6, 'cid{GIVEN_UP}6', '{{}}', 'failed'), (7, 'cid', '{{}}', 'queued'),"
        f" (8, 'dan{GIVEN_UP}8', '{{}}', 'complete'), (9, 'dan', '{{}}', 'in_flight')",
        "INSERT INTO memberships"
        " (lookup_date, source_file, source_row, lookup_id, reused, requested) VALUES"
        " ('2026-01-05', 'a.csv', 2, 3, 0, '{}'), ('2026-01-06', 'b.csv', 2, 5, 0, '{}')",
        "INSERT INTO partitions (lookup_date, news_version, published_version)"
        " VALUES ('2026-01-05', 5, 5), ('2026-01-06', 5, 5)",
    )
    with ledger.read() as connection:
        kept = dict(
            connection.execute(select(lookups.c.lookup_id, lookups.c.keeps_lookup_id)).all()
        )
        news = select(partitions.c.lookup_date, partitions.c.news_version)
        versions = dict(connection.execute(news).all())
    assert {newer: older for newer, older in kept.items() if older} == {2: 1, 3: 1, 9: 8}
    assert versions == {"2026-01-05": 6, "2026-01-06": 5}
    ledger.close()


def test_errors_of_the_database_name_no_person(ledger: Ledger) -> None:
    rows = rows_for([f"zeb{number}@example.org" for number in range(2000)])
    with ledger.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def fill_the_disk() -> None:
        with ledger.write() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
            Registration(DATE).add(connection, rows)

    with pytest.raises(LedgerError, match=r"disk is full\. What it holds is kept") as raised:
        fill_the_disk()
    assert "example.org" not in "".join(traceback.format_exception(raised.value))
    assert published_rows(ledger) == []


def test_a_ledger_opened_again_keeps_what_it_knows(tmp_path: Path) -> None:
    first = open_ledger(sqlite_url(tmp_path / "new folder"))
    register(first, rows_for(["ann"]))
    rows = published_rows(first)
    first.close()
    again = open_ledger(sqlite_url(tmp_path / "new folder"))
    assert published_rows(again) == rows
    again.close()


def test_a_new_ledger_opens_while_another_process_is_writing_its_schema(tmp_path: Path) -> None:
    """Turning the write-ahead log on does not wait by itself, as other statements do."""
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(HELD, lambda: other.execute("COMMIT"))
    release.start()
    try:
        ledger = open_ledger(sqlite_url(tmp_path))
        assert news(ledger) == 0
        ledger.close()
    finally:
        release.join()
        other.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "LOOKUP_PIPELINE_LEDGER_URL"),
        ("postgresql://someone:secret@db/ledger", "postgresql"),
    ],
)
def test_an_unusable_url_is_refused_with_the_setting_to_mend(url: str, says: str) -> None:
    with pytest.raises(LedgerError, match=says) as refused:
        open_ledger(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"]
)
def test_a_ledger_that_would_forget_who_was_paid_for_is_refused(url: str) -> None:
    with pytest.raises(LedgerError):
        open_ledger(url)


def test_commits_are_durable_and_wait_for_other_processes(ledger: Ledger) -> None:
    with ledger.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": BUSY_TIMEOUT * 1000,
    }


def test_a_write_that_raises_leaves_nothing(ledger: Ledger) -> None:
    def write_and_fail() -> None:
        row = {"identity": "ann", "parameters": "{}", "state": "queued"}
        with ledger.write() as connection:
            connection.execute(lookups.insert().values(row))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_and_fail()
    assert states_of(ledger) == {}


def test_every_membership_has_a_lookup(ledger: Ledger) -> None:
    orphan = memberships.insert().values(
        lookup_date=DATE, source_file="a", source_row=2, lookup_id=1, reused=False, requested="{}"
    )
    with pytest.raises(LedgerError, match="constraint failed"), ledger.write() as connection:
        connection.execute(orphan)


def test_a_state_that_is_none_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="constraint failed"), ledger.write() as connection:
        connection.execute(lookups.insert().values(identity="a", parameters="{}", state="lost"))


def test_reads_work_while_a_writer_holds_the_lock(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    with ledger.write() as connection:
        connection.execute(lookups.update().values(identity="changed"))
        begun = time.monotonic()
        with ledger.read() as reader:
            assert reader.scalars(select(lookups.c.identity)).all() == ["ann"]
        assert time.monotonic() - begun < BUSY_TIMEOUT / 10


def test_a_writer_waits_for_another_one(tmp_path: Path, ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    held, order = threading.Event(), list[str]()

    def hold() -> None:
        other = open_ledger(sqlite_url(tmp_path))
        with other.write():
            held.set()
            time.sleep(HELD)
            order.append("released")
        other.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    claimed = claim_all(ledger)
    order.append("claimed")
    holder.join()
    assert order == ["released", "claimed"]
    assert len(claimed) == 1


def test_a_writer_that_read_first_sees_what_the_one_before_it_wrote(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Under SQLite's plain BEGIN, one of two that read and then write would fail."""
    register(ledger, rows_for(["ann"]))
    other = open_ledger(sqlite_url(tmp_path))
    errors: list[BaseException] = []

    def add(to: Ledger) -> None:
        try:
            for _ in range(10):
                with to.write() as connection:
                    before = connection.scalars(select(lookups.c.credits)).one()
                    connection.execute(lookups.update().values(credits=before + 1))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=add, args=(each,)) for each in (ledger, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with ledger.read() as connection:
        assert connection.scalars(select(lookups.c.credits)).one() == 20
    other.close()
