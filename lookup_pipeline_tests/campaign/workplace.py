"""Where a scenario happens: a folder, a simulated API, people asked for, workers and a reader."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from lookup_pipeline.enrichment.poll import expire
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox
from lookup_pipeline.sandbox.settings import SandboxSettings
from lookup_pipeline_tests.campaign.audit import audit
from lookup_pipeline_tests.campaign.clock import FileClock
from lookup_pipeline_tests.campaign.names import Names
from lookup_pipeline_tests.campaign.reader import Reader
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.worker import Worker, register_day
from lookup_pipeline_tests.enrichment.pipeline import Pipeline, opened_pipeline

DAYS = tuple(f"2026-01-{day:02}" for day in range(5, 10))

# Runs after which everything has been sent once the trouble is over: one does, and another for
# whoever is sent once more some minutes after a 500.
_RUNS_AFTERWARDS = 5

# Settings of the provider that are no trouble.
_KEPT = frozenset({"api_key", "seed"})

# Of many half files, so many are told.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How much trouble to make.

    Attributes:
        rounds: rounds of killing; the other scenarios take a share of them.
        limiter_seconds: how long the limiter is at work.
        lock_seconds: how long the ledger is locked.
        fuzz_seconds: how long CSV files are made and damaged.
        fuzz_bytes: how big the files are that are meant to take long.
        stored: how many settled lookups the large ledger holds.
        seed: of all random choices. The moments at which processes run are not among them.
        enforced: requests a second that the provider allows while 10 are sent.
        least_share: of those 10 that must be used.
    """

    rounds: int = 100
    limiter_seconds: float = 600
    lock_seconds: float = 20
    fuzz_seconds: float = 600
    fuzz_bytes: int = 2_000_000
    stored: int = 1_000_000
    seed: int = 0
    enforced: int = 10
    least_share: float = 0.97

    def random(self, scenario: str) -> Random:
        """A scenario's own row of random numbers: it is the same whichever others run."""
        return Random(f"{self.seed} {scenario}")


@dataclass
class Workplace:
    """What a scenario works with.

    Attributes:
        root: the pipeline's folder.
        clock_file: holds what every process's clock is moved by.
        pipeline: the flows in this process, for what is not to be killed.
        names: the CSV files.
        sandbox: the provider.
        random: makes all choices.
        reader: reads while the scenario runs.
    """

    root: Path
    clock_file: Path
    pipeline: Pipeline
    names: Names
    sandbox: RunningSandbox
    random: Random
    reader: Reader
    _workers: list[Worker] = field(default_factory=list)

    def workers(self, number: int) -> list[Worker]:
        """So many processes that wait for a task."""
        new = [Worker(self.root, self.clock_file, self.sandbox) for _ in range(number)]
        self._workers += new
        return new

    def arrive(self, number: int, days: Sequence[str] = ()) -> None:
        """More rows in the files of some days, of a random one where none is named."""
        for day in days or [self.random.choice(self.names.days)]:
            self.names.arrive(day, number)

    def register(self) -> None:
        """Bring the ledger in line with the CSV files."""
        for day in self.names.days:
            register_day(self.pipeline, day)

    def advance_clock(self, **by: float) -> None:
        """Move the clock of every process."""
        self.pipeline.clock.advance(**by)

    def in_state(self, state: State) -> int:
        """Rows in a state, over all days."""
        return self.pipeline.counts_of_all()[state]

    def unfinished_files(self) -> int:
        """Files that a process left half written, where no reader looks."""
        return sum(1 for _ in (self.root / "output").glob(".unfinished/*"))

    def end_trouble(self) -> None:
        """The provider answers at once and without limits from now on; nobody works any more."""
        for worker in self._workers:
            worker.discard()
        self._workers.clear()
        calm = SandboxSettings()
        self.sandbox.change(
            **{name: getattr(calm, name) for name in calm.__struct_fields__ if name not in _KEPT}
        )

    def settle(self) -> None:
        """Have the pipeline come to its end, as its runs and its sensor would."""
        # Leases and pauses are over, and so is a clock that jumped back.
        self.advance_clock(hours=3)
        for _ in range(_RUNS_AFTERWARDS):
            self.register()
            for day in self.names.days:
                # Once more after what a 500 asks for; whoever is not sent by then is told of.
                with suppress(SubmissionStoppedError):
                    self.pipeline.submit(day)
            if not self.in_state(State.QUEUED) + self.in_state(State.SUBMITTING):
                break
            self.advance_clock(minutes=20)
        self.pipeline.settle()
        # As each tick does: publications that died over files of a newer one are given up.
        expire(self.pipeline.ledger, clock=self.pipeline.clock)
        with self.pipeline.ledger.read() as connection:
            news = partitions_with_news(connection)
        # The others' files are said to be up to date; the audit looks at them as well.
        for partition in news:
            self.pipeline.publish(partition.lookup_date)

    def discard_workers(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.discard()


@contextmanager
def opened_workplace(
    options: Options,
    scenario: str,
    *,
    root: Path | None = None,
    days: tuple[str, ...] = DAYS,
    with_reader: bool = True,
) -> Iterator[Workplace]:
    """A new workplace.

    Args:
        options: the seed.
        scenario: whose random numbers to use.
        root: an empty folder to work in; a temporary one if none is given. The clock lies outside.
        days: the partitions.
        with_reader: whether somebody reads all the while.
    """
    with ExitStack() as stack:
        outside = Path(stack.enter_context(TemporaryDirectory(prefix="campaign-")))
        root = root or outside / "pipeline"
        root.mkdir(exist_ok=True)
        random = options.random(scenario)
        sandbox = stack.enter_context(running_sandbox(seed=random.randrange(2**31)))
        pipeline = stack.enter_context(opened_pipeline(root, sandbox.base_url, sandbox.api_key))
        pipeline.clock = FileClock(outside / "clock")
        reader = stack.enter_context(
            Reader(pipeline.output, pipeline.ledger, days if with_reader else ())
        )
        names = Names(root / "names", days, random)
        place = Workplace(root, outside / "clock", pipeline, names, sandbox, random, reader)
        stack.callback(place.discard_workers)
        yield place


def result_of(
    place: Workplace,
    result: Result,
    *,
    doubt: bool = True,
    processed_500s: bool = False,
) -> Result:
    """End the trouble, settle, audit, and complete a scenario's result.

    Args:
        place: where it happened.
        result: what it found itself.
        doubt: whether its trouble may leave lookups in doubt.
        processed_500s: see `audit`.
    """
    violations = place.sandbox.requests().violations
    place.end_trouble()
    place.settle()
    place.reader.stop()
    found = audit(place.names, place.pipeline, place.sandbox, processed_500s=processed_500s)
    result.rows = place.names.total
    result.rows_lost = found.rows_lost
    result.double_charges = found.double_charges
    result.violations = violations
    result.half_files = len(place.reader.half_files)
    result.problems = [*result.problems, *found.problems, *place.reader.half_files[:_SHOWN]]
    if found.in_doubt and not doubt:
        result.problems.append(f"{found.in_doubt} lookups in doubt, without need")
    remarks = [result.remarks, f"{found.in_doubt} lookups in doubt"]
    if place.reader.mixed:
        remarks.append(f"{place.reader.mixed} times old files beside new ones")
    if processed_500s:
        remarks.append(f"{found.charged_after_500} charged again after a 500")
    result.remarks = "; ".join(filter(None, remarks))
    return result
