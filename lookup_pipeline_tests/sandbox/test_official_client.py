"""The provider's own client, unchanged, talks to the sandbox."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox

rocketreach = pytest.importorskip("rocketreach")


def gateway(sandbox: RunningSandbox, key: str = "sandbox") -> Any:
    address = urlsplit(sandbox.base_url)
    config = rocketreach.GatewayConfig(
        api_key=key, host=address.hostname, port=address.port, proto="http"
    )
    return rocketreach.Gateway(config)


def test_it_reads_the_account(sandbox: RunningSandbox) -> None:
    result = gateway(sandbox).account.get()
    assert result.is_success
    assert result.account.state == "registered"
    assert result.account.credit_usage[0]["credit_type"] == "standard"


def test_it_looks_a_person_up_and_checks_the_status(sandbox: RunningSandbox) -> None:
    client = gateway(sandbox)
    begun = client.person.lookup(name="Ada Abara", current_employer="Acme", block=False)
    assert begun.is_success
    assert begun.person.status != "complete"
    checked = client.person.check_status([begun.person.id])
    assert [person.status for person in checked.people] == ["complete"]
    assert checked.people[0].name == "Ada Abara"


def test_it_blocks_until_a_lookup_is_complete(sandbox: RunningSandbox) -> None:
    client = gateway(sandbox)
    client.person.default_polling_interval = 0.01
    sandbox.change(complete_after_polls=3)
    result = client.person.lookup(linkedin_url="https://www.linkedin.com/in/ada-abara")
    assert result.person.status == "complete"
    assert result.person.emails


def test_it_looks_a_person_up_by_id(sandbox: RunningSandbox) -> None:
    result = gateway(sandbox).person.lookup(person_id=5244, block=False)
    assert result.person.id == 5244


def test_it_understands_the_refusals(sandbox: RunningSandbox) -> None:
    client = gateway(sandbox)
    with pytest.raises(rocketreach.exceptions.RejectedException) as rejected:
        gateway(sandbox, key="wrong").account.get()
    assert rejected.value.error_code == "invalid_api_key"
    assert not client.person.lookup(name="Nameless", block=False).is_success
    sandbox.change(requests_per_second=1)
    client.account.get()
    with pytest.raises(rocketreach.exceptions.RocketReachException, match="rate-limited for 1 sec"):
        client.person.lookup(name="Ada", current_employer="Acme", block=False)
