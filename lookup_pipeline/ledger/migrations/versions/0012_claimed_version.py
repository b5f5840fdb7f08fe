"""Which version of a partition was moved into place, or was about to be."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the version; what was published before may show any up to the news of today."""
    op.add_column(
        "partitions",
        sa.Column("claimed_version", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.execute("UPDATE partitions SET claimed_version = news_version")
