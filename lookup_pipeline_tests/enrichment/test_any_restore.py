"""Whatever copy of the ledger is put in its place, and whenever: nobody is sent twice.

Two hosts work on it, each with its own clock and its own connections.
"""

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PENDING_LOOKUPS, PROFILES
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.publish import NotReadyError
from lookup_pipeline.enrichment.reconcile import reconcile
from lookup_pipeline.ledger import open_ledger
from lookup_pipeline.ledger.backup import back_up
from lookup_pipeline.rocketreach import Account, LookupAnswer, RocketReachClient
from lookup_pipeline.rocketreach.models import StatusAnswer
from lookup_pipeline_tests.enrichment.pipeline import DAY, DEADLINE, NEXT_DAY, Person, Pipeline

DAYS = [DAY, NEXT_DAY]
PEOPLE = [(f"Ada{place} Byron", f"Employer {place}") for place in range(6)]


class Provider:
    """The API as a client shows it, with a list of who was sent."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.copy_after = 0
        self.copy: Any = lambda: None

    def account(self) -> Account:
        return Account()

    def lookup(self, parameters: dict[str, Any], _lookup_type: str) -> LookupAnswer:
        name = parameters["name"]
        self.sent[name] += 1
        self.copy_after -= 1
        if self.copy_after == 0:
            self.copy()
        return LookupAnswer(self._status(self._id(name), "searching"), None)

    def check_status(self, profile_ids: list[int]) -> list[StatusAnswer]:
        # Every third person is never found.
        return [
            self._status(each, "failed" if each % 3 == 0 else "complete") for each in profile_ids
        ]

    @staticmethod
    def _id(name: str) -> int:
        return 100 + [person for person, _employer in PEOPLE].index(name)

    @staticmethod
    def _status(profile_id: int, status: str) -> StatusAnswer:
        profile = {"id": profile_id, "status": status, "emails": [{"email": "a@example.org"}]}
        return StatusAnswer(profile_id, status, True, msgspec.json.encode(profile))


class AnyRestore(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.provider = Provider()
        self.hosts = [
            Pipeline(
                self.root,
                open_ledger(self._url),
                DatasetFolder(str(self.root / "output")),
                cast("RocketReachClient", self.provider),
            )
            for _ in range(2)
        ]
        self.here = 0
        self.copies: list[Path] = []
        self.asked: dict[str, set[str]] = {}
        # Rows that have once been published with a profile.
        self.shown: set[tuple[str, str]] = set()

    @property
    def _url(self) -> str:
        return f"sqlite:///{self.root / 'ledger.db'}"

    @property
    def pipeline(self) -> Pipeline:
        """The host that works now; it opens a ledger anew whose file was replaced."""
        host = self.hosts[self.here]
        if host.ledger.was_replaced:
            host.ledger.close()
            host.ledger = open_ledger(self._url)
        return host

    def teardown(self) -> None:
        for host in self.hosts:
            host.ledger.close()
        self._folder.cleanup()

    @initialize(most=st.integers(1, 4))
    def begin(self, most: int) -> None:
        # There is an older copy from the start, so that every example gets to what comes after.
        self.register(DAY, PEOPLE[:4])
        self.copy_the_ledger(stamped=False)
        self.pipeline.submit(DAY, max_new=most)

    @rule(
        day=st.sampled_from(DAYS),
        people=st.lists(st.sampled_from(PEOPLE), unique=True, min_size=1),
    )
    def register(self, day: str, people: list[Person]) -> None:
        # Rows come, and move to other lines. That one leaves its file and comes back after a
        # restore is what reconcile cannot know of.
        wanted = people + [
            each for each in PEOPLE if each not in people and each[0] in self.asked.get(day, ())
        ]
        with suppress(OutdatedLedgerError):
            self.pipeline.register(wanted, day)
            self.asked[day] = {name for name, _employer in wanted}

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), most=st.integers(1, 4), copied=st.integers(0, 3))
    def submit(self, data: st.DataObject, most: int, copied: int) -> None:
        day = data.draw(st.sampled_from(sorted(self.asked)))
        self.provider.copy_after = copied
        self.provider.copy = lambda: self.copy_the_ledger(stamped=False)
        with suppress(OutdatedLedgerError):
            self.pipeline.submit(day, max_new=most)

    @rule()
    def poll(self) -> None:
        self.pipeline.clock.advance(minutes=10)
        self.pipeline.poll()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        day = data.draw(st.sampled_from(sorted(self.asked)))
        with suppress(OutdatedLedgerError):
            self._publish(day)

    def _publish(self, day: str) -> None:
        with suppress(NotReadyError):
            self.pipeline.publish(day)
            profiles = {(day, row["requested_name"]) for row in self.pipeline.rows(PROFILES, day)}
            self.shown |= profiles

    @rule(stamped=st.booleans())
    def copy_the_ledger(self, stamped: bool) -> None:
        copy = self.root / f"copy-{len(self.copies)}.db"
        if stamped:
            back_up(self.pipeline.ledger, copy, self.pipeline.clock())
        else:
            with (
                closing(sqlite3.connect(self.root / "ledger.db")) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        self.copies.append(copy)

    @rule(data=st.data(), is_lost=st.booleans())
    def put_a_copy_in_its_place(self, data: st.DataObject, is_lost: bool) -> None:
        copy = data.draw(st.sampled_from(self.copies))
        # Away first: a new file in the place of one that is open would not be another file.
        self._remove_ledger()
        if not is_lost:
            shutil.copyfile(copy, self.root / "ledger.db")
        open_ledger(self._url).close()

    def _remove_ledger(self) -> None:
        for path in self.root.glob("ledger.db*"):
            path.unlink()

    @rule(tried=st.booleans())
    def reconcile(self, tried: bool) -> None:
        reconcile(
            self.pipeline.ledger,
            self.pipeline.output,
            DEADLINE,
            dry_run=tried,
            clock=self.pipeline.clock,
        )

    @rule(hours=st.sampled_from([-1, 1]))
    def the_clock_of_this_host_jumps(self, hours: int) -> None:
        self.pipeline.clock.advance(hours=hours)

    @rule()
    def the_other_host_takes_over(self) -> None:
        self.here = 1 - self.here

    def _published(self) -> list[tuple[str, str, str]]:
        return [
            (day, row["requested_name"], dataset.name)
            for day in self.asked
            for dataset in (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
            if self.pipeline.output.exists(dataset, day)
            for row in self.pipeline.rows(dataset, day)
        ]

    @invariant()
    def nobody_is_sent_twice(self) -> None:
        assert not [name for name, times in self.provider.sent.items() if times > 1]

    @invariant()
    def nothing_published_vanishes(self) -> None:
        profiles = {(day, name) for day, name, where in self._published() if where == "profiles"}
        assert self.shown <= profiles

    @invariant()
    def each_published_row_stands_in_one_place(self) -> None:
        rows = Counter((day, name) for day, name, _where in self._published())
        assert not [row for row, times in rows.items() if times > 1]


TestAnyRestore = AnyRestore.TestCase
TestAnyRestore.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, database=None
)
