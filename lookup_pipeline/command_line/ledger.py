"""`ledger`: copies of the ledger, and bringing one in line with the datasets and the provider."""

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.datasets.columns import PROFILES
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage, check_published
from lookup_pipeline.enrichment.reconcile import Reconciliation, fetch_profiles
from lookup_pipeline.enrichment.reconcile import reconcile as reconcile_ledger
from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger import backup as copies
from lookup_pipeline.ledger.lineage import read_lineage
from lookup_pipeline.ledger.size import measure_ledger
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.settings import ConfigurationError

_SHOWN = {
    State.COMPLETE: "profiles taken from the files",
    State.FAILED: "failures taken from the files",
    State.IN_FLIGHT: "in flight, to be asked about",
    State.UNCONFIRMED: "unconfirmed already when they were published",
    State.QUEUED: "still queued: nothing was sent since",
}


def info(console: Console, *, as_json: bool) -> None:
    """Print where the ledger is, which one it is, how large it is, and what it holds.

    Raises:
        LedgerError: it cannot be read.
    """
    ledger = LedgerResource().open()
    size = measure_ledger(ledger)
    with ledger.read() as connection:
        lineage = read_lineage(connection)
    facts = {
        "url": ledger.url,
        "incarnation": lineage.incarnation,
        "submission_counter": lineage.counter,
        "problem": ledger_problem(ledger),
        "file_bytes": size.file_bytes,
        "log_bytes": size.log_bytes,
    }
    if as_json:
        # Straight to the stream: the console would wrap long lines.
        text = msgspec.json.encode({**facts, "rows": size.rows})
        console.file.write(msgspec.json.format(text).decode() + "\n")
        return
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else value or "none"
        console.print(f"{name.replace('_', ' ')}: {shown}", soft_wrap=True)
    table = Table("table", "rows", title="Rows by table", title_justify="left")
    for name, rows in size.rows.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)


def ledger_problem(ledger: Ledger) -> str | None:
    """Return why nothing may be sent from this ledger; None where it may."""
    try:
        check_lineage(ledger, Folders().output)
    except (OutdatedLedgerError, StorageError) as error:
        return str(error)
    return None


def backup(console: Console, file: Path) -> None:
    """Copy the ledger into a new file.

    Raises:
        LedgerError: it cannot be written, or is not sound.
    """
    copies.back_up(LedgerResource().open(), file, utc_now())
    console.print(
        f"Copied the ledger to {file}. To put it back: lookup-pipeline ledger restore {file}",
        soft_wrap=True,
    )


def restore(console: Console, file: Path, *, confirmed: bool) -> None:
    """Put a copy in the place of the ledger, then reconcile it.

    Raises:
        LedgerError: the copy is not sound, or a submission is running.
        WorkFailedError: there is no terminal to confirm on.
    """
    kept = copies.restore(LedgerResource().resolved_url, file, utc_now())
    console.print(f"Restored the ledger from {file}.", soft_wrap=True)
    if kept is not None:
        console.print(f"The ledger that was there is kept as {kept}.", soft_wrap=True)
    reconcile(console, confirmed=confirmed)


def reconcile(console: Console, *, confirmed: bool) -> None:
    """Say what the datasets prove, ask, and take it up.

    Raises:
        StorageError: the output folder cannot be read.
        WorkFailedError: there is no terminal to confirm on.
    """
    ledger, folder, rocketreach = LedgerResource().open(), Folders().output, RocketReach()
    try:
        check_lineage(ledger, folder)
        # A ledger that was rolled back to after its last submission shows in its files alone.
        for lookup_date in folder.partitions(PROFILES):
            check_published(ledger, folder, lookup_date)
    except OutdatedLedgerError as error:
        console.print(str(error), soft_wrap=True)
    else:
        console.print("The ledger agrees with its datasets: there is nothing to reconcile.")
        return
    found = reconcile_ledger(ledger, folder, rocketreach.deadline, dry_run=True)
    console.print(_table(found))
    for line in _remarks(found):
        console.print(line, soft_wrap=True)
    if not confirmed:
        _confirm("Reconcile the ledger?")
    found = reconcile_ledger(ledger, folder, rocketreach.deadline)
    console.print("Reconciled. Submission and publication resume.")
    _fetch(console, found)


def _confirm(question: str) -> None:
    try:
        click.confirm(question, abort=True)
    except click.Abort as error:
        raise WorkFailedError(
            "Not confirmed: nothing was changed, and nothing is sent or published from this "
            "ledger. Run `lookup-pipeline ledger reconcile`, with --yes where there is no terminal."
        ) from error


def _table(found: Reconciliation) -> Table:
    table = Table("lookups", "", title="What the datasets prove", title_justify="left")
    for state, text in _SHOWN.items():
        table.add_row(str(found.taken_up[state]), text)
    table.add_row(str(found.doubtful), "may have been sent since: become unconfirmed")
    return table


def _remarks(found: Reconciliation) -> list[str]:
    lines = [f"{found.partitions} partitions have files that show more than the ledger knows."]
    if found.doubtful:
        lines.append(
            f"At stake: up to {found.doubtful} credits may have been spent on lookups that the "
            "ledger does not know the end of. They are not sent again, unless you decide to: "
            "lookup-pipeline resubmit --unconfirmed"
        )
    if found.unreadable_rows:
        lines.append(
            f"{found.unreadable_rows} published rows cannot be looked up by today's rules, so no "
            "lookup is rebuilt for them. Materialize `names` and `lookups` of their partitions."
        )
    return lines


def _fetch(console: Console, found: Reconciliation) -> None:
    """Replace profiles from the files by the provider's own; without it, those stay."""
    if not found.profiles:
        return
    rocketreach = RocketReach()
    try:
        with rocketreach.client() as client:
            number = fetch_profiles(
                LedgerResource().open(), client, found.profiles, rocketreach.rate
            )
    except (ConfigurationError, RocketReachError) as error:
        console.print(f"Profiles are kept as the files show them: {error}", soft_wrap=True)
        return
    console.print(
        f"{number} of {len(found.profiles)} profiles were fetched again from the provider, free "
        "of charge; the others are kept as the files show them.",
        soft_wrap=True,
    )
