"""The command as a shell runs it, with every setting in its environment."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from lookup_pipeline.sandbox.process import RunningSandbox

SCRIPT = Path(sys.executable).with_name("lookup-pipeline")
DAGSTER = Path(sys.executable).with_name("dagster")

DAY = "2025-03-03"
NEXT_DAY = "2025-03-04"

Command = subprocess.CompletedProcess[str]


class Workplace:
    """Folders, a ledger and a DAGSTER_HOME that nothing else uses."""

    def __init__(self, root: Path, sandbox: RunningSandbox) -> None:
        self.root = root
        self.home = root / "dagster_home"
        self.names = root / "names"
        self.names.mkdir()
        # Nothing of the machine's own configuration reaches the command.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROCKETREACH_", "LOOKUP_PIPELINE_", "DAGSTER_"))
        } | {
            "DAGSTER_HOME": str(self.home),
            "ROCKETREACH_API_KEY": sandbox.api_key,
            "ROCKETREACH_BASE_URL": sandbox.base_url,
            "ROCKETREACH_REQUESTS_PER_SECOND": "0",
            "LOOKUP_PIPELINE_NAMES_URL": str(self.names),
            "LOOKUP_PIPELINE_OUTPUT_URL": str(root / "output"),
            "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{root / 'ledger.db'}",
            "LOOKUP_PIPELINE_START_DATE": "2025-03-01",
            "NO_PROXY": "*",
            "no_proxy": "*",
            # Wide enough that no message is wrapped.
            "COLUMNS": "250",
        }

    def write_csv(self, rows: Sequence[Sequence[str]], day: str = DAY) -> None:
        with (self.names / f"{day}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "current_employer", "email"])
            writer.writerows(rows)

    def run(self, *arguments: str, **environment: str) -> Command:
        """Run the command to its end."""
        return subprocess.run(
            [str(SCRIPT), *arguments],
            env=self.environment | environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def materialize(self, *assets: str, day: str = DAY) -> Command:
        """Materialize some assets of a date alone, with Dagster's own command."""
        where = ("-m", "lookup_pipeline.definitions", "--partition", day)
        return subprocess.run(
            [str(DAGSTER), "asset", "materialize", *where, "--select", ",".join(assets)],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Begin the command, for a test that ends it."""
        return subprocess.Popen(
            [str(SCRIPT), *arguments],
            env=self.environment | environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """What `status --json` prints."""
        done = self.run("status", "--json", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = msgspec.json.decode(done.stdout)
        return found

    def rows(self, dataset: str, day: str = DAY) -> list[dict[str, Any]]:
        path = self.root / "output" / dataset / f"lookup_date={day}" / "part-0.parquet"
        return pq.ParquetFile(str(path)).read().to_pylist()

    def files_that_tell(self, word: str) -> list[str]:
        """The files of DAGSTER_HOME in which a word stands, byte for byte."""
        return [
            str(path.relative_to(self.home))
            for path in self.home.rglob("*")
            if path.is_file() and word.encode() in path.read_bytes()
        ]


def told(done: Command) -> str:
    """All that it printed."""
    return done.stdout + done.stderr
