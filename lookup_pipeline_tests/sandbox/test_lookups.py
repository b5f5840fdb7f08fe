"""Lookups: who is meant, what is answered, how a status advances."""

from typing import Any

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.sandbox.asking import ask, poll

EMAIL_FIELDS = (
    "recommended_email",
    "recommended_personal_email",
    "recommended_professional_email",
    "current_work_email",
    "current_personal_email",
)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/account", {}),
        ("/person/lookup", {"id": 5}),
        ("/person/checkStatus", {"ids": 5}),
        ("/universal/account", {}),
        ("/universal/person/lookup", {"id": 5}),
        ("/universal/person/check_status", {"ids": 5}),
    ],
)
def test_every_operation_answers_with_and_without_a_trailing_slash(
    api: httpx.Client, path: str, parameters: dict[str, Any], slash: str
) -> None:
    assert api.get(path + slash, params=parameters).status_code == 200


def test_a_lookup_carries_a_request_id_that_the_seed_fixes(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    first = ask(api).headers["RR-Request-ID"]
    assert ask(api).headers["RR-Request-ID"] != first
    sandbox.reset()
    assert ask(api).headers["RR-Request-ID"] == first
    assert sandbox.lookups()[0].request_id == first


@pytest.mark.parametrize(
    ("name", "employer"),
    [
        ("ZOË O'NEIL", "acme, inc."),
        ("  zoe   oneil", "ACME Inc"),
        ("Zoe\u0308 O\u2019Neil", "Acme-Inc"),
    ],
)
def test_another_spelling_is_the_same_person(api: httpx.Client, name: str, employer: str) -> None:
    person = ask(api, "Zoë O'Neil", current_employer="Acme, Inc.").json()
    other = ask(api, name, current_employer=employer).json()
    assert other["id"] == person["id"]
    assert (other["name"], other["current_employer"]) == (name, employer)


def test_other_people_have_other_ids(api: httpx.Client) -> None:
    answers = [
        ask(api),
        ask(api, "Bo Abara"),
        ask(api, current_employer="Other"),
        api.get("/person/lookup", params={"linkedin_url": "linkedin.com/in/ada-abara"}),
        api.get("/person/lookup", params={"email": "ada@acme.example.com"}),
        api.get("/person/lookup", params={"npi_number": 1234567890}),
        api.get("/person/lookup", params={"phone": "+12065550100"}),
        api.get("/person/lookup", params={"id": 99}),
    ]
    assert len({answer.json()["id"] for answer in answers}) == len(answers)


def test_people_and_fates_do_not_depend_on_the_order(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    names = [f"Person {number}" for number in range(30)]
    settings = {"not_found": 0.2, "failed": 0.2, "without_contact": 0.2, "unknown_fields": 0.3}

    def results(order: list[str]) -> dict[str, Any]:
        sandbox.reset(seed=3, **settings)
        found = {}
        for name in order:
            answer = ask(api, name)
            profile = answer.json()
            found[name] = poll(api, profile["id"])[0] if answer.status_code == 200 else "404"
        return found

    forwards = results(names)
    assert results(names[::-1]) == forwards
    sandbox.reset(seed=4, **settings)
    ids = {ask(api, name).json().get("id") for name in names}
    assert ids.isdisjoint({profile["id"] for profile in forwards.values() if profile != "404"})


def test_a_lookup_by_id_finds_the_person_looked_up_before(api: httpx.Client) -> None:
    person = ask(api, "Ada Abara").json()
    assert api.get("/person/lookup", params={"id": person["id"]}).json()["name"] == "Ada Abara"


def test_a_profile_is_nested_of_real_size_and_reaches_nobody(api: httpx.Client) -> None:
    person = api.get(
        "/person/lookup", params={"npi_number": 1234567890, "name": "Ada", "current_employer": "B"}
    )
    answer = api.get("/person/checkStatus", params={"ids": person.json()["id"]})
    assert 3_500 < len(answer.content) < 7_000
    (profile,) = answer.json()
    assert len(profile["job_history"]) >= 3
    assert profile["job_history"][0]["end_date"] == "Present"
    assert profile["npi_data"]["npi_number"] == "1234567890"
    assert profile["links"]
    assert profile["skills"]
    for email in profile["emails"]:
        assert email["email"].endswith((".example.com", ".example.org", ".example.net"))
    for phone in profile["phones"]:
        assert "-555-01" in phone["number"]


def test_emails_stay_away_until_the_lookup_is_complete(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=2)
    begun = ask(api).json()
    for profile in (begun, *poll(api, begun["id"])):
        assert profile["status"] in {"waiting", "searching", "progress"}
        assert [profile[name] for name in EMAIL_FIELDS] == [None] * 5
        assert profile["emails"] == []
    (complete,) = poll(api, begun["id"])
    assert complete["status"] == "complete"
    assert None not in [complete[name] for name in EMAIL_FIELDS]


def test_cached_emails_come_early_for_who_asks(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(complete_after_polls=9)
    begun = ask(api, return_cached_emails="true").json()
    assert begun["return_cached_emails"] is True
    statuses = {}
    for _ in range(3):
        (profile,) = poll(api, begun["id"])
        statuses[profile["status"]] = profile["recommended_email"]
    assert statuses["progress"] is not None


def test_a_status_advances_by_polls_and_time_together(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=2, complete_after_seconds=60)
    person = ask(api).json()["id"]
    for _ in range(3):
        assert poll(api, person)[0]["status"] != "complete"
    sandbox.advance(seconds=61)
    assert poll(api, person)[0]["status"] == "complete"


def test_a_lookup_that_waits_for_nothing_is_complete_at_once(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=0)
    assert ask(api).json()["status"] == "complete"
    assert len(sandbox.charges()) == 1


def test_a_lookup_ends_by_time_alone_when_nobody_polls(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=0, complete_after_seconds=60)
    ask(api)
    assert sandbox.charges() == []
    sandbox.advance(seconds=61)
    assert len(sandbox.charges()) == 1


def test_some_people_need_more_polls(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(extra_polls=3)
    ids = [ask(api, f"Person {number}").json()["id"] for number in range(40)]
    complete = [
        sum(profile["status"] == "complete" for profile in poll(api, *ids)) for _ in range(4)
    ]
    assert 0 < complete[0] < complete[1] < complete[2] < complete[3] == 40


def test_unknown_ids_are_missing_and_repeated_ids_stand_once(api: httpx.Client) -> None:
    person = ask(api).json()["id"]
    assert [profile["id"] for profile in poll(api, 1, person, 2, person)] == [person]


def test_unlucky_people_end_as_their_share_says(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(failed=1)
    person = ask(api).json()["id"]
    assert poll(api, person)[0]["status"] == "failed"
    sandbox.change(failed=0, without_contact=1)
    (profile,) = poll(api, ask(api, "Bo").json()["id"])
    assert profile["status"] == "complete"
    assert profile["emails"] == profile["phones"] == []
    assert profile["recommended_email"] is None
    sandbox.change(without_contact=0, not_found=1)
    missing = ask(api, "Cy")
    assert missing.status_code == 404
    assert missing.headers["RR-Request-ID"]
    assert sandbox.charges() == []
    assert [lookup.outcome for lookup in sandbox.lookups()] == [
        "failed",
        "without_contact",
        "not_found",
    ]


def test_an_unknown_status_comes_before_the_end(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(unknown_status=1, complete_after_polls=0)
    begun = ask(api).json()
    documented = {"complete", "failed", "waiting", "searching", "progress", "queued", "not queued"}
    assert begun["status"] not in documented
    assert poll(api, begun["id"])[0]["status"] == "complete"


def test_unknown_fields_come_at_the_top_and_below(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(unknown_fields=1)
    (profile,) = poll(api, ask(api).json()["id"])
    assert "topics" in profile["intent_signals"]
    assert "remote" in profile["job_history"][0]
    assert "catch_all" in profile["emails"][0]


def test_a_lookup_can_answer_as_a_list(sandbox: RunningSandbox, api: httpx.Client) -> None:
    sandbox.change(lookup_as_list=True)
    (profile,) = ask(api).json()
    assert profile["name"] == "Ada Abara"


def test_a_universal_lookup_shows_only_what_it_reveals(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=0)
    query = {"name": "Ada Abara", "current_employer": "Acme", "metadata": '{"row": 7}'}
    path = "/universal/person/lookup"
    profile = api.get(path, params=query | {"reveal_phone": "true"}).json()
    assert profile["phones"]
    assert profile["metadata"] == {"row": 7}
    assert isinstance(profile["birth_year"], str)
    assert profile.keys().isdisjoint({"emails", "job_history", "recommended_email", "npi_data"})
    (charge,) = sandbox.charges()
    assert (charge.credit_type, charge.credits) == ("universal", 1)
    personal = api.get(path, params=query | {"reveal_personal_email": "true"}).json()
    assert {email["type"] for email in personal["emails"]} == {"personal"}
    usage = api.get("/universal/account/").json()
    assert usage["credit_usage"]["credits_used"] == 2
    assert {row["credit_action"] for row in usage["credit_usage_by_action"]} == {
        "PhoneEnrichment",
        "PersonalEmailEnrichment",
    }


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "non_field_errors"),
        ({"title": "Chief"}, "non_field_errors"),
        ({"name": "Ada"}, "current_employer"),
        ({"current_employer": "Acme"}, "name"),
        ({"name": "", "current_employer": "Acme"}, "name"),
        ({"email": "nobody"}, "email"),
        ({"npi_number": "12x"}, "npi_number"),
        ({"id": "x"}, "id"),
        ({"id": "5", "lookup_type": "free"}, "lookup_type"),
        ({"id": "5", "webhook_id": "12"}, "webhook_id"),
        ({"id": "5", "metadata": "{"}, "metadata"),
        ({"id": "5", "return_cached_emails": "perhaps"}, "return_cached_emails"),
    ],
)
def test_a_malformed_lookup_is_refused_by_field(
    sandbox: RunningSandbox, api: httpx.Client, parameters: dict[str, str], field: str
) -> None:
    answer = api.get("/person/lookup", params=parameters)
    assert answer.status_code == 400
    ((name, reasons),) = answer.json().items()
    assert name == field
    assert isinstance(reasons, list)
    assert sandbox.lookups() == []


@pytest.mark.parametrize("ids", [[], ["x"], ["1,2"], list(range(101))])
def test_a_malformed_status_check_is_refused(api: httpx.Client, ids: list[str | int]) -> None:
    answer = api.get("/person/checkStatus", params={"ids": ids})
    assert answer.status_code == 400
    assert list(answer.json()) == ["ids"]


def test_a_status_check_takes_a_hundred_ids(api: httpx.Client) -> None:
    assert poll(api, *range(100)) == []


@pytest.mark.parametrize("headers", [{}, {"Api-Key": "wrong"}])
def test_without_the_right_key_nothing_is_answered(
    sandbox: RunningSandbox, headers: dict[str, str]
) -> None:
    url = f"{sandbox.base_url}/person/lookup?id=5&api_key=sandbox"
    answer = httpx.get(url, headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert "detail" in answer.json()
    assert sandbox.lookups() == []


def test_unknown_paths_and_methods_are_refused(api: httpx.Client) -> None:
    assert api.get("/person/search").status_code == 404
    assert api.post("/person/lookup").status_code == 405
    assert api.get("/bulkLookup").status_code == 405
