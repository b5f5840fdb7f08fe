"""Trouble on the way: each fault looks to a client as the real one would."""

import time

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.sandbox.asking import ask


@pytest.mark.parametrize(
    ("fault", "status", "processed"),
    [
        ("error_500", 500, 0),
        ("error_500_after", 500, 1),
        ("error_503", 503, 0),
        ("error_502_html", 502, 0),
        ("html_200", 200, 0),
    ],
)
def test_a_fault_answers_in_the_lookups_place(
    sandbox: RunningSandbox, api: httpx.Client, fault: str, status: int, processed: int
) -> None:
    sandbox.change(**{fault: 1})
    answer = ask(api)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html" if "html" in fault else "app")
    assert len(sandbox.lookups()) == processed


@pytest.mark.parametrize(
    ("fault", "counted_as", "processed"),
    [
        ("drop_connection_before", "dropped_before", 0),
        ("drop_connection_after", "dropped_after", 1),
        ("cut_body", "cut_body", 1),
    ],
)
def test_a_connection_breaks_before_or_after_the_work_is_done(
    sandbox: RunningSandbox, api: httpx.Client, fault: str, counted_as: str, processed: int
) -> None:
    sandbox.change(**{fault: 1})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask(api)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
        api.post("/bulkLookup", json={"queries": []})
    assert len(sandbox.lookups()) == processed
    assert sandbox.requests().by_answer == {counted_as: 2}
    sandbox.change(**{fault: 0})
    assert ask(api, "Bo").status_code == 200


def test_an_answer_that_breaks_off_has_its_status_and_headers(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(cut_body=1, complete_after_polls=0)
    with api.stream("GET", "/person/lookup", params={"id": 5}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="received"):
            answer.read()


def test_faults_come_by_their_probability_and_the_same_for_a_seed(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    def statuses() -> list[int]:
        sandbox.reset(seed=5, error_503=0.3)
        return [api.get("/account/").status_code for _ in range(60)]

    first = statuses()
    assert statuses() == first
    assert 5 < first.count(503) < 40


def test_a_provider_that_is_down_says_so_to_everything(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(down=True)
    assert [ask(api).status_code, api.get("/account/").status_code] == [503, 503]
    assert "Retry-After" not in ask(api).headers
    sandbox.change(retry_after_seconds=7)
    assert ask(api).headers["Retry-After"] == "7"
    assert sandbox.lookups() == []


def test_latency_is_waited_out(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(latency_seconds=0.2)
    begun = time.monotonic()
    ask(api)
    assert time.monotonic() - begun >= 0.2
