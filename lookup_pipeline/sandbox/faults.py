"""Trouble on the way: which request meets which fault, and how a connection is broken off."""

import random
from enum import StrEnum

from starlette.types import Receive

from lookup_pipeline.sandbox.answers import Answer, gateway_page, server_error, unavailable
from lookup_pipeline.sandbox.settings import SandboxSettings


class Fault(StrEnum):
    """A fault, by the name of the setting that gives its probability."""

    DROP_BEFORE = "drop_connection_before"
    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    ERROR_502_HTML = "error_502_html"
    HTML_200 = "html_200"
    ERROR_500_AFTER = "error_500_after"
    DROP_AFTER = "drop_connection_after"
    CUT_BODY = "cut_body"


class Faults:
    """Draws the fault of each request from one row of numbers, which the seed fixes."""

    def __init__(self, seed: int) -> None:
        # S311: reproducible is what is wanted here, secret is not.
        self._draw = random.Random(seed)  # noqa: S311
        self._settings: SandboxSettings | None = None
        self._probable: list[tuple[Fault, float]] = []

    def next(self, settings: SandboxSettings) -> Fault | None:
        """The fault the next request meets, if any."""
        if settings is not self._settings:
            self._settings = settings
            probabilities = ((fault, getattr(settings, fault.value)) for fault in Fault)
            self._probable = [(fault, share) for fault, share in probabilities if share]
        for fault, probability in self._probable:
            if self._draw.random() < probability:
                return fault
        return None


def answer_instead(fault: Fault | None, settings: SandboxSettings) -> Answer | None:
    """The answer of a fault that keeps a request from being processed; None for the others."""
    match fault:
        case Fault.ERROR_500:
            return server_error()
        case Fault.ERROR_503:
            return unavailable(settings.retry_after_seconds).answer
        case Fault.ERROR_502_HTML:
            return gateway_page(502)
        case Fault.HTML_200:
            return gateway_page(200)
        case _:
            return None


async def close_connection(receive: Receive, *, after_what_was_sent: bool) -> None:
    """Break the client's connection off without (the rest of) an answer.

    ASGI has no word for this, so it reaches for the transport that stands behind `receive` in
    both of uvicorn's HTTP implementations.

    Args:
        receive: The request's.
        after_what_was_sent: Send what is still in the buffer first.
    """
    transport = receive.__self__.transport  # type: ignore[attr-defined]
    if after_what_was_sent:
        transport.close()
    else:
        transport.abort()
    # uvicorn answers 500 for an application that returns without an answer, unless it has
    # noticed by then that the client is gone.
    while (await receive())["type"] != "http.disconnect":
        pass
