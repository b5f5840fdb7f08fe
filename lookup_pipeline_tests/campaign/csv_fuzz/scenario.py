"""Every kind of bad file, read in a process that may die or hang, and is watched."""

import multiprocessing
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from lookup_pipeline_tests.campaign.csv_fuzz.worker import Begun, Done, Failed, Trial, work
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.workplace import Options
from lookup_pipeline_tests.names.helpers import SOURCE_FILE

# A file that takes longer hangs: for any, and for each megabyte. Half of it is for the checks.
_SECONDS = 20.0
_SECONDS_A_MEGABYTE = 30.0

# A process has this long to begin, or for hypothesis to think of a file.
_BEGINNING = 60.0

# A kind whose files have ended so many processes needs no further proof.
_MOST_DEATHS = 5


@dataclass
class _Tally:
    """What happened to the files so far."""

    files: int = 0
    rows: int = 0
    unreadable: int = 0
    lost: int = 0
    slowest: float = 0
    slowest_size: int = 0
    slowest_what: str = ""
    problems: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    kept: Path | None = None

    def keep(self, content: bytes) -> Path:
        """Put a failing file where it stays."""
        if self.kept is None:
            self.kept = Path(tempfile.mkdtemp(prefix="campaign-csv-fuzz-"))
        path = self.kept / f"{len(self.problems) + 1}.csv"
        path.write_bytes(content)
        return path


def csv_fuzz(options: Options) -> Result:
    """Big files first; then half of the time for made files and half for damaged ones."""
    tally, random = _Tally(), options.random("csv-fuzz")
    kinds = {"adversaries": 0.0, "made": 0.5, "mutations": 0.5}
    for kind, share in kinds.items():
        end = time.monotonic() + share * options.fuzz_seconds
        for _ in range(_MOST_DEATHS):
            seconds = end - time.monotonic()
            seed = random.randrange(2**32)
            if _try(kind, tally, seed, seconds, options.fuzz_bytes):
                break
    return Result(
        "CSV fuzzing",
        rounds=tally.files,
        rows=tally.rows,
        rows_lost=tally.lost,
        remarks=(
            f"{tally.files:,} files, {tally.unreadable:,} of them said to be unreadable; the "
            f"slowest took {tally.slowest:.1f} s for {tally.slowest_size / 1e6:.1f} MB"
            f"{tally.slowest_what}"
        ),
        problems=tally.problems,
    )


def _try(kind: str, tally: _Tally, seed: int, seconds: float, size: int) -> bool:
    """Try files in a new process; whether it came to its end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="campaign-csv-") as folder:
        trial = Trial(Path(folder), theirs, Random(seed), seconds, size, tally.known)
        process = context.Process(target=work, args=(kind, trial), daemon=True)
        process.start()
        theirs.close()
        try:
            problem = _watch(ours, tally)
            process.join(1 if problem else _BEGINNING)
            if problem is None and process.exitcode == 0:
                return True
            problem = problem or f"the process ended with {process.exitcode}"
            content = (Path(folder) / SOURCE_FILE).read_bytes()
            tally.problems.append(f"{kind}: {problem}: {tally.keep(content)}")
            return False
        finally:
            process.kill()
            process.join()


def _watch(pipe: Connection, tally: _Tally) -> str | None:
    """Count what a process tells until it ends; the problem, if it tells nothing for too long."""
    patience, reading, began = _BEGINNING, False, time.monotonic()
    size, what = 0, ""
    while pipe.poll(patience):
        try:
            message = pipe.recv()
        except EOFError:
            return f"a crash{what}" if reading else None
        match message:
            case Begun(size, name):
                what = f", {name}" if name else ""
                if name:
                    # Not again in the next process, should this one die of it.
                    tally.known.add(name)
                reading, began = True, time.monotonic()
                patience = _SECONDS + _SECONDS_A_MEGABYTE * size / 1e6
            case Done(rows, unreadable):
                reading, patience = False, _BEGINNING
                tally.files += 1
                tally.rows += rows
                tally.unreadable += unreadable
                took = time.monotonic() - began
                if took > tally.slowest:
                    tally.slowest, tally.slowest_size, tally.slowest_what = took, size, what
            case Failed(wrong, detail, lost, content):
                tally.known.add(wrong)
                tally.lost += lost
                tally.problems.append(f"{wrong}: {tally.keep(content)}\n{detail}")
    return f"a hang: more than {patience:.0f} s{what}" if reading else "no more files came"
