"""What the demonstration begins with: an administrator and two people, a sender, and connections to the stand-ins."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from flask import Flask

from portal import audit, connections, email_settings, settings_file
from portal.accounts import setup
from portal.accounts.people import add_user, prepare_user
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.demo.stand_ins import (
    DOMAIN,
    GOOGLE_CLIENT,
    MICROSOFT_APPLICATION,
    MICROSOFT_CLIENT,
    PORTAL,
    SMTP_ACCOUNT,
    TENANT,
)

ADMINISTRATOR = f"admin@{DOMAIN}"
PEOPLE = {f"ada@{DOMAIN}": ("Ada", "helpdesk"), f"bob@{DOMAIN}": ("Bob", "user")}
MAIL_SERVER, GOOGLE, MICROSOFT, APPLICATION = "Mail server", "Google", "Microsoft", "Microsoft, application"


def fill(app: Flask, *, password: str, smtp_port: int, now: datetime) -> bool:
    """Fill a portal that nobody has set up, all or nothing; False where somebody has. All people have one password."""
    with app.app_context():
        session = db.session()
        if not setup.is_open(session):
            return False
        public_host = app.config["PORTAL"].public_host
        first = setup.FirstAdministrator(ADMINISTRATOR, "Grace", password)
        administrator = setup.prepare(session, first, public_host=public_host)
        people = [
            prepare_user(session, email=email, role=role, password=password, name=name, public_host=public_host)
            for email, (name, role) in PEOPLE.items()
        ]
        sections = [email_settings.section, connections.make_section(app.extensions["secret_box"])]
        content = json.dumps(settings(smtp_port)).encode()  # JSON is YAML
        node = settings_file.read(content, follow=settings_file.refuse_references)
        with unit_of_work() as writing:
            setup.create_first_admin(writing, administrator, now)
            for person in people:
                add_user(writing, person, actor=audit.COMMAND_LINE, now=now)
            settings_file.apply(writing, node, sections, actor=audit.COMMAND_LINE, now=now)
    return True


def settings(smtp_port: int) -> dict[str, Any]:
    """As a settings file."""
    return {
        "email": {"from_address": PORTAL, "display_name": "Contoso Portal"},
        "connections": [_mail_server(smtp_port), *_waiting_for_consent(), _application()],
    }


def _mail_server(port: int) -> dict[str, Any]:
    username, password = SMTP_ACCOUNT
    return {
        "name": MAIL_SERVER,
        "method": "smtp",
        "role": "default",
        "host": "127.0.0.1",
        "port": port,
        "security": "starttls",
        "auth": "password",
        "username": username,
        "password": password,
        "from_address": PORTAL,
    }


def _waiting_for_consent() -> list[dict[str, Any]]:
    return [
        {"name": GOOGLE, "method": "google", "role": "draft", "from_address": PORTAL, **_client(GOOGLE_CLIENT)},
        {
            "name": MICROSOFT,
            "method": "microsoft",
            "role": "draft",
            "from_address": PORTAL,
            "tenant_id": TENANT,
            **_client(MICROSOFT_CLIENT),
        },
    ]


def _application() -> dict[str, Any]:
    return {
        "name": APPLICATION,
        "method": "microsoft_app",
        "role": "available",
        "from_address": PORTAL,
        "mailbox": PORTAL,
        "tenant_id": TENANT,
        **_client(MICROSOFT_APPLICATION),
    }


def _client(registered: tuple[str, str]) -> dict[str, str]:
    return {"client_id": registered[0], "client_secret": registered[1]}
