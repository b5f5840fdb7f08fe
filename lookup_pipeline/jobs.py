"""The jobs. In-process: the work is waiting for the network, and a process a step costs more."""

from dagster import AssetSelection, define_asset_job, in_process_executor

from lookup_pipeline.datasets.columns import DATASETS, LOOKUPS
from lookup_pipeline.enrichment.publish import PUBLISHED

enrichment_job = define_asset_job(
    "enrichment_job",
    selection=AssetSelection.assets(*[dataset.name for dataset in DATASETS]),
    executor_def=in_process_executor,
    description="A date from CSV to Parquet: reads, registers, submits what is new (spends "
    "credits), publishes. Ends while lookups are in flight; the sensor follows them.",
)

publish_job = define_asset_job(
    "publish_job",
    selection=AssetSelection.assets(*[dataset.name for dataset in PUBLISHED]),
    executor_def=in_process_executor,
    description="Publishes a date's datasets from the ledger. Spends nothing, sends nothing.",
)

_SUBMITTED = AssetSelection.assets(LOOKUPS.name, *[dataset.name for dataset in PUBLISHED])

submission_job = define_asset_job(
    "submission_job",
    selection=_SUBMITTED,
    executor_def=in_process_executor,
    description="Sends what is queued of a date (spends credits), reading no file, and publishes.",
)

resubmit_job = define_asset_job(
    "resubmit_job",
    selection=_SUBMITTED,
    executor_def=in_process_executor,
    config={"ops": {LOOKUPS.name: {"config": {"resubmit": ["unconfirmed"]}}}},
    description="Sends a date's unconfirmed lookups (or others: see `resubmit` in the config) once "
    "more, and publishes. Each may cost a credit, and may have cost one already.",
)
