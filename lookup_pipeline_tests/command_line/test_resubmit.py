"""`lookup-pipeline resubmit`: what it may cost is said first, and nobody else sends again."""

import pytest

from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.command_line.workplace import DAY, NEXT_DAY, Workplace, told

PEOPLE = [[f"Ada{place} Byron", f"Employer {place}", ""] for place in range(4)]


def leave_unconfirmed(workplace: Workplace, sandbox: RunningSandbox) -> None:
    sandbox.change(html_200=1, complete_after_polls=0)
    workplace.write_csv(PEOPLE)
    # Two of them stand there too, beside one of its own.
    workplace.write_csv([*PEOPLE[2:], ["Grace Hopper", "Univac", ""]], NEXT_DAY)
    done = workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    assert done.returncode == 0, told(done)
    sandbox.change(html_200=0)


def test_the_cost_is_said_and_without_a_yes_nothing_is_sent(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    leave_unconfirmed(workplace, sandbox)
    before = sandbox.requests().total
    done = workplace.run("resubmit", "--unconfirmed")
    assert "these 5 lookups cost at most 5 credits; 5 of them may have been paid" in done.stdout
    assert done.returncode == 1
    assert sandbox.requests().total == before


def test_what_is_confirmed_is_sent_once_and_published_wherever_it_stands(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    leave_unconfirmed(workplace, sandbox)
    before = len(sandbox.lookups())
    for name in (DAY, NEXT_DAY):
        # The files need not be there any more: nothing is read again.
        (workplace.names / f"{name}.csv").unlink()
    done = workplace.run("resubmit", "--unconfirmed", "--yes")
    assert done.returncode == 0, told(done)
    assert len(sandbox.lookups()) - before == 5
    assert [len(workplace.rows("profiles", day)) for day in (DAY, NEXT_DAY)] == [4, 3]
    again = workplace.run("resubmit", "--unconfirmed", "--yes")
    assert "There is nothing to send again." in again.stdout
    assert len(sandbox.lookups()) - before == 5


def test_one_word_sends_each_person_once_though_two_dates_share_them_and_it_fails_again(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    leave_unconfirmed(workplace, sandbox)
    sandbox.change(html_200=1)
    before = sandbox.requests().by_operation["lookup"]
    done = workplace.run("resubmit", "--unconfirmed", "--yes")
    assert done.returncode == 0, told(done)
    assert sandbox.requests().by_operation["lookup"] - before == 5


def test_failures_are_sent_again_by_kind_and_date(
    workplace: Workplace, sandbox: RunningSandbox
) -> None:
    sandbox.change(not_found=1, complete_after_polls=0)
    workplace.write_csv(PEOPLE[:2])
    workplace.write_csv(PEOPLE[2:], NEXT_DAY)
    workplace.run("run", "--date", DAY, "--to", NEXT_DAY)
    sandbox.change(not_found=0)
    none = workplace.run("resubmit", "--failed", "--kind", "timed_out", "--yes")
    assert "There is nothing to send again." in none.stdout
    done = workplace.run("resubmit", "--failed", "--kind", "not_found", "--date", DAY, "--yes")
    assert done.returncode == 0, told(done)
    assert "cost at most 2 credits; 0 of them may have been paid" in done.stdout
    assert len(workplace.rows("profiles")) == 2
    assert workplace.rows("profiles", NEXT_DAY) == []


@pytest.mark.parametrize(
    "arguments", [[], ["--kind", "not_found"], ["--failed", "--kind", "unconfirmed"]]
)
def test_what_to_send_again_must_be_said(workplace: Workplace, arguments: list[str]) -> None:
    done = workplace.run("resubmit", *arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr
