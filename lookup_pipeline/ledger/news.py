"""News: that a partition's datasets no longer show what the ledger holds.

Each partition counts its news; a publication notes which count it wrote. The difference is all
the sensor looks at, so a missed tick or a failed run heals by itself.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, insert, select, union, update

from lookup_pipeline.ledger.tables import lookups, memberships, partitions


def note_news(
    connection: Connection, lookup_dates: Collection[str], *, only_new: bool = False
) -> None:
    """Count news for these partitions; make those known that are not.

    Args:
        connection: the caller's write transaction.
        lookup_dates: partition keys.
        only_new: leave partitions alone that are known already.
    """
    if not lookup_dates:
        return
    known = set(
        connection.scalars(
            select(partitions.c.lookup_date)
            .where(partitions.c.lookup_date.in_(lookup_dates))
            .with_for_update()
        )
    )
    if known and not only_new:
        connection.execute(
            update(partitions)
            .where(partitions.c.lookup_date.in_(known))
            .values(news_version=partitions.c.news_version + 1)
        )
    unknown = [date for date in lookup_dates if date not in known]
    if unknown:
        connection.execute(
            insert(partitions), [{"lookup_date": date, "news_version": 1} for date in unknown]
        )


# Built once: composing a statement costs more than running it.
_NOTE_NEWS_OF = (
    update(partitions)
    .where(
        partitions.c.lookup_date.in_(
            union(
                select(memberships.c.lookup_date).where(
                    memberships.c.lookup_id.in_(bindparam("lookup_ids", expanding=True))
                ),
                # It pays, and tells so, even where the row that asked has left its file.
                select(lookups.c.first_date).where(
                    lookups.c.lookup_id.in_(bindparam("lookup_ids", expanding=True)),
                    lookups.c.first_date.is_not(None),
                ),
            )
        )
    )
    .values(news_version=partitions.c.news_version + 1)
)


# Ids in one statement: PostgreSQL's protocol takes 65,535 parameters, SQLite 32,766.
_IDS = 10_000


def note_news_of(connection: Connection, lookup_ids: Sequence[int]) -> None:
    """Count news for every partition in which one of these lookups stands, or that pays for it."""
    for start in range(0, len(lookup_ids), _IDS):
        connection.execute(_NOTE_NEWS_OF, {"lookup_ids": lookup_ids[start : start + _IDS]})
