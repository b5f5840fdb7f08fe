"""The campaign in a few minutes: every scenario, with less of everything."""

import shutil
from dataclasses import replace

import pytest

from lookup_pipeline_tests.campaign.result import Result
from lookup_pipeline_tests.campaign.scenarios import SCENARIOS
from lookup_pipeline_tests.campaign.workplace import Options

pytestmark = pytest.mark.slow

SHORT = Options(
    rounds=6,
    limiter_seconds=15,
    lock_seconds=5,
    fuzz_seconds=3,
    fuzz_bytes=4_000,
    stored=20_000,
    seed=1,
    # On a busy machine a request that left in time may arrive late, beside the next ones; and in so
    # short a time a stall weighs heavily.
    enforced=11,
    least_share=0.9,
)


def run(scenario: str, options: Options = SHORT) -> Result:
    result = SCENARIOS[scenario](options)
    if result.not_run is not None:
        pytest.skip(result.not_run)
    assert list(result.problems) == []
    assert result.rows_lost == result.double_charges == 0
    assert result.violations == result.half_files == 0
    assert result.rows > 0
    return result


def test_processes_killed_at_any_moment_lose_no_row_and_pay_for_nobody_twice() -> None:
    run("kills")


def test_all_faults_at_once_lose_no_row_and_pay_for_nobody_twice() -> None:
    run("faults")


def test_a_500_after_the_work_is_done_costs_no_more_than_the_attempts_that_are_made() -> None:
    run("processed-500s")


def test_a_full_disk_leaves_the_files_as_they_were_until_there_is_room() -> None:
    run("full-disk-files")


def test_a_ledger_without_room_gets_every_answer_once_there_is_some() -> None:
    run("full-disk-ledger")


def test_a_ledger_that_another_process_keeps_locked_makes_everybody_wait_and_no_more() -> None:
    run("locked-ledger")


def test_a_disk_that_stalls_while_files_move_keeps_no_other_writer_waiting() -> None:
    run("stalled-storage")


def test_a_clock_that_jumps_an_hour_either_way_disturbs_nothing() -> None:
    run("clock-jumps")


def test_a_ledger_put_back_to_an_older_copy_or_lost_pays_for_nobody_twice() -> None:
    run("restores")


def test_a_ledger_that_holds_many_more_lookups_works_as_any_other() -> None:
    run("large-ledger")


def test_three_processes_together_keep_the_providers_limit_and_use_it() -> None:
    run("limiter")


def test_no_csv_file_whatever_its_bytes_crashes_or_hangs_a_reader_or_loses_a_row() -> None:
    run("csv-fuzz")


@pytest.mark.parametrize("scenario", ["full-disk-files", "full-disk-ledger"])
def test_a_disk_that_can_not_be_made_is_told_and_not_counted_as_a_success(
    monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    monkeypatch.setenv("PATH", "")
    assert shutil.which("mount") is None
    result = SCENARIOS[scenario](replace(SHORT, rounds=1))
    assert result.not_run is not None
    assert result.not_run.startswith("not run")
