"""The whole product at once: daemon, web server, sensor and simulated API, started as a user would.

A backfill of three days is launched through the web server's GraphQL, as the UI does it. Nothing
here calls the package: what happens, happens because the daemon's sensor follows the lookups.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from lookup_pipeline.command_line.instance import TEMPLATE
from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
DATES = ["2026-01-05", "2026-01-06", "2026-01-07"]
# Generous: two cores, with the tests' own load; a healthy run takes a third of it.
PATIENCE = 240

REPOSITORY = {
    "repositoryLocationName": "lookup_pipeline",
    "repositoryName": "__repository__",
}

LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""

BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
}
"""

RUNS = """
query Runs {
  runsOrError { ... on Runs { results { jobName status tags { key value } } } }
}
"""

LOADED = """
query Loaded {
  workspaceOrError { ... on Workspace { locationEntries { name loadStatus
    locationOrLoadError { __typename } } } }
}
"""


class Web:
    """The web server's GraphQL."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            self._url, json={"query": query, "variables": variables}, timeout=60, trust_env=False
        ).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


def test_a_backfill_of_three_days_ends_in_parquet_without_a_person(tmp_path: Path) -> None:
    with (
        running_sandbox(not_found=0.1, failed=0.05, extra_polls=1, seed=3) as sandbox,
        dagster_dev(tmp_path, sandbox) as web,
    ):
        backfill(web, DATES)
        wait_until(lambda: pending(tmp_path) == 0, "the sensor to publish what settled")
        # The files are in place a moment before the run that wrote them has ended.
        wait_until(lambda: all(ended(run) for run in all_runs(web)), "the last runs to end")
        runs = all_runs(web)

        datasets = {name: read(tmp_path, name) for name in ("names", "lookups", *PUBLISHED)}
        charges, submissions = sandbox.charges(), sandbox.lookups()

    assert {run["status"] for run in runs} == {"SUCCESS"}
    publications = [run for run in runs if run["jobName"] == "publish_job"]
    assert {tags(run)["dagster/partition"] for run in publications} == set(DATES)
    assert {tags(run)["dagster/sensor_name"] for run in publications} == {"lookup_status_sensor"}

    keys = ["lookup_date", "source_file", "source_row"]
    published = pd.concat([datasets[name][keys] for name in PUBLISHED])
    for whole in ("names", "lookups"):
        assert rows(published, keys) == rows(datasets[whole], keys)
    assert not published.duplicated().any()
    assert len(datasets["names"]) > 100
    assert len(datasets["failed_lookups"]) > 0

    # Every lookup sent once, and paid for once.
    assert len(submissions) == datasets["lookups"]["lookup_id"].nunique()
    queries = {tuple(sorted(submission.query.items())) for submission in submissions}
    assert len(queries) == len(submissions)
    assert len(charges) == datasets["profiles"]["lookup_id"].nunique()


def test_what_the_provider_holds_back_goes_on_when_it_allows_it_without_a_person(
    tmp_path: Path,
) -> None:
    # Longer than a run waits itself.
    with (
        running_sandbox(down=True, retry_after_seconds=3_600) as sandbox,
        dagster_dev(tmp_path, sandbox) as web,
    ):
        backfill(web, DATES[2:])
        queued = pending(tmp_path)
        assert queued > 0
        assert queued == len(read(tmp_path, "names"))
        sandbox.change(down=False)
        let_the_hour_pass(tmp_path)
        wait_until(lambda: pending(tmp_path) == 0, "the sensors to send, follow and publish")
        wait_until(lambda: all(ended(run) for run in all_runs(web)), "the last runs to end")
        runs = all_runs(web)
        sent = len(sandbox.lookups())

    assert {run["status"] for run in runs} == {"SUCCESS"}
    (continuing,) = (run for run in runs if run["jobName"] == "submission_job")
    assert tags(continuing)["dagster/sensor_name"] == "queued_lookups_sensor"
    assert tags(continuing)["dagster/partition"] == DATES[2]
    assert sent == read(tmp_path, "lookups")["lookup_id"].nunique()


def let_the_hour_pass(folder: Path) -> None:
    """Nobody waits for it: the times that the ledger goes by are over."""
    with sqlite3.connect(folder / "ledger.db", timeout=30) as connection:
        connection.execute("UPDATE waits SET until = 0")
        connection.execute("UPDATE limits SET blocked_until = 0")
        connection.execute("UPDATE lookups SET not_before = NULL")
    connection.close()


def backfill(web: Web, dates: list[str]) -> None:
    """Launch a backfill as the UI does, and wait for its success."""
    launched = web.ask(
        LAUNCH,
        params={
            "selector": {"repositorySelector": REPOSITORY, "partitionSetName": PARTITION_SET},
            "partitionNames": dates,
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def status() -> str:
        found = web.ask(BACKFILL, id=launched["backfillId"])["partitionBackfillOrError"]
        return str(found["status"])

    wait_until(lambda: status() == "COMPLETED_SUCCESS", "the backfill to succeed")


PARTITION_SET = "enrichment_job_partition_set"
PUBLISHED = ("profiles", "failed_lookups", "pending_lookups")


def read(folder: Path, dataset: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "output" / dataset)


def rows(frame: pd.DataFrame, keys: list[str]) -> list[tuple[Any, ...]]:
    return sorted(frame[keys].astype(str).itertuples(index=False, name=None))


def pending(folder: Path) -> int:
    return len(read(folder, "pending_lookups"))


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def all_runs(web: Web) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = web.ask(RUNS)["runsOrError"]["results"]
    return runs


def ended(run: dict[str, Any]) -> bool:
    return run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} seconds for {what}"
        time.sleep(1)


@contextmanager
def dagster_dev(folder: Path, sandbox: RunningSandbox) -> Iterator[Web]:
    """`dagster dev` against the sandbox, with an instance and data of its own."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(TEMPLATE.read_text())
    port = free_port()
    log = folder / "dagster.log"
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "ROCKETREACH_BASE_URL": sandbox.base_url,
        "ROCKETREACH_API_KEY": sandbox.api_key,
        "ROCKETREACH_REQUESTS_PER_SECOND": "0",
        "LOOKUP_PIPELINE_NAMES_URL": str(ROOT / "data" / "names"),
        "LOOKUP_PIPELINE_OUTPUT_URL": str(folder / "output"),
        "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "LOOKUP_PIPELINE_START_DATE": DATES[0],
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster", "dev", "--workspace"),
                *(str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: the daemon and the web server end with it.
            start_new_session=True,
        ) as process,
    ):
        try:
            web = Web(port)
            wait_until(lambda: loaded(web, process, log), "Dagster to load the project")
            yield web
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def loaded(web: Web, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        entries = web.ask(LOADED)["workspaceOrError"]["locationEntries"]
    except httpx.HTTPError:
        return False
    return [entry["locationOrLoadError"] for entry in entries] == [
        {"__typename": "RepositoryLocation"}
    ]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
