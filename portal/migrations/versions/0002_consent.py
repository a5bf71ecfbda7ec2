"""Grants of Google and Microsoft, consents under way, and several secrets of one candidate.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent_flow",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("candidate_check_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor_name", sa.String(length=320), nullable=False),
        sa.Column("actor_address", sa.String(length=64), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("sealed_grant", sa.Text(), nullable=True),
        sa.Column("account", sa.String(length=320), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("check_id", sa.Uuid(), nullable=True),
        sa.Column("invitation_id", sa.Uuid(), nullable=True),
        sa.Column("next_poll_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('started', 'redeeming', 'granted', 'mismatch', 'failed', 'stored', 'cancelled')",
            name=op.f("ck_consent_flow_state"),
        ),
        sa.CheckConstraint(
            "purpose in ('connect', 'device', 'admin', 'invited')", name=op.f("ck_consent_flow_purpose")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_flow")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_consent_flow_state_hash")),
    )
    with op.batch_alter_table("consent_flow", schema=None) as batch_op:
        batch_op.create_index("ix_consent_flow_created_at", ["created_at"], unique=False)

    op.create_table(
        "consent_invitation",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor_name", sa.String(length=320), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_consent_invitation_connection_id_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_consent_invitation")),
        sa.UniqueConstraint("id", name=op.f("uq_consent_invitation_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_consent_invitation_token_hash")),
    )
    op.create_table(
        "connection_grant",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("account", sa.String(length=320), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("obtained_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("secret_slot", sa.Integer(), nullable=False),
        sa.Column("dead_code", sa.String(length=100), nullable=False),
        sa.Column("dead_said", sa.Text(), nullable=False),
        sa.Column("dead_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_connection_grant_connection_id_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", "method", name=op.f("pk_connection_grant")),
    )
    op.execute("delete from connection_check")  # they live for minutes, and hold what the new columns cannot
    with op.batch_alter_table("connection_check", schema=None) as batch_op:
        batch_op.add_column(sa.Column("secrets", sa.JSON(), nullable=False))
        batch_op.add_column(sa.Column("sealed_grant", sa.Text(), nullable=True))
        batch_op.drop_column("secret_action")
        batch_op.drop_column("sealed")
