"""What the tests ask the sandbox, in few words."""

from typing import Any

import httpx


def ask(api: httpx.Client, name: str = "Ada Abara", **more: Any) -> httpx.Response:
    """Look somebody up by name and employer."""
    parameters = {"name": name, "current_employer": "Acme"} | more
    return api.get("/person/lookup", params=parameters)


def poll(api: httpx.Client, *ids: int) -> list[dict[str, Any]]:
    """Check the status of these ids."""
    answer = api.get("/person/checkStatus", params={"ids": list(ids)})
    assert answer.status_code == 200, answer.text
    profiles: list[dict[str, Any]] = answer.json()
    return profiles


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    """So many queries of a bulk lookup."""
    return [{"name": f"Person {n}", "current_employer": "Acme"} | more for n in range(count)]
