"""One connection, where nothing is without end: no request in time, no answer in size."""

import queue
import socket
import threading
import time
import zlib
from contextlib import closing
from ssl import SSLContext
from typing import Any

import httpx

from lookup_pipeline.rocketreach.errors import Reply

# An idle connection that the server closes at the very moment of use loses a request, and a lost
# lookup is an unconfirmed one: drop connections well before common servers do.
_KEEP_ALIVE_SECONDS = 4


class Transport(httpx.HTTPTransport):
    """One connection, and one request at a time, each with an end in time and in size."""

    def __init__(self, tls: SSLContext, proxy: str | None) -> None:
        super().__init__(
            verify=tls,
            proxy=proxy,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEEP_ALIVE_SECONDS),
        )
        # httpx hands no network on to its pool, which could take one.
        pool: Any = self._pool
        self._network = _Network(pool._network_backend)  # noqa: SLF001
        pool._network_backend = self._network  # noqa: SLF001

    @property
    def sent(self) -> bool:
        """Whether the last request may have left."""
        return self._network.sent

    def send(self, request: httpx.Request, seconds: float, size: int) -> Reply:
        """The answer, or as much of it as came; its head at least.

        Raises:
            httpx.HTTPError: there is no head.
        """
        self._network.begin(seconds)
        # Closing ends the connection, unless the answer has been read to its end.
        with closing(self.handle_request(request)) as response:
            body = bytearray()
            flaw = None
            try:
                for part in response.iter_raw():
                    body += part
                    if len(body) > size:
                        break
            except httpx.HTTPError as error:
                flaw = f"the connection failed before the answer was complete ({_kind(error)})"
        unpacked = b""
        if flaw is None:
            unpacked, flaw = _unpacked(bytes(body), response.headers, size)
        return Reply(response.status_code, response.reason_phrase, response.headers, unpacked, flaw)


class _Network:
    """The network as httpx's pool uses it: no step goes beyond the end of the request."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._ends_at = 0.0
        self.sent = False

    def begin(self, seconds: float) -> None:
        """A request begins, which may take so long."""
        self._ends_at = time.monotonic() + seconds
        self.sent = False

    def left(self, timeout: float | None, too_late: type[httpx.TimeoutException]) -> float:
        """How long the next step may take."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise too_late("the time of the whole request is over")
        return left if timeout is None else min(left, timeout)

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> "_Stream":
        addresses = _resolve(host, port, self.left(timeout, httpx.ConnectTimeout))
        for place, address in enumerate(addresses, start=1):
            left = self.left(timeout, httpx.ConnectTimeout)
            try:
                stream = self._network.connect_tcp(address, port, left, **options)
            except Exception:
                if place == len(addresses):
                    raise
            else:
                return _Stream(stream, self)
        raise httpx.ConnectError("the host has no address")


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Find a host's addresses within a time.

    The system's resolver takes none: a name server that does not answer would hold a request for
    longer than its claim lasts. It goes on in a thread of its own, and nobody waits for it.

    Raises:
        httpx.ConnectTimeout: the time is over.
        httpx.ConnectError: there is no such host.
        UnicodeError: it can be no host.
    """
    found: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            found.put(error)
        else:
            found.put([str(address[4][0]) for address in addresses])

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise httpx.ConnectTimeout("the host's name was not resolved in time") from None
    if isinstance(result, OSError):
        raise httpx.ConnectError(str(result))
    if isinstance(result, UnicodeError):
        raise result
    return result


class _Stream:
    """A connection, as httpx's pool uses it."""

    def __init__(self, stream: Any, network: _Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._network.left(timeout, httpx.ReadTimeout)
        return self._stream.read(max_bytes, left)  # type: ignore[no-any-return]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left(timeout, httpx.WriteTimeout))
        # Only now: a head that was not written to its end is no request to anybody. Nor is what
        # asks a proxy for a way to the API.
        if buffer and not buffer.startswith(b"CONNECT "):
            self._network.sent = True

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "_Stream":
        left = self._network.left(timeout, httpx.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _unpacked(body: bytes, headers: httpx.Headers, size: int) -> tuple[bytes, str | None]:
    """A body without its gzip, or what is wrong with it."""
    encoding = headers.get("Content-Encoding")
    if encoding is not None and body:
        if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
            return b"", "the answer is packed in a way that was not asked for"
        # 32 more: with gzip's head or with zlib's.
        unpacking = zlib.decompressobj(zlib.MAX_WBITS + 32)
        try:
            body = unpacking.decompress(body, size + 1)
        except zlib.error:
            return b"", "the answer can't be unpacked"
        if not unpacking.eof and len(body) <= size:
            return b"", "the answer ends before its end"
    if len(body) > size:
        return b"", f"the answer is larger than {size >> 20} MB"
    return body, None


def _kind(error: BaseException) -> str:
    return type(error).__name__
