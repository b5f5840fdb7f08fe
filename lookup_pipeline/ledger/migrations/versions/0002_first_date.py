"""Which partition asked for a lookup first, and pays for it, wherever its rows move."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `lookups.first_date`; for known lookups, the partition whose row was there before."""
    op.add_column("lookups", sa.Column("first_date", sa.String(10)))
    op.execute(
        "UPDATE lookups SET first_date = coalesce("
        "(SELECT min(lookup_date) FROM memberships"
        " WHERE memberships.lookup_id = lookups.lookup_id AND NOT reused),"
        "(SELECT min(lookup_date) FROM memberships"
        " WHERE memberships.lookup_id = lookups.lookup_id))"
    )
