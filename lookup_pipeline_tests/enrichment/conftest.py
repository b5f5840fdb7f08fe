"""One sandbox for all these tests, empty at the start of each, and a pipeline in tmp_path."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox
from lookup_pipeline_tests.enrichment.pipeline import Pipeline, opened_pipeline


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="session")
def certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@pytest.fixture(autouse=True)
def certificates_loaded_once(monkeypatch: pytest.MonkeyPatch, certificates: ssl.SSLContext) -> None:
    """Loading them takes longer than most of these tests."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: certificates)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    shared_sandbox.reset(api_key="sandbox")
    return shared_sandbox


@pytest.fixture
def pipeline(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Pipeline]:
    with opened_pipeline(tmp_path, sandbox.base_url, sandbox.api_key) as opened:
        yield opened
