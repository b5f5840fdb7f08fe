"""The whole way from CSV to Parquet, against the provider's own client over the same people.

`make benchmark`, or `python -m benchmarks.end_to_end --people 10000`. Everything runs on this
machine, the simulated API (no latency, no limits) included, so the figures say what the pipeline
costs, not what the network does. The provider's client does less: it submits and asks for the
status, and keeps neither ledger nor files.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rocketreach import Gateway, GatewayConfig

from lookup_pipeline.sandbox.process import RunningSandbox, running_sandbox

DATE = "2026-01-05"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=10_000)
    people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_names(root, people)
        with running_sandbox() as sandbox:
            first, peak = run(root, sandbox)
            sent = len(sandbox.lookups())
            again, _ = run(root, sandbox)
            sent_again = len(sandbox.lookups()) - sent
        with running_sandbox() as sandbox:
            theirs = provider_client(sandbox, people)
    print(f"{people:,} people, {os.cpu_count()} cores")
    print(f"  lookup-pipeline run          {first:7.1f} s   {people / first:6.0f} names/s")
    print(f"  its peak memory              {peak:7.0f} MB")
    print(f"  run again, all settled       {again:7.1f} s   {sent_again} lookups sent")
    print(f"  the provider's client        {theirs:7.1f} s   {people / theirs:6.0f} names/s")
    print(f"  ratio, ours to theirs        {theirs / first:7.2f}")
    ours, bare = import_seconds("lookup_pipeline.definitions"), import_seconds("dagster")
    print(f"  import of the definitions    {ours - bare:7.2f} s over import dagster ({bare:.2f} s)")


def write_names(root: Path, people: int) -> None:
    """A CSV of invented people, one identity each."""
    names = root / "names"
    names.mkdir()
    rows = (f"Person{n} Name{n % 977},Employer {n % 313},Engineer,c{n}\n" for n in range(people))
    (names / f"{DATE}.csv").write_text("name,current_employer,title,crm_id\n" + "".join(rows))


def run(root: Path, sandbox: RunningSandbox) -> tuple[float, float]:
    """Seconds and peak memory (MB) of `lookup-pipeline run`, from nothing to the prompt."""
    environment = os.environ | {
        "DAGSTER_HOME": str(root / "dagster"),
        "ROCKETREACH_BASE_URL": sandbox.base_url,
        "ROCKETREACH_API_KEY": sandbox.api_key,
        "ROCKETREACH_REQUESTS_PER_SECOND": "0",
        "LOOKUP_PIPELINE_NAMES_URL": str(root / "names"),
        "LOOKUP_PIPELINE_OUTPUT_URL": str(root / "output"),
        "LOOKUP_PIPELINE_LEDGER_URL": f"sqlite:///{root / 'ledger.db'}",
    }
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("lookup-pipeline")), "run", "--date", DATE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    # Linux counts in kilobytes.
    return time.monotonic() - began, usage.ru_maxrss / 1024


def provider_client(sandbox: RunningSandbox, people: int) -> float:
    """Seconds for the provider's own client to submit the same people and get their profiles."""
    host, port = sandbox.base_url.removeprefix("http://").removesuffix("/api/v2").split(":")
    gateway = Gateway(
        GatewayConfig(api_key=sandbox.api_key, host=host, port=int(port), proto="http")
    )
    began = time.monotonic()
    ids = []
    for n in range(people):
        result = gateway.person.lookup(
            name=f"Person{n} Name{n % 977}", current_employer=f"Employer {n % 313}", block=False
        )
        ids.append(result.person.id)
    for start in range(0, people, 100):
        answer = gateway.person.check_status(ids[start : start + 100])
        if not all(person.status == "complete" for person in answer.people):
            raise SystemExit("the simulated API should complete at the first status call")
    return time.monotonic() - began


def import_seconds(module: str) -> float:
    """The median of five imports, each in a process of its own."""
    code = (
        f"import time; began = time.monotonic(); import {module}; print(time.monotonic() - began)"
    )
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)
    )


if __name__ == "__main__":
    main()
