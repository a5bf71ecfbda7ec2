"""Warnings of secrets that end, as they were given; until when a provider asked not to be asked for a token.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "secret_expiry_warning",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("credential", sa.String(length=20), nullable=False),
        sa.Column("expires_on", sa.String(length=10), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("told_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_secret_expiry_warning_connection_id_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", "credential", "expires_on", name=op.f("pk_secret_expiry_warning")),
    )
    with op.batch_alter_table("connection_grant", schema=None) as batch_op:
        batch_op.add_column(sa.Column("wait_until", UtcDateTime(timezone=True), nullable=True))
