"""No answer is so slow, or so large, that it holds a worker or the memory for ever."""

import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from lookup_pipeline.ledger.submissions import LEASE
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError
from lookup_pipeline.rocketreach import client as client_module
from lookup_pipeline_tests.rocketreach.raw_server import (
    Answer,
    Ending,
    RawServer,
    Request,
    Said,
    http,
    raw_server,
)

PROFILE = b'{"id": 7, "status": "complete"}'
STEP = 0.05

Call = Callable[[RocketReachClient], object]
CALLS: dict[str, Call] = {
    "lookup": lambda client: client.lookup({"name": "Ada"}, "standard"),
    "poll": lambda client: client.check_status([7]),
    "account": lambda client: client.account(),
}

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def gzip(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    return packing.compress(body) + packing.flush()


def trickle(said: bytes) -> Iterator[bytes]:
    for byte in said:
        yield bytes([byte])
        time.sleep(STEP)


def slow_body(_request: Request) -> Said:
    whole = http(200, PROFILE)
    at = whole.index(b"{") + 1
    return Said(part for parts in ([whole[:at]], trickle(whole[at:])) for part in parts)


def slow_head(_request: Request) -> Said:
    return Said(trickle(http(200, PROFILE)))


def slow_chunks(_request: Request) -> Said:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Said(part for parts in ([head], (b"1\r\n \r\n" for _ in endless())) for part in parts)


def falling_silent(_request: Request) -> Said:
    return Said([http(200, PROFILE)[:-9]], Ending.SILENCE)


def endless() -> Iterator[None]:
    while True:
        yield
        time.sleep(STEP)


def failure(server: RawServer, call: Call) -> RocketReachError:
    with (
        RocketReachClient(server.base_url, "key") as client,
        pytest.raises(RocketReachError) as raised,
    ):
        call(client)
    return raised.value


@each_call
@pytest.mark.parametrize("answer", [slow_body, slow_head, slow_chunks, falling_silent])
def test_a_slow_answer_ends_with_the_time_of_the_request(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, call: Call
) -> None:
    """Each byte comes well within httpx's own time-out, which is for one read."""
    monkeypatch.setattr(client_module, "LOOKUP_SECONDS", 0.3)
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0.3)
    with raw_server(answer) as server:
        begun = time.monotonic()
        error = failure(server, call)
        assert 0.3 <= time.monotonic() - begun < 2
    assert error.error_class is ErrorClass.AMBIGUOUS
    assert "ReadTimeout" in error.reason


def test_a_request_ends_before_the_claim_on_its_lookup_does() -> None:
    assert LEASE.total_seconds() > client_module.LOOKUP_SECONDS


def too_large(*, packed: bool) -> Answer:
    body = b" " * (client_module.STATUS_BYTES + 1)
    return http(200, gzip(body), Content_Encoding="gzip") if packed else http(200, body)


@each_call
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_beyond_its_size_is_ambiguous_packed_or_not(call: Call, packed: bool) -> None:
    with raw_server(too_large(packed=packed)) as server:
        error = failure(server, call)
    assert error.error_class is ErrorClass.AMBIGUOUS
    assert error.status == 200
    assert "larger than" in error.reason


def test_a_bomb_takes_no_more_memory_than_the_largest_answer() -> None:
    packed = gzip(bytes(200 * 2**20))
    with raw_server(http(200, packed, Content_Encoding="gzip")) as server:
        tracemalloc.start()
        try:
            failure(server, CALLS["lookup"])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * client_module.LOOKUP_BYTES


