"""What Dagster loads: names, descriptions and types that others rely on."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dagster import AssetKey, DefaultScheduleStatus, DefaultSensorStatus, Definitions, TableSchema

from lookup_pipeline.command_line.instance import TEMPLATE, open_instance, prepare_home
from lookup_pipeline.datasets.columns import DATASETS
from lookup_pipeline.definitions import defs

ROOT = Path(__file__).parents[2]

# asset: (kinds, what it depends on)
ASSETS = {
    "names": ({"csv", "pandas", "parquet"}, set()),
    "rejected_names": ({"csv", "pandas", "parquet"}, set()),
    "lookups": ({"rocketreach", "parquet"}, {"names"}),
    "profiles": ({"parquet"}, {"lookups"}),
    "failed_lookups": ({"parquet"}, {"lookups"}),
    "pending_lookups": ({"parquet"}, {"lookups"}),
}


def test_the_assets_are_those_of_the_contract() -> None:
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): (
            set(graph.get(key).kinds),
            {parent.to_user_string() for parent in graph.get(key).parent_keys},
        )
        for key in graph.get_all_asset_keys()
    }
    assert found == ASSETS


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_tells_what_it_is(name: str) -> None:
    node = defs.resolve_asset_graph().get(AssetKey(name))
    dataset = next(dataset for dataset in DATASETS if dataset.name == name)
    schema = node.metadata["dagster/column_schema"]
    assert node.description
    assert node.group_name == "lookup_pipeline"
    assert list(node.owners) == ["team:data-engineering"]
    assert isinstance(schema, TableSchema)
    assert [column.name for column in schema.columns] == dataset.schema.names
    assert all(column.description for column in schema.columns)
    partitions = node.partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys()[0] == "2026-01-05"


def test_jobs_sensor_and_schedule_have_their_names_and_defaults() -> None:
    Definitions.validate_loadable(defs)
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"enrichment_job", "publish_job"}
    sensor = defs.resolve_sensor_def("lookup_status_sensor")
    assert sensor.default_status is DefaultSensorStatus.RUNNING
    schedule = defs.resolve_schedule_def("nightly_enrichment")
    assert schedule.default_status is DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")


def test_definitions_load_without_secrets_network_or_writing_anything(tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('network at import')\n"
        "socket.socket.connect = refuse\n"
        "import lookup_pipeline.definitions as found\n"
        "print(len(list(found.defs.resolve_asset_graph().get_all_asset_keys())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "6"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOOKUP_PIPELINE_START_DATE", "yesterday"),
        ("LOOKUP_PIPELINE_NIGHTLY_HOUR", "25"),
    ],
)
def test_a_setting_that_is_wrong_is_named_when_definitions_load(variable: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lookup_pipeline.definitions"],
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"{variable} is" in done.stderr.splitlines()[-1]


def test_both_ways_of_loading_give_one_location_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    workspace = (ROOT / "workspace.yaml").read_text()
    name = project["dagster"]["code_location_name"]
    module = project["dagster"]["module_name"]
    assert project["dg"]["project"]["code_location_name"] == name
    assert project["dg"]["project"]["code_location_target_module"] == module
    assert f"location_name: {name}\n" in workspace
    assert f"module_name: {module}\n" in workspace


def test_dg_finds_nothing_wrong(tmp_path: Path) -> None:
    # In the project's folder, as its user would; HOME elsewhere, so that no setting is touched.
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dg")), "check", "defs"],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_instance_template_is_one_that_dagster_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    home = prepare_home()
    assert (home / "dagster.yaml").read_bytes() == TEMPLATE.read_bytes()
    with open_instance() as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.global_op_concurrency_default_limit == 2


def test_an_instance_file_that_is_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert (prepare_home() / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
