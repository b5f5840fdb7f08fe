"""Every way a request can go wrong, over real sockets: its class, its status, its silence."""

import socket
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError, transport
from lookup_pipeline.rocketreach import client as client_module
from lookup_pipeline.rocketreach.errors import from_transport, parse_retry_after
from lookup_pipeline_tests.rocketreach.raw_server import (
    Ending,
    closed_port,
    closing_server,
    http,
    raw_server,
)

KEY = "k3y-that-nobody-may-see"
PERSON: Mapping[str, str | int] = {
    "name": "Zebulon Quagmire",
    "current_employer": "Xyzzy Works",
    "email": "zeb.q@example.org",
}
PRIVATE = (KEY, "Zebulon", "Quagmire", "Xyzzy", "zeb.q", "example.org")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"
JSON_404 = b'{"error": "No profile was found."}'

NOT_PROCESSED, RETRYABLE, AMBIGUOUS, QUERY, ACCOUNT = (
    ErrorClass.NOT_PROCESSED,
    ErrorClass.RETRYABLE,
    ErrorClass.AMBIGUOUS,
    ErrorClass.QUERY,
    ErrorClass.ACCOUNT,
)


def failed_lookup(base_url: str, key: str = KEY) -> RocketReachError:
    """The error of a lookup; that it tells nothing private is part of every test."""
    with (
        pytest.raises(RocketReachError) as raised,
        RocketReachClient(base_url, key, clock=lambda: NOW) as client,
    ):
        client.lookup(PERSON, "standard")
    assert_nothing_private(raised.value)
    return raised.value


def assert_nothing_private(error: BaseException) -> None:
    told = "".join([*traceback.format_exception(error), repr(error), str(error)])
    assert [word for word in PRIVATE if word in told] == []


def answered(answer: bytes, ending: Ending = Ending.KEEP) -> RocketReachError:
    with raw_server(answer, ending) as server:
        error = failed_lookup(server.base_url)
        assert len(server.requests) == 1, "one request each, never retried"
        return error


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


ANSWERS = {
    "429 with Retry-After in seconds": (http(429, b"{}", Retry_After="7"), NOT_PROCESSED, 7.0),
    "429 with a fraction of a second": (http(429, b"{}", Retry_After="0.5"), NOT_PROCESSED, 0.5),
    "429 with Retry-After as a date": (
        http(429, b"{}", Retry_After=format_datetime(NOW + minutes(2), usegmt=True)),
        NOT_PROCESSED,
        120.0,
    ),
    "429 with a date that is over": (
        http(429, b"{}", Retry_After=format_datetime(NOW - minutes(2), usegmt=True)),
        NOT_PROCESSED,
        0.0,
    ),
    "429 without Retry-After": (http(429, b'{"detail": "slow"}'), NOT_PROCESSED, None),
    "429 with garbage for it": (http(429, b"{}", Retry_After="in a while"), NOT_PROCESSED, None),
    "429 by a gateway": (http(429, HTML, "text/html", Retry_After="3"), NOT_PROCESSED, 3.0),
    "503 with Retry-After": (http(503, b"{}", Retry_After="30"), NOT_PROCESSED, 30.0),
    "503 without": (http(503, HTML, "text/html"), NOT_PROCESSED, None),
    "503 with garbage for it": (http(503, b"{}", Retry_After="in a while"), NOT_PROCESSED, None),
    "425": (http(425, b"{}"), NOT_PROCESSED, None),
    "500": (http(500, b'{"error": "Try again later."}'), RETRYABLE, None),
    "502 with HTML": (http(502, HTML, "text/html"), AMBIGUOUS, None),
    "504 with HTML": (http(504, HTML, "text/html"), AMBIGUOUS, None),
    "a 5xx nobody documents": (http(520, b""), AMBIGUOUS, None),
    "a status beyond the standard's": (http(999, b""), AMBIGUOUS, None),
    "408": (http(408, b""), AMBIGUOUS, None),
    "200 with HTML": (http(200, HTML, "text/html"), AMBIGUOUS, None),
    "200 with JSON of another shape": (http(200, b'"fine"'), AMBIGUOUS, None),
    "200 with a field of another type": (
        http(200, b'{"id": "one", "status": "complete"}'),
        AMBIGUOUS,
        None,
    ),
    "200 with an empty list": (http(200, b"[]"), AMBIGUOUS, None),
    "200 with two profiles": (http(200, b'[{"id": 1}, {"id": 2}]'), AMBIGUOUS, None),
    "200 without a body": (http(200), AMBIGUOUS, None),
    "204": (http(204), AMBIGUOUS, None),
    "400 with field errors": (http(400, b'{"email": ["Not valid."]}'), QUERY, None),
    "404 with JSON": (http(404, JSON_404), QUERY, None),
    "422": (http(422, b'{"detail": "No."}'), QUERY, None),
    "a 4xx nobody documents": (http(418, b"{}"), QUERY, None),
    "404 with HTML": (http(404, HTML, "text/html"), ACCOUNT, None),
    "404 without a body": (http(404), ACCOUNT, None),
    "401": (http(401, b'{"detail": "Invalid API key."}'), ACCOUNT, None),
    "402": (http(402, b'{"status": 402, "message": "Out of credits."}'), ACCOUNT, None),
    "403": (http(403, b'{"detail": "Not in your plan."}'), ACCOUNT, None),
    "401 by a gateway": (http(401, HTML, "text/html"), ACCOUNT, None),
    "301": (http(301, Location="https://www.example.net/"), ACCOUNT, None),
    "302": (http(302, Location="/login"), ACCOUNT, None),
    "307": (http(307, Location="http://127.0.0.1:1/api/v2/person/lookup"), ACCOUNT, None),
}


