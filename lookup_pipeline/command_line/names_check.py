"""`names check`: what would be read from CSV files, and what is wrong with which line."""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from upath import UPath

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile, csv_paths, date_of, name_as_text, printable
from lookup_pipeline.names.identity import REQUESTED_COLUMNS
from lookup_pipeline.names.reader import NamesBatch, read_names
from lookup_pipeline.names.report import FileReport
from lookup_pipeline.names.rules import ROW_RULES, VALUE_RULES, complain
from lookup_pipeline.names.text import clean
from lookup_pipeline.names.validation import check_rows, clean_rows

# Enough to see whether the columns mean what one thinks.
_FIRST_ROWS = 5

# Enough to see what a kind of problem comes from. More would drown the other kinds: a column of
# company web sites taken for profiles alone has a problem in every row.
_FIRST_PROBLEMS = 20

# What stands before and after the row's own value, or number, in the reasons that have one.
_AROUND_VALUES = [
    before_and_after
    for wording in (
        *(complain(rule, "{}") for rule in VALUE_RULES),
        *(rule.complaint for rule in ROW_RULES),
    )
    if len(before_and_after := wording.split("{}")) == 2
]


class Problem(msgspec.Struct):
    """What is wrong with one row.

    Attributes:
        line: the physical line on which it starts.
        rejected: whether the row can't be used; else another value of it serves.
        reasons: every reason.
    """

    line: int
    rejected: bool
    reasons: list[str]

    @property
    def verdict(self) -> str:
        """What becomes of the row, or of its value."""
        return "rejected" if self.rejected else "passed over"


