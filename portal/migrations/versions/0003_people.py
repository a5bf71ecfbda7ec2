"""People: invitations, several addresses, recovery, second factors, the organisation's provider; the audit chain.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recovery_settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identifiers", sa.JSON(), nullable=False),
        sa.Column("means", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("questions", sa.Integer(), nullable=False),
        sa.Column("captcha", sa.Boolean(), nullable=False),
        sa.Column("shortest", sa.Integer(), nullable=False),
        sa.Column("patterns", sa.JSON(), nullable=False),
        sa.Column("kept_passwords", sa.Integer(), nullable=False),
        sa.Column("redirect_url", sa.Text(), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("link_text", sa.String(length=200), nullable=False),
        sa.Column("success_text", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.CheckConstraint("means in ('link', 'code', 'both')", name=op.f("ck_recovery_settings_means")),
        sa.CheckConstraint("id = 1", name=op.f("ck_recovery_settings_only_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_settings")),
    )
    op.create_table(
        "sign_in_settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("requires_second_factor", sa.Boolean(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client_id", sa.String(length=300), nullable=False),
        sa.Column("sealed_client_secret", sa.Text(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("role_claim", sa.String(length=200), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("adds_people", sa.Boolean(), nullable=False),
        sa.Column("button_label", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_sign_in_settings_only_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_settings")),
    )
    op.create_table(
        "authenticator_app",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_authenticator_app_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authenticator_app")),
        sa.UniqueConstraint("user_id", name=op.f("uq_authenticator_app_user_id")),
    )
    op.create_table(
        "ceremony",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("password_changed_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("challenge", sa.LargeBinary(length=64), nullable=True),
        sa.Column("began_with", sa.String(length=16), nullable=False),
        sa.Column("next_path", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose in ('sign_in', 'passkey', 'register', 'confirm')", name=op.f("ck_ceremony_purpose")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_ceremony_user_id_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ceremony")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_ceremony_token_hash")),
    )
    with op.batch_alter_table("ceremony", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ceremony_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "former_password",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("replaced_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_former_password_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_password")),
    )
    with op.batch_alter_table("former_password", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_former_password_user_id"), ["user_id"], unique=False)

    op.create_table(
        "import_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor_name", sa.String(length=320), nullable=False),
        sa.Column("actor_address", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('draft', 'confirmed', 'done')", name=op.f("ck_import_run_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
    )
    with op.batch_alter_table("import_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_import_run_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_import_run_state"), ["state"], unique=False)

    op.create_table(
        "import_line",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("phone", sa.String(length=40), nullable=False),
        sa.Column("user_name", sa.String(length=100), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.JSON(none_as_null=True), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'invited', 'known', 'refused')", name=op.f("ck_import_line_state")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["import_run.id"], name=op.f("fk_import_line_run_id_import_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_import_line")),
    )
    with op.batch_alter_table("import_line", schema=None) as batch_op:
        batch_op.create_index(
            "ix_import_line_waiting",
            ["run_id", "number"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )

    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("email_key", sa.String(length=640), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("invited_by", sa.String(length=320), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("was_mailed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_invitation_user_id_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitation_token_hash")),
        sa.UniqueConstraint("user_id", name=op.f("uq_invitation_user_id")),
    )
    with op.batch_alter_table("invitation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invitation_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "passkey",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(length=1023), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("transports", sa.String(length=200), nullable=False),
        sa.Column("is_backed_up", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_passkey_user_id_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    with op.batch_alter_table("passkey", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_passkey_user_id"), ["user_id"], unique=False)

    op.create_table(
        "provider_identity",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("linked_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_provider_identity_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_identity")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_provider_identity_issuer")),
    )
    with op.batch_alter_table("provider_identity", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_provider_identity_user_id"), ["user_id"], unique=False)

    op.create_table(
        "provider_sign_in",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("next_path", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_provider_sign_in_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_sign_in")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_provider_sign_in_state_hash")),
    )
    with op.batch_alter_table("provider_sign_in", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_provider_sign_in_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_recovery_code_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recovery_code_code_hash")),
    )
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_code_user_id"), ["user_id"], unique=False)

    op.create_table(
        "security_answer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(length=300), nullable=False),
        sa.Column("answer_hash", sa.String(length=200), nullable=False),
        sa.Column("answered_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_security_answer_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_answer")),
        sa.UniqueConstraint("user_id", "place", name=op.f("uq_security_answer_user_id")),
    )
    op.create_table(
        "user_address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("address_key", sa.String(length=640), nullable=False),
        sa.Column("becomes_primary", sa.Boolean(), nullable=False),
        sa.Column("added_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("validated_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("token_expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_user_address_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_address")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_user_address_token_hash")),
        sa.UniqueConstraint("user_id", "address_key", name=op.f("uq_user_address_user_id")),
    )
    with op.batch_alter_table("user_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_user_address_user_id"), ["user_id"], unique=False)
        batch_op.create_index(
            "uq_user_address_validated",
            ["address_key"],
            unique=True,
            sqlite_where=sa.text("validated_at is not null"),
            postgresql_where=sa.text("validated_at is not null"),
        )
    _widen_tables()


def _widen_tables() -> None:
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.add_column(sa.Column("place", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("sealed_hash", sa.LargeBinary(length=32), nullable=True))
        batch_op.create_index("ix_audit_entry_action", ["action", "id"], unique=False)
        batch_op.create_index("ix_audit_entry_actor_id", ["actor_id"], unique=False)
        batch_op.create_index("ix_audit_entry_at", ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_entry_place"), ["place"], unique=True)
        batch_op.create_index(
            "ix_audit_entry_unsealed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("place is null"),
            postgresql_where=sa.text("place is null"),
        )

    with op.batch_alter_table("email_settings", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("people_identifier", sa.String(length=16), server_default="primary", nullable=False)
        )
        batch_op.add_column(sa.Column("people_domain", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("custom_attribute", sa.String(length=60), server_default="", nullable=False))

    with op.batch_alter_table("reset_request", schema=None) as batch_op:
        batch_op.add_column(sa.Column("browser_hash", sa.LargeBinary(length=32), nullable=True))
        batch_op.add_column(sa.Column("code_mac", sa.LargeBinary(length=32), nullable=True))

    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_name", sa.String(length=100), server_default="", nullable=False))
        batch_op.add_column(sa.Column("user_name_key", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("custom_value", sa.String(length=320), server_default="", nullable=False))
        batch_op.add_column(sa.Column("custom_key", sa.String(length=640), nullable=True))
        batch_op.add_column(sa.Column("must_reset", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("time_zone", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("last_sign_in_at", UtcDateTime(timezone=True), nullable=True))
        # Not stored on SQLite but in the index: to store it, the table would have to be made anew.
        is_stored = True if op.get_bind().dialect.name == "postgresql" else None
        searched = sa.Computed("lower(email_key || ' ' || name || ' ' || user_name)", persisted=is_stored)
        batch_op.add_column(sa.Column("search_key", sa.Text(), searched, nullable=False))
        batch_op.create_index(batch_op.f("ix_user_custom_key"), ["custom_key"], unique=True)
        batch_op.create_index("ix_user_name", ["name"], unique=False)
        batch_op.create_index("ix_user_role", ["role"], unique=False)
        batch_op.create_index("ix_user_search", ["email_key", "search_key"], unique=False)
        batch_op.create_index(batch_op.f("ix_user_user_name_key"), ["user_name_key"], unique=True)

    with op.batch_alter_table("user_session", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("signed_in_with", sa.String(length=16), server_default="password", nullable=False)
        )
