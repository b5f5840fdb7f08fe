"""How long the limits make a number of lookups take."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Window:
    """One window of limits, as it stands at the beginning.

    Attributes:
        limit: lookups in a whole window.
        remaining: lookups left in this one.
        seconds: its length.
        opens_in: seconds until the next one; None when the next lookup opens it.
    """

    limit: int
    remaining: int
    seconds: float
    opens_in: float | None


def seconds_to_send(lookups: int, per_second: float, windows: Sequence[Window]) -> float | None:
    """The seconds until the last of so many lookups has left; None where it never may.

    Args:
        lookups: how many are to be sent.
        per_second: the ceiling over all operations; 0 for none.
        windows: the plan's and the operator's own; left as they are.
    """
    if any(window.limit <= 0 for window in windows) and lookups:
        return None
    left = [window.remaining for window in windows]
    opens_at = [window.opens_in for window in windows]
    now = 0.0
    while lookups > 0:
        for place, window in enumerate(windows):
            opens = opens_at[place]
            if opens is not None and opens <= now:
                left[place], opens_at[place] = window.limit, None
        sent = max(min([lookups, *left]), 0)
        if not sent:
            for place, window in enumerate(windows):
                if left[place] <= 0:
                    opens = opens_at[place]
                    opens_at[place] = opens = now + window.seconds if opens is None else opens
                    now = max(now, opens)
            continue
        for place, window in enumerate(windows):
            left[place] -= sent
            if opens_at[place] is None:
                opens_at[place] = now + window.seconds
        lookups -= sent
        now += sent / per_second if per_second else 0
    return now
