"""A workplace of its own for each test, and a key that stands nowhere else."""

from pathlib import Path

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import Workplace


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset(api_key="s4ndbox-key-of-these-tests")
    return shared_sandbox


@pytest.fixture
def workplace(tmp_path: Path, sandbox: RunningSandbox) -> Workplace:
    return Workplace(tmp_path, sandbox)
