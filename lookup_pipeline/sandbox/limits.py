"""The windows of the plan's limits and of the requests a second."""

import math

from lookup_pipeline.sandbox.answers import too_many
from lookup_pipeline.sandbox.clock import Clock
from lookup_pipeline.sandbox.settings import PLAN_LIMITS, Action, Duration, SandboxSettings

_SECONDS: dict[Duration, int] = {
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "month": 2_592_000,  # 30 days: what a month means to the provider is not published
}
_ACTIONS: tuple[Action, ...] = ("person_lookup", "bulk_lookup")


class _Window:
    """Counts what falls into one window, which opens with the first request it counts.

    How the provider lays its windows is not published. One that opens with its first request is
    full and empty at the same moments in every test, whatever the time of day.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.used = 0
        self._ends_at = 0.0

    def seconds_left(self, now: float) -> float:
        """Seconds until this window is empty again; empties it when that is over."""
        if now >= self._ends_at:
            self.used = 0
        return max(0.0, self._ends_at - now)

    def count(self, now: float) -> None:
        """Count one request."""
        if self.seconds_left(now) == 0:
            self._ends_at = now + self.seconds
        self.used += 1


class Limits:
    """Counts requests and lookups, and refuses what goes over a limit.

    The plan is looked up at every request, so that a change of plan takes effect at once and
    keeps what was counted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = _Window(1)
        self._windows = {
            (action, duration): _Window(seconds)
            for action in _ACTIONS
            for duration, seconds in _SECONDS.items()
        }

    def count_request(self, settings: SandboxSettings) -> None:
        """Count one request of any operation.

        Raises:
            Refusal: 429, when this second's requests are used up.
        """
        limit = settings.requests_per_second
        if not limit:
            return
        now = self._clock.now()
        if self._second.seconds_left(now) and self._second.used >= limit:
            raise too_many(1)
        self._second.count(now)

    def count_action(self, settings: SandboxSettings, action: Action) -> None:
        """Count one lookup or one bulk job against each of the plan's windows.

        Raises:
            Refusal: 429 with the seconds until the last full window opens; nothing is counted.
        """
        now = self._clock.now()
        limits = PLAN_LIMITS[settings.plan][action]
        wait = 0.0
        for duration, limit in limits.items():
            window = self._windows[action, duration]
            seconds_left = window.seconds_left(now)
            if window.used >= limit:
                wait = max(wait, seconds_left)
        if wait:
            raise too_many(math.ceil(wait))
        for duration in _SECONDS:
            self._windows[action, duration].count(now)

    def report(self, settings: SandboxSettings) -> list[dict[str, str | int | None]]:
        """The account call's `rate_limits`: limit and remaining are null where there is none."""
        now = self._clock.now()
        rows: list[dict[str, str | int | None]] = []
        for (action, duration), window in self._windows.items():
            window.seconds_left(now)
            limit = PLAN_LIMITS[settings.plan][action].get(duration)
            rows.append(
                {
                    "action": action,
                    "duration": duration,
                    "limit": limit,
                    "used": window.used,
                    "remaining": None if limit is None else max(0, limit - window.used),
                }
            )
        return rows
