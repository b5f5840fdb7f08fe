"""A process that a test kills: one step of the flows on the ledger and output of a folder.

Run as `python -m lookup_pipeline_tests.enrichment.victim FOLDER STEP [DEATH]`; the API is in the
environment. DEATH says where it kills itself, as METHOD:NUMBER of calls of the partition writer;
`after:replace:3`, say, means once the third file is in place.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookup_pipeline.datasets.storage import PartitionWriter
from lookup_pipeline_tests.enrichment.pipeline import opened_pipeline


def die_at(when: str, method: str, number: int) -> None:
    """Have the process killed before or after a method's n-th call."""
    original: Callable[..., Any] = getattr(PartitionWriter, method)
    calls = 0

    def watched(self: PartitionWriter, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if when == "before" and calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *arguments)
        if when == "after" and calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(PartitionWriter, method, watched)


def main(folder: str, step: str, death: str = "") -> None:
    # A shell's background job is started deaf to interrupts, and so are its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if death:
        when, method, number = death.split(":")
        die_at(when, method, int(number))
    with opened_pipeline(
        Path(folder), os.environ["ROCKETREACH_BASE_URL"], os.environ["ROCKETREACH_API_KEY"]
    ) as pipeline:
        if step == "submit":
            pipeline.submit(owner="victim")
        else:
            pipeline.publish()


if __name__ == "__main__":
    main(*sys.argv[1:])