@pytest.mark.parametrize(
    ("answer", "error_class", "retry_after"), ANSWERS.values(), ids=ANSWERS.keys()
)
def test_an_answer_is_classified_by_its_status_and_its_body(
    answer: bytes, error_class: ErrorClass, retry_after: float | None
) -> None:
    error = answered(answer)
    assert error.error_class is error_class
    assert error.status == int(answer.split()[1])
    assert error.retry_after == (None if retry_after is None else timedelta(seconds=retry_after))


def test_a_refused_connection_was_not_processed() -> None:
    error = failed_lookup(f"http://127.0.0.1:{closed_port()}/api/v2")
    assert (error.error_class, error.status, error.retry_after) == (NOT_PROCESSED, None, None)
    assert "no connection" in error.reason


def test_a_name_that_does_not_resolve_was_not_processed() -> None:
    error = failed_lookup("http://nobody.invalid/api/v2")
    assert (error.error_class, error.status, error.retry_after) == (NOT_PROCESSED, None, None)


def test_a_tls_handshake_that_fails_was_not_processed() -> None:
    with raw_server(http(200, b"{}")) as server:
        error = failed_lookup(f"https://127.0.0.1:{server.port}/api/v2")
        assert (error.error_class, error.status, error.retry_after) == (NOT_PROCESSED, None, None)
        assert server.connections == 1
        assert server.requests == []


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", http(200, b'{"id"', promised=99)])
def test_silence_after_the_request_went_out_is_ambiguous(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT", httpx.Timeout(0.2))
    error = answered(said, Ending.SILENCE)
    assert (error.error_class, error.retry_after) == (AMBIGUOUS, None)
    assert error.status == (200 if b"Length" in said else None)
    assert "ReadTimeout" in error.reason


@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CLOSE])
def test_a_connection_that_ends_without_an_answer_is_ambiguous(ending: Ending) -> None:
    error = answered(b"", ending)
    assert (error.error_class, error.status, error.retry_after) == (AMBIGUOUS, None, None)


@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CLOSE])
def test_a_body_that_is_cut_short_is_ambiguous(ending: Ending) -> None:
    error = answered(http(200, b'{"id": 1, "status": "comp', promised=500), ending)
    assert (error.error_class, error.status, error.retry_after) == (AMBIGUOUS, 200, None)


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (401, ACCOUNT),
        (402, ACCOUNT),
        (403, ACCOUNT),
        (302, ACCOUNT),
        (429, NOT_PROCESSED),
        (425, NOT_PROCESSED),
        (503, NOT_PROCESSED),
        (500, RETRYABLE),
        (502, AMBIGUOUS),
        # Whom these blame stands in the body.
        (400, AMBIGUOUS),
        (404, AMBIGUOUS),
        (422, AMBIGUOUS),
    ],
)
@pytest.mark.parametrize("flaw", ["cut short", "no gzip"])
def test_an_error_whose_body_is_lost_is_what_its_status_says_by_itself(
    status: int, error_class: ErrorClass, flaw: str
) -> None:
    cut = flaw == "cut short"
    headers = {"Retry_After": "5"} | ({} if cut else {"Content_Encoding": "gzip"})
    answer = http(status, b'{"lookup', promised=500 if cut else None, **headers)
    error = answered(answer, Ending.CLOSE)
    assert (error.error_class, error.status) == (error_class, status)


