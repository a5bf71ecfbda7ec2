"""Reset links and invitations know the address that they were mailed to; those of before are bound to none.

Revision: 0015
Follows: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("reset_request", "invitation"):
        op.add_column(table, sa.Column("mailed_to_key", sa.String(length=640), nullable=True))
