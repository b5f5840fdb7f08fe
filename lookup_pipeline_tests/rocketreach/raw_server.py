"""A server on a real socket that answers what a test says, down to the byte."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from urllib.parse import parse_qs, urlsplit


class Ending(Enum):
    """What becomes of the connection after the answer."""

    KEEP = "kept for the next request"
    CLOSE = "closed"
    RESET = "reset"
    SILENCE = "left open, and nothing more is said"


Answer = bytes | Callable[["Request"], bytes]


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

    def __init__(self, listener: socket.socket, answer: Answer, ending: Ending) -> None:
        self._listener = listener
        self._answer = answer
        self._ending = ending
        self._over = threading.Event()
        self.port: int = listener.getsockname()[1]
        self.requests: list[Request] = []
        self.connections = 0
        self.closed_by_client = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

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

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while head := self._head(connection):
                if not head.startswith(b"GET "):
                    # As real servers do with a TLS greeting on a plain port.
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
                request = Request(head)
                self.requests.append(request)
                answer = self._answer
                connection.sendall(answer if isinstance(answer, bytes) else answer(request))
                if self._ending is Ending.RESET:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if self._ending is Ending.SILENCE:
                    self._over.wait(30)
                if self._ending is not Ending.KEEP:
                    return
            self.closed_by_client += 1

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


@contextmanager
def raw_server(answer: Answer, ending: Ending = Ending.KEEP) -> Iterator[RawServer]:
    """A server on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener, answer, ending)
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