def test_an_answer_that_is_no_http_is_ambiguous() -> None:
    assert answered(b"220 mail.example.net ESMTP\r\n", Ending.CLOSE).error_class is AMBIGUOUS


def test_a_connection_that_breaks_before_the_request_is_written_was_not_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_at_once = transport._Stream.write

    def write_late(*arguments: Any, **options: Any) -> None:
        time.sleep(0.1)
        write_at_once(*arguments, **options)

    monkeypatch.setattr(transport._Stream, "write", write_late)
    with closing_server() as base_url:
        error = failed_lookup(base_url)
    assert (error.error_class, error.status) == (NOT_PROCESSED, None)
    assert "no connection" in error.reason


def test_a_proxy_that_is_silent_before_the_request_is_written_has_processed_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT", httpx.Timeout(0.2))
    # The system takes the connection, and nobody reads from it.
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.delenv("no_proxy")
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        error = failed_lookup("https://api.invalid/api/v2")
    assert error.error_class is NOT_PROCESSED
    assert "ReadTimeout" in error.reason


def test_a_request_whose_time_is_over_before_it_is_written_does_not_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finding the host's address has no end of its own."""
    resolve = socket.getaddrinfo

    def resolve_slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.3)
        return resolve(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    monkeypatch.setattr(client_module, "LOOKUP_SECONDS", 0.2)
    with raw_server(http(200, b"{}")) as server:
        error = failed_lookup(server.base_url)
        assert error.error_class is NOT_PROCESSED
        assert server.requests == []


@pytest.mark.parametrize(
    ("kind", "sent", "error_class"),
    [
        (httpx.ConnectTimeout, False, NOT_PROCESSED),
        (httpx.PoolTimeout, False, NOT_PROCESSED),
        (httpx.ProxyError, True, NOT_PROCESSED),
        (httpx.WriteTimeout, False, NOT_PROCESSED),
        (httpx.ReadError, False, NOT_PROCESSED),
        (httpx.InvalidURL, False, ACCOUNT),
        (UnicodeError, False, ACCOUNT),
        (UnicodeError, True, AMBIGUOUS),
        (httpx.WriteTimeout, True, AMBIGUOUS),
        (httpx.WriteError, True, AMBIGUOUS),
        (httpx.ReadError, True, AMBIGUOUS),
        (httpx.RemoteProtocolError, True, AMBIGUOUS),
    ],
)
def test_a_transport_error_is_classified_by_whether_the_request_may_have_left(
    kind: Callable[[str], httpx.HTTPError | httpx.InvalidURL | UnicodeError],
    sent: bool,
    error_class: ErrorClass,
) -> None:
    assert from_transport(kind("told"), "api.example.com", sent=sent).error_class is error_class


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:port/api/v2",
        "http://[::1/api/v2",
        "http:///api/v2",
        "ftp://x/api/v2",
        "http://a..b/api/v2",
        f"http://{'a' * 70}.example/api/v2",
    ],
)
def test_an_address_that_is_none_was_never_asked(base_url: str) -> None:
    """Nothing left this machine, so nobody may end up unconfirmed for it."""
    assert failed_lookup(base_url).error_class in {NOT_PROCESSED, ACCOUNT}


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX: y", f"{KEY}\x00", f"{KEY}é"])
def test_a_key_that_no_header_can_hold_is_told_by_no_error(key: str) -> None:
    with raw_server(http(200, b"{}")) as server:
        error = failed_lookup(server.base_url, key)
        assert error.error_class in {NOT_PROCESSED, ACCOUNT}
        assert server.requests == []


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_key_that_the_provider_repeats_is_told_by_no_error(status: int) -> None:
    answered(http(status, f'{{"detail": "Invalid API key: {KEY}"}}'.encode()))


def test_an_address_that_the_provider_repeats_is_told_by_no_error() -> None:
    answered(http(400, b'{"email": ["\'zeb.q@example.org\' is not an address."]}'))


