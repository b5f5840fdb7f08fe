"""Lookups are found by identities of newer rules, too."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add aliases, and which rules the lookups have been given them for."""
    lookup_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "aliases",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("lookup_id", lookup_id, nullable=False),
        sa.ForeignKeyConstraint(
            ["lookup_id"], ["lookups.lookup_id"], name="fk_aliases_lookup_id_lookups"
        ),
        sa.PrimaryKeyConstraint("identity", name="pk_aliases"),
    )
    op.create_table(
        "identity_rules",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("learned_up_to", sa.BigInteger(), nullable=False),
        sa.Column("learned_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_identity_rules"),
    )
