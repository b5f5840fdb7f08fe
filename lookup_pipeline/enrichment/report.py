"""What a submission did, and why it stopped."""

from dataclasses import dataclass, replace
from datetime import datetime

from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.rocketreach import RocketReachError


@dataclass(frozen=True, slots=True)
class SubmissionReport:
    """What a submission did, in lookups.

    Attributes:
        accepted: the provider has taken them; complete or failed at once ones included.
        complete: had a profile at once.
        failed: ended at once without one.
        unconfirmed: may or may not have been processed.
        put_back: requests that went back into the queue.
        waits_until: when the rest may go out, where a limit or the provider stopped it.
        look_again_at: when it is worth a look whether it may already.
        in_cooldown: whether the provider asked for it (Retry-After).
        capped_by: the setting that stopped it, where one did; see `budget`.
        out_of_time: whether it ended because its time was up.
        credit_warning: that the account's credits are not recognised, where they are not.
    """

    accepted: int = 0
    complete: int = 0
    failed: int = 0
    unconfirmed: int = 0
    put_back: int = 0
    waits_until: datetime | None = None
    look_again_at: datetime | None = None
    in_cooldown: bool = False
    capped_by: str | None = None
    out_of_time: bool = False
    credit_warning: str | None = None

    @property
    def was_limited(self) -> bool:
        """Whether a limit ended it, the provider's or the operator's."""
        return self.waits_until is not None or self.capped_by is not None

    def with_answer(self, answer: Answer) -> "SubmissionReport":
        """The same with one more answer counted."""
        match answer.state:
            case State.QUEUED:
                return replace(self, put_back=self.put_back + 1)
            case State.UNCONFIRMED:
                return replace(self, unconfirmed=self.unconfirmed + 1)
            case State.FAILED:
                return replace(self, accepted=self.accepted + 1, failed=self.failed + 1)
            case State.COMPLETE:
                return replace(self, accepted=self.accepted + 1, complete=self.complete + 1)
            case _:
                return replace(self, accepted=self.accepted + 1)


class SubmissionStoppedError(Exception):
    """Submission stopped for a reason that is not the people's; the rest stays queued.

    Attributes:
        error: what the API, or the way to it, said last.
        report: what was done before.
    """

    def __init__(self, summary: str, error: RocketReachError, report: SubmissionReport) -> None:
        super().__init__(f"{summary}: {error}")
        self.error = error
        self.report = report
