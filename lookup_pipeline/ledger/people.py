"""Who turned out to be the same person: rows that asked differently and got one profile."""

from dataclasses import dataclass

from sqlalchemy import Connection, distinct, func, select

from lookup_pipeline.ledger.shown import is_shown, shown
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import lookups, memberships


@dataclass(frozen=True, slots=True)
class People:
    """The people a partition has found, by the provider's ids.

    Attributes:
        found: how many there are.
        asked_twice: how many of them were found by more than one lookup.
        examples: for some of those, the rows that ask for them, as `file:line`.
    """

    found: int
    asked_twice: int
    examples: dict[int, list[str]]


def people_of(connection: Connection, lookup_date: str, most: int = 20) -> People:
    """Count a partition's people, with so many examples of who was asked for twice."""
    complete = (
        select(
            shown.c.profile_id,
            shown.c.lookup_id,
            memberships.c.source_file,
            memberships.c.source_row,
        )
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .join(shown, is_shown)
        .where(
            memberships.c.lookup_date == lookup_date,
            shown.c.state == State.COMPLETE.value,
            shown.c.profile_id.is_not(None),
        )
        .subquery()
    )
    number = func.count(distinct(complete.c.lookup_id))
    by_person = select(complete.c.profile_id, number.label("lookups")).group_by(
        complete.c.profile_id
    )
    each = by_person.subquery()
    found = connection.scalar(select(func.count()).select_from(each)) or 0
    twice = connection.scalar(select(func.count()).where(each.c.lookups > 1)) or 0
    profile_ids = [
        row.profile_id
        for row in connection.execute(
            by_person.having(number > 1).order_by(complete.c.profile_id).limit(most)
        )
    ]
    examples: dict[int, list[str]] = {profile_id: [] for profile_id in profile_ids}
    rows = connection.execute(
        select(complete.c.profile_id, complete.c.source_file, complete.c.source_row)
        .where(complete.c.profile_id.in_(profile_ids))
        .order_by(complete.c.source_file, complete.c.source_row)
    )
    for profile_id, source_file, source_row in rows:
        examples[profile_id].append(f"{source_file}:{source_row}")
    return People(found, twice, examples)
