"""The assets, run by Dagster in process against the simulated API."""

import gzip
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pytest
from dagster import ExecuteInProcessResult

from lookup_pipeline.datasets.columns import DATASETS, LOOKUPS, NAMES, PROFILES, REJECTED_NAMES
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.submissions import claim, queued_ids
from lookup_pipeline.resources import RocketReach
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline_tests.dagster_layer.conftest import DATE, Project, error_of, metadata

CSV = """name,company,crm_id
Marie Curie,University of Paris,c1
Emmy Noether,Bryn Mawr College,c2
Nobody At All,,c3
"""


def checks(result: ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def states(project: Project) -> dict[State, int]:
    with project.ledger.read() as connection:
        return {
            state: rows
            for state, rows in count_partitions(connection, [DATE])[0].states.items()
            if rows
        }


def output_files(project: Project) -> dict[str, bytes]:
    """Every file of the output folder, unfinished ones included, byte for byte."""
    return {
        str(path): path.read_bytes()
        for path in (project.folder / "output").rglob("*")
        if path.is_file()
    }


def test_one_run_reads_registers_submits_and_publishes(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    result = project.run()
    assert result.success
    for dataset in DATASETS:
        said = metadata(result, dataset.name)
        assert said["dagster/uri"] == str(
            project.folder / "output" / dataset.name / f"lookup_date={DATE}" / "part-0.parquet"
        )
        assert isinstance(said["seconds"], float)
    assert metadata(result, "names")["dagster/partition_row_count"] == 2
    assert metadata(result, "rejected_names")["dagster/partition_row_count"] == 1
    for name in ("lookups", "profiles"):
        said = metadata(result, name)
        assert said["dagster/partition_row_count"] == 2
        assert said["rows_complete"] == 2
        assert said["match_rate"] == 1
        assert said["credits_spent_by_run"] == len(project.sandbox.charges()) == 2
    assert checks(result) == {
        "row_accounting": True,
        "unique_rows": True,
        "match_rate": True,
        "known_fields": True,
        "known_statuses": True,
        "no_unconfirmed": True,
    }


def test_a_file_that_is_gone_is_a_warning_that_says_what_leaves_and_how_to_have_it_back(
    project: Project,
) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    (project.folder / "names" / f"{DATE}.csv").unlink()
    gone = project.run()
    assert "The rows that it had (2) leave" in str(metadata(gone, "names")["warning"])
    assert metadata(gone, "profiles")["dagster/partition_row_count"] == 0
    assert "rows that it had" not in str(metadata(project.run(), "names")["warning"])
    project.write(CSV)
    assert metadata(project.run(), "profiles")["dagster/partition_row_count"] == 2
    assert len(project.sandbox.charges()) == 2


def test_a_run_that_a_killed_simulation_left_behind_sends_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_instance: object, _run: object) -> None:
        raise ConfigurationError("a leftover")

    module = sys.modules["lookup_pipeline.assets.submission"]
    monkeypatch.setattr(module, "refuse_leftover", refuse)
    project.write(CSV)
    assert "a leftover (2 rows stay queued" in error_of(project.run(), "lookups")
    assert project.sandbox.requests().total == 0


def test_a_run_ends_green_while_lookups_are_in_flight(project: Project) -> None:
    project.write(CSV)
    result = project.run()
    assert result.success
    assert metadata(result, "pending_lookups")["dagster/partition_row_count"] == 2
    assert metadata(result, "profiles")["dagster/partition_row_count"] == 0
    assert metadata(result, "profiles")["match_rate"] == "nothing settled yet"


def test_materializing_again_sends_nothing_and_writes_the_same(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    first = {d.name: pd.read_parquet(project.folder / "output" / d.name) for d in DATASETS}
    result = project.run()
    second = {d.name: pd.read_parquet(project.folder / "output" / d.name) for d in DATASETS}
    assert project.sandbox.requests().by_operation == {"account": 1, "lookup": 2}
    assert metadata(result, "lookups")["credits_spent_by_run"] == 0
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name])


