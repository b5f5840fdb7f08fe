"""The plan's windows are kept whoever sends and whenever; what they hold back goes out in time."""

import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import Connection, select

from lookup_pipeline.ledger import Ledger, open_ledger
from lookup_pipeline.ledger.allowances import (
    CREDITS,
    WINDOWS,
    Allowance,
    Left,
    Mark,
    give_back,
    learn,
    left,
    look_again,
    mark,
    sent_between,
    sent_on,
    spend,
)
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.submissions import Claim, claim, queued_ids
from lookup_pipeline.ledger.tables import allowances
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    OWNER,
    SECOND,
    T0,
    answer,
    claim_all,
    fresh_ledger,
    in_flight,
    put_back,
    register,
    rows_for,
)

MINUTE, HOUR, DAY, MONTH = WINDOWS.values()


def told(ledger: Ledger, *found: Allowance, at: datetime = T0) -> None:
    """The account was asked, and says this at once."""
    with ledger.write() as connection:
        learn(connection, found, mark(connection, at), at)


def window(name: str, remaining: int, limit: int = 100) -> Allowance:
    return Allowance(name, limit, remaining)


def spend_at(ledger: Ledger, number: int, at: datetime) -> None:
    with ledger.write() as connection:
        spend(connection, [at] * number, at)


def now_left(ledger: Ledger) -> Left | None:
    with ledger.read() as connection:
        return left(connection)


def test_where_nothing_is_known_nothing_limits(ledger: Ledger) -> None:
    assert now_left(ledger) is None
    spend_at(ledger, 5, T0)
    assert now_left(ledger) is None


def test_the_tightest_window_decides_and_each_is_spent_from(ledger: Ledger) -> None:
    told(ledger, window("minute", 50), window("hour", 90), window("day", 60))
    assert now_left(ledger) == Left(50, "minute")
    spend_at(ledger, 20, T0)
    assert now_left(ledger) == Left(30, "minute")
    told(ledger, window("minute", 50), window("hour", 70), window("day", 40))
    assert now_left(ledger) == Left(40, "day")


def test_every_process_spends_from_the_same_windows(ledger: Ledger) -> None:
    told(ledger, window("minute", 50))
    other = open_ledger(ledger.url)
    spend_at(other, 20, T0)
    other.close()
    assert now_left(ledger) == Left(30, "minute")


def test_spending_nothing_opens_no_window(ledger: Ledger) -> None:
    told(ledger, window("minute", 1, limit=1))
    spend_at(ledger, 0, T0)
    spend_at(ledger, 1, T0 + 30 * SECOND)
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at == T0 + 91 * SECOND


def test_a_window_opens_its_length_after_its_first_lookup_and_a_moment(ledger: Ledger) -> None:
    told(ledger, window("hour", 2, limit=2))
    spend_at(ledger, 1, T0)
    spend_at(ledger, 1, T0 + 50 * MINUTE)
    found = now_left(ledger)
    assert found is not None
    assert (found.lookups, found.by, found.opens_at) == (0, "hour", T0 + HOUR + SECOND)


def test_a_window_that_others_had_begun_is_expected_to_open_no_later_than_its_length(
    ledger: Ledger,
) -> None:
    told(ledger, window("hour", 0))
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at == T0 + HOUR + SECOND
    told(ledger, window("hour", 0), at=T0 + 10 * MINUTE)
    again = now_left(ledger)
    assert again is not None
    assert again.opens_at == found.opens_at, "asking does not put it off"


def test_a_window_that_was_to_be_open_and_is_not_is_a_new_one(ledger: Ledger) -> None:
    told(ledger, window("hour", 0))
    later = T0 + HOUR + 2 * SECOND
    told(ledger, window("hour", 0), at=later)
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at == later + HOUR + SECOND


@pytest.mark.parametrize(
    ("name", "first_look"),
    [
        ("minute", 61 * SECOND),
        ("hour", 5 * MINUTE),
        ("day", HOUR),
        ("month", HOUR),
        (CREDITS, HOUR),
    ],
)
def test_what_is_used_up_is_looked_at_now_and_then(
    ledger: Ledger, name: str, first_look: timedelta
) -> None:
    told(ledger, window(name, 0))
    found = now_left(ledger)
    assert found is not None
    assert found.look_again_at == T0 + first_look


