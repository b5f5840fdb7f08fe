"""Runs of the project's jobs in this process, recorded in the instance that the UI shows."""

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dagster import DagsterInstance, Definitions, ExecuteInProcessResult
from dagster._core.events import RunFailureReason
from dagster._core.utils import make_new_run_id

from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.ledger import FailureKind
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import process_tags
from lookup_pipeline.run_tags import ASKED_AT_TAG

# Dagster's own log goes to the UI; here it would tear the bar apart. Errors are printed instead.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# Dagster puts an error's class before its words.
_OUR_NAMES = re.compile(r"^lookup_pipeline\.[\w.]+: ")


class RunFailedError(WorkFailedError):
    """A run failed; the message is its first error.

    Attributes:
        result: what it did before.
        about_a_file: whether a file of the partition's own is at fault, and no other partition
            would meet the same.
    """

    def __init__(self, text: str, result: ExecuteInProcessResult, *, about_a_file: bool) -> None:
        super().__init__(text)
        self.result = result
        self.about_a_file = about_a_file


@dataclass(frozen=True)
class Words:
    """What an operator says to a run of `lookups`.

    Attributes:
        max_new: lookups that it may send; None for any number.
        force_refresh: whether everybody is looked up again.
        resubmit: the failures to send again.
    """

    max_new: int | None = None
    force_refresh: bool = False
    resubmit: Collection[FailureKind] = ()


@dataclass(frozen=True)
class Runner:
    """Runs jobs for a partition, within a time.

    Attributes:
        definitions: the project's, whose jobs are run.
        instance: where the runs are recorded.
        end: when (monotonic) to send nothing more.
        asked_at: when the user gave the command.
    """

    definitions: Definitions
    instance: DagsterInstance
    end: float
    asked_at: datetime = field(default_factory=utc_now)

    @property
    def seconds_left(self) -> float:
        """Seconds until the end; 0 after it."""
        return max(self.end - time.monotonic(), 0)

    def enrich(self, lookup_date: str, words: Words) -> ExecuteInProcessResult:
        """Read, register, submit, publish.

        Raises:
            RunFailedError: the run failed.
            KeyboardInterrupt: it was interrupted.
        """
        return self._execute("enrichment_job", lookup_date, self._config(words))

    def submit(self, lookup_date: str, resubmit: Collection[FailureKind] = ()) -> None:
        """Submit what is queued, reading no file; raises as `enrich` does.

        Args:
            lookup_date: partition key.
            resubmit: the failures to send again.
        """
        job = "resubmit_job" if resubmit else "submission_job"
        self._execute(job, lookup_date, self._config(Words(resubmit=resubmit)))

    def publish(self, lookup_date: str) -> None:
        """Publish from the ledger; raises as `enrich` does."""
        self._execute("publish_job", lookup_date, {})

    def _config(self, words: Words) -> dict[str, Any]:
        config: dict[str, Any] = {
            "max_seconds": self.seconds_left,
            "force_refresh": words.force_refresh,
            "resubmit": [kind.value for kind in words.resubmit],
        }
        if words.max_new is not None:
            config["max_new_lookups"] = words.max_new
        return {"ops": {"lookups": {"config": config}}}

    def _execute(
        self, job: str, lookup_date: str, config: Mapping[str, Any]
    ) -> ExecuteInProcessResult:
        run_id = make_new_run_id()
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_id=run_id,
            partition_key=lookup_date,
            run_config={**_QUIET, **config},
            # Whoever typed the command runs it again; the daemon does not.
            tags={
                **process_tags(run_id),
                ASKED_AT_TAG: self.asked_at.isoformat(),
                "dagster/max_retries": "0",
            },
            raise_on_error=False,
        )
        if _was_interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            reason, about_a_file = _first_error(result)
            text = f"{job} of {lookup_date} failed: {reason}"
            raise RunFailedError(text, result, about_a_file=about_a_file)
        return result


def _was_interrupted(result: ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C ended the run: Dagster makes an ordinary failure of it."""
    reasons = [
        event.job_failure_data.failure_reason for event in result.all_events if event.is_job_failure
    ]
    return RunFailureReason.UNEXPECTED_TERMINATION in reasons


def _first_error(result: ExecuteInProcessResult) -> tuple[str, bool]:
    """Why the first step failed, and whether one file of its input was the reason."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if (failure := data.user_failure_data) and failure.description:
                return failure.description, "file" in failure.metadata
            if data.error:
                # What the asset raised, without Dagster's frames around it: those are in the UI.
                error = data.error.cause or data.error
                return _OUR_NAMES.sub("", error.message.strip()), False
    return "see the run in the Dagster UI", False
