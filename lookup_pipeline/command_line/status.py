"""`status`: how partitions stand, and what is left of credits and limits."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from lookup_pipeline.command_line.display import counts_table, remarks, total
from lookup_pipeline.command_line.instance import is_switched_off
from lookup_pipeline.command_line.ledger import ledger_problem
from lookup_pipeline.enrichment.account import ask_account, credit_warning
from lookup_pipeline.ledger import Ledger, limits
from lookup_pipeline.ledger.counts import (
    ChargesInDoubt,
    PartitionCounts,
    charges_in_doubt,
    count_partitions,
)
from lookup_pipeline.ledger.resumption import Stage, Wait, WaitReason, find_waits, queued_until
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import LedgerResource, RocketReach
from lookup_pipeline.rocketreach import Account, RocketReachError
from lookup_pipeline.settings import ConfigurationError


def status(console: Console, lookup_date: str | None, *, as_json: bool) -> None:
    """Print how one partition, or every partition that has rows, stands.

    The account is asked when there is a key; without one, or when it does not answer, the rest is
    shown all the same and the reason said.
    """
    ledger = LedgerResource().open()
    wanted = None if lookup_date is None else [lookup_date]
    with ledger.read() as connection:
        counts = count_partitions(connection, wanted)
        in_doubt = charges_in_doubt(connection, wanted)
        cooldowns = limits.cooldowns(connection, utc_now())
        queued = {
            each.lookup_date: queued_until(connection, each.lookup_date)
            for each in counts
            if each.queued
        }
        # A wait for what another partition has sent meanwhile is over, though nobody has noted it.
        waits = [
            each
            for each in find_waits(connection, wanted)
            if each.stage is not Stage.SUBMIT or each.lookup_date in queued
        ]
    # Where nothing waits for it, Dagster's database is not asked.
    is_off = any(each.resumes for each in waits) and is_switched_off(queued_lookups_sensor.name)
    problem = ledger_problem(ledger)
    account, trouble, warnings = _account(ledger)
    if as_json:
        # Straight to the stream: the console would wrap long lines.
        shown = _as_json(
            counts,
            in_doubt,
            queued,
            waits,
            cooldowns,
            problem,
            account,
            trouble,
            warnings,
            sensor_is_off=is_off,
        )
        console.file.write(shown + "\n")
        return
    if problem is not None:
        console.print(f"Warning: {problem}", soft_wrap=True)
    if counts:
        console.print(counts_table(counts, "Rows by state"))
    else:
        console.print("Nothing is registered yet.")
    for each in (
        *remarks(total(counts)),
        *_wait_remarks(waits, sensor_is_off=is_off),
        *_left_remarks(queued, waits),
        *_doubt_remarks(in_doubt),
        *_cooldown_remarks(cooldowns),
        *(f"Warning: {each}." for each in warnings),
    ):
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


def _wait_remarks(waits: list[Wait], *, sensor_is_off: bool) -> Iterator[str]:
    for wait in waits:
        why = f"{wait.reason}: {wait.detail}" if wait.detail else wait.reason
        attempts = f", {wait.attempts} attempts have failed" if wait.attempts > 1 else ""
        told = f"{wait.lookup_date} since {_shown_time(wait.since)} ({why}{attempts})"
        if wait.until is None and wait.reason is not WaitReason.RUNNING:
            yield f"Stopped: {told}. To send the rest, run it again."
        elif wait.reason is WaitReason.RUNNING:
            yield f"Running: {told}."
        else:
            yield f"Waiting: {told}; {_resumption(wait)}."
    if sensor_is_off:
        yield (
            "Stopped: queued_lookups_sensor is turned off. What waits is sent when you turn it on, "
            "or run the partition again."
        )


def _resumption(wait: Wait) -> str:
    if wait.request is not None:
        return "a run is requested"
    if wait.until is None or wait.until <= utc_now():
        return "queued_lookups_sensor resumes it now"
    return f"queued_lookups_sensor resumes it at {_shown_time(wait.until)}"


def _left_remarks(queued: Collection[str], waits: list[Wait]) -> Iterator[str]:
    """Tell of partitions with queued rows that no run has asked to send, or none that is known."""
    for lookup_date in sorted(set(queued) - {wait.lookup_date for wait in waits}):
        yield f"Queued: rows of {lookup_date} wait for a run. To send them, run it again."


def _cooldown_remarks(cooldowns: dict[str, datetime]) -> Iterator[str]:
    for name, at in cooldowns.items():
        yield (
            f"Cooldown: the provider asked for no {name} requests until {_shown_time(at)} "
            "(Retry-After, obeyed for an hour at most). `lookup-pipeline resume` lifts it."
        )


def _shown_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _as_json(
    counts: list[PartitionCounts],
    in_doubt: Mapping[str, ChargesInDoubt],
    queued: dict[str, datetime | None],
    waits: list[Wait],
    cooldowns: dict[str, datetime],
    problem: str | None,
    account: Account | None,
    trouble: str | None,
    warnings: list[str],
    *,
    sensor_is_off: bool,
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
        "waits": [
            {
                "lookup_date": each.lookup_date,
                "reason": each.reason,
                "detail": each.detail,
                "since": each.since,
                "until": each.until,
                "resumes": each.resumes and not sensor_is_off,
                "failed_attempts": each.attempts,
            }
            for each in waits
        ],
        "sensor_is_off": sensor_is_off,
        "cooldowns": cooldowns,
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
