"""Calls for statuses are few and full: neighbours share them, nobody waits long for that.

Ten lookups leave a second, each takes its own while at the provider, and time is simulated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import cast

import pytest

from lookup_pipeline.enrichment.outcomes import FIRST_POLL, from_lookup, next_poll_at
from lookup_pipeline.enrichment.poll import PollReport, poll
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.answers import record
from lookup_pipeline.ledger.polling import EARLIER, LATER
from lookup_pipeline.ledger.submissions import claim, queued_ids
from lookup_pipeline.rocketreach import LookupAnswer, RocketReachClient, StatusAnswer
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    SECOND,
    T0,
    fresh_ledger,
    register,
    rows_for,
)

DEADLINE = timedelta(hours=24)
LOOKUPS = 300
A_SECOND = 10

# Between evaluations of the sensor: by a command, and by the daemon.
COMMAND, DAEMON = timedelta(seconds=1), timedelta(seconds=15)


@dataclass
class Provider:
    """Answers by simulated time, and notes how far from its own time each lookup was asked."""

    durations: Sequence[timedelta]
    now: datetime = T0
    sent: dict[int, datetime] = field(default_factory=dict)
    own_times: dict[int, datetime] = field(default_factory=dict)
    waits: list[timedelta] = field(default_factory=list)

    def submitted(self, profile_id: int, at: datetime) -> None:
        self.sent[profile_id] = at
        self.own_times[profile_id] = at + FIRST_POLL

    def check_status(self, ids: Sequence[int]) -> list[StatusAnswer]:
        return [self._status(each) for each in ids]

    def _status(self, profile_id: int) -> StatusAnswer:
        sent = self.sent[profile_id]
        self.waits.append(self.now - self.own_times[profile_id])
        self.own_times[profile_id] = next_poll_at(sent, self.now)
        is_over = self.now >= sent + self.durations[profile_id - 1]
        return StatusAnswer(profile_id, "complete" if is_over else "searching", True, b"{}")


@dataclass
class Simulation:
    """A ledger, a provider, and time that passes when somebody waits."""

    ledger: Ledger
    provider: Provider
    queued: list[int]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and have lookups sent meanwhile."""
        provider = self.provider
        provider.now += timedelta(seconds=seconds)
        with self.ledger.write() as connection:
            while self.queued and (at := self._next_leaves_at()) <= provider.now:
                (claimed,) = claim(connection, [self.queued.pop(0)], "run", at)
                profile_id = claimed.lookup_id
                provider.submitted(profile_id, at)
                head = StatusAnswer(profile_id, "searching", False, b"{}")
                answer = from_lookup(claimed, LookupAnswer(head, "request"), at, DEADLINE)
                record(connection, [answer], at)

    def _next_leaves_at(self) -> datetime:
        return T0 + SECOND * (LOOKUPS - len(self.queued)) / A_SECOND

    def poll(self) -> PollReport:
        return poll(
            self.ledger,
            cast("RocketReachClient", self.provider),
            requests_per_second=0,
            deadline=DEADLINE,
            seconds=30,
            clock=lambda: self.provider.now,
            sleep=self.pass_time,
        )

    def run(self, pause: timedelta) -> int:
        """Evaluate the sensor with so much time between until all have settled; calls made."""
        calls = settled = 0
        while settled < LOOKUPS:
            self.pass_time(pause.total_seconds())
            report = self.poll()
            calls += report.calls
            settled += report.settled
        return calls


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with fresh_ledger() as opened:
        yield opened


def simulation(ledger: Ledger, shortest: float, longest: float) -> Simulation:
    register(ledger, rows_for(f"person {number}" for number in range(LOOKUPS)))
    random = Random(1)
    durations = [timedelta(seconds=random.uniform(shortest, longest)) for _ in range(LOOKUPS)]
    with ledger.read() as connection:
        return Simulation(ledger, Provider(durations), queued_ids(connection, DATE, T0))


@pytest.mark.parametrize(("shortest", "longest", "most"), [(3, 12, 0.05), (20, 60, 0.15)])
def test_a_command_needs_few_calls_and_asks_nobody_late(
    ledger: Ledger, shortest: float, longest: float, most: float
) -> None:
    simulated = simulation(ledger, shortest, longest)
    assert simulated.run(COMMAND) / LOOKUPS <= most
    waits = simulated.provider.waits
    assert -EARLIER <= min(waits) <= max(waits) <= LATER


@pytest.mark.parametrize(("shortest", "longest"), [(3, 12), (20, 60)])
def test_the_daemon_asks_about_all_that_is_due_at_each_tick(
    ledger: Ledger, shortest: float, longest: float
) -> None:
    simulated = simulation(ledger, shortest, longest)
    assert simulated.run(DAEMON) / LOOKUPS <= 0.05
    # What becomes due just after a tick waits for the next one.
    assert max(simulated.provider.waits) <= DAEMON + LATER


def in_flight(ledger: Ledger, *seconds: float) -> Simulation:
    """Lookups that are due so long from now."""
    simulated = simulation(ledger, 0, 0)
    ids = simulated.queued[: len(seconds)]
    simulated.queued = []
    with ledger.write() as connection:
        for claimed, after in zip(claim(connection, ids, "run", T0), seconds, strict=True):
            simulated.provider.submitted(claimed.lookup_id, T0)
            head = StatusAnswer(claimed.lookup_id, "searching", False, b"{}")
            at = T0 + after * SECOND - FIRST_POLL
            answer = from_lookup(claimed, LookupAnswer(head, "request"), at, DEADLINE)
            record(connection, [answer], at)
    return simulated


@pytest.mark.parametrize(
    ("due_in", "called_after", "asked"),
    [
        ([0], 0, 1),
        ([0, 4], 0, 1),
        ([0, 1], 0, 2),
        ([0, 2.5], 1, 2),
        ([0, 1.5, 3.5, 5], 2, 3),
        ([-1, 1.5, 2.5, 2.6], 1, 3),
        ([0] * 100, 0, 100),
        ([0] * 99 + [1.5] * 2, 1.5, 101),
    ],
)
def test_a_call_waits_for_whom_it_can_take_along_and_for_nobody_else(
    ledger: Ledger, due_in: list[float], called_after: float, asked: int
) -> None:
    simulated = in_flight(ledger, *due_in)
    report = simulated.poll()
    assert simulated.provider.now - T0 == timedelta(seconds=called_after)
    assert report.asked == asked


def test_nobody_is_waited_for_where_nobody_is_due(ledger: Ledger) -> None:
    simulated = in_flight(ledger, 0.5)
    assert simulated.poll().calls == 0
    assert simulated.provider.now == T0


def test_one_poll_waits_no_longer_than_two_seconds_in_all(ledger: Ledger) -> None:
    simulated = in_flight(ledger, *(second * 0.9 for second in range(30)))
    simulated.poll()
    assert simulated.provider.now - T0 <= LATER
