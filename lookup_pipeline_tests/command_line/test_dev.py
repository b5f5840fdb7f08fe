"""`make dev`, but for Dagster itself."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from lookup_pipeline.command_line import dev as command
from lookup_pipeline.command_line.errors import NotStartedError
from lookup_pipeline.command_line.exclusive import held
from lookup_pipeline.simulation import PROCESS_VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root, for a command that changes the environment and the signals."""
    handlers = {each: signal.getsignal(each) for each in SIGNALS}
    with mock.patch.dict(os.environ, {"DAGSTER_HOME": str(tmp_path / "home")}):
        monkeypatch.setattr(command, "project_root", lambda: tmp_path)
        yield tmp_path
    for each, handler in handlers.items():
        signal.signal(each, handler)


def started(port: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lookup_pipeline.command_line.dev", "--port", port],
        env=os.environ | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_port_in_use_is_said_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = started(str(port), tmp_path / "home")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: Port {port} can't be had: Address already in use.")
    assert "make dev PORT=3000" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x"])
def test_a_port_that_is_none_is_bad_usage(tmp_path: Path, port: str) -> None:
    done = started(port, tmp_path / "home")
    assert done.returncode == 2
    assert "argument --port" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_data_are_made_afresh_and_dagster_is_sent_to_them_and_to_the_sandbox(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "data" / "sandbox"
    folder.mkdir(parents=True)
    (folder / "ledger.db").write_text("lookups that the new sandbox does not know")
    seen: dict[str, str] = {}

    def no_dagster(_port: int, given: Path) -> int:
        assert given == folder
        assert not (folder / "ledger.db").exists()
        with (
            pytest.raises(NotStartedError, match="at work in"),
            held(project / "data", "at work in"),
        ):
            pass
        seen.update(os.environ)
        return 7

    monkeypatch.setattr(command, "_serve", no_dagster)
    assert command.dev(free_port()) == 7
    assert seen["ROCKETREACH_BASE_URL"].startswith("http://127.0.0.1:")
    assert seen["LOOKUP_PIPELINE_LEDGER_URL"] == f"sqlite:///{folder / 'ledger.db'}"
    assert seen["LOOKUP_PIPELINE_OUTPUT_URL"] == str(folder / "output")
    assert seen["DAGSTER_HOME"] == seen[PROCESS_VARIABLE] == str(project / "home")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
