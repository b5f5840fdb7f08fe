"""One sandbox for all these tests, and a workplace of its own for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox
from lookup_pipeline_tests.command_line.workplace import Workplace


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset(api_key="s4ndbox-key-of-these-tests")
    return shared_sandbox


@pytest.fixture
def workplace(tmp_path: Path, sandbox: RunningSandbox) -> Workplace:
    return Workplace(tmp_path, sandbox)
