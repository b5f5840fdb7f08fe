"""Asking the account what the plan still allows, and telling the ledger."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.permits import wait_for_permit
from lookup_pipeline.ledger import Ledger, allowances, limits
from lookup_pipeline.ledger.allowances import CREDITS, WINDOWS, Allowance
from lookup_pipeline.rocketreach import Account, ErrorClass, RocketReachClient, RocketReachError

OPERATION = "account"
"""The limiter's name for account calls."""

CREDIT_TYPE_SETTING = "ROCKETREACH_CREDIT_TYPE"
"""The setting that names the account's credits which lookups use up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator may set about the account.

    Attributes:
        lookup_type: which kind of credit a lookup may use.
        requests_per_second: ceiling over all operations and processes; 0 lifts it.
        windows: lookups in a window (of `WINDOWS`), instead of what the account says.
        min_credits: credits of that kind to keep; 0 for none, and nothing is asked about them.
        credit_type: the account's name for the credits that lookups use up, where it is not
            recognised by `lookup_type`.
    """

    lookup_type: str
    requests_per_second: float
    windows: Mapping[str, int] = field(default_factory=dict)
    min_credits: int = 0
    credit_type: str | None = None


def ask_account(
    ledger: Ledger, client: RocketReachClient, requests_per_second: float, clock: Clock
) -> Account:
    """The account's figures; this request, too, keeps to the ceiling over all processes.

    Raises:
        RocketReachError: classified. That there is no such page is the address's fault.
    """
    wait_for_permit(ledger, OPERATION, requests_per_second, clock)
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
            sent = allowances.sent_between(connection, now - WINDOWS[name], now)
            found[name] = Allowance(name, limit, limit - sent)
        remaining = _credits_left(account, plan) if plan.min_credits else None
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


def find_credits(account: Account, plan: Plan) -> float | None:
    """Return the credits left of the kind that lookups use up, perhaps without end.

    None where the account lists no such kind, or more than one that may be it. The provider's
    contract does not list the names: its texts show `standard_lookup` for `standard`. So a kind is
    matched by its name, by that name with `_lookup` behind it, or by how it begins.
    """
    wanted = _plain(plan.credit_type or plan.lookup_type)
    left = {_plain(usage.credit_type): usage.remaining for usage in account.credit_usage}
    beginning = [name for name in left if name.startswith(f"{wanted}_")]
    for name in (wanted, f"{wanted}_lookup", *(beginning if len(beginning) == 1 else ())):
        remaining = left.get(name)
        if remaining is not None:
            with suppress(ValueError):
                return float(remaining)
    return None


def credit_warning(account: Account, plan: Plan) -> str | None:
    """Say that the credits of lookups are not recognised, and which kinds there are.

    None where they are.
    """
    if find_credits(account, plan) is not None:
        return None
    kinds = ", ".join(usage.credit_type for usage in account.credit_usage) or "none"
    return (
        f"none of the account's credits is recognised as {plan.credit_type or plan.lookup_type!r} "
        f"(it lists: {kinds}): set {CREDIT_TYPE_SETTING} to the one that lookups use up"
    )


def _credits_left(account: Account, plan: Plan) -> int | None:
    """Return the credits left for lookups; None where they have no end.

    Raises:
        RocketReachError: the account does not tell.
    """
    if (problem := credit_warning(account, plan)) is not None:
        raise RocketReachError(
            ErrorClass.ACCOUNT,
            f"LOOKUP_PIPELINE_MIN_CREDITS can't be kept, since {problem}",
        )
    remaining = find_credits(account, plan)
    return _number(remaining)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


# Beyond that a figure means that there is no limit, and a database cannot hold it.
_NO_LIMIT = 10**15


def _number(value: float | str | None) -> int | None:
    try:
        number = math.nan if value is None else float(value)
    except ValueError:
        return None
    return int(number) if abs(number) < _NO_LIMIT else None
