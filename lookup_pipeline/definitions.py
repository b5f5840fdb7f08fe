"""What Dagster loads."""

from collections.abc import Mapping
from typing import Any

from dagster import Definitions, in_process_executor

from lookup_pipeline.assets import ASSETS
from lookup_pipeline.jobs import enrichment_job, publish_job, resubmit_job, submission_job
from lookup_pipeline.queue_sensor import queued_lookups_sensor
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.schedules import nightly_enrichment
from lookup_pipeline.sensors import lookup_status_sensor


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> Definitions:
    """The project's definitions; `resource_overrides` replace resources by name (for tests)."""
    return Definitions(
        assets=ASSETS,
        jobs=[enrichment_job, publish_job, submission_job, resubmit_job],
        schedules=[nightly_enrichment],
        sensors=[lookup_status_sensor, queued_lookups_sensor],
        resources={
            "ledger": LedgerResource(),
            "folders": Folders(),
            "rocketreach": RocketReach(),
            **(resource_overrides or {}),
        },
        executor=in_process_executor,
    )


defs = build_defs()
