"""Lookups of older rules learn by which identities today's rules find them."""

from collections.abc import Iterator

import msgspec

from lookup_pipeline.ledger import Ledger, identities
from lookup_pipeline.ledger.identities import AskedFor
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.identity import CURRENT_PREFIX, RULES_VERSION, Requested, build_query


def learn_identities(ledger: Ledger) -> None:
    """Have every lookup found by today's rules, so that nobody is looked up again for their sake.

    Before rows are registered, or a forecast is made: for all lookups at first, later for those
    that another version of the program has made since. Dying in the middle costs nothing but doing
    it again. What the old rules took for one person, and today's take for two, stays one lookup,
    which is paid for; what they took for two has two lookups, of which one with a profile goes
    first, and one that was never sent is not sent any more.
    """
    with ledger.read() as connection:
        after = identities.learned_up_to(connection, RULES_VERSION)
        up_to = identities.last_lookup(connection)
        if up_to == after:
            return
        for batch in identities.asked_for(connection, after, CURRENT_PREFIX):
            found = [(identity, each.lookup_id) for identity, each in _identities(batch)]
            with ledger.write() as writing:
                identities.learn_aliases(writing, found)
        for batch in identities.asked_for(connection, after, CURRENT_PREFIX, unsent=True):
            rows = [(each, _row_identity(each)) for each in batch]
            with ledger.write() as writing:
                identities.serve_unsent(
                    writing, [(identity, each) for each, identity in rows if identity is not None]
                )
    with ledger.write() as connection:
        identities.note_learned(connection, RULES_VERSION, up_to, utc_now())


def _identities(batch: list[AskedFor]) -> Iterator[tuple[str, AskedFor]]:
    for each in batch:
        by_row = _row_identity(each)
        by_query = build_query(*_of_query(each.parameters))
        if by_row is not None:
            yield by_row, each
        if by_query is not None and by_query.identity != by_row:
            yield by_query.identity, each


def _row_identity(asked: AskedFor) -> str | None:
    query = build_query(*_of_row(asked.requested)) if asked.requested else None
    return query.identity if query else None


def _of_row(requested: str) -> Requested:
    values = msgspec.json.decode(requested)
    return Requested(*(values.get(f"requested_{field}") for field in Requested._fields))


def _of_query(parameters: str) -> Requested:
    values = {key: str(value) for key, value in msgspec.json.decode(parameters).items()}
    values["employer"] = values.pop("current_employer", "")
    return Requested(**values)