def test_a_settled_partition_needs_no_key(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    project.run()
    assert project.run(rocketreach=RocketReach()).success


def test_a_day_without_a_file_is_an_empty_partition_with_a_warning(project: Project) -> None:
    (project.folder / "names").mkdir()
    result = project.run(rocketreach=RocketReach())
    assert result.success
    assert f"There is no CSV file of {DATE}" in str(metadata(result, "names")["warning"])
    for dataset in DATASETS:
        assert metadata(result, dataset.name)["dagster/partition_row_count"] == 0
        path = project.folder / "output" / dataset.name / f"lookup_date={DATE}" / "part-0.parquet"
        assert list(pd.read_parquet(path).columns)[: len(dataset.columns)] == dataset.schema.names


def test_a_day_without_a_file_can_be_made_an_error_that_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    project.run()
    before = pd.read_parquet(project.folder / "output" / "names")
    (project.folder / "names" / f"{DATE}.csv").unlink()
    monkeypatch.setenv("LOOKUP_PIPELINE_MISSING_FILE", "fail")
    error = error_of(project.run(), "names_and_rejected_names")
    assert f"There is no CSV file of {DATE}" in error
    assert "LOOKUP_PIPELINE_MISSING_FILE=warn" in error
    pd.testing.assert_frame_equal(before, pd.read_parquet(project.folder / "output" / "names"))
    monkeypatch.setenv("LOOKUP_PIPELINE_MISSING_FILE", "ignore")
    error = error_of(project.run(), "names_and_rejected_names")
    assert "LOOKUP_PIPELINE_MISSING_FILE is 'ignore'; it takes warn or fail" in error


def test_an_unreadable_file_names_file_line_and_cure_and_changes_nothing(project: Project) -> None:
    project.write(CSV)
    project.run()
    before = pd.read_parquet(project.folder / "output" / "names")
    project.write("\ncolour,size\nred,1\n")
    result = project.run()
    error = error_of(result, "names_and_rejected_names")
    assert f"{DATE}.csv, line 2" in error
    assert "To mend it" in error
    pd.testing.assert_frame_equal(before, pd.read_parquet(project.folder / "output" / "names"))


def test_what_was_detected_and_what_is_doubtful_is_in_the_metadata(project: Project) -> None:
    project.write("")
    file = project.folder / "names" / f"{DATE}.csv"
    file.write_bytes("Full Name;Company;Phone\nKurt Gödel;IAS;1\nNobody;;2\n".encode("cp1252"))
    said: dict[str, Any] = metadata(project.run(), "names")
    (detected,) = said["detected"].records
    assert detected.data == {
        "file": f"{DATE}.csv",
        "compression": "none",
        "encoding": "Windows-1252",
        "encoding_confidence": 0.67,
        "delimiter": "semicolon",
        "delimiter_confidence": 1.0,
        "title_lines": 0,
        "header_line": 1,
        "rows_usable": 1,
        "rows_rejected": 1,
    }
    assert [(each.data["column"], each.data["read_as"]) for each in said["columns"].records] == [
        ("Full Name", "name"),
        ("Company", "employer"),
        ("Phone", "carried through"),
    ]
    assert "which is a guess" in str(said["warning"])


def test_a_file_that_stands_beside_itself_packed_is_a_warning(project: Project) -> None:
    project.write(CSV)
    file = project.folder / "names" / f"{DATE}.csv"
    file.with_suffix(".csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    said: dict[str, Any] = metadata(project.run(), "names")
    assert f"{DATE}.csv and {DATE}.csv.gz are each read" in str(said["warning"])


def test_rows_that_turn_out_to_be_one_person_are_shown_as_one(project: Project) -> None:
    project.write("name,company,email\nAda,Acme,\n,,ada@example.org\nEve,Acme,\n")
    project.run()
    with project.ledger.write() as connection:
        for lookup_id, profile_id in ((1, 7), (2, 7), (3, 8)):
            answer = Answer(lookup_id, State.COMPLETE, profile_id=profile_id, payload=b"{}")
            record(connection, [answer], datetime.now(UTC))
    said: dict[str, Any] = metadata(project.run("publish_job"), "profiles")
    assert (said["people"], said["people_asked_for_twice"]) == (2, 1)
    (same,) = said["same_person"].records
    assert same.data == {"profile_id": 7, "rows": f"{DATE}.csv:2, {DATE}.csv:3"}


def test_a_names_folder_that_is_not_mounted_empties_nothing(project: Project) -> None:
    project.write(CSV)
    project.run()
    before = output_files(project)
    (project.folder / "names").rename(project.folder / "unmounted")
    error = error_of(project.run(), "names_and_rejected_names")
    assert f"There is no names folder {project.folder / 'names'}. To mend it: " in error
    assert "LOOKUP_PIPELINE_NAMES_URL" in error
    assert error.endswith("Nothing was changed.")
    assert output_files(project) == before


def test_a_file_that_is_a_link_to_nowhere_empties_nothing(project: Project) -> None:
    project.write(CSV)
    project.run()
    before = output_files(project)
    file = project.folder / "names" / f"{DATE}.csv"
    file.unlink()
    file.symlink_to("not-mounted.csv")
    error = error_of(project.run(), "names_and_rejected_names")
    assert f"{DATE}.csv, line 1: a link to a file that is not there. To mend it: " in error
    assert error.endswith("Nothing was changed.")
    assert output_files(project) == before


def test_names_and_rejected_names_are_replaced_together_or_not_at_all(project: Project) -> None:
    project.write(CSV)
    project.run()
    rejected = project.folder / "output/rejected_names" / f"lookup_date={DATE}" / "part-0.parquet"
    rejected.unlink()
    (rejected / "full").mkdir(parents=True)
    before = output_files(project)
    project.write(CSV.replace("Marie Curie", "Irène Curie"))
    (failure,) = (event for event in project.run().all_events if event.is_step_failure)
    assert f"{rejected} can't be written: Is a directory" in str(failure.step_failure_data.error)
    assert output_files(project) == before
    (rejected / "full").rmdir()
    rejected.rmdir()
    assert project.run().success
    names = pd.read_parquet(project.folder / "output" / "names")
    assert sorted(names["requested_name"]) == ["Emmy Noether", "Irène Curie"]


@pytest.mark.parametrize("key", ["", "   "])
def test_without_a_key_everything_is_queued_and_the_error_names_variable_and_sandbox(
    project: Project, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(CSV)
    monkeypatch.setenv("ROCKETREACH_API_KEY", key)
    error = error_of(project.run(rocketreach=RocketReach()), "lookups")
    assert "ROCKETREACH_API_KEY is not set" in error
    assert "lookup-pipeline sandbox" in error
    assert states(project) == {State.QUEUED: 2}


@pytest.mark.parametrize(
    ("trouble", "cure"),
    [
        ("revoked", "check ROCKETREACH_API_KEY"),
        ("no_credits", "out of credits"),
        ("forbidden", "check the plan"),
    ],
)
def test_account_trouble_leaves_people_queued_and_a_later_run_goes_on(
    project: Project, trouble: str, cure: str
) -> None:
    project.write(CSV)
    project.sandbox.change(account_state=trouble, complete_after_polls=0)
    error = error_of(project.run(), "lookups")
    assert cure in error
    assert "stay queued" in error
    assert states(project) == {State.QUEUED: 2}
    project.sandbox.change(account_state="ok")
    assert project.run().success
    assert states(project) == {State.COMPLETE: 2}
    assert len(project.sandbox.charges()) == 2


def test_quota_is_a_normal_end_with_the_rest_queued(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(plan="essentials", complete_after_polls=0)
    use_up_the_hour(project)
    result = project.run()
    assert result.success
    said = metadata(result, "lookups")
    assert said["rows_queued"] == 2
    assert "limits" in str(said["warning"])
    waits_until = said["queued_until"]
    assert isinstance(waits_until, float)
    # When somebody else's first lookup of the hour left is not known: an hour at most.
    assert 59 * 60 < waits_until - datetime.now(UTC).timestamp() < 60 * 60 + 2
    assert states(project) == {State.QUEUED: 2}
    assert project.run().success
    assert project.sandbox.requests().violations == 0, "the account says so beforehand"


def use_up_the_hour(project: Project) -> None:
    """Send the hundred lookups that an hour of the smallest plan allows, fifteen a minute."""
    with httpx.Client(headers={"Api-Key": project.sandbox.api_key}, trust_env=False) as client:
        for number in range(100):
            if number % 15 == 0:
                project.sandbox.advance(seconds=60)
            client.get(
                f"{project.sandbox.base_url}/person/lookup", params={"id": 1_000 + number}
            ).raise_for_status()
    project.sandbox.advance(seconds=60)


def test_a_row_that_would_be_lost_stops_the_publication(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0)
    assert project.run().success
    before = pd.read_parquet(project.folder / "output" / PROFILES.name)
    names = project.folder / "output" / NAMES.name / f"lookup_date={DATE}" / "part-0.parquet"
    frame = pd.read_parquet(names, columns=["source_file", "source_row"])
    pd.concat([frame, frame.assign(source_row=99)]).to_parquet(names)
    result = project.run("publish_job")
    assert "nothing was published" in error_of(result, "published_datasets")
    assert checks(result)["row_accounting"] is False
    pd.testing.assert_frame_equal(
        before, pd.read_parquet(project.folder / "output" / PROFILES.name)
    )


def test_names_materialized_alone_in_another_order_stop_the_publication_until_lookups_follow(
    project: Project,
) -> None:
    header, *rows = CSV.splitlines()[:3]
    project.write("\n".join([header, *rows]))
    project.sandbox.change(complete_after_polls=0)
    assert project.run().success
    project.write("\n".join([header, *rows[::-1]]))
    assert project.materialize(NAMES, REJECTED_NAMES).success
    before = output_files(project)

    result = project.run("publish_job")
    told = error_of(result, "published_datasets")
    assert (
        f"2 rows about somebody else in names than in lookups or the ledger (such as {DATE}" in told
    )
    assert f"Materialize `lookups` of {DATE}" in told
    (found,) = (
        each for each in result.get_asset_check_evaluations() if each.check_name == "row_accounting"
    )
    assert (found.passed, found.blocking) == (False, True)
    assert "2 rows about somebody else" in str(found.description)
    assert found.metadata["rows_about_somebody_else"].value == 2
    assert output_files(project) == before

    assert project.materialize(LOOKUPS).success
    assert project.run("publish_job").success
    profiles = pd.read_parquet(project.folder / "output" / PROFILES.name)
    assert list(profiles["requested_name"]) == [row.split(",")[0] for row in rows[::-1]]
    assert len(project.sandbox.charges()) == 2


def test_a_low_match_rate_and_unknown_words_are_warnings(project: Project) -> None:
    project.write(CSV)
    project.sandbox.change(complete_after_polls=0, unknown_fields=1, not_found=0)
    result = project.run()
    assert result.success
    assert checks(result)["known_fields"] is False
    project.sandbox.reset(complete_after_polls=0, not_found=1)
    project.write(CSV, "2026-01-06")
    project.write(CSV.replace("Curie", "Joliot").replace("Noether", "Klein"), "2026-01-06")
    result = project.run(date="2026-01-06")
    assert result.success
    assert checks(result)["match_rate"] is False


def test_a_status_never_heard_of_is_in_flight_and_reported(project: Project) -> None:
    project.write(CSV)
    project.run()
    now = datetime.now(UTC)
    with project.ledger.write() as connection:
        record(
            connection,
            [
                Answer(
                    1,
                    State.IN_FLIGHT,
                    api_status="pondering",
                    next_poll_at=now + timedelta(hours=1),
                )
            ],
            now,
        )
        assert claim(connection, queued_ids(connection, DATE, now), "nobody", now) == []
    result = project.run("publish_job")
    assert result.success
    assert checks(result)["known_statuses"] is False
    pending = pd.read_parquet(project.folder / "output" / "pending_lookups")
    assert "pondering" in set(pending["api_status"])


def test_publishing_before_anything_was_read_says_what_to_do(project: Project) -> None:
    error = error_of(project.run("publish_job"), "published_datasets")
    assert "materialize `names` and `lookups`" in error
