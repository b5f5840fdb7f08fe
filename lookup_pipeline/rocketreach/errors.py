"""Everything that can go wrong with a request, classified once.

All the rest of the project branches on `ErrorClass` and on nothing else.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isnan

import httpx
import msgspec


class ErrorClass(Enum):
    """What an error means for the lookup and for those behind it."""

    NOT_PROCESSED = "not processed"
    """Certainly not processed: send it again later. No connection, 429, 503."""
    RETRYABLE = "retryable"
    """The provider documents that it may be sent again: 500."""
    AMBIGUOUS = "ambiguous"
    """Perhaps processed, perhaps charged: never send it again on our own."""
    QUERY = "query"
    """This query will never work; other queries will. 400, 404, 422 …"""
    ACCOUNT = "account"
    """Nothing will work until the account is mended: 401, 402, 403."""


_CONTACT_DATA = re.compile(r"[^\s@'\"<>]+@[^\s@'\"<>]+|\+?\d[\d\s().-]{6,}\d")


class RocketReachError(Exception):
    """A request that did not bring an answer.

    Attributes:
        error_class: what follows from it.
        status: the HTTP status, if there was an answer.
        reason: the provider's words, or ours; never a key. The error's own text is the same
            without e-mail addresses and phone numbers, which the provider may repeat: it goes to
            logs.
        retry_after: how long the provider wants silence, if it said so.
        address: host and port of the API, told with the reason where the way there is at fault.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        reason: str,
        *,
        status: int | None = None,
        retry_after: timedelta | None = None,
        address: str | None = None,
    ) -> None:
        text = _CONTACT_DATA.sub("…", reason)
        if address:
            text += f"; the API's address is {address}"
        super().__init__(text if status is None else f"HTTP {status}: {text}")
        self.error_class = error_class
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.address = address


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came.

    Attributes:
        status: the HTTP status.
        phrase: the words beside it.
        headers: all of them.
        body: unpacked; empty where it is flawed.
        flaw: why there is no whole body, if so.
    """

    status: int
    phrase: str
    headers: httpx.Headers
    body: bytes
    flaw: str | None


# What a status says by itself, whatever its body: the provider's documented ones, and those that
# gateways in front of it answer. An unlisted 4xx is the query's fault; an unlisted 5xx says
# nothing of whether the request was processed.
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
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
)


def from_reply(reply: Reply, now: datetime, *, secret: str) -> RocketReachError | None:
    """The error an answer stands for; None for a 2xx that is whole.

    Args:
        reply: the answer.
        now: the current time, for a `Retry-After` that is a date.
        secret: the API key, masked wherever the provider repeats it.
    """
    status = reply.status
    if 200 <= status < 300:
        if reply.flaw is None:
            return None
        return RocketReachError(ErrorClass.AMBIGUOUS, reply.flaw, status=status)
    body = _json(reply)
    # The provider's own 404 is JSON and is about the person; any other one, or a redirect, means
    # that something else answers at this address.
    if status < 400 or (status == 404 and body is _NOT_JSON and reply.flaw is None):
        return RocketReachError(
            ErrorClass.ACCOUNT,
            "what answers is not the API: check ROCKETREACH_BASE_URL, which ends in /api/v2",
            status=status,
        )
    if status == 400 and isinstance(body, dict) and set(body) == {"lookup_type"}:
        return RocketReachError(
            ErrorClass.ACCOUNT,
            f"{_reason(reply, body, secret)}: check ROCKETREACH_LOOKUP_TYPE",
            status=status,
        )
    retry_after = parse_retry_after(reply.headers.get("Retry-After"), now)
    reason = _reason(reply, body, secret)
    if status in _ACCOUNT_CURES:
        reason = f"{reason} {_ACCOUNT_CURES[status]}"
        if body is _NOT_JSON:
            reason += " Or it is not the API that answers: a proxy or firewall on the way may."
    return RocketReachError(_class(reply), reason, status=status, retry_after=retry_after)


def _class(reply: Reply) -> ErrorClass:
    if reply.status in _CLASSES:
        return _CLASSES[reply.status]
    # Of a body that did not come whole, nobody knows whom it blames.
    if reply.status >= 500 or reply.flaw is not None:
        return ErrorClass.AMBIGUOUS
    return ErrorClass.QUERY


_WAY = "check the network and ROCKETREACH_BASE_URL"


def from_transport(
    error: httpx.HTTPError | httpx.InvalidURL | UnicodeError, address: str, *, sent: bool
) -> RocketReachError:
    """The error that a request without an answer stands for: what matters is whether it left.

    Args:
        error: httpx's own, or Python's about a host that can be none.
        address: host and port that it was meant for.
        sent: whether the request may have been written to its end.
    """
    kind = type(error).__name__
    not_an_address = httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError
    if not sent and isinstance(error, not_an_address):
        return RocketReachError(
            ErrorClass.ACCOUNT,
            "the API's address is no URL: check ROCKETREACH_BASE_URL, which ends in /api/v2",
        )
    if isinstance(error, httpx.ConnectError):
        return RocketReachError(
            ErrorClass.NOT_PROCESSED, f"no connection to the API ({error}): {_WAY}", address=address
        )
    if isinstance(error, _NEVER_SENT) or not sent:
        # Its text is left out: it may quote a header, and a header holds the key.
        return RocketReachError(
            ErrorClass.NOT_PROCESSED, f"no connection to the API ({kind}): {_WAY}", address=address
        )
    return RocketReachError(
        ErrorClass.AMBIGUOUS, f"the connection failed before an answer came ({kind})"
    )


def from_undecodable(reply: Reply, error: Exception) -> RocketReachError:
    """The error that a 200 with an unusable body stands for: it may well have been charged."""
    kind = reply.headers.get("Content-Type", "no content type")
    return RocketReachError(
        ErrorClass.AMBIGUOUS,
        f"the answer is not the JSON it should be ({kind}; {type(error).__name__})",
        status=reply.status,
    )


LONGEST_COOLDOWN = timedelta(hours=1)
"""For so long a `Retry-After` is obeyed. Then one request asks whether it still holds: the account
call tells of a window that is used up, and nothing else takes longer."""


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """`Retry-After` in seconds or as a date (RFC 9110, 10.2.3), as far as it is obeyed.

    None when absent or unreadable.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except (OverflowError, ValueError):
            # A year or an offset that no date has.
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    if isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0), LONGEST_COOLDOWN.total_seconds()))


_NOT_JSON = object()


def _json(reply: Reply) -> object:
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        return _NOT_JSON


# A reason is for a person to read: enough for a sentence, not for a gateway's HTML page.
_REASON_LENGTH = 300


def _reason(reply: Reply, body: object, secret: str) -> str:
    return _words(reply, body).replace(secret, "…")[:_REASON_LENGTH]


def _words(reply: Reply, body: object) -> str:
    """The provider's words, whichever of its shapes they come in."""
    if body is _NOT_JSON:
        return f"{reply.phrase} ({reply.flaw or 'the answer is not JSON'})"
    if not isinstance(body, dict) or not body:
        return reply.phrase
    for key in ("detail", "error", "message"):
        if body.get(key):
            return str(body[key])
    return ", ".join(
        f"{field}: {'; '.join(map(str, said)) if isinstance(said, list) else said}"
        for field, said in body.items()
    )
