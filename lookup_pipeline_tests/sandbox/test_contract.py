"""Every operation's answers are what the provider's published description says."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.sandbox.asking import ask, people, poll
from lookup_pipeline_tests.sandbox.receiver import receiving

DESCRIPTION = Path(__file__).parents[2] / "../shared/api/openapi-people.json"
pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(), reason="the provider's description is not part of the project"
)
REVEAL_ALL: dict[str, str | int] = {
    "reveal_professional_email": "true",
    "reveal_personal_email": "true",
    "reveal_phone": "true",
    "reveal_detailed_person_enrichment": "true",
    "reveal_healthcare_enrichment": "true",
}


def check(content: Any, path: str, schema: dict[str, Any] | None = None) -> None:
    """Check an answer of 200 against the description, all properties known by name."""
    description = msgspec.json.decode(DESCRIPTION.read_bytes())
    if schema is None:
        answer = description["paths"][path]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
    whole = {"components": description["components"], **schema}
    errors = [error.message for error in Draft202012Validator(whole).iter_errors(content)]
    assert not errors
    name = (schema.get("items") or schema)["$ref"].rsplit("/", 1)[1]
    known = set(description["components"]["schemas"][name]["properties"])
    for one in content if isinstance(content, list) else [content]:
        assert set(one) <= known


def test_the_classic_operations_answer_as_described(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.change(complete_after_polls=2)
    npi = api.get("/person/lookup", params={"npi_number": 1234567890, "return_cached_emails": True})
    begun = [ask(api).json(), npi.json(), ask(api, "Ada", metadata='{"row": 1}').json()]
    for profile in begun:
        check(profile, "/person/lookup")
    ids = [profile["id"] for profile in begun]
    check(poll(api, *ids), "/person/checkStatus")
    complete = poll(api, *ids)
    check(complete, "/person/checkStatus")
    assert {profile["status"] for profile in complete} == {"complete"}
    check(ask(api, return_cached_emails=True).json(), "/person/lookup")
    for plan in ("unlimited", "pro"):
        sandbox.change(plan=plan)
        check(api.get("/account/").json(), "/account/")


def test_the_universal_operations_answer_as_described(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    query: dict[str, str | int] = {
        "name": "Ada",
        "current_employer": "Acme",
        "npi_number": 1234567890,
    }
    path = "/universal/person/lookup"
    paid = api.get(path, params=query | REVEAL_ALL | {"metadata": '{"row": 1}'}).json()
    unpaid = api.get(path, params={"name": "Bo", "current_employer": "Acme"}).json()
    check(paid, path)
    check(unpaid, path)
    ids = {"ids": [paid["id"], unpaid["id"]]}
    complete = api.get("/universal/person/check_status", params=ids).json()
    check(complete, "/universal/person/check_status")
    check(api.get("/universal/account/").json(), "/universal/account/")
    # Paid and in flight afterwards: the same answers, complete at once.
    check(api.get(path, params=query | REVEAL_ALL).json(), path)


def test_what_a_bulk_lookup_delivers_is_as_described(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    with receiving() as receiver:
        sandbox.change(
            webhooks=[{"id": 7, "url": receiver.url}],
            not_found=0.2,
            failed=0.2,
            without_contact=0.2,
        )
        api.post("/bulkLookup", json={"queries": people(40, metadata={"row": 1}), "webhook_id": 7})
        (delivery,) = receiver.wait_for(1)
    assert {profile["status"] for profile in delivery.content} == {"complete", "failed"}
    reference = "#/components/schemas/ProfileAPIWithMetadataCompiledCompany"
    check(delivery.content, "", {"type": "array", "items": {"$ref": reference}})
