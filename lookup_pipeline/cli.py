"""The command line: names, options and exit codes. What the commands do is in command_line/."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dotenv import dotenv_values

from lookup_pipeline.command_line.errors import NotStartedError, WorkFailedError
from lookup_pipeline.private_errors import UnexpectedError, without_personal_data
from lookup_pipeline.settings import LONGEST_RUN, ConfigurationError, project_root

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions
    from rich.console import Console

_DATE = click.DateTime(formats=["%Y-%m-%d"])

# Exit codes of the contract beside 0: 2, bad usage, is click's own.
_ERROR = 1
# As shells count it: 128 and the signal's number.
_INTERRUPTED = 130


def _finite(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """Refuse what Python takes for a number of seconds and nobody can wait."""
    if math.isnan(value):
        raise click.BadParameter("it takes a number of seconds.")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lookup-pipeline")
def main() -> None:
    """Enrich lists of people: CSV of names in, RocketReach lookups submitted once, Parquet out."""


def _load_env() -> None:
    """Read `.env` in the project as Dagster does: what stands there wins."""
    found = dotenv_values(project_root() / ".env")
    os.environ.update({name: value for name, value in found.items() if value is not None})


@contextmanager
def _plain_errors() -> Iterator[None]:
    """End with one line and exit code 1 where the configuration, or the work itself, fails."""
    # Here, so that `--help` does not wait for it.
    from lookup_pipeline.datasets.storage import StorageError  # noqa: PLC0415
    from lookup_pipeline.enrichment.lineage import OutdatedLedgerError  # noqa: PLC0415
    from lookup_pipeline.ledger import LedgerError  # noqa: PLC0415
    from lookup_pipeline.rocketreach import RocketReachError  # noqa: PLC0415

    try:
        with without_personal_data():
            yield
    except (
        ConfigurationError,
        LedgerError,
        NotStartedError,
        OutdatedLedgerError,
        RocketReachError,
        StorageError,
        UnexpectedError,
        WorkFailedError,
    ) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_ERROR)
    except KeyboardInterrupt:
        click.echo("Interrupted. Nothing is lost: run the same command again.", err=True)
        sys.exit(_INTERRUPTED)


@contextmanager
def _dagster() -> Iterator["tuple[Console, Definitions, DagsterInstance]"]:
    """What a command that runs jobs works with: the terminal, what to run, where to record it."""
    from rich.console import Console  # noqa: PLC0415

    from lookup_pipeline.command_line.instance import (  # noqa: PLC0415
        open_instance,
        prepare_home,
    )
    from lookup_pipeline.definitions import defs  # noqa: PLC0415

    prepare_home()
    with open_instance() as instance:
        yield Console(), defs, instance


_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=LONGEST_RUN),
    # Long enough for the lookups of a few thousand rows, short enough for a nightly job.
    default=3600,
    show_default=True,
    callback=_finite,
    help="Seconds after which lookups still in flight are left for another time (exit code 3).",
)


_yes = click.option("--yes", is_flag=True, help="Do not ask.")

_max_new = click.option(
    "--max-new-lookups",
    "max_new",
    type=click.IntRange(min=0),
    help="Send no more lookups than this for a partition; the rest stays queued.",
)
_force_refresh = click.option(
    "--force-refresh", is_flag=True, help="Look everybody up again, whoever is known already."
)


@main.command()
@click.option("--date", "first", type=_DATE, required=True, help="First (or only) partition.")
@click.option("--to", "last", type=_DATE, help="Last partition, included.")
@_timeout
@_max_new
@_force_refresh
@click.option("--yes", is_flag=True, help="With --force-refresh: do not ask.")
def run(
    first: datetime,
    last: datetime | None,
    timeout: float,
    max_new: int | None,
    *,
    force_refresh: bool,
    yes: bool,
) -> None:
    """Enrich partitions, without a daemon: read, submit what is new, follow, publish.

    Exit codes: 0 settled, 3 lookups are still in flight or queued (time, limits, maxima: run it
    again), 1 error, 2 bad usage, 130 interrupted.
    """
    _load_env()
    with _plain_errors():
        # Here, so that `--help` does not wait for Dagster, and bad settings are told plainly.
        from lookup_pipeline.command_line import run as command  # noqa: PLC0415
        from lookup_pipeline.command_line.execution import Words  # noqa: PLC0415

        dates = _dates(first, last)
        with _dagster() as (console, definitions, instance):
            if force_refresh:
                _confirm_refresh(console, dates, max_new, confirmed=yes)
            words = Words(max_new=max_new, force_refresh=force_refresh)
            sys.exit(command.run(console, definitions, instance, dates, timeout, words))


def _dates(first: datetime, last: datetime | None) -> list[str]:
    from lookup_pipeline.command_line.dates import (  # noqa: PLC0415
        UnknownPartitionError,
        partition_keys,
    )

    try:
        return partition_keys(first.date().isoformat(), last.date().isoformat() if last else None)
    except UnknownPartitionError as error:
        raise click.UsageError(str(error)) from error


def _confirm_refresh(
    console: "Console", dates: list[str], max_new: int | None, *, confirmed: bool
) -> None:
    """Say first what looking everybody up again may cost."""
    from lookup_pipeline.command_line.plan import make_plan, show  # noqa: PLC0415

    show(console, make_plan(dates, max_new, force_refresh=True))
    if not confirmed:
        click.confirm("Look them up again?", abort=True)


@main.command()
@click.option("--date", "first", type=_DATE, required=True, help="First (or only) partition.")
@click.option("--to", "last", type=_DATE, help="Last partition, included.")
@_max_new
@_force_refresh
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(
    first: datetime,
    last: datetime | None,
    max_new: int | None,
    *,
    force_refresh: bool,
    as_json: bool,
) -> None:
    """Tell what `run` will cost and how long the plan's limits make it take.

    Reads the CSV files and the ledger, and asks the account, which is free; nothing else is sent,
    and nothing is written but what the account says.
    """
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line import plan as command  # noqa: PLC0415

        command.plan(
            Console(),
            _dates(first, last),
            max_new,
            force_refresh=force_refresh,
            as_json=as_json,
        )


@main.group()
def names() -> None:
    """Look at the CSV files."""


@names.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON.",
)
@click.option("--all", "show_all", is_flag=True, help="Every problem, not the first 20 of a kind.")
def check(files: tuple[str, ...], *, as_json: bool, show_all: bool) -> None:
    """Show how files would be read: what was detected, the columns, first rows, problems.

    FILE may be a date's folder; then its CSV files are read.

    Nothing is written and nothing is sent. Exit codes: 0 all files can be read, whatever becomes of
    their rows, 1 one can't, 2 bad usage.
    """
    from rich.console import Console  # noqa: PLC0415

    from lookup_pipeline.command_line import names_check as command  # noqa: PLC0415

    # What is piped somewhere has no edge to wrap at.
    console = Console(emoji=False, soft_wrap=not sys.stdout.isatty())
    if not command.check(console, files, as_json=as_json, show_all=show_all):
        sys.exit(_ERROR)


@main.command()
@click.option("--unconfirmed", is_flag=True, help="What may or may not have been processed.")
@click.option("--failed", is_flag=True, help="What ended without a profile.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="With --failed: only this failure_kind, such as not_found; may be repeated.",
)
@click.option("--date", type=_DATE, help="One partition; by default all.")
@_yes
@_timeout
def resubmit(
    kinds: tuple[str, ...],
    date: datetime | None,
    timeout: float,
    *,
    unconfirmed: bool,
    failed: bool,
    yes: bool,
) -> None:
    """Send lookups again that ended badly; says first how many credits that may cost.

    Exit codes as of `run`.
    """
    if not (unconfirmed or failed) or (kinds and not failed):
        raise click.UsageError("Give --unconfirmed, or --failed (with --kind), or both.")
    _load_env()
    with _plain_errors():
        from lookup_pipeline.command_line import resubmit as command  # noqa: PLC0415

        try:
            chosen = command.failure_kinds(kinds, failed=failed, unconfirmed=unconfirmed)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        lookup_date = date.date().isoformat() if date else None
        with _dagster() as (console, definitions, instance):
            code = command.resubmit(
                console, definitions, instance, chosen, lookup_date, timeout, confirmed=yes
            )
        sys.exit(code)


@main.command()
def demo() -> None:
    """Enrich the sample data against the simulated API; nothing to configure, nothing spent."""
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line.demo import demo as command  # noqa: PLC0415

        sys.exit(command(Console()))


@main.command()
@click.option("--date", type=_DATE, help="One partition; by default every one that has rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(date: datetime | None, *, as_json: bool) -> None:
    """Show what is queued, in flight, complete and failed, and what credits and limits are left."""
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line.status import status as command  # noqa: PLC0415

        command(Console(), date.date().isoformat() if date else None, as_json=as_json)


@main.command()
def resume() -> None:
    """Lift the provider's cooldown and have everything that waits be tried at once.

    Sends nothing itself; queued_lookups_sensor does, with one request at first.
    """
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line.resume import resume as command  # noqa: PLC0415

        command(Console())


@main.group()
def ledger() -> None:
    """Look after the ledger: the database that knows who has been paid for."""


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(*, as_json: bool) -> None:
    """Show where the ledger is, how large it is, and what it holds."""
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line import ledger as command  # noqa: PLC0415

        command.info(Console(), as_json=as_json)


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy the ledger into FILE, while it is in use.

    The copy is verified. It cannot be used as it is: `ledger restore` puts it back.
    """
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line import ledger as command  # noqa: PLC0415

        command.backup(Console(), file)


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_yes
def restore(file: Path, *, yes: bool) -> None:
    """Put the copy in FILE in the place of the ledger, then reconcile it.

    The ledger that is there now is kept beside it under another name.
    """
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line import ledger as command  # noqa: PLC0415

        command.restore(Console(), file, confirmed=yes)


@ledger.command()
@_yes
def reconcile(*, yes: bool) -> None:
    """Bring a restored, copied or lost ledger in line with the datasets and the provider.

    Takes up what the published files prove and what free status calls tell. What cannot be proved
    becomes `unconfirmed` and is not sent again unless you ask for it. Says what it found, and asks,
    before it changes anything.
    """
    _load_env()
    with _plain_errors():
        from rich.console import Console  # noqa: PLC0415

        from lookup_pipeline.command_line import ledger as command  # noqa: PLC0415

        command.reconcile(Console(), confirmed=yes)


def _add_sandbox() -> None:
    from lookup_pipeline.sandbox.command import sandbox  # noqa: PLC0415

    main.add_command(sandbox)


_add_sandbox()
