"""`names check`: what would be read from CSV files, and what is wrong with which line."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from upath import UPath

from lookup_pipeline.names.errors import UnreadableFile
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.identity import REQUESTED_COLUMNS
from lookup_pipeline.names.reader import NamesBatch, read_names
from lookup_pipeline.names.report import FileReport
from lookup_pipeline.names.text import clean
from lookup_pipeline.names.validation import check_rows, clean_rows

# The file, its store, or a URL that nothing here knows or is installed for.
_FAILURES = (OSError, UnreadableFile, ValueError, ImportError)

# Enough to see whether the columns mean what one thinks.
_FIRST_ROWS = 5


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


def check(console: Console, files: Sequence[str], *, as_json: bool) -> bool:
    """Read files as the pipeline would, and show what was found; nothing is written or sent.

    Returns:
        Whether every file can be read, whatever becomes of its rows.
    """
    # What a terminal can't show must not end the command.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    checks = [_as_json(each) if as_json else _show(console, each) for each in files]
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
    except _FAILURES as error:
        return {"file": file, **_error(error)}
    (report,) = reports
    return {
        **report.facts(),
        "columns": [
            {"column": column, "read_as": meaning}
            for column, meaning in report.layout.header.meanings()
        ],
        "title_lines": report.layout.title_lines,
        "first_rows": first_rows,
        "problems": problems,
        "warnings": report.warnings(),
    }


def _show(console: Console, file: str) -> dict[str, Any]:
    reports: list[FileReport] = []
    console.print(f"[bold]{escape(file)}[/]")
    try:
        for number, batch in enumerate(_read(file, reports)):
            if number == 0:
                _show_layout(console, batch.report)
                _show_rows(console, _rows(batch, _FIRST_ROWS))
            for problem in _problems(batch):
                verdict = "rejected" if problem.rejected else "passed over"
                reasons = "; ".join(problem.reasons)
                console.print(f"  line {problem.line}, {verdict}: {escape(reasons)}")
    except _FAILURES as error:
        told = _error(error)
        console.print(f"  [red]{escape(told['error'])}[/]")
        return told
    (report,) = reports
    if report.usable + report.rejected == 0:
        _show_layout(console, report)
    for warning in report.warnings():
        console.print(f"  [yellow]{escape(warning)}[/]")
    console.print(f"  {report.usable} rows can be looked up, {report.rejected} are rejected.\n")
    return {}


def _read(file: str, reports: list[FileReport]) -> Iterator[NamesBatch]:
    path = UPath(file)
    return read_names([NamesFile(path, path.name)], reports=reports)


def _error(error: Exception) -> dict[str, Any]:
    if isinstance(error, UnreadableFile):
        return {"error": str(error), "line": error.line, "cure": error.cure}
    return {"error": getattr(error, "strerror", None) or str(error)}


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
    table = Table("line", "what would be asked")
    for row in rows:
        asked = ", ".join(f"{name}: {value}" for name, value in row["query"].items())
        table.add_row(str(row["line"]), escape(asked))
    console.print(table)
