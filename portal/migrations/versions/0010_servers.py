"""Servers: their keys, log-ins and use, routing rules, the sender matrix, webhooks; which server sent a message.

Revision: 0010
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0010"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "server",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("name_key", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("is_exempt", sa.Boolean(), nullable=False),
        sa.Column("from_address", sa.String(length=320), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("reply_to", sa.String(length=320), nullable=False),
        sa.Column("automatic_bcc", sa.String(length=320), nullable=False),
        sa.Column("format", sa.String(length=4), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("fallback_ids", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("messages_per_minute", sa.Integer(), nullable=True),
        sa.Column("messages_per_day", sa.Integer(), nullable=True),
        sa.Column("largest_message", sa.Integer(), nullable=True),
        sa.Column("most_recipients", sa.Integer(), nullable=True),
        sa.Column("allowed_senders", sa.JSON(), nullable=False),
        sa.Column("unlisted_sender", sa.String(length=8), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("legacy_networks", sa.JSON(), nullable=False),
        sa.Column("allows_cram_md5", sa.Boolean(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("format in ('', 'html', 'text')", name=op.f("ck_server_format")),
        sa.CheckConstraint("unlisted_sender in ('rewrite', 'refuse')", name=op.f("ck_server_unlisted_sender")),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_server_connection_id_connection"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server")),
        sa.UniqueConstraint("name_key", name=op.f("uq_server_name_key")),
    )
    _create_what_a_server_has()
    _create_webhooks()
    op.create_table(
        "sender_permission",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("decided_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.CheckConstraint("verdict in ('allowed', 'rewritten', 'refused')", name=op.f("ck_sender_permission_verdict")),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_sender_permission_connection_id_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", "sender", name=op.f("pk_sender_permission")),
    )
    op.add_column("message", sa.Column("server_id", sa.Uuid(), nullable=True))
    op.add_column("message", sa.Column("server_name", sa.String(length=200), nullable=True))
    op.add_column("message", sa.Column("key_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_message_server",
        "message",
        ["server_id", "created_at", "id"],
        sqlite_where=sa.text("server_id IS NOT NULL"),
        postgresql_where=sa.text("server_id IS NOT NULL"),
    )


def _create_what_a_server_has() -> None:
    op.create_table(
        "server_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("shown_start", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("allowed_senders", sa.JSON(), nullable=False),
        sa.Column("allowed_recipients", sa.JSON(), nullable=False),
        sa.Column("successor_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('live', 'test', 'team')", name=op.f("ck_server_key_kind")),
        _of_server("server_key"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_key")),
        sa.UniqueConstraint("hash", name=op.f("uq_server_key_hash")),
    )
    op.create_index("ix_server_key_server_id", "server_key", ["server_id"])
    op.create_table(
        "server_login",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("allowed_senders", sa.JSON(), nullable=False),
        sa.Column("allowed_recipients", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        _of_server("server_login"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_login")),
        sa.UniqueConstraint("username", name=op.f("uq_server_login_username")),
    )
    op.create_index("ix_server_login_server_id", "server_login", ["server_id"])
    op.create_table(
        "server_use",
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("period", sa.String(length=6), nullable=False),
        sa.Column("starts_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        _of_server("server_use"),
        sa.PrimaryKeyConstraint("server_id", "period", name=op.f("pk_server_use")),
    )
    op.create_table(
        "routing_rule",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=True),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connection.id"],
            name=op.f("fk_routing_rule_connection_id_connection"),
            ondelete="CASCADE",
        ),
        _of_server("routing_rule"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_rule")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_routing_rule_position", "routing_rule", ["position"])


def _create_webhooks() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("last_success_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_failure_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        _of_server("webhook"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index("ix_webhook_server_id", "webhook", ["server_id"])
    op.create_table(
        "webhook_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("due_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("was_taken", sa.Boolean(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_event_webhook_id_webhook"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_event")),
    )
    op.create_index("ix_webhook_event_webhook_id", "webhook_event", ["webhook_id"])
    op.create_index(
        "ix_webhook_event_due",
        "webhook_event",
        ["due_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _of_server(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["server_id"], ["server.id"], name=op.f(f"fk_{table}_server_id_server"), ondelete="CASCADE"
    )
