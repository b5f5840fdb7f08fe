"""`lookup-pipeline demo`, as `make demo` runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "data" / "demo" / "output"


def test_the_demo_ends_settled_says_where_the_parquet_is_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    # A key and a ledger of the user's: the demo must use neither.
    mine = tmp_path / "mine.db"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lookup-pipeline")), "demo"],
        env=os.environ
        | {
            "ROCKETREACH_API_KEY": "a-real-key",
            "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{mine}",
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(OUTPUT / "profiles") in done.stdout
    assert "duckdb -c" in done.stdout
    assert not mine.exists()

    profiles = pd.read_parquet(OUTPUT / "profiles")
    failed = pd.read_parquet(OUTPUT / "failed_lookups")
    assert len(pd.read_parquet(OUTPUT / "pending_lookups")) == 0
    assert len(profiles) + len(failed) == len(pd.read_parquet(OUTPUT / "names")) == 161
    assert set(failed["failure_kind"]) == {"not_found", "failed"}
    charged = re.search(r"Credits charged by the simulated API: (\d+)", done.stdout)
    assert charged is not None
    found = profiles[profiles["emails"].str.len() + profiles["phones"].str.len() > 0]
    assert int(charged[1]) == found["lookup_id"].nunique()

    address = re.search(r"http://127\.0\.0\.1:\d+", done.stdout)
    assert address is not None
    with pytest.raises(httpx.ConnectError):
        httpx.get(address[0], trust_env=False)
