"""A sandbox in a process of its own, shared by the tests and empty at the start of each."""

from collections.abc import Iterator

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset(api_key="sandbox")
    return shared_sandbox


@pytest.fixture
def api(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    """A client with the right key."""
    headers = {"Api-Key": sandbox.api_key}
    with httpx.Client(base_url=sandbox.base_url, headers=headers, trust_env=False) as client:
        yield client
