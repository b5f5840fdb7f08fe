"""`plan`: what enriching some partitions will cost and how long the limits make it take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.enrichment.account import credit_warning, find_credits, learn_allowances
from lookup_pipeline.enrichment.forecast import Forecast, forecast, seconds_needed
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.names.files import find_files, packed_twins, without_files
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.settings import (
    MAX_NEW_PER_DAY,
    MAX_NEW_PER_RUN,
    MISSING_FILE,
    REFRESH_AFTER_DAYS,
    RETRY_FAILED_AFTER_DAYS,
    ConfigurationError,
    check_settings,
    choice,
    days,
    maximum,
)

if TYPE_CHECKING:
    from lookup_pipeline.names.report import FileReport

_COLUMNS = ("usable", "rejected", "reused", "new", "refreshed", "queued")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some partitions will cost.

    Attributes:
        partitions: what each asks for.
        max_new: lookups that one run may send; None for any number.
        seconds: how long the limits make it take, as far as they are known; None for ever.
        credits_remaining: of the kind that is spent; None where that is not known.
        trouble: why the account's figures are missing.
        warnings: what is doubtful about the files.
    """

    partitions: Sequence[Forecast]
    max_new: int | None
    seconds: float | None
    credits_remaining: float | None
    trouble: str | None
    warnings: Sequence[str]

    @property
    def total(self) -> Forecast:
        """The sum of all partitions."""
        return reduce(add, self.partitions, Forecast("total"))

    def credits_at_most(self, each: Forecast) -> int:
        """The credits that a run of a partition may spend."""
        return each.to_send if self.max_new is None else min(each.to_send, self.max_new)

    @property
    def all_credits_at_most(self) -> int:
        """The credits that a run of each partition may spend."""
        return sum(self.credits_at_most(each) for each in self.partitions)


def make_plan(
    lookup_dates: Sequence[str], max_new: int | None = None, *, force_refresh: bool = False
) -> Estimate:
    """Read the CSV files, compare them with the ledger, ask the account; nothing else is sent.

    Args:
        lookup_dates: partition keys, in the order of the runs.
        max_new: lookups that one run may send; by default the environment's.
        force_refresh: whether everybody is looked up again.

    Raises:
        WorkFailedError: a file can't be read.
        ConfigurationError: a setting can't be used.
    """
    check_settings()
    folders, ledger, now = Folders(), LedgerResource().open(), utc_now()
    refresh = Refresh(
        now,
        complete_after=days(REFRESH_AFTER_DAYS),
        failed_after=days(RETRY_FAILED_AFTER_DAYS),
        all_before=now if force_refresh else None,
    )
    try:
        files = [
            (each, find_files(folders.names, date.fromisoformat(each))) for each in lookup_dates
        ]
        reports: list[FileReport] = []
        found = forecast(ledger, files, refresh, maximum(MAX_NEW_PER_RUN, max_new), reports)
        fails = f", so its run fails ({MISSING_FILE}=fail)" * (choice(MISSING_FILE) == "fail")
        warnings = [
            without_files(folders.names, each) + fails for each, of_date in files if not of_date
        ]
    except (MissingNamesFolder, UnreadableFile) as error:
        raise WorkFailedError(str(error)) from error
    remaining, trouble, doubt = _ask_account(ledger)
    warnings += [] if doubt is None else [doubt]
    warnings += packed_twins(file for _date, of_date in files for file in of_date)
    warnings += [doubt for report in reports for doubt in report.warnings()]
    made = Estimate(found, maximum(MAX_NEW_PER_RUN, max_new), None, remaining, trouble, warnings)
    with ledger.read() as connection:
        seconds = seconds_needed(
            connection,
            made.all_credits_at_most,
            RocketReach().rate,
            maximum(MAX_NEW_PER_DAY),
            now,
        )
    return replace(made, seconds=seconds)


def _ask_account(ledger: Ledger) -> tuple[float | None, str | None, str | None]:
    """The credits left, why they are not known, and what is doubtful about them."""
    rocketreach = RocketReach()
    try:
        with rocketreach.client() as client:
            account = learn_allowances(ledger, client, rocketreach.plan, utc_now)
    except (ConfigurationError, RocketReachError) as error:
        return None, str(error), None
    return find_credits(account, rocketreach.plan), None, credit_warning(account, rocketreach.plan)


def plan(
    console: Console,
    lookup_dates: Sequence[str],
    max_new: int | None,
    *,
    force_refresh: bool,
    as_json: bool,
) -> None:
    """Print what these partitions will cost; raises as `make_plan` does."""
    made = make_plan(lookup_dates, max_new, force_refresh=force_refresh)
    if as_json:
        # Straight to the stream: the console would wrap long lines.
        console.file.write(_as_json(made, utc_now()) + "\n")
        return
    show(console, made)


def show(console: Console, made: Estimate) -> None:
    """Print a plan for a person."""
    table = Table(title="Rows, and lookups to send", title_justify="left")
    table.add_column("date", no_wrap=True)
    for name in (*_COLUMNS, "credits"):
        table.add_column(name, justify="right")
    for each in made.partitions:
        table.add_row(each.lookup_date, *_cells(each), str(made.credits_at_most(each)))
    if len(made.partitions) > 1:
        table.add_section()
        table.add_row("total", *_cells(made.total), str(made.all_credits_at_most))
    console.print(table)
    for line in _remarks(made):
        console.print(line, soft_wrap=True)


def _cells(each: Forecast) -> list[str]:
    return [str(getattr(each, name)) for name in _COLUMNS]


def _remarks(made: Estimate) -> list[str]:
    most = made.all_credits_at_most
    found = [f"Warning: {each}" for each in made.warnings]
    found += [f"At most {most} credits: a lookup that finds no contact data costs none."]
    if most < made.total.to_send:
        found.append(
            f"{made.total.to_send} lookups wait, but a run may send {made.max_new} at most; "
            "the rest stays queued."
        )
    if most == 0:
        pass
    elif made.seconds is None:
        found.append("A limit of 0 keeps all of them from being sent.")
    else:
        took = timedelta(seconds=round(made.seconds))
        found.append(
            f"The limits make sending them take {took} (h:mm:ss), as far as they are known."
        )
    if made.trouble is not None:
        found.append(f"Account: {made.trouble}")
    elif made.credits_remaining is not None:
        found.append(f"The account has {made.credits_remaining:,.0f} credits of this kind left.")
        if made.credits_remaining < most:
            found.append("Warning: that may be too few.")
    return found


def _as_json(made: Estimate, now: datetime) -> str:
    def told(each: Forecast, most: int) -> dict[str, Any]:
        return {
            "rows_usable": each.usable,
            "rows_rejected": each.rejected,
            "rows_reused": each.reused,
            "new_lookups": each.new,
            "refreshed": each.refreshed,
            "queued_lookups": each.queued,
            "credits_at_most": most,
        }

    seconds = made.seconds
    found: dict[str, Any] = {
        "partitions": [
            {"lookup_date": each.lookup_date, **told(each, made.credits_at_most(each))}
            for each in made.partitions
        ],
        "total": told(made.total, made.all_credits_at_most),
        "seconds": seconds,
        "done_at": None if seconds is None else now + timedelta(seconds=seconds),
        "credits_remaining": made.credits_remaining,
        "account_error": made.trouble,
        "warnings": made.warnings,
    }
    return msgspec.json.format(msgspec.json.encode(found)).decode()
