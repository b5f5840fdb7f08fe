"""Whoever publishes, stalls, fails, dies or deletes: the newest files end up in place.

Several processes publish one partition over the real ledger. Each prepares its files, claims,
moves one file after the other, and records; what lies in place is modelled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from lookup_pipeline.ledger.news import note_news
from lookup_pipeline.ledger.publications import (
    PUBLICATION_LEASE,
    PublicationClaim,
    claim_publication,
    expire_publications,
    news_version,
    note_files_checked,
    note_outdated_files,
    partitions_to_check,
    partitions_with_news,
    record_publication,
    release_publication,
)
from lookup_pipeline.ledger.tables import partitions, publication_claims
from lookup_pipeline_tests.ledger.helpers import DATE, SECOND, T0, fresh_ledger

FILES = 3
GONE = -1


@dataclass(slots=True, eq=False)
class Publishing:
    """A process that publishes.

    Attributes:
        version: the news that its files show.
        claim: its claim, once it has one.
        moved: how many files it has moved.
    """

    version: int
    claim: PublicationClaim | None = None
    moved: int = 0


class Moving(NamedTuple):
    """What the ledger knows of a publication that moves its files."""

    version: int
    claimed_at: datetime


Stage = Callable[[Publishing], object]


def is_prepared(each: Publishing) -> bool:
    return each.claim is None


def is_moving(each: Publishing) -> bool:
    return each.claim is not None and each.moved < FILES


def has_moved(each: Publishing) -> bool:
    return each.moved == FILES


class AnyPublishing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._open = fresh_ledger()
        self.ledger = self._open.__enter__()
        self.now = T0
        # Which version each file shows.
        self.files = [0] * FILES
        self.published = 0
        self.processes: list[Publishing] = []
        # Whether files were changed behind the ledger's back since they were checked.
        self.meddled = False
        self.something_happens()

    def teardown(self) -> None:
        self._open.__exit__(None, None, None)

    # What happens ------------------------------------------------------------------------------

    @rule()
    def something_happens(self) -> None:
        with self.ledger.write() as connection:
            note_news(connection, [DATE])

    @rule(claims=st.booleans())
    def one_prepares_its_files(self, claims: bool) -> None:
        each = Publishing(self._news())
        self.processes.append(each)
        if claims:
            self._claim(each)

    @rule()
    def something_happens_and_is_published_at_once(self) -> None:
        self.something_happens()
        self._publish()

    @precondition(lambda self: self._any(is_prepared))
    @rule(data=st.data())
    def one_claims(self, data: st.DataObject) -> None:
        self._claim(self._draw(data, is_prepared))

    @precondition(lambda self: self._any(is_moving))
    @rule(data=st.data(), most=st.integers(1, FILES), records=st.booleans())
    def one_moves_files(self, data: st.DataObject, most: int, records: bool) -> None:
        each = self._draw(data, is_moving)
        self._move(each, min(each.moved + most, FILES))
        if records and has_moved(each):
            self._end(each)

    @precondition(lambda self: self._any(has_moved))
    @rule(data=st.data())
    def one_records(self, data: st.DataObject) -> None:
        self._end(self._draw(data, has_moved))

    @precondition(lambda self: self._any(is_moving))
    @rule(data=st.data())
    def one_fails(self, data: st.DataObject) -> None:
        """In an object store, which can't put back what was replaced."""
        self._release(self._draw(data, is_moving))

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def one_dies(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.processes))
        # To stall for an hour, move a file and die in the next moment is known to nobody.
        self.meddled |= each.claim is not None and each.claim.token not in self._tokens()
        self.processes.remove(each)

    @rule(place=st.integers(0, FILES - 1), shows=st.sampled_from([GONE, 1]))
    def a_file_is_deleted_or_replaced_by_an_old_one(self, place: int, shows: int) -> None:
        self.files[place] = shows
        self.meddled = True

    @rule()
    def files_are_checked(self) -> None:
        before, at_work = self._has_news(), bool(self._tokens())
        with self.ledger.read() as connection:
            chosen = partitions_to_check(connection, 5, self.now)
        assert bool(chosen) is (self.published > 0 and not before)
        outdated = [each for each in chosen if self.files != [each.version] * FILES]
        with self.ledger.write() as connection:
            note_files_checked(connection, [each.lookup_date for each in chosen], self.now)
            note_outdated_files(connection, outdated)
        assert self._has_news() is (before or (bool(outdated) and not at_work))
        self.meddled &= at_work

    @rule(after=st.sampled_from([timedelta(0), PUBLICATION_LEASE + SECOND]))
    def leases_expire(self, after: timedelta) -> None:
        self.now += after
        dead = [each for each in self._known() if each.claimed_at < self.now - PUBLICATION_LEASE]
        before = self._news()
        with self.ledger.write() as connection:
            expire_publications(connection, self.now)
        assert (self._news() > before) is bool(dead)

    @rule()
    def the_trouble_is_over(self) -> None:
        """Whoever lives goes on, whoever died is given up, the sensor asks for the rest."""
        for each in list(self.processes):
            if each.claim:
                self._move(each, FILES)
                self._end(each)
        self.leases_expire(PUBLICATION_LEASE + SECOND)
        self.files_are_checked()
        if self._has_news():
            self._publish()
        assert not self._has_news()
        assert self.files == [self.published] * FILES

    # How it is done ----------------------------------------------------------------------------

    def _publish(self) -> None:
        each = Publishing(self._news())
        self.processes.append(each)
        self._claim(each)
        self._move(each, FILES)
        self._end(each)

    def _claim(self, each: Publishing) -> None:
        newest = max([self.published, *(other.version for other in self._known())])
        with self.ledger.write() as connection:
            each.claim = claim_publication(connection, DATE, each.version, self.now)
        assert (each.claim is None) is (newest > each.version)
        if each.claim is None:
            self.processes.remove(each)

    def _move(self, each: Publishing, until: int) -> None:
        for place in range(each.moved, until):
            self.files[place] = each.version
        each.moved = until

    def _end(self, each: Publishing) -> None:
        if self._release(each):
            with self.ledger.write() as connection:
                record_publication(connection, DATE, each.version, 0, self.now)
            self.published = each.version

    def _release(self, each: Publishing) -> bool:
        assert each.claim is not None
        self.processes.remove(each)
        with self.ledger.write() as connection:
            return release_publication(connection, each.claim)

    def _any(self, stage: Stage) -> bool:
        return any(map(stage, self.processes))

    def _draw(self, data: st.DataObject, stage: Stage) -> Publishing:
        return data.draw(st.sampled_from([each for each in self.processes if stage(each)]))

    def _news(self) -> int:
        with self.ledger.read() as connection:
            return news_version(connection, DATE)

    def _has_news(self) -> bool:
        with self.ledger.read() as connection:
            return bool(partitions_with_news(connection))

    def _tokens(self) -> dict[str, Moving]:
        columns = publication_claims.c
        with self.ledger.read() as connection:
            found = connection.execute(select(columns.token, columns.version, columns.claimed_at))
            return {row.token: Moving(row.version, row.claimed_at) for row in found}

    def _known(self) -> list[Moving]:
        return list(self._tokens().values())

    # What must hold ----------------------------------------------------------------------------

    @invariant()
    def what_counts_as_published_is_in_place(self) -> None:
        with self.ledger.read() as connection:
            assert connection.scalar(select(partitions.c.published_version)) == self.published
        at_work = self._known() or any(each.claim for each in self.processes)
        if not (at_work or self.meddled or self._has_news()):
            assert self.files == [self.published] * FILES


AnyPublishing.TestCase.settings = settings(
    deadline=None, database=None, max_examples=60, stateful_step_count=30
)
# Only a failure takes minutes: Hypothesis looks for the shortest story that shows it.
TestAnyPublishing = pytest.mark.timeout(900)(AnyPublishing.TestCase)
