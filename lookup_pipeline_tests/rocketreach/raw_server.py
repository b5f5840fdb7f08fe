"""A server on a real socket that answers what a test says, down to the byte."""

import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Ending(Enum):
    """What becomes of the connection after the answer."""

    KEEP = "kept for the next request"
    CLOSE = "closed"
    RESET = "reset"
    SILENCE = "left open, and nothing more is said"


class Said(NamedTuple):
    """An answer in parts, sent as they come, with an ending of its own."""

    parts: Iterable[bytes]
    ending: Ending = Ending.KEEP


Answer = bytes | Callable[["Request"], bytes | Said]


class Request:
    """One request as it arrived."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.target = first.split(" ")[1]
        self.path = urlsplit(self.target).path
        self.query = parse_qs(urlsplit(self.target).query)
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }


class RawServer:
    """Answers every request alike, and remembers what came."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Answer,
        ending: Ending,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._ending = ending
        self._tls = tls
        self._over = threading.Event()
        self.port: int = listener.getsockname()[1]
        self.requests: list[Request] = []
        self.connections = 0
        self.closed_by_client = 0

    @property
    def base_url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/api/v2"

    def lookups(self) -> Counter[str]:
        """How often each person's lookup came, by the name asked for."""
        return Counter(
            request.query["name"][0]
            for request in self.requests
            if request.path.endswith("/person/lookup")
        )

    def accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        # Wakes `accept`, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError), self._greeted(accepted) as connection:
            while head := self._head(connection):
                if not head.startswith(b"GET "):
                    # As real servers do with a TLS greeting on a plain port.
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
                request = Request(head)
                self.requests.append(request)
                answer = self._answer if isinstance(self._answer, bytes) else self._answer(request)
                said = answer if isinstance(answer, Said) else Said([answer], self._ending)
                for part in said.parts:
                    connection.sendall(part)
                if said.ending is Ending.RESET:
                    reset_on_close(connection)
                if said.ending is Ending.SILENCE:
                    self._over.wait(30)
                if said.ending is not Ending.KEEP:
                    return
            self.closed_by_client += 1

    def _greeted(self, accepted: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted

    @staticmethod
    def _head(connection: socket.socket) -> bytes:
        """A request's head; what has come so far when it is no HTTP; empty at the end."""
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65_536)
            head += part
            if not part or not head.startswith(b"GET "[: len(head)]):
                return head
        return head.partition(b"\r\n\r\n")[0]


def reset_on_close(connection: socket.socket) -> None:
    """Have a connection end with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def raw_server(
    answer: Answer, ending: Ending = Ending.KEEP, *, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """A server on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener, answer, ending, tls)
        threading.Thread(target=server.accept, daemon=True).start()
        try:
            yield server
        finally:
            server.stop()


def http(
    status: int,
    body: bytes = b"",
    content_type: str = "application/json",
    *,
    promised: int | None = None,
    **headers: str,
) -> bytes:
    """An HTTP answer; `promised` is the length it claims to have, when not its own."""
    length = len(body) if promised is None else promised
    head = {"Content-Type": content_type, "Content-Length": str(length)}
    head |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + body


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def closing_server() -> Iterator[str]:
    """The address of a server that resets every connection as soon as it is made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    reset_on_close(connection)
                    connection.close()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def full_server() -> Iterator[str]:
    """The address of a server that takes no connection any more: whoever tries waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2"
