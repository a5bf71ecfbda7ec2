"""Which installation the database belongs to, and whether its mail may leave.

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("public_url", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=False),
        sa.Column("restored_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("redirect_to", sa.String(length=320), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