def test_a_minute_that_should_have_opened_is_looked_at_every_five_seconds_for_a_moment(
    ledger: Ledger,
) -> None:
    """Its first request may have been long on its way."""
    told(ledger, window("minute", 0))
    looks = [T0]
    for _ in range(6):
        found = now_left(ledger)
        assert found is not None
        looks.append(found.look_again_at)
        told(ledger, window("minute", 0), at=found.look_again_at)
    seconds = [(each - T0).total_seconds() for each in looks]
    assert seconds == [0, 61, 66, 71, 76, 137, 142]


@pytest.mark.parametrize("name", ["minute", "hour", "day", "month"])
def test_the_last_look_is_at_the_opening_itself(ledger: Ledger, name: str) -> None:
    told(ledger, window(name, 1, limit=1))
    spend_at(ledger, 1, T0)
    opening = T0 + WINDOWS[name] + SECOND
    told(ledger, window(name, 0, limit=1), at=opening - 3 * SECOND)
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at == found.look_again_at == opening


def test_where_two_windows_are_used_up_the_later_opening_and_the_earlier_look_count(
    ledger: Ledger,
) -> None:
    told(ledger, window("minute", 0), window("hour", 0), window("day", 7))
    assert now_left(ledger) == Left(0, "hour", T0 + HOUR + SECOND, T0 + 61 * SECOND)


def test_a_window_that_should_have_opened_is_not_said_to_open_before_the_next_look(
    ledger: Ledger,
) -> None:
    """Whoever waits until then would ask the ledger over and over."""
    told(ledger, window("hour", 2, limit=2))
    spend_at(ledger, 1, T0)
    late = T0 + 2 * HOUR
    spend_at(ledger, 1, late)
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at >= found.look_again_at > late
    with ledger.write() as connection:
        look_again(connection, late + DAY)
    found = now_left(ledger)
    assert found is not None
    assert found.opens_at >= found.look_again_at == late + DAY


def test_an_account_that_does_not_answer_puts_off_only_what_is_used_up(ledger: Ledger) -> None:
    told(ledger, window("minute", 0), window("hour", 9))
    with ledger.write() as connection:
        look_again(connection, T0 + 30 * SECOND)
    found = now_left(ledger)
    assert found is not None
    assert found.look_again_at == T0 + 30 * SECOND
    with ledger.read() as connection:
        looks = {row.name: row.look_again_at for row in connection.execute(select(allowances))}
    assert looks == {"minute": T0 + 30 * SECOND, "hour": None}


def test_what_the_account_no_longer_tells_of_is_forgotten(ledger: Ledger) -> None:
    told(ledger, window("minute", 0), window("hour", 9))
    told(ledger, window("hour", 9))
    assert now_left(ledger) == Left(9, "hour")
    told(ledger)
    assert now_left(ledger) is None


