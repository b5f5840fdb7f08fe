"""`python -m lookup_pipeline_tests.campaign`: run the scenarios and print the table."""

import argparse
import os
import random
import sys
import time

from rich.console import Console

from lookup_pipeline_tests.campaign.result import show
from lookup_pipeline_tests.campaign.scenarios import SCENARIOS, run
from lookup_pipeline_tests.campaign.workplace import Options


def main() -> int:
    """Run; 0 when every number that must be zero is."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m lookup_pipeline_tests.campaign",
        description="Makes trouble and counts what it does: nothing may be lost or paid twice.",
    )
    parser.add_argument("--rounds", type=int, default=default.rounds, help="rounds of killing")
    parser.add_argument(
        "--seconds-limiter",
        type=float,
        default=default.limiter_seconds,
        help="how long the limiter is at work",
    )
    parser.add_argument(
        "--seconds-fuzz",
        type=float,
        default=default.fuzz_seconds,
        help="how long CSV files are made and damaged",
    )
    parser.add_argument("--seed", type=int, help="of all random choices; printed")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), help=f"some of: {','.join(SCENARIOS)}"
    )
    given = parser.parse_args()
    unknown = set(given.only or ()) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    # Nothing stands between the processes and their own simulated API.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    seed = random.randrange(10_000) if given.seed is None else given.seed
    options = Options(
        rounds=given.rounds,
        limiter_seconds=given.seconds_limiter,
        fuzz_seconds=given.seconds_fuzz,
        seed=seed,
    )
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(f"seed {seed}")
    results = []
    for name in given.only or SCENARIOS:
        began = time.monotonic()
        console.print(f"{name} …")
        results.append(run(name, options))
        verdict = "holds" if results[-1].holds else "DOES NOT HOLD"
        console.print(f"  {verdict}, {time.monotonic() - began:.0f} s")
    show(results, console)
    return 0 if all(each.holds for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
