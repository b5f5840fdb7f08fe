"""Lookups of older rules learn by which identities today's rules find them."""

from collections.abc import Iterator

import msgspec

from lookup_pipeline.ledger import Ledger, identities
from lookup_pipeline.ledger.identities import AskedFor
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.identity import RULES_VERSION, Requested, build_query


def learn_identities(ledger: Ledger) -> None:
    """Have every lookup found by today's rules, so that nobody is looked up again for their sake.

    Once for each version of the rules, before the first rows are registered by them; dying in the
    middle costs nothing but doing it again. What the old rules took for one person, and today's
    take for two, stays one lookup, which is paid for; what they took for two has two lookups, of
    which one with a profile goes first.
    """
    with ledger.read() as connection:
        if identities.knows_rules(connection, RULES_VERSION):
            return
        for batch in identities.asked_for(connection):
            found = list(_identities(batch))
            with ledger.write() as writing:
                identities.learn_aliases(writing, found)
    with ledger.write() as connection:
        if not identities.knows_rules(connection, RULES_VERSION):
            identities.note_rules(connection, RULES_VERSION, utc_now())


def _identities(batch: list[AskedFor]) -> Iterator[tuple[str, int]]:
    for each in batch:
        for asked in (_of_row(each.requested), _of_query(each.parameters)):
            query = build_query(*asked)
            if query is not None:
                yield query.identity, each.lookup_id


def _of_row(requested: str | None) -> Requested:
    values = msgspec.json.decode(requested) if requested else {}
    return Requested(*(values.get(f"requested_{field}") for field in Requested._fields))


def _of_query(parameters: str) -> Requested:
    values = {key: str(value) for key, value in msgspec.json.decode(parameters).items()}
    values["employer"] = values.pop("current_employer", "")
    return Requested(**values)
