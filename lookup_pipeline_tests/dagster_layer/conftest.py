"""A project of its own for each test: folders, ledger, instance, and a simulated API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    ExecuteInProcessResult,
    SensorDefinition,
    SensorResult,
    SkipReason,
    build_sensor_context,
)

from lookup_pipeline import settings
from lookup_pipeline.datasets.columns import Dataset
from lookup_pipeline.definitions import build_defs
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.sandbox.process import RunningSandbox

DATE = "2026-01-05"


@dataclass(frozen=True)
class Project:
    """What a test works with."""

    folder: Path
    instance: DagsterInstance
    sandbox: RunningSandbox
    resources: dict[str, object]

    @property
    def ledger(self) -> Ledger:
        resource = self.resources["ledger"]
        assert isinstance(resource, LedgerResource)
        return resource.open()

    def write(self, text: str, date: str = DATE) -> None:
        (self.folder / "names").mkdir(exist_ok=True)
        (self.folder / "names" / f"{date}.csv").write_text(text, encoding="utf-8")

    def run(
        self,
        job: str = "enrichment_job",
        date: str = DATE,
        config: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        assets: Sequence[str] | None = None,
        **resources: object,
    ) -> ExecuteInProcessResult:
        """Run a job, or some of its assets; `config` is that of `lookups`."""
        definitions = build_defs({**self.resources, **resources})
        return definitions.resolve_job_def(job).execute_in_process(
            partition_key=date,
            instance=self.instance,
            raise_on_error=False,
            tags=dict(tags or {}),
            asset_selection=None if assets is None else [AssetKey(name) for name in assets],
            run_config=None if config is None else {"ops": {"lookups": {"config": dict(config)}}},
        )

    def materialize(self, *datasets: Dataset) -> ExecuteInProcessResult:
        """Materialize some assets of the partition alone, as the UI does."""
        job = build_defs(self.resources).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            partition_key=DATE,
            instance=self.instance,
            raise_on_error=False,
            asset_selection=[AssetKey(dataset.name) for dataset in datasets],
        )


def evaluate(
    sensor: SensorDefinition, project: Project, **resources: object
) -> SensorResult | SkipReason:
    """A tick, as the daemon has it; `resources` replace the project's."""
    context = build_sensor_context(
        instance=project.instance, resources={**project.resources, **resources}
    )
    result = sensor(context)
    assert isinstance(result, SensorResult | SkipReason)
    return result


def error_of(result: ExecuteInProcessResult, step: str) -> str:
    failures = [event for event in result.all_events if event.is_step_failure]
    assert [event.step_key for event in failures] == [step]
    data = failures[0].step_failure_data
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def metadata(result: ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = (
        event
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(asset)
    )
    return {name: value.value for name, value in event.materialization.metadata.items()}


@pytest.fixture
def project(
    tmp_path: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    for name in (*settings.DEFAULTS, settings.API_KEY):
        monkeypatch.delenv(name, raising=False)
    with DagsterInstance.ephemeral() as instance:
        yield Project(
            tmp_path,
            instance,
            sandbox,
            {
                "ledger": LedgerResource(url=f"sqlite:///{tmp_path / 'ledger.db'}"),
                "folders": Folders(
                    names_url=str(tmp_path / "names"), output_url=str(tmp_path / "output")
                ),
                "rocketreach": RocketReach(
                    api_key=sandbox.api_key,
                    base_url=sandbox.base_url,
                    requests_per_second=0,
                ),
            },
        )