class _Choice:
    """Which problems a person is shown: the first of each kind. The others are counted."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._shown: Counter[tuple[str, str]] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()

    def takes(self, problem: Problem) -> bool:
        """Whether a problem is shown; to be asked once about each."""
        kinds = {(problem.verdict, _kind(reason)) for reason in problem.reasons}
        shown = any(self._shown[kind] < self._most for kind in kinds)
        (self._shown if shown else self._left_out).update(kinds)
        return shown

    def left_out(self) -> list[str]:
        """How many problems of which kind were not shown, rejected rows first."""
        # By their words, as sets have no order; "rejected" comes last in the alphabet.
        ordered = sorted(self._left_out.items(), reverse=True)
        return [f"… and {rows:,} more {verdict}: {kind}" for (verdict, kind), rows in ordered]


def check(console: Console, files: Sequence[str], *, as_json: bool, show_all: bool) -> bool:
    """Read files as the pipeline would, and show what was found; nothing is written or sent.

    Returns:
        Whether every file can be read, whatever becomes of its rows.
    """
    # What a terminal can't show must not end the command.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    most = math.inf if show_all else _FIRST_PROBLEMS
    checks = [
        _as_json(each) if as_json else _show(console, each, most)
        for given in files
        for each in _files(given)
    ]
    if as_json:
        told = msgspec.json.format(msgspec.json.encode(checks), indent=2)
        sys.stdout.buffer.write(told + b"\n")
    return not any(each.get("error") for each in checks)


def _as_json(file: str) -> dict[str, Any]:
    first_rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    reports: list[FileReport] = []
    try:
        for batch in _read(file, reports):
            first_rows += _rows(batch, _FIRST_ROWS - len(first_rows))
            problems += _problems(batch)
    except Exception as error:  # noqa: BLE001 - as in `_show`
        return {"file": printable(file), **_error(error)}
    (report,) = reports
    return {
        **report.facts(),
        "file": printable(file),
        "lookup_date": date_of(UPath(file)),
        "columns": [
            {"column": column, "read_as": meaning}
            for column, meaning in report.layout.header.meanings()
        ],
        "title_lines": report.layout.title_lines,
        "first_rows": first_rows,
        "problems": problems,
        "warnings": report.warnings(),
    }


def _files(given: str) -> list[str]:
    """A file, or the files of a folder that belong to its date."""
    folder = UPath(given)
    try:
        found = [str(path) for path in csv_paths(folder)] if folder.is_dir() else []
    except Exception:  # noqa: BLE001 - told when it is read
        found = []
    return sorted(found) or [given]


def _show(console: Console, file: str, most: float) -> dict[str, Any]:
    reports: list[FileReport] = []
    choice = _Choice(most)
    console.print(f"[bold]{escape(printable(file))}[/]")
    try:
        for number, batch in enumerate(_read(file, reports)):
            if number == 0:
                _show_layout(console, batch.report)
                _show_rows(console, _rows(batch, _FIRST_ROWS))
            for problem in filter(choice.takes, _problems(batch)):
                reasons = escape("; ".join(problem.reasons))
                console.print(f"  line {problem.line}, {problem.verdict}: {reasons}")
    except Exception as error:  # noqa: BLE001 - each store's client has errors of its own
        told = _error(error)
        console.print(f"  [red]{escape(told['error'])}[/]")
        return told
    if left_out := choice.left_out():
        for each in left_out:
            console.print(f"  {escape(each)}")
        console.print("  --all shows each of them.")
    (report,) = reports
    if report.usable + report.rejected == 0:
        _show_layout(console, report)
    for warning in report.warnings():
        console.print(f"  [yellow]{escape(warning)}[/]")
    console.print(f"  Rows that can be looked up: {report.usable}. Rejected: {report.rejected}.")
    day = date_of(UPath(file))
    console.print(
        f"  It belongs to {day}.\n"
        if day
        else "  It belongs to no date yet: call it YYYY-MM-DD.csv, or put it into a folder "
        "YYYY-MM-DD.\n"
    )
    return {}


def _read(file: str, reports: list[FileReport]) -> Iterator[NamesBatch]:
    path = UPath(file)
    return read_names([NamesFile(path, name_as_text(path.name))], reports=reports)


def _error(error: Exception) -> dict[str, Any]:
    if isinstance(error, UnreadableFile):
        return {"error": str(error), "line": error.line, "cure": error.cure}
    if isinstance(error, OSError) and error.strerror:
        return {"error": printable(error.strerror)}
    # Some say nothing but the URL once more, or nothing at all.
    told = ": ".join(filter(None, (type(error).__name__, str(error))))
    return {"error": printable(told)}


def _kind(reason: str) -> str:
    """A reason without what only its row has."""
    for before, after in _AROUND_VALUES:
        if reason.startswith(before) and reason.endswith(after):
            return f"{before}…{after}"
    return reason


def _rows(batch: NamesBatch, most: int) -> list[dict[str, Any]]:
    usable = batch.usable[:most]
    return [
        {"line": line, "query": msgspec.json.decode(query)}
        for line, query in zip(usable["source_row"], usable["query"], strict=True)
    ]


def _problems(batch: NamesBatch) -> list[Problem]:
    """What is wrong with a batch's rows, in the order of their lines."""
    rejected, usable = batch.rejected, batch.usable
    cleaned = clean_rows(usable[column].tolist() for column in REQUESTED_COLUMNS)
    passed_over = check_rows(cleaned).passed_over
    lines = usable["source_row"].tolist()
    found = [
        *(
            Problem(line, rejected=True, reasons=reasons)
            for line, reasons in zip(rejected["source_row"], rejected["reasons"], strict=True)
        ),
        *(
            Problem(lines[place], rejected=False, reasons=reasons)
            for place, reasons in passed_over.items()
        ),
    ]
    return sorted(found, key=lambda problem: problem.line)


def _show_layout(console: Console, report: FileReport) -> None:
    facts = report.facts()
    console.print(
        f"  {facts['encoding']} (confidence {facts['encoding_confidence']:.2f}), separated by "
        f"{facts['delimiter']} (confidence {facts['delimiter_confidence']:.2f}), compression "
        f"{facts['compression']}, header row on line {facts['header_line']}"
    )
    table = Table("column", "read as")
    for column, meaning in report.layout.header.meanings():
        table.add_row(escape(clean(column)), meaning)
    console.print(table)


def _show_rows(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table("line", "what would be asked")
    for row in rows:
        asked = ", ".join(f"{name}: {value}" for name, value in row["query"].items())
        table.add_row(str(row["line"]), escape(asked))
    console.print(table)
