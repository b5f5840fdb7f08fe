"""A process killed without a word, anywhere: nobody is sent twice, no file is half, all heals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PROFILES
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import Pipeline, people, sent


def start_victim(
    folder: Path, sandbox: RunningSandbox, step: str, death: str = ""
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lookup_pipeline_tests.enrichment.victim"),
            *(str(folder), step),
            *([death] if death else []),
        ],
        env=os.environ
        | {"ROCKETREACH_BASE_URL": sandbox.base_url, "ROCKETREACH_API_KEY": sandbox.api_key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_until(condition: Callable[[], bool], victim: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert victim.poll() is None, victim.communicate()[0].decode()
        assert time.monotonic() < until, "what the test waits for never happened"
        time.sleep(0.01)


def test_a_submission_killed_half_way_is_finished_by_the_next_and_nobody_is_sent_twice(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    everybody = people(100)
    pipeline.register(everybody)
    sandbox.change(latency_seconds=0.15)
    victim = start_victim(pipeline.root, sandbox, "submit")
    wait_until(lambda: len(sandbox.lookups()) >= 40, victim)
    victim.kill()
    victim.communicate()
    time.sleep(0.3)  # what is in the air arrives at the provider all the same
    at_death = pipeline.states()
    assert at_death.get(State.SUBMITTING, 0) > 0, "killed with requests in the air"
    assert at_death.get(State.QUEUED, 0) > 0, "killed before the end"
    sandbox.change(latency_seconds=0)

    # At once: the dead one's lookups are still held.
    pipeline.submit()
    assert pipeline.counts().states[State.SUBMITTING] == at_death[State.SUBMITTING]
    # When the lease is over: in doubt, and left so.
    pipeline.clock.advance(seconds=61)
    pipeline.submit()
    pipeline.settle()
    publication = pipeline.publish()

    assert max(sent(sandbox).values()) == 1
    assert publication.reconciliation.balanced
    assert set(pipeline.published()) == {name for name, _ in everybody}
    assert publication.failure_kinds == {"unconfirmed": at_death[State.SUBMITTING]}
    assert len(pipeline.rows(PROFILES)) == 100 - at_death[State.SUBMITTING]
    assert {row["failure_kind"] for row in pipeline.rows(FAILED_LOOKUPS)} == {"unconfirmed"}
    # Everybody the provider knows is known here, or in doubt here.
    doubtful = {row["requested_name"] for row in pipeline.rows(FAILED_LOOKUPS)}
    assert {name for name, _ in everybody} - doubtful <= set(sent(sandbox))


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.4, 0.7])
def test_a_submission_interrupted_from_the_keyboard_ends_soon_and_leaves_nothing_in_doubt(
    pipeline: Pipeline, sandbox: RunningSandbox, delay: float
) -> None:
    pipeline.register(people(3000))
    sandbox.change(latency_seconds=0.01)
    victim = start_victim(pipeline.root, sandbox, "submit")
    wait_until(lambda: len(sandbox.lookups()) >= 1, victim)
    time.sleep(delay)
    victim.send_signal(signal.SIGINT)
    output = victim.communicate(timeout=30)[0].decode()
    assert "KeyboardInterrupt" in output
    accepted = len(sandbox.lookups())
    assert pipeline.states() == {State.IN_FLIGHT: accepted, State.QUEUED: 3000 - accepted}


DEATHS = ["before:finish:2", "before:replace:1", "after:replace:1", "after:replace:3"]


@pytest.mark.parametrize("death", DEATHS)
def test_a_publication_killed_anywhere_leaves_whole_files_and_is_done_again(
    pipeline: Pipeline, sandbox: RunningSandbox, death: str
) -> None:
    sandbox.change(seed=3, failed=0.3)
    everybody = people(30)
    pipeline.register(everybody)
    pipeline.submit()
    pipeline.publish()
    before = {dataset.name: pipeline.table(dataset) for dataset in PUBLISHED}
    pipeline.settle()

    victim = start_victim(pipeline.root, sandbox, "publish", death)
    output = victim.communicate(timeout=60)[0].decode()
    assert victim.returncode == -signal.SIGKILL, output

    replaced = int(death[-1]) if death.startswith("after:replace") else 0
    for place, dataset in enumerate(PUBLISHED):
        found = pipeline.table(dataset)
        is_old = found.to_pylist() == before[dataset.name].to_pylist()
        assert is_old is (place >= replaced)
        # What lies beside it is no reader's business.
        folder = pipeline.output.path(dataset, "2026-01-05").parent
        assert ds.dataset(str(folder), format="parquet").to_table().equals(found)
    with pipeline.ledger.read() as connection:
        news = partitions_with_news(connection)
    assert [each.lookup_date for each in news] == ["2026-01-05"], "it is asked for again"

    publication = pipeline.publish()
    assert publication.replaced
    assert publication.reconciliation.balanced
    assert set(pipeline.published()) == {name for name, _ in everybody}
    with pipeline.ledger.read() as connection:
        assert partitions_with_news(connection) == []
    assert pipeline.submit().accepted == 0
    assert max(sent(sandbox).values()) == 1
