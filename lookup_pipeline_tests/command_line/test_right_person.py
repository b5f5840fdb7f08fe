"""A CSV that is reordered between two materializations puts nobody on another person's row."""

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, Workplace, told

PEOPLE = [["Ann Ode", "Acme", ""], ["Ben Poe", "Bolt", ""], ["Cid Roe", "Core", ""]]
PUBLISHED = ("profiles", "failed_lookups", "pending_lookups")


def asked_and_found(workplace: Workplace) -> dict[str, int]:
    return {row["requested_name"]: row["profile_id"] for row in workplace.rows("profiles")}


@pytest.mark.timeout(300)
def test_reordered_names_alone_are_refused_with_the_cure_which_heals(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(complete_after_polls=0)
    workplace.write_csv(PEOPLE)
    assert workplace.run("run", "--date", DAY).returncode == 0
    before = {name: workplace.rows(name) for name in PUBLISHED}
    ids = asked_and_found(workplace)

    workplace.write_csv(PEOPLE[::-1])
    assert workplace.materialize("names", "rejected_names").returncode == 0
    refused = workplace.materialize(*PUBLISHED)
    assert refused.returncode != 0
    assert "2 rows about somebody else in names than in lookups or the ledger" in told(refused)
    assert f"Materialize `lookups` of {DAY}" in told(refused)
    assert {name: workplace.rows(name) for name in PUBLISHED} == before

    assert workplace.run("run", "--date", DAY).returncode == 0
    rows = [row["requested_name"] for row in workplace.rows("profiles")]
    assert rows == [name for name, *_ in PEOPLE[::-1]]
    assert asked_and_found(workplace) == ids
    assert len(sandbox.charges()) == 3
