"""What is asked of the ledger costs by what is due or concerned, never by all that is stored."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest

from lookup_pipeline.enrichment import identities
from lookup_pipeline.enrichment.identities import learn_identities
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger.polling import next_due_at, polled_since
from lookup_pipeline.ledger.publications import is_settled, partitions_with_news
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.ledger.times import EPOCH
from lookup_pipeline.names.identity import RULES_VERSION
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import DAY, NEXT_DAY, Pipeline, people
from lookup_pipeline_tests.ledger.helpers import explained

# A step of a plan that goes through a table, or an index of it, that grows with the years. The
# indexes that hold only what is due are no such thing; nor is a look whether there is any alias.
GROWS = re.compile(
    r"SCAN (lookups|memberships|payloads)"
    r"(?! USING (COVERING )?INDEX ix_lookups_(due|deadline|lease))"
)


def growing(plan: Sequence[str]) -> list[str]:
    return [line for line in plan if GROWS.match(line)]


def test_a_partitions_way_through_the_ledger_touches_its_own_rows_only(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=2)
    with explained() as plan:
        pipeline.register(people(5))
        pipeline.submit()
        pipeline.clock.advance(seconds=10)
        pipeline.poll()
        pipeline.publish()
        pipeline.clock.advance(minutes=5)
        assert pipeline.poll().settled == 5
        pipeline.publish()
    assert plan
    assert growing(plan) == []


def test_a_tick_with_nothing_to_do_touches_no_row(pipeline: Pipeline) -> None:
    pipeline.register(people(5))
    with explained() as plan, pipeline.ledger.read() as connection:
        next_due_at(connection)
        partitions_with_news(connection)
        is_settled(connection, DAY)
        polled_since(connection, pipeline.clock(), [DAY])
    assert growing(plan) == []


def test_that_a_partition_has_lookups_to_send_is_found_by_an_index(pipeline: Pipeline) -> None:
    pipeline.register(people(5))
    with explained() as plan, pipeline.ledger.read() as connection:
        assert next_ready_at(connection, DAY) == EPOCH
    assert len(plan) == 3
    assert "ix_lookups_pending (first_date=?)" in plan[0]


def test_who_is_known_by_another_name_is_refreshed_without_a_look_through_all(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.register(people(2))
    pipeline.submit()
    pipeline.clock.advance(seconds=10)
    pipeline.settle()
    with pipeline.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE lookups SET identity = 'v1:' || identity")
    monkeypatch.setattr(identities, "RULES_VERSION", RULES_VERSION + 1)
    learn_identities(pipeline.ledger)
    pipeline.write_csv(people(2), NEXT_DAY)
    pipeline.read_names(NEXT_DAY)
    refresh = Refresh(pipeline.clock(), complete_after=timedelta(0))
    with explained() as plan:
        assert register(pipeline.ledger, pipeline.output, NEXT_DAY, refresh).refreshed == 2
    assert growing(plan) == []
