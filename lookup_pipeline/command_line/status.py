"""`status`: how partitions stand, and what is left of credits and limits."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from lookup_pipeline.command_line.display import counts_table, remarks, total
from lookup_pipeline.command_line.ledger import ledger_problem
from lookup_pipeline.enrichment.account import ask_account, credit_warning
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.continuation import queued_until, waiting_to_continue
from lookup_pipeline.ledger.counts import (
    ChargesInDoubt,
    PartitionCounts,
    charges_in_doubt,
    count_partitions,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.resources import LedgerResource, RocketReach
from lookup_pipeline.rocketreach import Account, RocketReachError
from lookup_pipeline.settings import ConfigurationError


def status(console: Console, lookup_date: str | None, *, as_json: bool) -> None:
    """Print how one partition, or every partition that has rows, stands.

    The account is asked when there is a key; without one, or when it does not answer, the rest is
    shown all the same and the reason said.
    """
    ledger = LedgerResource().open()
    with ledger.read() as connection:
        wanted = None if lookup_date is None else [lookup_date]
        counts = count_partitions(connection, wanted)
        in_doubt = charges_in_doubt(connection, wanted)
        going_on = waiting_to_continue(connection)
        queued = {
            each.lookup_date: queued_until(connection, each.lookup_date)
            for each in counts
            if each.queued
        }
    problem = ledger_problem(ledger)
    account, trouble, warnings = _account(ledger)
    if as_json:
        # Straight to the stream: the console would wrap long lines.
        console.file.write(
            _as_json(counts, in_doubt, queued, problem, account, trouble, warnings) + "\n"
        )
        return
    if problem is not None:
        console.print(f"Warning: {problem}", soft_wrap=True)
    if counts:
        console.print(counts_table(counts, "Rows by state"))
    else:
        console.print("Nothing is registered yet.")
    told = [*_doubt_remarks(in_doubt), *(f"Warning: {each}." for each in warnings)]
    for each in (*remarks(total(counts)), *_queue_remarks(queued, going_on), *told):
        console.print(each, soft_wrap=True)
    if account is None:
        console.print(f"Account: {trouble}")
        return
    console.print(_credits_table(account))
    console.print(_limits_table(account))


def _account(ledger: Ledger) -> tuple[Account | None, str | None, list[str]]:
    """The account, or why there is none, and what is doubtful about it."""
    rocketreach = RocketReach()
    try:
        with rocketreach.client() as client:
            account = ask_account(ledger, client, rocketreach.rate, utc_now)
        doubt = credit_warning(account, rocketreach.plan)
    except (ConfigurationError, RocketReachError) as error:
        return None, str(error), []
    return account, None, [] if doubt is None else [doubt]


def _doubt_remarks(in_doubt: Mapping[str, ChargesInDoubt]) -> Iterator[str]:
    charges = sum(in_doubt.values(), ChargesInDoubt())
    if charges.total:
        yield (
            f"Beyond these credits up to {charges.total} more may have been charged: "
            f"{charges.in_flight} in flight, {charges.unconfirmed} unconfirmed, "
            f"{charges.other_tries} for other tries that were not answered for good."
        )


def _queue_remarks(queued: dict[str, datetime | None], going_on: Collection[str]) -> Iterator[str]:
    for lookup_date, until in queued.items():
        when = f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until and until > utc_now() else "now"
        what = "queued_lookups_sensor goes on" if lookup_date in going_on else "run it again"
        yield f"Queued: rows of {lookup_date} wait {when}; {what}."


def _as_json(
    counts: list[PartitionCounts],
    in_doubt: Mapping[str, ChargesInDoubt],
    queued: dict[str, datetime | None],
    problem: str | None,
    account: Account | None,
    trouble: str | None,
    warnings: list[str],
) -> str:
    charges = sum(in_doubt.values(), ChargesInDoubt())
    found: dict[str, Any] = {
        "partitions": [
            {
                "lookup_date": each.lookup_date,
                "rows": each.rows,
                **{state.value: rows for state, rows in each.states.items()},
                "refreshes": {state.value: rows for state, rows in each.refreshes.items()},
                "queued_until": queued.get(each.lookup_date),
                "match_rate": each.match_rate,
                "credits": each.credits,
                "may_have_been_charged": in_doubt.get(each.lookup_date, ChargesInDoubt()).total,
            }
            for each in counts
        ],
        "may_have_been_charged": {"total": charges.total, **asdict(charges)},
        "ledger_problem": problem,
        "account": account,
        "account_error": trouble,
        "warnings": warnings,
    }
    return msgspec.json.format(msgspec.json.encode(found)).decode()


def _credits_table(account: Account) -> Table:
    table = Table(
        "credits", "allocated", "used", "remaining", title="Credits", title_justify="left"
    )
    for usage in account.credit_usage:
        table.add_row(
            usage.credit_type, _shown(usage.allocated), _shown(usage.used), _shown(usage.remaining)
        )
    return table


def _limits_table(account: Account) -> Table:
    table = Table(
        "action", "per", "limit", "used", "remaining", title="Rate limits", title_justify="left"
    )
    for each in account.rate_limits:
        table.add_row(
            each.action,
            each.duration,
            _shown(each.limit),
            _shown(each.used),
            _shown(each.remaining),
        )
    return table


def _shown(value: float | str | None) -> str:
    if value is None:
        return "no limit"
    return f"{value:,.0f}" if isinstance(value, int | float) else value