@pytest.mark.parametrize(
    ("status", "named"),
    [(401, "ROCKETREACH_API_KEY"), (402, "credits"), (403, "ROCKETREACH_LOOKUP_TYPE")],
)
def test_an_error_of_the_account_says_the_cause_and_the_cure(status: int, named: str) -> None:
    error = answered(http(status, b'{"detail": "The provider\'s words."}'))
    assert "The provider's words." in str(error)
    assert named in str(error)
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_that_is_not_the_apis_own_may_come_from_the_way_to_it(status: int) -> None:
    assert "a proxy or firewall" in str(answered(http(status, HTML, "text/html")))
    assert "firewall" not in str(answered(http(status, b'{"detail": "No."}')))


def test_a_connection_that_fails_names_where_to_and_no_password() -> None:
    port = closed_port()
    error = failed_lookup(f"http://user:secret@127.0.0.1:{port}/api/v2")
    assert f"the API's address is 127.0.0.1:{port}" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("answer", [http(404, HTML, "text/html"), http(302, Location="/login")])
def test_an_address_that_is_not_the_api_is_named_as_the_cause(answer: bytes) -> None:
    assert "ROCKETREACH_BASE_URL" in str(answered(answer))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"status": 400, "message": "Said so."}', "Said so."),
        (b'{"detail": "Said so."}', "Said so."),
        (b'{"error": "Said so."}', "Said so."),
        (b'{"npi_number": ["No.", "Never."], "title": ["Odd."]}', "npi_number: No.; Never., title"),
        (b'{"email": "Not valid."}', "email: Not valid."),
        (b"[]", "Said"),
        (b"{}", "Said"),
        (HTML, "not JSON"),
    ],
)
def test_the_reason_is_the_providers_words_in_whichever_shape_they_come(
    body: bytes, reason: str
) -> None:
    assert reason in answered(http(400, body)).reason


def test_the_reason_is_a_sentence_however_long_the_provider_goes_on() -> None:
    for body in (b'{"detail": "%s"}', b'{"field": ["%s"]}'):
        assert len(answered(http(400, body % (b"x" * 100_000))).reason) <= 300


def test_polls_and_the_account_call_are_classified_alike() -> None:
    with (
        raw_server(http(429, b"{}", Retry_After="9")) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        for call in (client.account, lambda: client.check_status([1])):
            with pytest.raises(RocketReachError) as raised:
                call()
            assert raised.value.error_class is NOT_PROCESSED
            assert raised.value.retry_after == timedelta(seconds=9)


HOUR, YEAR = 3_600, 366 * 86_400


def obeyed(seconds: int) -> timedelta:
    """For an hour at most; what lies in the past asks for nothing."""
    return timedelta(seconds=min(max(seconds, 0), HOUR))


@given(st.integers(-HOUR, 2 * HOUR) | st.integers(0, 10 * YEAR))
def test_retry_after_in_seconds_is_obeyed_for_an_hour_at_most(seconds: int) -> None:
    assert parse_retry_after(f" {seconds} ", NOW) == obeyed(seconds)


@given(st.integers(-10 * YEAR, 10 * YEAR) | st.integers(0, 2 * HOUR))
def test_retry_after_as_a_date_is_the_time_until_then_an_hour_at_most(seconds: int) -> None:
    at = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(at, NOW) == obeyed(seconds)


@given(st.one_of(st.text(), st.floats().map(str), st.integers().map(str), st.datetimes().map(str)))
def test_whatever_retry_after_says_the_cooldown_is_none_or_within_an_hour(value: str) -> None:
    cooldown = parse_retry_after(value, NOW)
    assert cooldown is None or timedelta(0) <= cooldown <= timedelta(seconds=HOUR)


@given(
    st.sampled_from(["Mon", "Tue", ""]),
    st.integers(0, 99_999),
    st.integers(0, 99),
    st.sampled_from(["GMT", "+0000", "-9959", "+99999999", "EST", "", "-0000"]),
)
def test_no_date_is_so_odd_that_it_raises(day: str, year: int, hour: int, zone: str) -> None:
    silence = parse_retry_after(f"{day}, 20 Nov {year} {hour}:00:00 {zone}", NOW)
    assert silence is None or timedelta(0) <= silence <= timedelta(seconds=HOUR)
