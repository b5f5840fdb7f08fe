"""Who moves a partition's files into place, and to which version."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the claims of publications."""
    op.create_table(
        "publication_claims",
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("lookup_date", sa.String(10), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_publication_claims"),
    )
