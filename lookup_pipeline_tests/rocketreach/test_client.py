"""What the client sends, and what it makes of the answers."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup_pipeline.rocketreach import LookupAnswer, RocketReachClient
from lookup_pipeline.rocketreach.models import decode_lookup, decode_statuses
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server

KEY = "the-key"
PROFILE = b'{"id": 7, "status": "complete", "emails": [{"email": "a@example.com"}], "new": 1}'
QUERY: Mapping[str, str | int] = {"name": "Ada Byron", "current_employer": "Cedar & Stone"}


def lookup(body: bytes) -> LookupAnswer:
    with (
        raw_server(http(200, body, RR_Request_ID="0b1c")) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        return client.lookup(QUERY, "standard")


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_the_base_url_may_end_in_a_slash(end: str) -> None:
    with (
        raw_server(http(200, PROFILE)) as server,
        RocketReachClient(server.base_url + end, KEY) as client,
    ):
        client.lookup(QUERY, "standard")
    (request,) = server.requests
    assert request.path == "/api/v2/person/lookup"


def test_a_lookup_sends_the_query_its_kind_of_credit_and_the_key_in_a_header_only() -> None:
    with (
        raw_server(http(200, PROFILE)) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        client.lookup({**QUERY, "title": "Größe+Maß"}, "premium")
    (request,) = server.requests
    assert request.query == {
        "name": ["Ada Byron"],
        "current_employer": ["Cedar & Stone"],
        "title": ["Größe+Maß"],
        "lookup_type": ["premium"],
        "return_cached_emails": ["false"],
    }
    assert request.headers["api-key"] == KEY
    assert KEY not in request.target


def test_a_status_call_names_each_id() -> None:
    with (
        raw_server(http(200, b"[]")) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        assert list(client.check_status(range(1, 101))) == []
    (request,) = server.requests
    assert request.path == "/api/v2/person/checkStatus"
    assert request.query == {"ids": [str(number) for number in range(1, 101)]}


@pytest.mark.parametrize("body", [PROFILE, b"[" + PROFILE + b"]", b" [\n" + PROFILE + b" ]\n"])
def test_a_lookup_is_answered_by_an_object_or_by_a_list_of_one(body: bytes) -> None:
    answer = lookup(body)
    assert answer.request_id == "0b1c"
    assert (answer.head.profile_id, answer.head.status) == (7, "complete")
    assert answer.head.has_contact_data
    assert answer.head.payload == PROFILE, "kept byte for byte"


@pytest.mark.parametrize("body", [b"[]", b"[{}, {}]", b"null", b"7", b'"x"', b"[7]", b"{", b""])
def test_any_other_answer_to_a_lookup_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_lookup(body)


@given(st.text())
def test_a_status_is_kept_as_received_whatever_it_says(status: str) -> None:
    body = msgspec.json.encode([{"id": 1, "status": status}])
    (answer,) = decode_statuses(body)
    assert answer.status == status


def test_an_answer_without_request_id_id_and_status_is_still_an_answer() -> None:
    with (
        raw_server(http(200, b'{"name": "Ada"}')) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        answer = client.lookup(QUERY, "standard")
    assert answer.request_id is None
    assert answer.head.profile_id is None
    assert answer.head.status == ""
    assert lookup(b'{"id": null, "status": null}').head.profile_id is None


@pytest.mark.parametrize(
    ("contact", "costs"),
    [
        ({}, False),
        ({"emails": None, "phones": None}, False),
        ({"emails": [], "phones": []}, False),
        ({"emails": [{"email": "a@example.com"}]}, True),
        ({"phones": [{"number": "555-0100"}]}, True),
        ({"emails": ["a@example.com"], "phones": None}, True),
    ],
)
def test_contact_data_is_an_address_or_a_number(contact: dict[str, object], costs: bool) -> None:
    body = msgspec.json.encode({"id": 1, "status": "complete", **contact})
    assert decode_lookup(body).has_contact_data is costs


def test_statuses_come_as_a_list_of_profiles_each_with_its_own_bytes() -> None:
    body = b'[{"id":1,"status":"searching"}, ' + PROFILE + b', {"id":3,"status":"failed"}]'
    answers = decode_statuses(body)
    assert [(answer.profile_id, answer.status) for answer in answers] == [
        (1, "searching"),
        (7, "complete"),
        (3, "failed"),
    ]
    assert answers[1].payload == PROFILE


def test_the_account_holds_numbers_inf_and_nothing() -> None:
    body = msgspec.json.encode(
        {
            "id": 1,
            "credit_usage": [
                {"credit_type": "standard", "allocated": 100, "used": 0.5, "remaining": 99.5},
                {"credit_type": "phone", "allocated": "inf", "used": 3, "remaining": "inf"},
                {"credit_type": "enrich", "allocated": None, "new": True},
            ],
            "rate_limits": [
                {"action": "person_lookup", "duration": "day", "limit": 500, "remaining": 1},
                {"action": "bulk_lookup", "duration": "month", "limit": None, "remaining": None},
            ],
        }
    )
    with (
        raw_server(http(200, body)) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        account = client.account()
    assert server.requests[0].path == "/api/v2/account/"
    standard, phone, enrich = account.credit_usage
    assert (standard.allocated, standard.used, standard.remaining) == (100, 0.5, 99.5)
    assert (phone.allocated, phone.used, phone.remaining) == ("inf", 3, "inf")
    assert (enrich.allocated, enrich.used, enrich.remaining) == (None, None, None)
    day, month = account.rate_limits
    assert (day.action, day.duration, day.limit, day.remaining) == ("person_lookup", "day", 500, 1)
    assert (month.limit, month.used, month.remaining) == (None, None, None)


def test_there_are_as_many_connections_as_requests_at_once_and_all_are_closed() -> None:
    together = threading.Barrier(4)

    def answer(_request: Request) -> bytes:
        together.wait(10)
        return http(200, PROFILE)

    with raw_server(answer) as server:
        with RocketReachClient(server.base_url, KEY) as client, ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: client.lookup(QUERY, "standard"), range(20)))
        assert len(server.requests) == 20
        assert server.connections == 4
        until = time.monotonic() + 5
        while server.closed_by_client < 4 and time.monotonic() < until:
            time.sleep(0.01)
        assert server.closed_by_client == 4, "leaving the client closes every connection"


def test_requests_one_after_another_keep_one_connection_warm_whichever_thread_sends() -> None:
    with (
        raw_server(http(200, PROFILE)) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        for _ in range(8):
            with ThreadPoolExecutor(1) as thread:
                thread.submit(client.lookup, QUERY, "standard").result()
        assert (len(server.requests), server.connections) == (8, 1)


def test_a_server_that_closes_each_connection_costs_a_connection_and_no_lookup() -> None:
    def answer(request: Request) -> bytes:
        return http(200, PROFILE, Connection="close")

    with (
        raw_server(answer) as server,
        RocketReachClient(server.base_url, KEY) as client,
    ):
        for _ in range(3):
            assert client.lookup(QUERY, "standard").head.profile_id == 7
        assert server.connections == 3
