"""Lookups of older rules learn by which identities today's rules find them."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Connection

from lookup_pipeline.ledger import Ledger, identities
from lookup_pipeline.ledger.identities import AskedFor
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.identity import (
    CURRENT_PREFIX,
    RULES_VERSION,
    Query,
    Requested,
    build_query,
)


def learn_identities(ledger: Ledger) -> None:
    """Have every lookup found by today's rules, so that nobody is looked up again for their sake.

    Before rows are registered, or a forecast is made: for all lookups at first, later for those
    that another version of the program has made since. Dying in the middle costs nothing but doing
    it again. What the old rules took for one person, and today's take for two, stays one lookup,
    which is paid for; what they took for two has two lookups, of which one with a profile goes
    first, and one that was never sent is not sent any more. What is sent yet is asked by today's
    rules.
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
            rows = [(query, each) for each in batch if (query := _row_query(each)) is not None]
            with ledger.write() as writing:
                identities.serve_unsent(writing, [(query.identity, each) for query, each in rows])
                identities.ask_anew(writing, [(query.as_json(), each) for query, each in rows])
    with ledger.write() as connection:
        identities.note_learned(connection, RULES_VERSION, up_to, utc_now())


@contextmanager
def new_lookups_learned(connection: Connection) -> Iterator[None]:
    """Note that what the block registers is found by today's rules: they have made it.

    Else the next registration would go through all of it to find that. Unless another version of
    the program has made lookups meanwhile, which have yet to be learned.
    """
    before = identities.last_lookup(connection)
    yield
    after = identities.last_lookup(connection)
    if after > before == identities.learned_up_to(connection, RULES_VERSION):
        identities.note_learned(connection, RULES_VERSION, after, utc_now())


def _identities(batch: list[AskedFor]) -> Iterator[tuple[str, AskedFor]]:
    for each in batch:
        by_row = _row_query(each)
        by_query = build_query(*_of_query(each.parameters))
        if by_row is not None:
            yield by_row.identity, each
        if by_query is not None and (by_row is None or by_query.identity != by_row.identity):
            yield by_query.identity, each


def _row_query(asked: AskedFor) -> Query | None:
    return build_query(*_of_row(asked.requested)) if asked.requested else None


def _of_row(requested: str) -> Requested:
    values = msgspec.json.decode(requested)
    return Requested(*(values.get(f"requested_{field}") for field in Requested._fields))


def _of_query(parameters: str) -> Requested:
    values = {key: str(value) for key, value in msgspec.json.decode(parameters).items()}
    values["employer"] = values.pop("current_employer", "")
    return Requested(**values)
