"""When a partition's published files were looked at last."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time, none so far."""
    op.add_column("partitions", sa.Column("files_checked_at", sa.BigInteger()))
