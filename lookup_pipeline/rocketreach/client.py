"""The calls. One request each, never retried here: whoever calls decides on the error's class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import httpx
import msgspec

from lookup_pipeline.rocketreach.errors import (
    ErrorClass,
    Reply,
    RocketReachError,
    from_reply,
    from_transport,
    from_undecodable,
)
from lookup_pipeline.rocketreach.models import (
    Account,
    LookupAnswer,
    StatusAnswer,
    decode_account,
    decode_lookup,
    decode_statuses,
)
from lookup_pipeline.rocketreach.transport import Transport

LOOKUP_TYPES = ("standard", "premium", "phone", "enrich", "bulk")
"""The kinds of credit that a lookup may use."""

MAX_IDS = 100
"""Profile ids that one status call may carry (the provider's limit)."""

# Connect fast or not at all; the provider may think for a while before it answers a lookup.
TIMEOUT = httpx.Timeout(connect=5, write=10, read=25, pool=5)

# Polls carry little and are asked again anyway; a sensor's tick has 40 seconds in all.
POLL_TIMEOUT = httpx.Timeout(10, connect=5)

# Those are for one step each, and an answer that trickles has steps without end: so long may a
# whole request take, the resolution of the host's name included. A claim's lease
# (ledger.submissions.LEASE) is longer.
LOOKUP_SECONDS = 45.0
POLL_SECONDS = 15.0

# What an answer may hold, unpacked: a long career is some 100 KB, a status call answers a hundred,
# and sixteen lookups at once have to fit into memory.
LOOKUP_BYTES = 16 * 2**20
STATUS_BYTES = 64 * 2**20

_T = TypeVar("_T")


def is_http_url(url: str) -> bool:
    """Whether requests can be sent below this address."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)


class RocketReachClient:
    """The API, for use from several threads: as many connections as requests at once.

    httpx searches its pool for every request and slows down as the pool grows, so every transport
    here has a single connection, and serves one request at a time. The one used last is used next:
    few stay warm rather than all go cold, and a cold one makes its request late. httpx's client on
    top would add redirects, cookies and authentication, none of which this API has, and a third
    more work for each lookup.

    Raises:
        RocketReachError: the key can't be one.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            # httpx would quote it in its own error.
            raise RocketReachError(
                ErrorClass.ACCOUNT,
                "the API key holds characters that no key has (a line break, or letters beyond "
                "ASCII): check ROCKETREACH_API_KEY",
            )
        self._base_url = base_url.rstrip("/")
        # A user and password in it are for nobody's eyes.
        self._address = base_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        self._key = api_key
        self._headers = httpx.Headers(
            {
                "Api-Key": api_key,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "lookup-pipeline",
            }
        )
        self._clock = clock
        # Loading the certificates takes longer than a request: once for all threads.
        self._tls = httpx.create_ssl_context()
        # Taken and put back at the end, each in one step: no lock is needed.
        self._idle: list[Transport] = []
        # The first one loads what takes longer than a request may be late. An address that is none
        # is told by the request.
        with suppress(httpx.InvalidURL):
            self._idle.append(self._new_transport())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; no request may be under way."""
        while self._idle:
            self._idle.pop().close()

    def account(self) -> Account:
        """What the account may still spend; free of charge.

        Raises:
            RocketReachError: classified.
        """
        reply = self._get("/account/", {}, POLL_TIMEOUT, POLL_SECONDS, LOOKUP_BYTES)
        return _decoded(reply, decode_account)

    def lookup(self, parameters: Mapping[str, str | int], lookup_type: str) -> LookupAnswer:
        """Submit one lookup: this may cost a credit.

        Args:
            parameters: the query: `id`, or `linkedin_url`, or `email`, or `npi_number`, or `name`
                and `current_employer`, with `title` where known.
            lookup_type: which kind of credit it may use.

        Raises:
            RocketReachError: classified.
        """
        # Cached e-mails are unverified guesses; the default changed once, so say it.
        query = {**parameters, "lookup_type": lookup_type, "return_cached_emails": "false"}
        reply = self._get("/person/lookup", query, TIMEOUT, LOOKUP_SECONDS, LOOKUP_BYTES)
        return LookupAnswer(_decoded(reply, decode_lookup), reply.headers.get("RR-Request-ID"))

    def check_status(self, profile_ids: Sequence[int]) -> Sequence[StatusAnswer]:
        """Ask about up to `MAX_IDS` lookups; free of charge. Unknown ids are left out.

        Raises:
            RocketReachError: classified.
        """
        ids = {"ids": list(profile_ids)}
        reply = self._get("/person/checkStatus", ids, POLL_TIMEOUT, POLL_SECONDS, STATUS_BYTES)
        return _decoded(reply, decode_statuses)

    def _get(
        self,
        path: str,
        query: Mapping[str, str | int | list[int]],
        timeout: httpx.Timeout,
        seconds: float,
        size: int,
    ) -> Reply:
        """One request; a 2xx with all of its body, or an error."""
        transport: Transport | None = None
        try:
            request = httpx.Request(
                "GET",
                f"{self._base_url}{path}?{urlencode(query, doseq=True)}",
                headers=self._headers,
                extensions={"timeout": timeout.as_dict()},
            )
            with self._transport() as transport:
                reply = transport.send(request, seconds, size)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # The cause is left out on purpose: its text holds the URL, and that the person.
            sent = transport is not None and transport.sent
            raise from_transport(error, self._address, sent=sent) from None
        failure = from_reply(reply, self._clock(), secret=self._key)
        if failure is not None:
            raise failure
        return reply

    @contextmanager
    def _transport(self) -> Iterator[Transport]:
        try:
            transport = self._idle.pop()
        except IndexError:
            transport = self._new_transport()
        try:
            yield transport
        except BaseException:
            # Whatever state it is in, nobody else's answer may come out of it.
            transport.close()
            raise
        self._idle.append(transport)

    def _new_transport(self) -> Transport:
        return Transport(self._tls, _proxy(self._base_url))


def _decoded(reply: Reply, decode: Callable[[bytes], _T]) -> _T:
    try:
        return decode(reply.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise from_undecodable(reply, error) from None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address, as every client of Python reads it."""
    host = httpx.URL(url).host
    return None if proxy_bypass(host) else getproxies().get(url.split(":", 1)[0])
