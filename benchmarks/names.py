"""From a big CSV to a registered partition, against a bare pandas read of the same file.

`make benchmark`, or `python -m benchmarks.names --rows 1000000`. A million rows are some 100 MB:
people by name, e-mail, LinkedIn URL and id, some written untidily, one in a hundred of no use. The
names stage reads, checks and writes `names` and `rejected_names` as Parquet; registration brings
the rows into a new ledger. Each runs in a process of its own, which also measures its memory.
"""

import argparse
import csv
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

DATE = "2026-01-05"

# What a million rows may take: both stages in seconds, and each in MB.
BOUND_ROWS = 1_000_000
BOUND_SECONDS = 60
BOUND_MEGABYTES = 1_000

_HEADER = ("id", "name", "current_employer", "title", "email", "linkedin_url", "crm_id", "note")
_FIRST = ("Grace", "Ada", "Emmy", "Alan", "Kurt", "Mary", "Jean", "Noor", "José", "Zoë", "Li")
_LAST = ("Hopper", "Lovelace", "Noether", "Turing", "Gödel", "Khan", "García", "O'Brien", "Müller")
_EMPLOYERS = ("Acme", "Navy Research, Inc.", "Globex Corporation", "Umbrella GmbH", "Initech LLC")


class Stage(NamedTuple):
    """What a stage took.

    Attributes:
        seconds: without the imports.
        megabytes: of memory, at most, imports included.
    """

    seconds: float
    megabytes: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=BOUND_ROWS)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        began = time.perf_counter()
        imported = STAGES[given.stage](given.root)
        print(time.perf_counter() - began - imported)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_csv(root, given.rows)
        stages = {name: run(name, root) for name in STAGES}
    show(given.rows, size, stages)


def show(rows: int, size: int, stages: dict[str, Stage]) -> None:
    """Print each stage as a ratio to the bare read, and the sum beside its bound."""
    bare = stages["pandas"].seconds
    print(f"{rows:,} rows, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    for name, stage in stages.items():
        print(
            f"  {name:14} {stage.seconds:7.1f} s  {rows / stage.seconds:9,.0f} rows/s"
            f"  {stage.seconds / bare:5.1f} times pandas  {stage.megabytes:6,.0f} MB at most"
        )
    ours = [stage for name, stage in stages.items() if name != "pandas"]
    seconds, bound = sum(stage.seconds for stage in ours), BOUND_SECONDS * rows / BOUND_ROWS
    print(
        f"  names + registration {seconds:.1f} s, {seconds / bare:.1f} times pandas; "
        f"bound {bound:.0f} s: {kept(seconds, bound)}"
    )
    most = max(stage.megabytes for stage in ours)
    print(f"  memory {most:,.0f} MB; bound {BOUND_MEGABYTES:,} MB: {kept(most, BOUND_MEGABYTES)}")


def kept(value: float, bound: float) -> str:
    """Whether a bound is kept, in a word."""
    return "kept" if value <= bound else "NOT KEPT"


def write_csv(root: Path, rows: int) -> int:
    """A CSV of so many invented people; its size in bytes."""
    names = root / "names"
    names.mkdir()
    path, random = names / f"{DATE}.csv", Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(person(number, random) for number in range(rows))
    return path.stat().st_size


def person(number: int, random: Random) -> tuple[str, ...]:
    """One row; its number says what kind of row it is."""
    kind = number % 100
    first, last = random.choice(_FIRST), random.choice(_LAST)
    name, employer = f"{first} {chr(65 + number % 26)}. {last}", random.choice(_EMPLOYERS)
    employer = f"{employer} {number % 5000}"
    if kind in {1, 2}:
        name = random.choice(
            (f"Dr. {name}, PhD", f"{last}, {first}", name.upper(), f"  {name} ", f"{name} 🚀")
        )
    email = f"person{number}@example{number % 97}.com" if kind < 40 else ""
    url = f"https://www.linkedin.com/in/person-{number}" if 30 < kind < 60 else ""
    profile_id = str(number + 1_000_000) if 60 <= kind < 65 else ""
    if kind == 99:
        employer, email = random.choice((("", "x"), ("N/A", "")))
    title = f"Head of Department {number % 300}"
    note = "fair"
    return profile_id, name, employer, title, email, url, f"CRM-{number:08d}", note


def run(stage: str, root: Path) -> Stage:
    """Run a stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.names", "--stage", stage, "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    # Linux counts in kilobytes.
    return Stage(float(said), usage.ru_maxrss * 1024 / 1e6)


# Each stage imports what it needs and no more, so that its memory is its own, and gives back how
# long that took.


def read_bare(root: Path) -> float:
    """The file as pandas reads it, whole, with no more than the types said."""
    began = time.perf_counter()
    import pandas as pd  # noqa: PLC0415

    imported = time.perf_counter() - began
    pd.read_csv(root / "names" / f"{DATE}.csv", dtype=str, keep_default_na=False)
    return imported


def names_stage(root: Path) -> float:
    """`names` and `rejected_names`, as their asset writes them."""
    began = time.perf_counter()
    from upath import UPath  # noqa: PLC0415

    from lookup_pipeline.datasets.storage import DatasetFolder  # noqa: PLC0415
    from lookup_pipeline.enrichment.names import write_names  # noqa: PLC0415
    from lookup_pipeline.names import reader  # noqa: F401, PLC0415 - it is imported late
    from lookup_pipeline.names.files import find_files  # noqa: PLC0415

    imported = time.perf_counter() - began
    files = find_files(UPath(str(root / "names")), dt.date.fromisoformat(DATE))
    write_names(files, DatasetFolder(str(root / "output")), DATE)
    return imported


def registration(root: Path) -> float:
    """`lookups`, and every row in a new ledger."""
    began = time.perf_counter()
    from lookup_pipeline.datasets.storage import DatasetFolder  # noqa: PLC0415
    from lookup_pipeline.enrichment.register import register  # noqa: PLC0415
    from lookup_pipeline.ledger import open_ledger  # noqa: PLC0415

    imported = time.perf_counter() - began
    ledger = open_ledger(f"sqlite:///{root / 'ledger.db'}")
    register(ledger, DatasetFolder(str(root / "output")), DATE)
    return imported


STAGES: dict[str, Callable[[Path], float]] = {
    "pandas": read_bare,
    "names": names_stage,
    "registration": registration,
}


if __name__ == "__main__":
    main()
