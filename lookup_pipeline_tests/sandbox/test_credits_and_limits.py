"""What lookups cost, and what happens when credits or the plan's limits are used up."""

from typing import Any

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.sandbox.asking import ask, people, poll


def usage(api: httpx.Client, credit_type: str = "standard") -> dict[str, Any]:
    rows = api.get("/account/").json()["credit_usage"]
    row: dict[str, Any] = next(row for row in rows if row["credit_type"] == credit_type)
    return row


def window(api: httpx.Client, action: str, duration: str) -> dict[str, Any]:
    rows = api.get("/account/").json()["rate_limits"]
    row: dict[str, Any] = next(
        row for row in rows if (row["action"], row["duration"]) == (action, duration)
    )
    return row


def test_a_lookup_is_charged_once_when_it_is_complete(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    person = ask(api, lookup_type="premium").json()["id"]
    assert sandbox.charges() == []
    for _ in range(3):
        poll(api, person)
    (charge,) = sandbox.charges()
    assert (charge.profile_id, charge.credit_type, charge.credits) == (person, "premium", 1)
    assert charge.query["name"] == "Ada Abara"
    assert usage(api, "premium")["used"] == 1
    assert usage(api, "standard")["used"] == 0


def test_credits_may_bear_the_names_of_the_providers_texts(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(credit_names="provider", credits=5)
    poll(api, ask(api).json()["id"])
    standard = usage(api, "standard_lookup")
    assert (standard["allocated"], standard["used"], standard["remaining"]) == (5, 1, 4)
    assert usage(api, "person_export")["used"] == 1


def test_there_is_no_idempotency_a_second_lookup_is_charged_again(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    person = ask(api).json()["id"]
    ask(api)  # while the first is in flight
    poll(api, person)
    ask(api)  # after it is complete
    assert [charge.lookup_count for charge in sandbox.charges()] == [1, 2, 3]
    assert usage(api)["used"] == 3


def test_charges_are_exactly_the_people_found(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(not_found=0.2, failed=0.2, without_contact=0.2)
    answers = [ask(api, f"Person {number}") for number in range(60)]
    poll(api, *[answer.json()["id"] for answer in answers if answer.status_code == 200])
    found = {look.profile_id for look in sandbox.lookups() if look.outcome == "found"}
    charged = [charge.profile_id for charge in sandbox.charges()]
    assert sorted(charged) == sorted(found)
    assert 0 < len(found) < 60
    assert usage(api)["used"] == len(found)


def test_lookups_in_flight_hold_their_credits(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(credits=2, failed=0.5)
    seen = [ask(api, f"Person {number}") for number in range(3)]
    assert [answer.status_code for answer in seen] == [200, 200, 402]
    assert usage(api) == {"credit_type": "standard", "allocated": 2, "used": 2, "remaining": 0}
    assert ask(api, lookup_type="premium").status_code == 200
    poll(api, *[answer.json()["id"] for answer in seen[:2]])
    assert usage(api)["used"] == sum(
        charge.credit_type == "standard" for charge in sandbox.charges()
    )


def test_credits_can_be_given_by_kind_or_without_end(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(credits="inf", credits_by_type={"phone": 0})
    assert ask(api, lookup_type="phone").status_code == 402
    assert ask(api).status_code == 200
    assert usage(api)["remaining"] == "inf"
    assert usage(api, "phone")["remaining"] == 0


def test_a_bulk_job_needs_credits_for_all_its_queries(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(credits=10, webhooks=[{"id": 1, "url": "http://127.0.0.1:9/"}])
    assert api.post("/bulkLookup", json={"queries": people(11)}).status_code == 402
    assert sandbox.lookups() == []
    assert api.post("/bulkLookup", json={"queries": people(10)}).status_code == 200


@pytest.mark.parametrize(
    ("state", "account", "lookup", "check"),
    [("revoked", 401, 401, 401), ("no_credits", 200, 402, 200), ("forbidden", 200, 403, 403)],
)
def test_an_account_in_trouble_is_refused(
    sandbox: RunningSandbox,
    api: httpx.Client,
    state: str,
    account: int,
    lookup: int,
    check: int,
) -> None:
    sandbox.change(account_state=state)
    assert api.get("/account/").status_code == account
    assert ask(api).status_code == lookup
    assert api.get("/person/checkStatus", params={"ids": 1}).status_code == check
    sandbox.change(account_state="ok")
    assert ask(api).status_code == 200


@pytest.mark.parametrize(
    ("plan", "per_minute"), [("essentials", 15), ("pro", 50), ("ultimate", 100), ("custom", 250)]
)
def test_a_plan_allows_so_many_lookups_a_minute(
    sandbox: RunningSandbox, api: httpx.Client, plan: str, per_minute: int
) -> None:
    sandbox.change(plan=plan)
    for number in range(per_minute):
        assert ask(api, f"Person {number}").status_code == 200
    refused = ask(api, "One more")
    assert refused.status_code == 429
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert len(sandbox.lookups()) == per_minute
    assert sandbox.requests().violations == 1
    row = window(api, "person_lookup", "minute")
    assert (row["limit"], row["used"], row["remaining"]) == (per_minute, per_minute, 0)
    sandbox.advance(seconds=int(refused.headers["Retry-After"]))
    assert ask(api, "One more").status_code == 200


def test_retry_after_names_the_longest_window_that_is_full(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(plan="essentials")
    for number in range(100):
        if number and number % 15 == 0:
            sandbox.advance(seconds=60)
        assert ask(api, f"Person {number}").status_code == 200
    sandbox.advance(seconds=60)
    refused = ask(api, "One more")
    assert refused.status_code == 429
    assert 3_100 <= int(refused.headers["Retry-After"]) <= 3_180
    assert window(api, "person_lookup", "hour")["remaining"] == 0
    assert window(api, "person_lookup", "day")["remaining"] == 400


def test_bulk_jobs_have_limits_of_their_own(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(plan="pro", webhooks=[{"id": 1, "url": "http://127.0.0.1:9/"}])
    statuses = [
        api.post("/bulkLookup", json={"queries": people(10)}).status_code for _ in range(11)
    ]
    assert statuses == [200] * 10 + [429]
    assert window(api, "bulk_lookup", "minute")["remaining"] == 0
    assert window(api, "person_lookup", "minute")["used"] == 0


def test_requests_a_second_are_limited_over_all_operations(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(requests_per_second=3)
    answers = [api.get("/account/"), ask(api), ask(api, "Bo"), api.get("/account/")]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    sandbox.advance(seconds=1)
    assert api.get("/account/").status_code == 200


def test_an_unlimited_plan_shows_no_limits(api: httpx.Client) -> None:
    ask(api)
    row = window(api, "person_lookup", "day")
    assert (row["limit"], row["used"], row["remaining"]) == (None, 1, None)
