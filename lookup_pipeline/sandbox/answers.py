"""What the API sends back, and the refusals that end a request early.

The provider's error bodies vary; so do these, one shape a status, each taken from its documents.
"""

from typing import Any, NamedTuple

import msgspec

encode = msgspec.json.encode
JSON_TYPE = (b"content-type", b"application/json")
HTML_TYPE = (b"content-type", b"text/html; charset=utf-8")

# What a gateway in front of the provider answers when it is the one in trouble.
GATEWAY_PAGE = (
    b"<html><head><title>502 Bad Gateway</title></head>"
    b"<body><center><h1>502 Bad Gateway</h1></center></body></html>"
)


class Answer(NamedTuple):
    """One HTTP answer: its status, its body and its headers."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,)


class Refusal(Exception):  # noqa: N818 - a refused request is no error of the sandbox
    """A request that is answered by an error and not processed any further.

    Attributes:
        answer: The error as it is sent.
        violation: Whether the client went over a limit.
    """

    def __init__(
        self,
        status: int,
        body: dict[str, Any],
        *,
        retry_after: int | None = None,
        violation: bool = False,
    ) -> None:
        super().__init__(f"{status}: {body}")
        headers: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,)
        if retry_after:
            headers += ((b"retry-after", str(retry_after).encode()),)
        self.answer = Answer(status, encode(body), headers)
        self.violation = violation


def malformed(field: str, reason: str) -> Refusal:
    """A parameter that is missing or wrong: it will never succeed as it is."""
    return Refusal(400, {field: [reason]})


def wrong_key() -> Refusal:
    """The key is missing, unknown or withdrawn."""
    return Refusal(401, {"detail": "Invalid API key."})


def no_credits(credit_type: str) -> Refusal:
    """No credit of this kind is left: a matter of the account, not of the person."""
    return Refusal(402, {"status": 402, "message": f"Out of {credit_type} credits."})


def forbidden() -> Refusal:
    """The plan does not allow the operation."""
    return Refusal(403, {"detail": "Your plan does not allow this operation."})


def not_found() -> Refusal:
    """Nobody of this description is known. Costs nothing."""
    return Refusal(404, {"error": "No profile was found."})


def too_many(seconds: int) -> Refusal:
    """A limit is reached; the request was not processed and may come back in so many seconds."""
    return Refusal(
        429,
        {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
        retry_after=seconds,
        violation=True,
    )


def server_error() -> Answer:
    """An unexpected error of the provider."""
    return Answer(500, encode({"error": "Internal server error. Try again later."}))


def unavailable(retry_after_seconds: int) -> Refusal:
    """The provider is down. `retry_after_seconds` 0 leaves the header out."""
    message = {"status": 503, "message": "Service temporarily unavailable."}
    return Refusal(503, message, retry_after=retry_after_seconds)


def gateway_page(status: int) -> Answer:
    """The HTML a gateway sends in the provider's place."""
    return Answer(status, GATEWAY_PAGE, (HTML_TYPE,))
