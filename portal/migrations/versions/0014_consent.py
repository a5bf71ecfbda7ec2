"""Consents for new connections are told apart by the form that they were begun in.

Revision: 0014
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consent_flow", sa.Column("form_id", sa.Uuid(), nullable=True))
