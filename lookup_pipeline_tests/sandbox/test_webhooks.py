"""Webhook deliveries: signed, complete, when they are due."""

import base64
import hashlib
import hmac
from collections.abc import Iterator

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline.sandbox.settings import Webhook
from lookup_pipeline_tests.sandbox.asking import ask, people
from lookup_pipeline_tests.sandbox.receiver import Receiver, receiving


@pytest.fixture
def receiver(sandbox: RunningSandbox) -> Iterator[Receiver]:
    with receiving() as receiver:
        sandbox.change(webhooks=[Webhook(id=7, url=receiver.url, secret="geheim")])
        yield receiver


def test_a_lookups_profile_is_delivered_signed(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    answer = ask(api, webhook_id=7)
    (delivery,) = receiver.wait_for(1)
    assert delivery.headers["RR-Request-ID"] == answer.headers["RR-Request-ID"]
    mac = hmac.new(b"geheim", delivery.body, hashlib.sha256).digest()
    assert delivery.headers["X-RocketReach-Signature"] == base64.b64encode(mac).decode()
    profile = delivery.content
    assert profile["id"] == answer.json()["id"]
    assert profile["status"] == "complete"
    assert profile["emails"]
    assert set(profile["profile_list"]) == {"id", "name"}
    assert len(sandbox.charges()) == 1


def test_without_a_secret_nothing_is_signed(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    sandbox.change(webhooks=[Webhook(id=7, url=receiver.url)])
    ask(api)  # names no webhook: the top-most is used
    (delivery,) = receiver.wait_for(1)
    assert "X-RocketReach-Signature" not in delivery.headers


def test_a_delivery_waits_until_the_lookup_can_be_complete(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    sandbox.change(complete_after_seconds=3600, failed=1)
    ask(api)
    assert receiver.got == []
    sandbox.advance(seconds=3601)
    (delivery,) = receiver.wait_for(1)
    assert delivery.content["status"] == "failed"
    assert sandbox.charges() == []


def test_a_bulk_lookup_delivers_a_list_with_the_metadata_sent(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    sandbox.change(not_found=0.3)
    queries = [query | {"metadata": {"row": row}} for row, query in enumerate(people(20))]
    body = {"queries": queries, "profile_list": "Tonight", "webhook_id": 7}
    answer = api.post("/bulkLookup", json=body)
    assert answer.status_code == 200
    assert "id" not in answer.json()
    (delivery,) = receiver.wait_for(1)
    assert delivery.headers["RR-Request-ID"] == answer.headers["RR-Request-ID"]
    assert [profile["metadata"]["row"] for profile in delivery.content] == list(range(20))
    assert {profile["profile_list"]["name"] for profile in delivery.content} == {"Tonight"}
    missing = [profile for profile in delivery.content if profile["status"] == "failed"]
    assert 0 < len(missing) == 20 - len(sandbox.charges())
    assert all("id" not in profile for profile in missing)
    assert [lookup.metadata for lookup in sandbox.lookups()] == [{"row": row} for row in range(20)]


def test_a_universal_bulk_lookup_takes_less_than_ten(api: httpx.Client, receiver: Receiver) -> None:
    queries = people(2, reveal_phone=True, metadata={"row": 1})
    path = "/universal/person/bulk_lookup"
    assert api.post(path, json={"queries": queries}).status_code == 200
    (delivery,) = receiver.wait_for(1)
    assert all(profile["phones"] and "emails" not in profile for profile in delivery.content)


@pytest.mark.parametrize("count", [0, 9, 101])
def test_a_bulk_lookup_takes_ten_to_a_hundred_queries(
    api: httpx.Client, receiver: Receiver, count: int
) -> None:
    answer = api.post("/bulkLookup", json={"queries": people(count)})
    assert answer.status_code == 400
    assert list(answer.json()) == ["queries"]


def test_one_wrong_query_refuses_the_whole_bulk_lookup(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    answer = api.post("/bulkLookup", json={"queries": [*people(10), {"name": "Ada"}]})
    assert answer.status_code == 400
    assert "Query 10" in answer.json()["queries"][0]
    assert api.post("/bulkLookup", content=b"{").status_code == 400
    assert sandbox.lookups() == []


def test_a_bulk_lookup_needs_a_webhook(api: httpx.Client) -> None:
    answer = api.post("/bulkLookup", json={"queries": people(10)})
    assert list(answer.json()) == ["webhook_id"]


def test_a_delivery_can_be_lost_or_sent_twice(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    sandbox.change(webhook_lost=1, webhook_before_answer=True)
    ask(api)
    assert [delivery.answer for delivery in sandbox.deliveries()] == [None]
    sandbox.change(webhook_lost=0, webhook_repeated=1)
    ask(api, "Bo")
    assert receiver.wait_for(2)[0] == receiver.got[1]


def test_a_delivery_can_come_before_the_lookups_own_answer(
    sandbox: RunningSandbox, api: httpx.Client, receiver: Receiver
) -> None:
    sandbox.change(webhook_before_answer=True)
    ask(api)
    assert len(receiver.got) == 1


def test_a_receiver_that_is_away_has_lost_the_delivery(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(webhooks=[{"id": 1, "url": "http://127.0.0.1:9/"}], webhook_before_answer=True)
    assert ask(api).status_code == 200
    assert [delivery.answer for delivery in sandbox.deliveries()] == [None]
