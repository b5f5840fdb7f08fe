"""Decoding a status answer of a hundred profiles: why the client reads only the head of each.

`python -m benchmarks.decoding` prints each way's time as a ratio to the standard library's decoder,
which decodes everything and checks nothing.
"""

import json
import time
from collections.abc import Callable

import httpx
import msgspec
import pydantic

from lookup_pipeline.rocketreach.models import decode_statuses
from lookup_pipeline.sandbox.process import running_sandbox

ROUNDS = 30


class Head(pydantic.BaseModel):
    """What following a lookup needs, validated by pydantic."""

    id: int | None = None
    status: str | None = None
    emails: list[dict[str, object]] | None = None
    phones: list[dict[str, object]] | None = None


def main() -> None:
    """Measure and print."""
    body = status_answer()
    heads = pydantic.TypeAdapter(list[Head])
    ways: dict[str, Callable[[], object]] = {
        "json": lambda: json.loads(body),
        "msgspec, all, unchecked": lambda: msgspec.json.decode(body),
        "pydantic, head": lambda: heads.validate_json(body),
        "ours: head, bytes kept": lambda: decode_statuses(body),
    }
    best = {name: min(seconds(way) for _ in range(5)) for name, way in ways.items()}
    print(f"100 complete profiles, {len(body) / 1000:.0f} KB; times faster than json:")
    for name, took in best.items():
        print(f"  {name:25} {best['json'] / took:5.1f}")


def status_answer() -> bytes:
    """A status answer as the simulated API gives it."""
    with running_sandbox() as sandbox:
        client = httpx.Client(headers={"Api-Key": sandbox.api_key}, trust_env=False)
        with client:
            ids = [
                client.get(
                    f"{sandbox.base_url}/person/lookup",
                    params={"name": f"Person {number}", "current_employer": "Employer"},
                ).json()["id"]
                for number in range(100)
            ]
            return client.get(f"{sandbox.base_url}/person/checkStatus", params={"ids": ids}).content


def seconds(way: Callable[[], object]) -> float:
    """Seconds for one decoding, over some rounds."""
    began = time.perf_counter()
    for _ in range(ROUNDS):
        way()
    return (time.perf_counter() - began) / ROUNDS


if __name__ == "__main__":
    main()
