"""Of a grant that has ended: for which permissions, and when administrators were told.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("connection_grant", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dead_for", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("told_at", UtcDateTime(timezone=True), nullable=True))
