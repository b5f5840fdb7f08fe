"""What must hold of a file whose rows are known: each stands where it was put, and whole."""

from pathlib import Path

from lookup_pipeline.names.identity import REQUESTED_COLUMNS
from lookup_pipeline.names.line_codec import LINE_BY_LINE
from lookup_pipeline_tests.campaign.csv_fuzz.oracle import BrokenPromiseError, Reading, check, hold
from lookup_pipeline_tests.campaign.csv_fuzz.strategies import Made


def check_made(folder: Path, made: Made) -> Reading:
    """Have it read, and check it.

    Raises:
        BrokenPromiseError: What must hold does not.
    """
    reading = check(folder, made.content)
    report = reading.report
    if report is None:
        assert reading.unreadable is not None
        problem = reading.unreadable.problem.split(" (")[0]
        promise = f"a file in order is not '{problem}'"
        raise BrokenPromiseError(promise, str(reading.unreadable), len(made.rows))
    hold(report.layout.delimiter == made.delimiter, "the delimiter is found", report.delimiter)
    _check_lines(made, reading)
    codec = report.encoding.codec.removeprefix(LINE_BY_LINE).replace("_", "-")
    if made.is_guess and codec != made.codec:
        # Letters are other letters: the report says that it is a guess.
        return reading
    # What is ASCII is the same in all of them.
    same = codec == made.codec or (made.content.isascii() and codec == "utf-8")
    hold(same, "the encoding is found", f"{codec}, not {made.codec}")
    _check_values(made, reading)
    return reading


def _check_lines(made: Made, reading: Reading) -> None:
    wanted = {row.line: row.usable for row in made.rows}
    found = {row["source_row"]: True for row in reading.usable}
    found |= {row["source_row"]: False for row in reading.rejected}
    lost = len(wanted.keys() ^ found.keys())
    hold(not lost, "each row stands on its line", f"{sorted(wanted)}, {sorted(found)}", lost)
    other = [line for line, usable in wanted.items() if found[line] != usable]
    hold(not other, "what is of use is usable, and nothing else", f"lines {other}")


def _check_values(made: Made, reading: Reading) -> None:
    rows = {row.line: row for row in made.rows}
    for row in reading.rejected:
        made_row = rows[row["source_row"]]
        same = row["raw_row"] == made_row.text
        hold(same, "a rejected row's text is as it was written", f"line {made_row.line}", 1)
    for row in reading.usable:
        made_row = rows[row["source_row"]]
        requested = [row[column] for column in REQUESTED_COLUMNS]
        for header, value in zip(made.header, made_row.values, strict=False):
            kept = row["source_columns"].get(header)
            found = value == kept or (kept is None and (value.strip() or None) in requested)
            hold(found, "a value is as it was written", f"line {made_row.line}, {header}", 1)
