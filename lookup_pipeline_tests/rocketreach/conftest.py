"""No proxy of the machine stands between these tests and their own servers."""

import ssl

import httpx
import pytest


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
