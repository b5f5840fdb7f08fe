"""A workplace of its own for each test, and a key that stands nowhere else."""

from pathlib import Path

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import Workplace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts the command as a process: that alone takes two seconds each time."""
    for item in items:
        if "workplace" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset(api_key="s4ndbox-key-of-these-tests")
    return shared_sandbox


@pytest.fixture
def workplace(tmp_path: Path, sandbox: RunningSandbox) -> Workplace:
    return Workplace(tmp_path, sandbox)
