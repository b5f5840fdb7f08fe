"""Which of the account's credits are those of lookups, and what is said where that is not known."""

import math
from dataclasses import replace

import pytest

from lookup_pipeline.enrichment.account import Plan, credit_warning, find_credits
from lookup_pipeline.enrichment.budget import MIN_CREDITS, SubmissionPolicy
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.enrichment.submit import submit
from lookup_pipeline.rocketreach import Account
from lookup_pipeline.rocketreach.models import CreditUsage
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.enrichment.pipeline import DAY, DEADLINE, Pipeline, people


def account_of(**remaining: float | str) -> Account:
    return Account([CreditUsage(name, remaining=left) for name, left in remaining.items()])


@pytest.mark.parametrize(
    ("kinds", "plan", "left"),
    [
        ({"standard": 5}, Plan("standard", 0), 5),
        ({"person_export": 9, "premium_lookup": 8, "standard_lookup": 5}, Plan("standard", 0), 5),
        ({"Standard Lookup": 5, "standard_export": 9}, Plan("standard", 0), 5),
        ({"standard": 5, "standard_lookup": 9}, Plan("standard", 0), 5),
        ({"standard_credits": 5}, Plan("standard", 0), 5),
        ({"standard_credits": "inf"}, Plan("standard", 0), math.inf),
        ({"standard_a": 5, "standard_b": 9}, Plan("standard", 0), None),
        ({"standardized": 5}, Plan("standard", 0), None),
        ({"lookups": 7, "standard": 5}, Plan("standard", 0, credit_type="lookups"), 7),
        ({"standard": 5}, Plan("standard", 0, credit_type="lookups"), None),
        ({}, Plan("standard", 0), None),
    ],
)
def test_credits_are_recognised_by_name_by_how_they_begin_and_by_setting(
    kinds: dict[str, float | str], plan: Plan, left: float | None
) -> None:
    account = account_of(**kinds)
    assert find_credits(account, plan) == left
    assert (credit_warning(account, plan) is None) == (left is not None)


def test_a_floor_is_kept_under_the_providers_own_names(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(credits=30, credit_names="provider")
    pipeline.register(people(40))
    report = pipeline.submit(min_credits=20)
    assert (report.accepted, report.capped_by, report.credit_warning) == (10, MIN_CREDITS, None)


def test_credits_that_are_not_recognised_are_a_warning_and_with_a_floor_a_stop_that_lists_them(
    pipeline: Pipeline, sandbox: RunningSandbox
) -> None:
    sandbox.change(credit_names="provider")
    pipeline.register(people(3))
    unknown = SubmissionPolicy(Plan("standard", 0, credit_type="gold"), DEADLINE)
    floor = replace(unknown, plan=replace(unknown.plan, min_credits=5))
    listed = "person_export, standard_lookup, premium_lookup"
    with pytest.raises(SubmissionStoppedError) as stopped:
        submit(pipeline.ledger, pipeline.output, pipeline.client, DAY, "run", floor)
    for words in ("MIN_CREDITS can't be kept", "'gold'", listed, "ROCKETREACH_CREDIT_TYPE"):
        assert words in str(stopped.value)
    assert sandbox.lookups() == []
    report = submit(pipeline.ledger, pipeline.output, pipeline.client, DAY, "run", unknown)
    assert report.accepted == 3
    assert report.credit_warning is not None
    assert listed in report.credit_warning
