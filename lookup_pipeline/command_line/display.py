"""What a person sees in the terminal: a live bar and a table at the end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.counts import PartitionCounts, count_partitions
from lookup_pipeline.settings import MIN_MATCH_RATE, number

# Seconds between looks into the ledger: the eye is not faster. A look counts rows, so on large
# partitions the pause grows with what a look takes, to no more than a twentieth of the time.
_REFRESH = 0.5
_REST = 20

# Seconds between lines where nobody watches: enough to see in a log that it lives.
_LOG_EVERY = 60.0

_COLUMNS = {
    State.QUEUED: "queued",
    State.SUBMITTING: "submitting",
    State.IN_FLIGHT: "in flight",
    State.COMPLETE: "complete",
    State.FAILED: "failed",
    State.UNCONFIRMED: "unconfirmed",
}

_ALWAYS_SHOWN = frozenset({State.QUEUED, State.IN_FLIGHT, State.COMPLETE, State.FAILED})


@contextmanager
def live_bar(console: Console, ledger: Ledger, lookup_dates: Sequence[str]) -> Iterator[None]:
    """Show how these partitions stand, until the block ends; in a log, a line a minute."""
    done = threading.Event()

    def watch(show: Callable[[PartitionCounts], None], pause: float) -> None:
        while True:
            began = time.monotonic()
            with ledger.read() as connection:
                counts = total(count_partitions(connection, lookup_dates))
            if counts.rows:
                show(counts)
            if done.wait(max(pause, _REST * (time.monotonic() - began))):
                return

    with _bar(console) if console.is_terminal else _log(console) as (show, pause):
        watcher = threading.Thread(target=watch, args=(show, pause), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


_Display = tuple[Callable[[PartitionCounts], None], float]


@contextmanager
def _bar(console: Console) -> Iterator[_Display]:
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[settled]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=None, settled="")

        def show(counts: PartitionCounts) -> None:
            settled = counts.rows - counts.unsettled
            bar.update(
                task,
                total=counts.rows,
                completed=settled,
                settled=f"{settled}/{counts.rows}",
                description=_in_words(counts),
            )

        yield show, _REFRESH


@contextmanager
def _log(console: Console) -> Iterator[_Display]:
    yield lambda counts: console.print(_in_words(counts)), _LOG_EVERY


def _in_words(counts: PartitionCounts) -> str:
    found = [
        f"{counts.states[state]} {name}"
        for state, name in _COLUMNS.items()
        if counts.states[state] or state in _ALWAYS_SHOWN
    ]
    if counts.pending_refreshes:
        found.append(f"{counts.pending_refreshes} being refreshed")
    return "  ".join(found)


def counts_table(counts: Sequence[PartitionCounts], title: str) -> Table:
    """How partitions stand, one a line, and their sum."""
    sum_of_all = total(counts)
    # A terminal is 80 columns wide: states that hardly ever have a row only show when they do.
    states = [state for state in _COLUMNS if state in _ALWAYS_SHOWN or sum_of_all.states[state]]
    table = Table(title=title, title_justify="left")
    table.add_column("date", no_wrap=True)
    for name in ("rows", *(_COLUMNS[state] for state in states), "match rate", "credits"):
        table.add_column(name, justify="right")
    for each in counts:
        table.add_row(*_cells(each, states))
    if len(counts) > 1:
        table.add_section()
        table.add_row(*_cells(sum_of_all, states))
    return table


def remarks(counts: PartitionCounts) -> list[str]:
    """What a person should know about rows in these states."""
    found = []
    if pending := counts.pending_refreshes:
        found.append(
            f"Refreshes pending: {pending}. These rows keep the profile they have until a newer "
            "one arrives."
        )
    if ended := counts.refreshes[State.FAILED] + counts.refreshes[State.UNCONFIRMED]:
        text = f"Refreshes without a profile: {ended}. These rows keep the profile they have"
        if doubtful := counts.refreshes[State.UNCONFIRMED]:
            text += (
                f"; {doubtful} of them are unconfirmed: they may have been charged, and are not "
                "sent again by themselves"
            )
        found.append(f"{text}. refresh_failure_kind in profiles says why.")
    if unconfirmed := counts.states[State.UNCONFIRMED]:
        found.append(
            f"Unconfirmed: {unconfirmed}. Whether these requests were processed, and charged, is "
            "not known; they stand in failed_lookups and are not sent again by themselves."
        )
    rate, minimum = counts.match_rate, number(MIN_MATCH_RATE)
    if rate is not None and rate < minimum:
        found.append(
            f"Warning: only {rate:.0%} of the settled rows have a profile (less than "
            f"{MIN_MATCH_RATE}, {minimum:.0%}). Is a column in the wrong place?"
        )
    return found


def total(counts: Sequence[PartitionCounts]) -> PartitionCounts:
    """The sum of several partitions."""
    return PartitionCounts(
        "total",
        {state: sum(each.states[state] for each in counts) for state in State},
        sum(each.credits for each in counts),
        {state: sum(each.refreshes[state] for each in counts) for state in State},
    )


def _cells(counts: PartitionCounts, states: Sequence[State]) -> list[str]:
    rate = counts.match_rate
    return [
        counts.lookup_date,
        str(counts.rows),
        *(str(counts.states[state]) for state in states),
        "–" if rate is None else f"{rate:.0%}",  # noqa: RUF001 - a dash in a table
        str(counts.credits),
    ]
