"""`plan`: what enriching some partitions will cost and how long the limits make it take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from lookup_pipeline import settings
from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.command_line.ledger import ledger_problem
from lookup_pipeline.enrichment.account import credit_warning, find_credits, learn_allowances
from lookup_pipeline.enrichment.budget import MAX_NEW, MIN_CREDITS
from lookup_pipeline.enrichment.duration_estimate import NEVER, NOT_RESUMED, Simulation
from lookup_pipeline.enrichment.forecast import Forecast, forecast
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.resumption import find_waits
from lookup_pipeline.ledger.submissions import queued_ids
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.names.files import find_files, packed_twins, without_files
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.settings import (
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


# Why lookups stay queued until somebody does something about it, and what that is.
_HELD_BACK = {
    MAX_NEW: "a run may send no more (max_new_lookups): run it again",
    MIN_CREDITS: f"no credits are left above the floor ({settings.MIN_CREDITS}): buy more",
    NOT_RESUMED: "a run with --max-new-lookups is not resumed where a limit ends it: run it again",
    NEVER: "a limit of 0 lets nothing out",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some partitions will cost.

    Attributes:
        partitions: what each asks for.
        credits_remaining: of the kind that is spent; None where that is not known.
        trouble: why the account's figures are missing.
        warnings: what somebody should know about files, limits and credits.
    """

    partitions: Sequence[Forecast]
    credits_remaining: float | None
    trouble: str | None
    warnings: Sequence[str]

    @property
    def total(self) -> Forecast:
        """The sum of all partitions."""
        return reduce(add, self.partitions, Forecast("total"))

    @property
    def seconds(self) -> float | None:
        """Until the last lookup has left; None where a limit of 0 lets nothing out."""
        sending = self.total.sending
        return None if NEVER in sending.held_back else sending.seconds


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
    rocketreach = RocketReach()
    policy = replace(rocketreach.policy, max_new=maximum(MAX_NEW_PER_RUN, max_new))
    warnings: list[str] = []
    try:
        files = [
            (each, find_files(folders.names, date.fromisoformat(each))) for each in lookup_dates
        ]
        remaining, trouble, doubt = _ask_account(ledger, rocketreach)
        with ledger.read() as connection:
            simulation = Simulation.from_ledger(
                connection, policy, utc_now(), resumes=max_new is None
            )
        reports: list[FileReport] = []
        found = forecast(ledger, files, refresh, simulation, reports)
        fails = f", so its run fails ({MISSING_FILE}=fail)" * (choice(MISSING_FILE) == "fail")
        warnings += [
            without_files(folders.names, each) + fails for each, of_date in files if not of_date
        ]
    except (MissingNamesFolder, UnreadableFile) as error:
        raise WorkFailedError(str(error)) from error
    warnings += filter(None, [doubt, ledger_problem(ledger)])
    warnings += packed_twins(file for _date, of_date in files for file in of_date)
    warnings += [doubt for report in reports for doubt in report.warnings()]
    made = Estimate(found, remaining, trouble, [])
    warnings += _limit_warnings(made)
    warnings += _others_waiting(ledger, lookup_dates)
    return replace(made, warnings=warnings)


def _limit_warnings(made: Estimate) -> Iterator[str]:
    """Say what limits hold back, and where credits may run out."""
    sending = made.total.sending
    for reason, number in sending.held_back.items():
        yield f"{number} lookups stay queued: {_HELD_BACK[reason]}"
    if made.credits_remaining is not None and made.credits_remaining < sending.lookups:
        left = f"{made.credits_remaining:,.0f}"
        yield f"{left} credits left, up to {sending.lookups} needed"


def _others_waiting(ledger: Ledger, lookup_dates: Sequence[str]) -> Iterator[str]:
    """Say what goes out by itself beside these partitions, by the same limits."""
    now = utc_now()
    with ledger.read() as connection:
        resuming = {each.lookup_date for each in find_waits(connection) if each.resumes}
        others = resuming - set(lookup_dates)
        queued, ours = (
            {each for date_ in dates for each in queued_ids(connection, date_, now)}
            for dates in (others, lookup_dates)
        )
    number = len(queued - ours)
    if number:
        yield (
            f"{number} queued lookups of other dates go out by themselves and use the same limits; "
            "they are not counted here"
        )


def _ask_account(
    ledger: Ledger, rocketreach: RocketReach
) -> tuple[float | None, str | None, str | None]:
    """The credits left, why they are not known, and what is doubtful about them."""
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
        table.add_row(each.lookup_date, *_cells(each))
    if len(made.partitions) > 1:
        table.add_section()
        table.add_row("total", *_cells(made.total))
    console.print(table)
    if len(days := made.total.sending.days) > 1:
        console.print(_days_table(days))
    for line in _remarks(made):
        console.print(line, soft_wrap=True)


def _days_table(days: Mapping[str, int]) -> Table:
    table = Table(title="Lookups by day (UTC)", title_justify="left")
    table.add_column("day", no_wrap=True)
    table.add_column("lookups", justify="right")
    for day, number in days.items():
        table.add_row(day, str(number))
    return table


def _cells(each: Forecast) -> list[str]:
    return [*(str(getattr(each, name)) for name in _COLUMNS), str(each.sending.lookups)]


def _remarks(made: Estimate) -> list[str]:
    sending = made.total.sending
    found = [f"Warning: {each}." for each in made.warnings]
    found.append(
        f"At most {sending.lookups} credits: a lookup that finds no contact data costs none."
    )
    if sending.lookups:
        found.append(f"Sending takes about {_in_words(sending.seconds)}; results arrive later.")
    if made.trouble is not None:
        found.append(f"Account: {made.trouble}")
    elif made.credits_remaining is not None:
        found.append(f"The account has {made.credits_remaining:,.0f} credits of this kind left.")
    return found


def _in_words(seconds: float) -> str:
    """A duration for a person: in the largest unit of which it has two, or in seconds."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _as_json(made: Estimate, now: datetime) -> str:
    def described(each: Forecast) -> dict[str, Any]:
        return {
            "rows_usable": each.usable,
            "rows_rejected": each.rejected,
            "rows_reused": each.reused,
            "new_lookups": each.new,
            "refreshed": each.refreshed,
            "queued_lookups": each.queued,
            "credits_at_most": each.sending.lookups,
            "stay_queued": sum(each.sending.held_back.values()),
            "days": [{"day": day, "lookups": number} for day, number in each.sending.days.items()],
        }

    seconds = made.seconds
    found: dict[str, Any] = {
        "partitions": [
            {"lookup_date": each.lookup_date, **described(each)} for each in made.partitions
        ],
        "total": described(made.total),
        "seconds": seconds,
        "done_at": None if seconds is None else now + timedelta(seconds=seconds),
        "credits_remaining": made.credits_remaining,
        "account_error": made.trouble,
        "warnings": made.warnings,
    }
    return msgspec.json.format(msgspec.json.encode(found)).decode()
