"""Runs a sandbox in a process of its own, for tests, benchmarks and the demo."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar, cast

import httpx
import msgspec

from lookup_pipeline.sandbox.records import Charge, Delivery, RequestCounts, Submission
from lookup_pipeline.sandbox.settings import SandboxSettings

_T = TypeVar("_T")


class _Greeting(msgspec.Struct):
    base_url: str
    api_key: str


class RunningSandbox:
    """A sandbox that runs, and its control endpoints as methods.

    Attributes:
        base_url: Root of its API, ending in `/api/v2`.
        api_key: The key it accepts.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self.api_key = api_key
        control_url = base_url.removesuffix("/api/v2") + "/sandbox"
        # It is on this machine: a proxy set in the environment is not meant for it. A minute,
        # because a log of a hundred thousand lookups takes its time on a busy machine.
        self._client = httpx.Client(base_url=control_url, timeout=60, trust_env=False)

    def charges(self) -> list[Charge]:
        """Every payment, oldest first."""
        return self._get("/charges", list[Charge])

    def lookups(self) -> list[Submission]:
        """Every lookup that was processed, oldest first."""
        return self._get("/lookups", list[Submission])

    def deliveries(self) -> list[Delivery]:
        """Every webhook delivery, oldest first."""
        return self._get("/deliveries", list[Delivery])

    def requests(self) -> RequestCounts:
        """How many requests came, and what they were answered."""
        return self._get("/requests", RequestCounts)

    def settings(self) -> SandboxSettings:
        """What it does now."""
        return self._get("/settings", SandboxSettings)

    def change(self, **settings: Any) -> None:
        """Change settings, by the names of `SandboxSettings`, while it runs.

        Raises:
            ValueError: When one is unknown or out of range.
        """
        self._send("PATCH", "/settings", settings)
        self.api_key = settings.get("api_key", self.api_key)

    def advance(self, *, seconds: float) -> None:
        """Move its clock on."""
        self._send("POST", "/clock", {"advance_seconds": seconds})

    def reset(self, **settings: Any) -> None:
        """Forget everything, and do as these settings say; what is not given is the default.

        The key stays what it is unless one is given.

        Raises:
            ValueError: When a setting is unknown or out of range.
        """
        settings = {"api_key": self.api_key} | settings
        self._send("POST", "/reset", settings)
        self.api_key = settings["api_key"]

    def close(self) -> None:
        """Close the connection to it; the sandbox goes on."""
        self._client.close()

    def _get(self, path: str, kind: type[_T]) -> _T:
        answer = self._client.get(path)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=kind)

    def _send(self, method: str, path: str, content: dict[str, Any]) -> None:
        answer = self._client.request(method, path, content=msgspec.json.encode(content))
        if answer.status_code == 400:
            raise ValueError(f"The sandbox refuses {sorted(content)}: {answer.json()['detail']}")
        answer.raise_for_status()


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox on a free port of this machine until the block ends.

    It also ends when this process dies, however that happens: it reads from a pipe of ours.

    Args:
        settings: Any of `SandboxSettings`; webhooks as `Webhook` objects or dicts.

    Yields:
        The sandbox, ready to answer.

    Raises:
        ValueError: When a setting is unknown or out of range.
        RuntimeError: When it does not start; its own words are on standard error.
    """
    arguments = ["--host", "127.0.0.1", "--port", "0", "--for-program"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [sys.executable, "-m", "lookup_pipeline.sandbox", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            line = cast("IO[bytes]", process.stdout).readline()
            if not line:
                raise RuntimeError("The sandbox did not start; its message is on standard error.")
            greeting = msgspec.json.decode(line, type=_Greeting)
            sandbox = RunningSandbox(greeting.base_url, greeting.api_key)
            try:
                # Answered once the server is up: the socket listens already, so this waits.
                sandbox.reset(**settings)
                yield sandbox
            finally:
                sandbox.close()
        finally:
            process.kill()
