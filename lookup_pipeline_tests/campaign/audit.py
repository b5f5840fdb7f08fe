"""The end of a scenario: every row in its one place, every charge accounted for."""

from collections import Counter
from dataclasses import dataclass

import msgspec
from sqlalchemy import select

from lookup_pipeline.datasets.columns import PENDING_LOOKUPS, REJECTED_NAMES
from lookup_pipeline.datasets.row_reconciliation import KEYS
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.ledger import State
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline.sandbox.process import RunningSandbox
from lookup_pipeline_tests.campaign.names import Names, RowKey, folded, person_of
from lookup_pipeline_tests.enrichment.pipeline import Person, Pipeline

# Of many like problems, so many are told.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        rows_lost: rows of the CSV files that do not stand in exactly one published place, or under
            another name; and published rows that no file holds.
        double_charges: charges for one person beyond the first.
        charged_after_500: those that are no fault: see `audit`.
        in_doubt: lookups that are `unconfirmed`.
        problems: what else is wrong, and the first few of each kind above.
    """

    rows_lost: int
    double_charges: int
    charged_after_500: int
    in_doubt: int
    problems: tuple[str, ...]


def audit(
    names: Names, pipeline: Pipeline, sandbox: RunningSandbox, *, processed_500s: bool = False
) -> Audit:
    """Compare files, ledger and provider, once everything has settled and is published.

    Args:
        names: the rows that were asked for.
        pipeline: the files and the ledger.
        sandbox: the provider.
        processed_500s: whether requests were processed and then answered 500. The provider's texts
            say of a 500 to try again, so a person may then be charged once for each attempt that
            the ledger knows of; what goes beyond is a double charge.
    """
    lost = _rows_lost(names, pipeline)
    problems = [f"row {key} {wrong}" for key, wrong in lost[:_SHOWN]]
    known = _ledger(pipeline)
    charged = Counter(person_of(each.query) for each in sandbox.charges())
    sent = Counter(person_of(each.query) for each in sandbox.lookups())
    doubles = after_500 = 0
    for person, charges in charged.items():
        allowed = known[person].attempts if processed_500s and person in known else 1
        doubles += max(0, charges - max(allowed, 1))
        after_500 += min(charges, max(allowed, 1)) - 1
    if not processed_500s:
        problems += _first("sent again", [f"{who} {n} times" for who, n in sent.items() if n > 1])
        problems += _first("the ledger's credits are wrong", _wrong_credits(known, charged))
    problems += _first("nobody asked for", [f"{who}" for who in sent if who not in known])
    left = sum(pipeline.table(PENDING_LOOKUPS, day).num_rows for day in names.days)
    if left:
        problems.append(f"{left} rows are still pending")
    return Audit(
        rows_lost=len(lost),
        double_charges=doubles,
        charged_after_500=after_500,
        in_doubt=sum(each.state is State.UNCONFIRMED for each in known.values()),
        problems=tuple(problems),
    )


def sent_again(sandbox: RunningSandbox) -> int:
    """How many lookups the provider has processed beyond the first of each person."""
    sent = Counter(person_of(each.query) for each in sandbox.lookups())
    return sent.total() - len(sent)


@dataclass(frozen=True, slots=True)
class _Known:
    state: State
    credits: int
    attempts: int


def _ledger(pipeline: Pipeline) -> dict[Person, _Known]:
    with pipeline.ledger.read() as connection:
        rows = connection.execute(
            select(lookups.c.parameters, lookups.c.state, lookups.c.credits, lookups.c.attempts)
        )
        return {
            person_of(msgspec.json.decode(row.parameters)): _Known(
                State(row.state), row.credits, row.attempts
            )
            for row in rows
        }


def _wrong_credits(known: dict[Person, _Known], charged: Counter[Person]) -> list[str]:
    # What is in doubt may have been charged: that is what the doubt is about.
    return [
        f"{person}: {each.credits}, charged {charged[person]}"
        for person, each in known.items()
        if each.state is not State.UNCONFIRMED and each.credits != charged[person]
    ]


def _rows_lost(names: Names, pipeline: Pipeline) -> list[tuple[RowKey, str]]:
    lost = []
    for day in names.days:
        wanted = names.rows(day)
        places: Counter[RowKey] = Counter()
        for dataset in (*PUBLISHED, REJECTED_NAMES):
            for row in pipeline.rows(dataset, day):
                key = (row[KEYS[0]], row[KEYS[1]])
                places[key] += 1
                name = row.get("requested_name")
                if name is not None and folded(name) != wanted.get(key):
                    lost.append((key, f"of {dataset.name} is about somebody else"))
        lost += [(key, f"stands in {places[key]} places") for key in wanted if places[key] != 1]
        lost += [(key, "stands in no CSV file") for key in places if key not in wanted]
    return lost


def _first(what: str, found: list[str]) -> list[str]:
    return [f"{what}: {len(found)}, such as {'; '.join(found[:_SHOWN])}"] if found else []
