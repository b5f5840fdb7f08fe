"""Starting, steering and ending a sandbox."""

import os
import signal
import socket
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from lookup_pipeline import settings
from lookup_pipeline.sandbox import command
from lookup_pipeline.sandbox.command import sandbox as sandbox_command
from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox
from lookup_pipeline.sandbox.settings import SandboxSettings, Webhook
from lookup_pipeline_tests.sandbox.asking import ask


def test_a_running_sandbox_answers_and_is_gone_afterwards() -> None:
    with running_sandbox(api_key="other", plan="pro") as running:
        assert running.base_url.endswith("/api/v2")
        assert running.api_key == "other"
        assert running.settings() == SandboxSettings(api_key="other", plan="pro")
        url = f"{running.base_url}/account/"
        assert httpx.get(url, headers={"Api-Key": "other"}, trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_sandbox_ends_when_its_starter_is_killed() -> None:
    program = (
        "import os, signal\n"
        "from lookup_pipeline.sandbox.process import running_sandbox\n"
        "with running_sandbox() as sandbox:\n"
        "    print(sandbox.base_url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The sandbox inherits the error pipe: it is at its end when both are gone.
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == -9
    with pytest.raises(httpx.ConnectError):
        httpx.get(done.stdout.strip() + "/account/", trust_env=False)


@pytest.mark.parametrize("wrong", [{"no_such": 1}, {"not_found": 1.5}, {"plan": "golden"}])
def test_a_wrong_setting_is_refused_by_name(sandbox: RunningSandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sandbox.change(**wrong)
    assert sandbox.settings() == SandboxSettings()


def test_settings_change_while_it_runs_and_a_reset_forgets(
    sandbox: RunningSandbox, api: httpx.Client
) -> None:
    ask(api)
    sandbox.change(seed=4)
    sandbox.advance(seconds=100)
    assert sandbox.settings().seed == 4
    assert sandbox.requests().by_operation == {"lookup": 1}
    assert sandbox.requests().by_answer == {"200": 1}
    sandbox.reset()
    assert sandbox.requests().total == 0
    assert sandbox.lookups() == []
    assert sandbox.settings() == SandboxSettings()


def test_the_command_reads_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def no_server(settings: SandboxSettings) -> None:
        seen.append(settings)
        raise SystemExit(0)

    monkeypatch.setattr(command, "create_app", no_server)
    arguments = (
        "--port 0 --api-key k --seed 3 --plan essentials --credits inf --credits-by-type phone=5 "
        "--not-found 0.25 --latency-seconds 0.5 --down --complete-after-polls 2 "
        "--webhook 7=http://127.0.0.1:1/x,secret --webhook 8=http://127.0.0.1:1/y"
    )
    result = CliRunner().invoke(sandbox_command, arguments.split())
    assert result.exit_code == 0, result.output
    assert seen == [
        SandboxSettings(
            api_key="k",
            seed=3,
            plan="essentials",
            credits="inf",
            credits_by_type={"phone": 5},
            not_found=0.25,
            latency_seconds=0.5,
            down=True,
            complete_after_polls=2,
            webhooks=(
                Webhook(id=7, url="http://127.0.0.1:1/x", secret="secret"),
                Webhook(id=8, url="http://127.0.0.1:1/y"),
            ),
        )
    ]


@pytest.mark.parametrize(
    "arguments", ["--not-found 2", "--seed x", "--plan golden", "--webhook nowhere", "--credits -1"]
)
def test_the_command_says_what_is_wrong_with_an_option(arguments: str) -> None:
    result = CliRunner().invoke(sandbox_command, ["--port", "0", *arguments.split()])
    assert result.exit_code == 2
    assert "Error" in result.output


def test_a_taken_port_is_named_with_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(sandbox_command, ["--port", str(port)])
    assert result.exit_code == 1
    assert f"port {port}" in result.output
    assert "--port 0" in result.output


@pytest.mark.parametrize("port", ["65536", "-1", "x"])
def test_a_port_that_is_none_is_bad_usage(port: str) -> None:
    result = CliRunner().invoke(sandbox_command, ["--port", port])
    assert result.exit_code == 2
    assert "--port" in result.output


def test_ctrl_c_ends_it_without_a_word_while_its_starter_is_there() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lookup_pipeline.sandbox", "--port", "0", "--for-program"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        url = msgspec.json.decode(process.stdout.readline())["base_url"]
        # It answers, so it has begun to watch its input as well.
        assert httpx.get(f"{url}/account/", trust_env=False).status_code == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_the_command_prints_how_to_use_it_and_keeps_invented_people_apart(tmp_path: Path) -> None:
    key = "a key, 'quoted' & more"
    process = subprocess.Popen(
        [sys.executable, "-m", "lookup_pipeline.sandbox", "--port", "0", "--api-key", key],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        lines = list(takewhile(lambda line: "Remove" not in line, process.stdout))
        # The socket listens before the address is printed, so this waits until it serves.
        address = lines[0].split("answers at ")[1].split()[0]
        assert httpx.get(f"{address}/account/", trust_env=False).status_code == 401
    finally:
        process.kill()
        process.communicate()
    exports = "".join(line for line in lines if line.startswith("  export "))

    program = (
        "import json, os\n"
        "from lookup_pipeline import settings\n"
        "known = [*settings.DEFAULTS, settings.API_KEY, 'DAGSTER_HOME']\n"
        "print(json.dumps({name: os.environ[name] for name in known if name in os.environ}))"
    )
    seen = subprocess.run(
        ["sh", "-c", 'eval "$0"; exec "$1" -c "$2"', exports, sys.executable, program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert msgspec.json.decode(seen.stdout) == {
        settings.BASE_URL: address,
        settings.API_KEY: key,
        settings.REQUESTS_PER_SECOND: "0",
        settings.OUTPUT_URL: "data/simulated/output",
        settings.LEDGER_URL: "sqlite:///data/simulated/ledger.db",
        "DAGSTER_HOME": f"{tmp_path}/data/simulated/dagster",
    }


def test_every_setting_is_explained() -> None:
    schema = msgspec.json.schema(SandboxSettings)["$defs"]["SandboxSettings"]
    assert all(about["description"] for about in schema["properties"].values())
