"""What a scenario found, and the table of them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Result:
    """What a scenario found.

    Attributes:
        scenario: its name.
        rounds: how often trouble was made.
        rows: rows of the CSV files.
        rows_lost: see `audit.Audit`.
        double_charges: see `audit.Audit`.
        violations: requests that the provider refused for going over a limit.
        half_files: broken files, or broken sets of files, met by a reader.
        remarks: what happened, in figures that may be anything.
        problems: what else must not be, and details of what is not zero.
        not_run: why it could not run.
    """

    scenario: str
    rounds: int = 0
    rows: int = 0
    rows_lost: int = 0
    double_charges: int = 0
    violations: int = 0
    half_files: int = 0
    remarks: str = ""
    problems: Sequence[str] = ()
    not_run: str | None = None

    @property
    def faults(self) -> tuple[int, int, int, int]:
        """The numbers that must be zero."""
        return self.rows_lost, self.double_charges, self.violations, self.half_files

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong; true as well of what could not run."""
        return not any(self.faults) and not self.problems


_COLUMNS = (
    "rounds",
    "rows",
    "rows lost",
    "double charges",
    "violations of limits",
    "half files",
)


def show(results: Sequence[Result], console: Console) -> None:
    """Print the table; below it the remarks, what could not run, and every problem."""
    run = [each for each in results if each.not_run is None]
    table = Table(show_footer=True)
    table.add_column("scenario", "all")
    for place, name in enumerate(_COLUMNS):
        total = sum(_numbers(each)[place] for each in run)
        table.add_column(name, f"{total:,}", justify="right")
    for each in results:
        cells = [f"{number:,}" if each in run else "-" for number in _numbers(each)]
        table.add_row(each.scenario, *cells)
    console.print(table)
    for each in results:
        console.print(f"{each.scenario}: {each.not_run or each.remarks}", highlight=False)
        for problem in each.problems:
            console.print(f"{each.scenario}: {problem}", style="red", markup=False)


def _numbers(result: Result) -> tuple[int, ...]:
    return result.rounds, result.rows, *result.faults