def test_a_status_answer_of_50_mb_is_an_answer() -> None:
    entries = [
        {"id": number, "status": "complete", "description": "x" * 500_000} for number in range(100)
    ]
    body = msgspec.json.encode(entries)
    with (
        raw_server(http(200, body)) as server,
        RocketReachClient(server.base_url, "key") as client,
    ):
        assert len(client.check_status(range(100))) == 100


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip(PROFILE)),
        ("GZIP", gzip(PROFILE)),
        ("x-gzip", gzip(PROFILE)),
        ("deflate", zlib.compress(PROFILE)),
    ],
)
def test_a_packed_answer_is_unpacked(encoding: str, packed: bytes) -> None:
    with (
        raw_server(http(200, packed, Content_Encoding=encoding)) as server,
        RocketReachClient(server.base_url, "key") as client,
    ):
        answer = client.lookup({"name": "Ada"}, "standard")
    assert answer.head.payload == PROFILE
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"this is no gzip"),
        ("gzip", gzip(PROFILE)[:-9]),
        ("gzip", gzip(PROFILE)[:-1]),
        ("br", gzip(PROFILE)),
        ("gzip, gzip", gzip(gzip(PROFILE))),
    ],
)
def test_what_can_not_be_unpacked_is_ambiguous(encoding: str, packed: bytes) -> None:
    with raw_server(http(200, packed, Content_Encoding=encoding)) as server:
        assert failure(server, CALLS["lookup"]).error_class is ErrorClass.AMBIGUOUS


BROKEN: dict[str, bytes | Said] = {
    "too large": http(200, b" " * (64 * 2**20)),
    "no gzip, and more to come": http(200, b"no gzip", Content_Encoding="gzip", promised=99),
    "silence in the middle": Said([http(200, b'{"id": 6', promised=99)], Ending.SILENCE),
    "cut short": Said([http(200, b'{"id": 6', promised=99)], Ending.CLOSE),
    "reset": Said([http(200, b'{"id": 6', promised=99)], Ending.RESET),
    "no HTTP": Said([b"220 mail.example.net ESMTP\r\n"], Ending.SILENCE),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_connection_that_brought_half_an_answer_is_never_used_again(
    monkeypatch: pytest.MonkeyPatch, broken: bytes | Said
) -> None:
    """Its other half would be taken for the answer about the next person."""
    monkeypatch.setattr(client_module, "LOOKUP_SECONDS", 0.3)
    answers = iter([broken, http(200, PROFILE), http(200, PROFILE)])
    with (
        raw_server(lambda _request: next(answers)) as server,
        RocketReachClient(server.base_url, "key") as client,
    ):
        with pytest.raises(RocketReachError) as raised:
            CALLS["lookup"](client)
        assert raised.value.error_class is ErrorClass.AMBIGUOUS
        for _ in range(2):
            assert client.lookup({"name": "Ada"}, "standard").head.profile_id == 7
        assert server.connections == 2, "the broken one is left, the new one is kept"


@each_call
def test_a_name_server_that_does_not_answer_holds_no_request_beyond_its_bound(
    monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    """The system's resolver knows no time-out."""
    answers = threading.Event()

    def never(*_arguments: object, **_settings: object) -> list[object]:
        answers.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    monkeypatch.setattr(client_module, "LOOKUP_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0.2)
    begun = time.monotonic()
    with (
        RocketReachClient("http://api.example.org/api/v2", "key") as client,
        pytest.raises(RocketReachError) as raised,
    ):
        call(client)
    answers.set()
    assert time.monotonic() - begun < 2
    assert raised.value.error_class is ErrorClass.NOT_PROCESSED, "nobody is in doubt"


def test_a_host_with_an_address_that_does_not_answer_is_reached_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with raw_server(http(200, PROFILE)) as server:
        resolve = socket.getaddrinfo

        def two(host: str, *rest: Any, **settings: Any) -> list[Any]:
            # Nobody listens at the first one.
            hosts = ["127.0.0.2", "127.0.0.1"] if host == "api.example.org" else [host]
            return [found for each in hosts for found in resolve(each, *rest, **settings)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        url = server.base_url.replace("127.0.0.1", "api.example.org")
        with RocketReachClient(url, "key") as client:
            assert client.lookup({"name": "Ada"}, "standard").head.profile_id == 7
