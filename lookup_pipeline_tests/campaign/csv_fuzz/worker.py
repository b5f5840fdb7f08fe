"""Tries files in a process of its own, and tells of each before and after."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from lookup_pipeline_tests.campaign.csv_fuzz.adversaries import adversaries
from lookup_pipeline_tests.campaign.csv_fuzz.corpus import corpus
from lookup_pipeline_tests.campaign.csv_fuzz.made import check_made
from lookup_pipeline_tests.campaign.csv_fuzz.mutations import mutate, shrink
from lookup_pipeline_tests.campaign.csv_fuzz.oracle import BrokenPromiseError, Reading, check
from lookup_pipeline_tests.campaign.csv_fuzz.strategies import Made, made_files
from lookup_pipeline_tests.names.helpers import SOURCE_FILE

# Files that hypothesis makes before it looks at the time.
_EXAMPLES = 50

# For making a failing file smaller, in seconds.
_SHRINKING = 10.0


class Begun(NamedTuple):
    """A file of so many bytes is about to be read."""

    size: int
    what: str = ""


class Done(NamedTuple):
    """It was read, with so many rows, or said to be unreadable."""

    rows: int
    unreadable: bool


class Failed(NamedTuple):
    """It was not: what went wrong, with the file that shows it best."""

    what: str
    detail: str
    lost: int
    content: bytes


@dataclass
class Trial:
    """Files tried one after the other.

    Attributes:
        folder: an empty one, in which the file lies that is being read.
        pipe: to the process that watches.
        random: makes all choices.
        seconds: when to end.
        size: of big files, in bytes.
        known: what is known to go wrong, and told no second time; and big files already tried.
    """

    folder: Path
    pipe: Connection
    random: Random
    seconds: float
    size: int
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds

    @property
    def goes_on(self) -> bool:
        """Whether there is time for more."""
        return time.monotonic() < self._end

    def attempt(self, size: int, read: Callable[[], Reading], what: str = "") -> Exception | None:
        """Have a file read; what went wrong, unless it is known."""
        self.pipe.send(Begun(size, what))
        try:
            reading = read()
        except Exception as error:  # noqa: BLE001 - finding any is what this is for
            self.pipe.send(Done(0, unreadable=False))
            return None if told(error) in self.known else error
        self.pipe.send(Done(reading.rows, reading.unreadable is not None))
        return None

    def fail(self, error: Exception, content: bytes) -> None:
        """Tell of what went wrong, once."""
        if told(error) not in self.known:
            self.known.add(told(error))
            detail = "".join(traceback.format_exception(error)[-3:])
            self.pipe.send(Failed(told(error), detail, getattr(error, "lost", 0), content))

    def still_fails(self, content: bytes, error: Exception, end: float) -> bool:
        """Whether a smaller file shows the same, as far as there is time to know."""
        if time.monotonic() > end:
            return False
        found = self.attempt(len(content), lambda: check(self.folder, content))
        return found is not None and told(found) == told(error)


def told(error: Exception) -> str:
    """What went wrong, in the same words for every file that shows it."""
    if isinstance(error, BrokenPromiseError):
        return f"not so: {error.promise}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/lookup_pipeline/" in frame.filename] or frames[-1:]
    return f"{type(error).__name__} in {Path(own[-1].filename).name}, {own[-1].name}"


def try_made(trial: Trial) -> None:
    """Files that hypothesis makes, until the time is over."""
    while trial.goes_on:

        @seed(trial.random.randrange(2**32))
        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            verbosity=Verbosity.quiet,
        )
        @given(made_files())
        def reads(made: Made) -> None:
            error = trial.attempt(len(made.content), lambda: check_made(trial.folder, made))
            if error is not None:
                raise error

        try:
            reads()
        except Exception as error:  # noqa: BLE001 - whatever it was
            # The last file that was tried is the smallest.
            trial.fail(error, (trial.folder / SOURCE_FILE).read_bytes())


def try_mutations(trial: Trial) -> None:
    """Damaged files of the corpus, until the time is over."""
    files = corpus()
    for content in files:
        _try(trial, content)
    while trial.goes_on:
        _try(trial, mutate(trial.random, files))


def _try(trial: Trial, content: bytes) -> None:
    error = trial.attempt(len(content), lambda: check(trial.folder, content))
    if error is not None:
        end = time.monotonic() + _SHRINKING
        smaller = shrink(content, lambda each: trial.still_fails(each, error, end))
        trial.fail(error, smaller)


def try_adversaries(trial: Trial) -> None:
    """The big files, each once, also where a process has died of one."""
    for what, content in adversaries(trial.size):
        if what in trial.known:
            continue
        error = trial.attempt(len(content), lambda each=content: check(trial.folder, each), what)  # type: ignore[misc]
        if error is not None:
            trial.fail(error, content)


KINDS: dict[str, Callable[[Trial], None]] = {
    "adversaries": try_adversaries,
    "made": try_made,
    "mutations": try_mutations,
}


def work(kind: str, trial: Trial) -> None:
    """Try one kind of files; to be called in a new process."""
    KINDS[kind](trial)
    trial.pipe.close()
