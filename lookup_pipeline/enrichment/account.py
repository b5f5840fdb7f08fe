"""Asking the account what the plan still allows, and telling the ledger."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.ledger import Ledger, allowances, limits
from lookup_pipeline.ledger.allowances import CREDITS, WINDOWS, Allowance
from lookup_pipeline.rocketreach import Account, ErrorClass, RocketReachClient, RocketReachError

OPERATION = "account"
"""The limiter's name for account calls."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator may set about the account.

    Attributes:
        lookup_type: which kind of credit a lookup may use.
        requests_per_second: ceiling over all operations and processes; 0 lifts it.
        windows: lookups in a window (of `WINDOWS`), instead of what the account says.
        min_credits: credits of that kind to keep; 0 for none, and nothing is asked about them.
    """

    lookup_type: str
    requests_per_second: float
    windows: Mapping[str, int] = field(default_factory=dict)
    min_credits: int = 0


def ask_account(
    ledger: Ledger, client: RocketReachClient, requests_per_second: float, clock: Clock
) -> Account:
    """The account's figures; this request, too, keeps to the ceiling over all processes.

    Raises:
        RocketReachError: classified. That there is no such page is the address's fault.
    """
    while True:
        with ledger.write() as connection:
            permits = limits.take(connection, OPERATION, 1, requests_per_second, clock())
        if permits.slots:
            limits.sleep_until(permits.slots[0], clock())
            break
        time.sleep(permits.wait.total_seconds())
    try:
        return client.account()
    except RocketReachError as error:
        if error.error_class is not ErrorClass.QUERY:
            raise
        raise RocketReachError(
            ErrorClass.ACCOUNT,
            f"the account call is refused ({error.reason}): check ROCKETREACH_BASE_URL, which "
            "ends in /api/v2",
            status=error.status,
        ) from None


def learn_allowances(
    ledger: Ledger, client: RocketReachClient, plan: Plan, clock: Clock
) -> Account:
    """Ask the account, and note in the ledger what it still allows, or the silence it asks for.

    Raises:
        RocketReachError: classified; or the floor of credits can't be kept, since the account does
            not tell how many there are.
    """
    with ledger.write() as connection:
        asked = allowances.mark(connection, clock())
    try:
        account = ask_account(ledger, client, plan.requests_per_second, clock)
    except RocketReachError as error:
        if error.retry_after and error.error_class is not ErrorClass.ACCOUNT:
            # Who asks for silence wants no lookups either.
            with ledger.write() as connection:
                limits.block(connection, limits.LOOKUPS, clock() + error.retry_after)
        raise
    with ledger.write() as connection:
        now = clock()
        # The names of the actions are not published: of several, the one that leaves the least.
        found = {
            each.name: each
            for each in sorted(windows_of(account, plan), key=lambda each: -each.remaining)
        }
        for name in plan.windows.keys() - found.keys():
            # The account does not tell: what this ledger has sent is all that is known.
            limit = plan.windows[name]
            sent = allowances.sent_since(connection, now - WINDOWS[name])
            found[name] = Allowance(name, limit, limit - sent)
        remaining = credits_of(account, plan.lookup_type) if plan.min_credits else None
        if remaining is not None:
            # Whether a lookup in flight is among those used is not published.
            above = remaining - plan.min_credits - asked.in_flight
            found[CREDITS] = Allowance(CREDITS, None, above)
        allowances.learn(connection, list(found.values()), asked, now)
    return account


def windows_of(account: Account, plan: Plan) -> Iterator[Allowance]:
    """The windows for single lookups that the account tells of, as far as they have a limit."""
    for each in account.rate_limits:
        action = each.action.lower()
        if each.duration not in WINDOWS or "lookup" not in action or "bulk" in action:
            continue
        limit, used = _number(each.limit), _number(each.used)
        remaining = _number(each.remaining)
        if each.duration in plan.windows:
            limit, remaining = plan.windows[each.duration], None
            if used is None:
                continue
        if limit is None:
            continue
        if remaining is None:
            remaining = limit - (used or 0)
        yield Allowance(each.duration, limit, remaining)


def find_credits(account: Account, lookup_type: str) -> float | None:
    """The credits left for this kind of lookup, perhaps without end; None when not told."""
    for usage in account.credit_usage:
        if usage.credit_type == lookup_type and usage.remaining is not None:
            with suppress(ValueError):
                return float(usage.remaining)
    return None


def credits_of(account: Account, lookup_type: str) -> int | None:
    """The credits left for this kind of lookup; None where they have no end.

    Raises:
        RocketReachError: the account does not tell.
    """
    remaining = find_credits(account, lookup_type)
    if remaining is not None:
        return int(remaining) if math.isfinite(remaining) else None
    kinds = ", ".join(usage.credit_type for usage in account.credit_usage) or "none at all"
    raise RocketReachError(
        ErrorClass.ACCOUNT,
        f"the account does not tell how many credits for {lookup_type!r} are left (it tells of: "
        f"{kinds}), so LOOKUP_PIPELINE_MIN_CREDITS can't be kept: set it to 0",
    )


def _number(value: float | str | None) -> int | None:
    try:
        number = math.nan if value is None else float(value)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) else None
