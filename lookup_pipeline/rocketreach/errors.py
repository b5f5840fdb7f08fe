"""Everything that can go wrong with a request, classified once.

All the rest of the project branches on `ErrorClass` and on nothing else.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx
import msgspec


class ErrorClass(Enum):
    """What an error means for the lookup and for those behind it."""

    NOT_PROCESSED = "not processed"
    """Certainly not processed: send it again later. Refused connection, 429, 503."""
    RETRYABLE = "retryable"
    """The provider documents that it may be sent again: 500."""
    AMBIGUOUS = "ambiguous"
    """Perhaps processed, perhaps charged: never send it again on our own."""
    QUERY = "query"
    """This query will never work; other queries will. 400, 404, 422 …"""
    ACCOUNT = "account"
    """Nothing will work until the account is mended: 401, 402, 403."""


class RocketReachError(Exception):
    """A request that did not bring an answer.

    Attributes:
        error_class: what follows from it.
        status: the HTTP status, if there was an answer.
        reason: the provider's words, or ours; never a key, never contact data.
        retry_after: how long the provider wants silence, if it said so.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        reason: str,
        *,
        status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason if status is None else f"HTTP {status}: {reason}")
        self.error_class = error_class
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


# The provider's documented statuses, and those that gateways in front of it answer. An unlisted
# 4xx is the query's fault; an unlisted 5xx says nothing of whether the request was processed.
_CLASSES = {
    401: ErrorClass.ACCOUNT,
    402: ErrorClass.ACCOUNT,
    403: ErrorClass.ACCOUNT,
    408: ErrorClass.AMBIGUOUS,
    425: ErrorClass.NOT_PROCESSED,
    429: ErrorClass.NOT_PROCESSED,
    500: ErrorClass.RETRYABLE,
    503: ErrorClass.NOT_PROCESSED,
}

_ACCOUNT_CURES = {
    401: "The provider does not accept the API key: check ROCKETREACH_API_KEY.",
    402: "The account is out of credits of this kind: buy more, or wait for the next period.",
    403: "The plan does not allow this operation: check the plan and ROCKETREACH_LOOKUP_TYPE.",
}

# The connection was never made, or no request ever left: none was free, or it was refused here.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)


def from_response(response: httpx.Response, now: datetime) -> RocketReachError | None:
    """The error an answer stands for; None for a 2xx."""
    status = response.status_code
    if response.is_success:
        return None
    # The provider's own 404 is JSON and is about the person; any other one, or a redirect, means
    # that something else answers at this address.
    if status < 400 or (status == 404 and not _is_json(response)):
        return RocketReachError(
            ErrorClass.ACCOUNT,
            "what answers is not the API: check ROCKETREACH_BASE_URL, which ends in /api/v2",
            status=status,
        )
    unlisted = ErrorClass.QUERY if status < 500 else ErrorClass.AMBIGUOUS
    reason = _reason(response)
    if status in _ACCOUNT_CURES:
        reason = f"{reason} {_ACCOUNT_CURES[status]}"
    return RocketReachError(
        _CLASSES.get(status, unlisted),
        reason,
        status=status,
        retry_after=parse_retry_after(response.headers.get("Retry-After"), now),
    )


def from_transport(error: httpx.HTTPError) -> RocketReachError:
    """The error that a failed request stands for: what matters is whether it may have left."""
    kind = type(error).__name__
    if isinstance(error, _NEVER_SENT):
        return RocketReachError(
            ErrorClass.NOT_PROCESSED, f"no connection to the API ({kind}: {error})"
        )
    return RocketReachError(
        ErrorClass.AMBIGUOUS, f"the connection failed before the answer was complete ({kind})"
    )


def from_undecodable(response: httpx.Response, error: msgspec.DecodeError) -> RocketReachError:
    """The error that a 200 with an unusable body stands for: it may well have been charged."""
    kind = response.headers.get("Content-Type", "no content type")
    return RocketReachError(
        ErrorClass.AMBIGUOUS,
        f"the answer is not the JSON it should be ({kind}; {type(error).__name__})",
        status=response.status_code,
    )


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """`Retry-After` in seconds or as a date (RFC 9110, 10.2.3); None when absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    if not 0 <= seconds < 366 * 86_400:
        return timedelta(0) if seconds < 0 else None
    return timedelta(seconds=seconds)


def _is_json(response: httpx.Response) -> bool:
    try:
        msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return False
    return True


# A reason is for a person to read: enough for a sentence, not for a gateway's HTML page.
_REASON_LENGTH = 300


def _reason(response: httpx.Response) -> str:
    """The provider's words, whichever of its shapes they come in."""
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return f"{response.reason_phrase} (the answer is not JSON)"
    if not isinstance(body, dict) or not body:
        return response.reason_phrase
    for key in ("detail", "error", "message"):
        if body.get(key):
            return str(body[key])[:_REASON_LENGTH]
    fields = (
        f"{field}: {'; '.join(map(str, said)) if isinstance(said, list) else said}"
        for field, said in body.items()
    )
    return ", ".join(fields)[:_REASON_LENGTH]
