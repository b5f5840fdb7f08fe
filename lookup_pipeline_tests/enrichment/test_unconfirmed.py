"""What is in doubt is asked about where that is possible and free, and adopted if it was accepted.

The provider's texts say that a lookup it does not work on is `not queued`, and that ids it does not
know are left out of its answer.
"""

from pathlib import Path

import pytest

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PROFILES
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import State
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    Pipeline,
    opened_pipeline,
    people,
    to_lookups,
)
from lookup_pipeline_tests.rocketreach.raw_server import Request, http, raw_server

IDS = [4_101, 4_102, 4_103]


def register_ids(pipeline: Pipeline) -> None:
    names = pipeline.root / "names" / f"{DAY}.csv"
    names.parent.mkdir(exist_ok=True)
    names.write_text("id\n" + "".join(f"{number}\n" for number in IDS), encoding="utf-8")
    pipeline.read_names()
    register(pipeline.ledger, pipeline.output, DAY)


def lose_every_answer(pipeline: Pipeline, sandbox: RunningSandbox, fault: str) -> None:
    sandbox.change(**{fault: 1})
    pipeline.submit()
    assert pipeline.states() == {State.UNCONFIRMED: len(IDS)}
    sandbox.change(**{fault: 0})
    pipeline.clock.advance(seconds=10)


def test_a_lookup_asked_by_profile_id_that_was_accepted_is_adopted_and_not_paid_again(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=2)
    register_ids(pipeline)
    lose_every_answer(pipeline, sandbox, "drop_connection_after")
    pipeline.poll()
    assert pipeline.states() == {State.IN_FLIGHT: 3}
    pipeline.settle()
    pipeline.publish()
    assert [row["profile_id"] for row in pipeline.rows(PROFILES)] == IDS
    assert sorted(int(lookup.query["id"]) for lookup in sandbox.lookups()) == IDS
    assert pipeline.counts().credits == len(sandbox.charges()) == 3


def test_one_that_was_never_accepted_stays_in_doubt_and_is_never_sent(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    register_ids(pipeline)
    lose_every_answer(pipeline, sandbox, "drop_connection_before")
    for _ in range(3):
        pipeline.poll()
        pipeline.submit()
        pipeline.clock.advance(hours=2)
    assert pipeline.states() == {State.UNCONFIRMED: 3}
    assert sandbox.requests().by_operation["check_status"] == 3
    assert sandbox.lookups() == []
    pipeline.publish()
    assert {row["failure_kind"] for row in pipeline.rows(FAILED_LOOKUPS)} == {"unconfirmed"}


def test_after_a_week_nobody_asks_any_more(pipeline: Pipeline, sandbox: RunningSandbox) -> None:
    register_ids(pipeline)
    lose_every_answer(pipeline, sandbox, "drop_connection_before")
    pipeline.clock.advance(days=8)
    assert pipeline.poll().calls == 1
    pipeline.clock.advance(days=1)
    assert pipeline.poll().calls == 0


@pytest.mark.parametrize("status", [b"not queued", b""])
def test_not_queued_means_not_accepted(tmp_path: Path, status: bytes) -> None:
    def answer(request: Request) -> bytes:
        if request.path.endswith("checkStatus"):
            found = [b'{"id": %d, "status": "%s"}' % (each, status) for each in IDS]
            return http(200, b"[" + b",".join(found) + b"]")
        return http(502, b"<html>", "text/html")

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        register_ids(pipeline)
        pipeline.submit()
        pipeline.clock.advance(seconds=10)
        assert pipeline.poll().calls == 1
        assert pipeline.states() == {State.UNCONFIRMED: 3}


def test_when_it_is_switched_off_nothing_is_asked_and_nothing_adopted(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    register_ids(pipeline)
    lose_every_answer(pipeline, sandbox, "drop_connection_after")
    assert pipeline.poll(adopts=False).calls == 0
    assert pipeline.states() == {State.UNCONFIRMED: 3}


def test_people_known_by_name_alone_can_not_be_asked_about(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(drop_connection_after=1)
    pipeline.register(people(3))
    pipeline.submit()
    pipeline.clock.advance(hours=2)
    assert pipeline.poll().calls == 0
    assert pipeline.states() == {State.UNCONFIRMED: 3}


def test_an_id_that_the_answer_leaves_out_is_known_from_the_query(tmp_path: Path) -> None:
    def answer(request: Request) -> bytes:
        if request.path.endswith("checkStatus"):
            found = [b'{"id": %d, "status": "complete"}' % each for each in IDS]
            return http(200, b"[" + b",".join(found) + b"]")
        return http(200, b'{"status": "searching"}')

    with (
        raw_server(to_lookups(answer)) as server,
        opened_pipeline(tmp_path, server.base_url, "key") as pipeline,
    ):
        register_ids(pipeline)
        pipeline.submit()
        pipeline.clock.advance(seconds=10)
        pipeline.poll()
        assert pipeline.states() == {State.COMPLETE: 3}