def test_what_is_in_the_air_is_taken_off_since_the_account_may_not_have_counted_it(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann", "ben", "cid", "dan"]))
    with ledger.write() as connection:
        early = claim(connection, queued_ids(connection, DATE, T0)[:2], OWNER, T0)
        asked = mark(connection, T0 + SECOND)
    # Sent, and one of them answered, while the account was being asked.
    later = claim_all(ledger, T0 + 2 * SECOND)
    answer(ledger, in_flight(early[0].lookup_id), in_flight(later[0].lookup_id))
    with ledger.write() as connection:
        learn(connection, [window("hour", 50)], asked, T0 + 3 * SECOND)
    assert now_left(ledger) == Left(46, "hour")
    # What was answered before the question is among what the account has counted.
    told(ledger, window("hour", 46), at=T0 + 4 * SECOND)
    assert now_left(ledger) == Left(44, "hour")


def test_a_window_that_only_seems_used_up_is_looked_at_in_a_moment(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    claim_all(ledger)
    told(ledger, window("day", 2, limit=500), at=T0 + SECOND)
    found = now_left(ledger)
    assert found is not None
    assert (found.lookups, found.look_again_at) == (0, T0 + 2 * SECOND)


def test_what_was_not_processed_is_given_back_to_the_day_on_which_it_left(ledger: Ledger) -> None:
    before, after = T0.replace(hour=23, minute=59), T0.replace(hour=0) + DAY
    spend_at(ledger, 5, before)
    spend_at(ledger, 2, after)
    with ledger.write() as connection:
        give_back(connection, [before, before, after])
        assert (sent_on(connection, before), sent_on(connection, after)) == (3, 1)


def test_a_lookup_counts_once_since_a_time_though_it_was_put_back(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    first, _ = claim_all(ledger)
    answer(ledger, put_back(first.lookup_id, first.number))
    claim_all(ledger, T0 + 5 * SECOND)
    with ledger.read() as connection:
        later = T0 + HOUR
        assert sent_between(connection, T0, later) == 2
        assert sent_between(connection, T0 + SECOND, later) == 1
        assert sent_between(connection, T0 + 6 * SECOND, later) == 0


# A provider, and whoever sends to it, in any order ------------------------------------------------

PEOPLE = 12
SUBMITTERS = [1, 2, 3]

# The longest that a request is in the air; beyond it, its answer is recorded or it never arrived.
AIR = 10 * SECOND


@dataclass
class Provider:
    """Counts what arrives in windows that lie as the provider likes.

    Attributes:
        limits: lookups in a window.
        laid: `first` for windows that open with the first request that they count, `calendar` for
            ones that follow each other whatever comes, `sliding` for the time up to now.
        offset: of the calendar.
    """

    limits: dict[str, int]
    laid: str
    offset: timedelta
    arrivals: list[datetime] = field(default_factory=list)

    def used(self, name: str, now: datetime) -> int:
        length = WINDOWS[name]
        if self.laid == "sliding":
            return sum(each > now - length for each in self.arrivals)
        if self.laid == "calendar":
            start = now - (now - T0 - self.offset) % length
            return sum(each >= start for each in self.arrivals)
        opened: datetime | None = None
        number = 0
        for each in self.arrivals:
            if opened is None or each >= opened + length:
                opened, number = each, 0
            number += 1
        return 0 if opened is None or now >= opened + length else number

    def arrive(self, now: datetime) -> None:
        for name, limit in self.limits.items():
            assert self.used(name, now) < limit, f"more than {limit} a {name}"
        self.arrivals.append(now)

    def account(self, now: datetime) -> list[Allowance]:
        return [
            Allowance(name, limit, limit - self.used(name, now))
            for name, limit in self.limits.items()
        ]


@dataclass
class Question:
    """The account call of one submitter, on its way."""

    asked: Mark
    found: list[Allowance] | None = None


class AnyOrder(RuleBasedStateMachine):
    """Several submitters on one ledger: each asks, learns, claims and hears in its own time."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.ledger = self.stack.enter_context(fresh_ledger())
        register(self.ledger, rows_for(map(str, range(PEOPLE))))
        self.connection: Connection = self.stack.enter_context(self.ledger.write())
        self.now = T0
        self.questions: dict[int, Question] = {}
        self.knowing: set[int] = set()
        self.in_air: list[tuple[datetime, Claim]] = []
        self.unrecorded: list[Claim] = []

    @initialize(
        laid=st.sampled_from(["first", "calendar", "sliding"]),
        offset=st.integers(0, 3600),
        limits=st.fixed_dictionaries(
            {"minute": st.integers(1, 6)}, optional={"hour": st.integers(2, 8)}
        ),
    )
    def lay(self, laid: str, offset: int, limits: dict[str, int]) -> None:
        self.provider = Provider(limits, laid, offset * SECOND)

    @rule(seconds=st.one_of(st.integers(0, 9), st.sampled_from([59, 60, 61, 300, 3599, 3601])))
    def pass_time(self, seconds: int) -> None:
        end = self.now + seconds * SECOND
        for sent_at, _ in list(self.in_air):
            if sent_at + AIR <= end:
                # At the last moment.
                self.now = max(self.now, sent_at + AIR)
                self.arrive(0)
        self.hear(len(self.unrecorded))
        self.now = end

    @rule(who=st.sampled_from(SUBMITTERS))
    def begin_to_ask(self, who: int) -> None:
        self.questions[who] = Question(mark(self.connection, self.now))

    @precondition(lambda self: self.questions)
    @rule(data=st.data())
    def account_answers(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.questions)))
        self.questions[who].found = self.provider.account(self.now)

    @precondition(lambda self: any(each.found is not None for each in self.questions.values()))
    @rule(data=st.data())
    def learn_of_it(self, data: st.DataObject) -> None:
        answered = [who for who, each in self.questions.items() if each.found is not None]
        who = data.draw(st.sampled_from(sorted(answered)))
        question = self.questions.pop(who)
        learn(self.connection, question.found or [], question.asked, self.now)
        self.knowing.add(who)

    @precondition(lambda self: self.knowing)
    @rule(wanted=st.integers(1, 8))
    def send(self, wanted: int) -> None:
        found = left(self.connection)
        assert found is not None, "the account tells of a limit"
        ids = queued_ids(self.connection, DATE, self.now)[: min(wanted, found.lookups)]
        claims = claim(self.connection, ids, OWNER, self.now)
        spend(self.connection, [self.now] * len(claims), self.now)
        self.in_air += [(self.now, each) for each in claims]

    @precondition(lambda self: self.in_air)
    @rule(data=st.data())
    def request_arrives(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.integers(0, len(self.in_air) - 1)))

    @precondition(lambda self: self.in_air)
    @rule(data=st.data())
    def request_never_arrives(self, data: st.DataObject) -> None:
        _, lost = self.in_air.pop(data.draw(st.integers(0, len(self.in_air) - 1)))
        record(self.connection, [put_back(lost.lookup_id, lost.number)], self.now)

    @precondition(lambda self: self.unrecorded)
    @rule(number=st.integers(1, 8))
    def hear(self, number: int) -> None:
        heard, self.unrecorded = self.unrecorded[:number], self.unrecorded[number:]
        record(self.connection, answers(heard), self.now)

    def arrive(self, place: int) -> None:
        _, arrived = self.in_air.pop(place)
        self.provider.arrive(self.now)
        self.unrecorded.append(arrived)

    def teardown(self) -> None:
        if hasattr(self, "provider"):
            self.all_goes_out_in_time()
        self.stack.close()

    def all_goes_out_in_time(self) -> None:
        """From wherever it stands, one submitter that keeps to what it is told sends the rest."""
        self.pass_time(int(AIR.total_seconds()))
        rest = len(queued_ids(self.connection, DATE, self.now))
        # Whole windows, the one that is running, and in each a look's interval and the margins. A
        # minute is looked at when it should open: what others leave of it is seen one look later.
        looks = {"minute": 2 * WINDOWS["minute"] * 14 / 12}
        latest = self.now + sum(
            (
                (math.ceil(rest / limit) + 1) * looks.get(name, WINDOWS[name] * 14 / 12)
                for name, limit in self.provider.limits.items()
            ),
            timedelta(0),
        )
        while rest:
            found = left(self.connection)
            if found is None or (not found.lookups and found.look_again_at <= self.now):
                asked = mark(self.connection, self.now)
                learn(self.connection, self.provider.account(self.now), asked, self.now)
                found = left(self.connection)
                assert found is not None
                assert found.lookups or found.look_again_at > self.now, "asks without end"
            if found.lookups:
                self.send(PEOPLE)
                self.pass_time(int(AIR.total_seconds()))
            else:
                assert found.opens_at >= found.look_again_at
                self.now = found.look_again_at
            rest = len(queued_ids(self.connection, DATE, self.now))
            assert self.now <= latest, f"{rest} still wait"
        assert len(self.provider.arrivals) == PEOPLE


def answers(heard: Iterable[Claim]) -> list[Answer]:
    return [in_flight(each.lookup_id) for each in heard]


AnyOrder.TestCase.settings = settings(
    deadline=None, database=None, max_examples=40, stateful_step_count=25
)
# Only a failure takes minutes: Hypothesis looks for the shortest story that shows it.
TestNoWindowGetsMoreThanItsLimitAndAllGoesOutInTime = pytest.mark.timeout(900)(AnyOrder.TestCase)
