"""What the sandbox writes down about itself, as its control endpoints show it to a test."""

from typing import Any

from msgspec import Struct


class Charge(Struct, frozen=True, kw_only=True):
    """One payment: a lookup that found what was asked for.

    Attributes:
        at: When, in the sandbox's seconds since the epoch.
        request_id: The lookup's `RR-Request-ID`.
        profile_id: Whom it found.
        query: The lookup as it was received.
        credit_type: Which credits were spent.
        credits: How many.
        lookup_count: How many lookups of this person were charged so far, this one included.
            Above 1, somebody paid twice.
    """

    at: float
    request_id: str
    profile_id: int
    query: dict[str, Any]
    credit_type: str
    credits: int
    lookup_count: int


class Submission(Struct, frozen=True, kw_only=True):
    """One lookup that was processed; each query of a bulk job is one.

    Attributes:
        at: When, in the sandbox's seconds since the epoch.
        operation: The operation it came by.
        request_id: The `RR-Request-ID` of its answer; one for all queries of a bulk job.
        query: The lookup as it was received, its metadata included.
        profile_id: Whom it means.
        outcome: How it ends: `found`, `without_contact`, `failed` or `not_found`.
    """

    at: float
    operation: str
    request_id: str
    query: dict[str, Any]
    profile_id: int
    outcome: str

    @property
    def metadata(self) -> Any:
        """The caller's own data, as received."""
        return self.query.get("metadata")


class RequestCounts(Struct, frozen=True, kw_only=True):
    """How many requests came, and what they were answered.

    Attributes:
        by_operation: Requests by operation.
        by_answer: Requests by HTTP status, or by `dropped_before`, `dropped_after`, `cut_body`.
        violations: Requests refused because they went over a limit.
    """

    by_operation: dict[str, int]
    by_answer: dict[str, int]
    violations: int

    @property
    def total(self) -> int:
        """All requests to the API."""
        return sum(self.by_operation.values())


class Delivery(Struct, frozen=True, kw_only=True):
    """One webhook delivery, sent or lost.

    Attributes:
        at: When, in the sandbox's seconds since the epoch.
        request_id: The lookup's or the bulk job's `RR-Request-ID`.
        webhook_id: Which webhook.
        profiles: How many profiles it carried.
        answer: The receiver's HTTP status; None when it was lost or nobody answered.
    """

    at: float
    request_id: str
    webhook_id: int
    profiles: int
    answer: int | None
