"""A refresh keeps the profile that it is to replace."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Followed by its number, the identity of a lookup that a newer one has taken over from.
_GIVEN_UP = "\n"


def upgrade() -> None:
    """Add which lookup a refresh keeps, and have refreshes keep the profiles they took away."""
    lookup_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("lookups", sa.Column("keeps_lookup_id", lookup_id))
    kept = [{"key": newer, "keeps": complete} for newer, complete in _profiles_taken_away()]
    if not kept:
        return
    connection = op.get_bind()
    connection.execute(
        sa.text("UPDATE lookups SET keeps_lookup_id = :keeps WHERE lookup_id = :key"), kept
    )
    op.execute(
        "UPDATE partitions SET news_version = news_version + 1 WHERE lookup_date IN ("
        "SELECT memberships.lookup_date FROM memberships "
        "JOIN lookups ON lookups.lookup_id = memberships.lookup_id "
        "WHERE lookups.keeps_lookup_id IS NOT NULL)"
    )


def _profiles_taken_away() -> Iterator[tuple[int, int]]:
    """Every lookup without a profile that follows a complete one, and the newest such."""
    connection = op.get_bind()
    followed: dict[str, list[sa.Row[tuple[int, str, str]]]] = {}
    given_up = sa.text(
        "SELECT lookup_id, identity, state FROM lookups WHERE identity LIKE :given_up "
        "ORDER BY lookup_id"
    )
    for row in connection.execute(given_up, {"given_up": f"%{_GIVEN_UP}%"}):
        followed.setdefault(row.identity.partition(_GIVEN_UP)[0], []).append(row)
    current = sa.text("SELECT lookup_id, identity, state FROM lookups WHERE identity = :own")
    for own, rows in followed.items():
        newest = None
        for row in (*rows, *connection.execute(current, {"own": own})):
            if row.state == "complete":
                newest = row.lookup_id
            elif newest is not None:
                yield row.lookup_id, newest
