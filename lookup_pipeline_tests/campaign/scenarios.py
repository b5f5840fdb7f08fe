"""Every scenario by its name, and how one is run."""

import traceback
from collections.abc import Callable, Mapping

from lookup_pipeline_tests.campaign.clock_jumps import clock_jumps
from lookup_pipeline_tests.campaign.csv_fuzz.scenario import csv_fuzz
from lookup_pipeline_tests.campaign.faults import faults, processed_500s
from lookup_pipeline_tests.campaign.full_disk import full_disk_files, full_disk_ledger
from lookup_pipeline_tests.campaign.kills import kills
from lookup_pipeline_tests.campaign.large_ledger import large_ledger
from lookup_pipeline_tests.campaign.limiter import limiter
from lookup_pipeline_tests.campaign.locked_ledger import locked_ledger
from lookup_pipeline_tests.campaign.restores import restores
from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.stalled_storage import stalled_storage
from lookup_pipeline_tests.campaign.workplace import Options

SCENARIOS: Mapping[str, Callable[[Options], Result]] = {
    "kills": kills,
    "faults": faults,
    "processed-500s": processed_500s,
    "full-disk-files": full_disk_files,
    "full-disk-ledger": full_disk_ledger,
    "locked-ledger": locked_ledger,
    "stalled-storage": stalled_storage,
    "clock-jumps": clock_jumps,
    "restores": restores,
    "large-ledger": large_ledger,
    "limiter": limiter,
    "csv-fuzz": csv_fuzz,
}


def run(name: str, options: Options) -> Result:
    """Run a scenario; one that breaks off is a result as well."""
    try:
        return SCENARIOS[name](options)
    except Exception:  # noqa: BLE001 - the others go on, and the table says what happened
        return Result(name, problems=[f"broke off: {traceback.format_exc()}"])
