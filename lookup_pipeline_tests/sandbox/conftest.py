"""A client of the simulated API."""

from collections.abc import Iterator

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox


@pytest.fixture
def api(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    """A client with the right key."""
    headers = {"Api-Key": sandbox.api_key}
    with httpx.Client(base_url=sandbox.base_url, headers=headers, trust_env=False) as client:
        yield client
