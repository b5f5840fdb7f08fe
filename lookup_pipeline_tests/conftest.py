"""What holds for every test, and the simulated API that most of them share."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from upath import UPath

from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox

_ENV_FILE = Path(__file__).parents[1] / ".env"


def pytest_sessionstart() -> None:
    """Refuse to run beside a `.env`: it wins over the environment, and may hold a real key."""
    if _ENV_FILE.exists():
        pytest.exit(
            f"Move {_ENV_FILE} away first: the commands under test would read it and use what it "
            "names instead of the simulated API.",
            returncode=2,
        )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine stands between the tests and their own servers."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="session")
def certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@pytest.fixture(autouse=True)
def certificates_loaded_once(monkeypatch: pytest.MonkeyPatch, certificates: ssl.SSLContext) -> None:
    """Loading them takes longer than most tests."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: certificates)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    """A simulated API in a process of its own."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    """The simulated API, empty at the start of each test."""
    shared_sandbox.reset(api_key="sandbox")
    return shared_sandbox


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An empty bucket `people`; the variables that lead to it, in this process and for others."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: PLC0415 - slow

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    # The servers of one process share their buckets.
    httpx.post(f"{variables['AWS_ENDPOINT_URL']}/moto-api/reset").raise_for_status()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    UPath("s3://people").fs.clear_instance_cache()
    UPath("s3://people").mkdir()
    yield variables
    server.stop()
