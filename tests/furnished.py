"""A portal in which every page has something to show, and whose every secret is known by name.

It is furnished the ways that people go: forms, the thread of the check, the worker. What comes back are plain
values, so that a furnished database can be copied and opened again, or served by a portal of its own.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Table, update
from sqlalchemy.engine import Engine

from portal.accounts import recovery_settings
from portal.accounts.models import User
from portal.accounts.password_reset import answer_reset_requests
from portal.accounts.passwords import hash_password
from portal.accounts.recovery_settings import RecoverySettings
from portal.accounts.reset_requests import request_password_reset
from portal.audit import COMMAND_LINE, sealing
from portal.connections import ensure_builtin, saving
from portal.connections.candidates import Asker, Candidate, keep
from portal.connections.models import ConnectionCheck
from portal.connections.provider_values import ProviderValues
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method, Role, SecretChange, SecretChanges
from portal.database import writing
from portal.extensions import db
from portal.outbox import heartbeat, history
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.admin_browser import Browser
from tests.connections.making import create, engine_of, finished, installation_of, replaced, send_what_is_due
from tests.furnished_consents import SECRETS as CONSENT_SECRETS
from tests.furnished_consents import furnish_consents
from tests.furnished_factors import furnish_factors
from tests.furnished_invitations import SECRETS as DEVICE_SECRETS
from tests.furnished_invitations import furnish_invitations
from tests.furnished_people import furnish_people
from tests.furnished_servers import furnish_servers
from tests.outside.smtp_server import SMTPServer

ROLES = ("user", "helpdesk", "admin")
IDENTITIES = ("stranger", *ROLES)
PASSWORD = "correct horse battery staple 9"
STORED, TYPED, BUILT_IN = "kept+canary/7&1", "typed+canary/7&2", "built-in-canary-73"
APPLICATION, NEXT, SERVICE = "app+canary~76", "next+canary~77", "-----BEGIN PRIVATE KEY----- canary 78"
KEY, UNATTENDED = "root-key-canary-root-key-canary-74", "unattended canary of 75"
ENVIRONMENT = {
    "PORTAL_SECRET_KEY": KEY,
    "PORTAL_BUILTIN_SERVICE": f"smtp://relay:{BUILT_IN}@smtp.contoso.test",
    "PORTAL_ADMIN_EMAIL": "first@contoso.test",
    "PORTAL_ADMIN_PASSWORD": UNATTENDED,
}
_A_DAY = timedelta(days=1)
_IMPORTED = f"SMTP_HOST=smtp.contoso.test\nSMTP_PORT=587\nSMTP_PASSWORD='{TYPED}'\nSMTP_POOL=5\n"


@dataclass(frozen=True)
class Furnishing:
    """Who is signed in by which token, which things there are, and what must appear nowhere."""

    tokens: Mapping[str, str] = field(repr=False)  # of the session, by role
    emails: Mapping[str, str]  # by role
    ids: Mapping[str, str]  # what stands in addresses, by the name of the thing
    secrets: Mapping[str, str] = field(repr=False)  # by what it is

    def exposed(self, answer: str, *, but: tuple[str, ...] = ()) -> list[str]:
        """The names of the secrets that stand in this text, in whatever spelling."""
        return [
            name
            for name, secret in self.secrets.items()
            if name not in but and any(spelling in answer for spelling in spellings(secret))
        ]


class _WholeAnswers(FlaskClient):
    """Reads every answer to its end, so that no static file stays open."""

    def open(self, *args: Any, **options: Any) -> Any:
        return super().open(*args, **{"buffered": True, **options})


@dataclass(frozen=True)
class FurnishedPortal:
    """The application on a furnished database."""

    app: Flask
    things: Furnishing

    def client(self, identity: str) -> FlaskClient:
        """A browser in which this identity is signed in; "stranger" is nobody."""
        client = _WholeAnswers(self.app)
        if identity in self.things.tokens:
            client.set_cookie("portal-session", self.things.tokens[identity])
        return client

    def contents(self) -> dict[str, list[str]]:
        """Every row of every table, to see that nothing changed: but for the mark that a session was seen."""
        with engine_of(self.app).connect() as connection:
            return {
                table.name: sorted(map(str, connection.exec_driver_sql(_all_of(table))))
                for table in db.metadata.sorted_tables
            }


def _all_of(table: Table) -> str:
    columns = ", ".join(f'"{column.name}"' for column in table.c if column.name != "last_seen_at")
    return f'select {columns} from "{table.name}"'


@cache
def spellings(secret: str) -> tuple[str, ...]:
    """A secret as it is, as HTML, addresses and JSON write it, and within base64 wherever it begins."""
    written = {secret, escape(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    written |= {escape(secret).replace("&amp;", "&#38;"), secret.replace("&", "\\u0026")}
    return (*sorted(written), *(_within_base64(secret.encode(), before) for before in range(3)))


def _within_base64(secret: bytes, before: int) -> str:
    """What base64 makes of it after so many other bytes, without the characters that it shares with others."""
    whole = base64.b64encode(bytes(before) + secret).decode()
    return whole[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


def furnish(app: Flask, server: SMTPServer) -> Furnishing:
    """Fill an empty portal. `server` takes the user name `relay` with the password `STORED`."""
    with app.app_context(), unit_of_work() as session:
        ensure_builtin(session, _now())
        recovery_settings.save(session, RecoverySettings(questions=1), actor=COMMAND_LINE, now=_now())
    people = {role: Browser(app, role) for role in ROLES}
    _give_passwords(app)
    ids = _connections(app, server) | _provider_connections(app)
    ids |= furnish_consents(app, people["admin"])
    ids |= furnish_invitations(app, people["admin"], ids)
    ids |= _checks(app, people["admin"], ids, server)
    with app.app_context(), unit_of_work() as session:
        sealing.seal(session)
    ids |= _messages(app, people, ids)
    factors, of_factors = furnish_factors(app, administrator=people["admin"].user_id, user=people["user"].user_id)
    others, of_others = furnish_people(app, administrator=people["admin"].user_id, password_hash=_password_hash())
    servers, of_servers = furnish_servers(app, connection_id=UUID(ids["connection"]))
    _show_a_worker(engine_of(app))
    tokens = {role: _session_of(app, person) for role, person in people.items()}
    return Furnishing(
        tokens=tokens,
        emails={role: person.email for role, person in people.items()},
        ids=ids | factors | others | servers,
        secrets=_secrets(app, tokens, ids["token"]) | of_factors | of_others | of_servers,
    )


def _now() -> datetime:
    return datetime.now(UTC)


@cache
def _password_hash() -> str:
    return hash_password(PASSWORD)


def _give_passwords(app: Flask) -> None:
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(password_hash=_password_hash(), password_changed_at=_now() - _A_DAY))


def _session_of(app: Flask, person: Browser) -> str:
    cookie = person.client.get_cookie("portal-session", domain=app.config["PORTAL"].public_host)
    assert cookie is not None
    return cookie.value


def _secrets(app: Flask, tokens: Mapping[str, str], reset_token: str) -> dict[str, str]:
    box = installation_of(app).box
    return {
        "the stored password of a connection": STORED,
        "the password typed for a check": TYPED,
        "an application's secret": APPLICATION,
        "an application's next secret": NEXT,
        "a service account's key": SERVICE,
        **CONSENT_SECRETS,
        **DEVICE_SECRETS,
        "the built-in service's password": BUILT_IN,
        "the first administrator's password": UNATTENDED,
        "the portal's key": KEY,
        "the key that signs": box.signing_keys[0],
        "a person's password": PASSWORD,
        "a password's hash": _password_hash(),
        "the token of a reset link": reset_token,
        **{f"the session of the {role}": token for role, token in tokens.items()},
    }


def _connections(app: Flask, server: SMTPServer) -> dict[str, str]:
    """One that keeps mail is the default; one works; one is a draft that nothing listens for."""
    smtp = SMTPValues(host=server.host, port=server.port, security=Security.NONE, username="relay")
    main = ConnectionValues(name="Main", method=Method.SMTP, smtp=smtp, from_address="portal@contoso.test")
    kept = replace(main, name="Kept here", method=Method.CAPTURE, role=Role.DEFAULT)
    nowhere = replace(main, name="Nowhere", role=Role.DRAFT, smtp=replace(smtp, port=server.port, host="127.0.0.2"))
    return {
        "connection": str(create(app, main, replaced(STORED))),
        "default": str(create(app, kept, SecretChange())),
        "draft": str(create(app, nowhere, replaced(STORED))),
    }


def _provider_connections(app: Flask) -> dict[str, str]:
    """An application at Microsoft and a service account at Google; neither sends."""
    main = ConnectionValues(name="Graph", method=Method.MICROSOFT_APP, from_address="portal@contoso.test")
    application = ProviderValues(
        client_id="6f1c6a1e-0000-4000-8000-123456789abc",
        tenant_id="contoso.test",
        mailbox="portal@contoso.test",
        secret_id="11111111-2222-4333-8444-555555555555",
        secret_expires_on=(_now() + 41 * _A_DAY).date().isoformat(),
    )
    workspace = replace(main, name="Workspace", method=Method.GOOGLE_SERVICE_ACCOUNT, role=Role.DRAFT)
    secrets = {"client_secret": replaced(APPLICATION), "next_client_secret": replaced(NEXT)}
    return {
        "application": _create(app, main.with_provider(application), secrets),
        "service_account": _create(app, workspace, {"service_account_key": replaced(SERVICE)}),
    }


def _create(app: Flask, values: ConnectionValues, secrets: SecretChanges) -> str:
    box = installation_of(app).box
    with app.app_context(), unit_of_work() as session:
        return str(saving.create(session, values, secrets, box=box, actor=COMMAND_LINE, now=_now()))


def _checks(app: Flask, admin: Browser, ids: Mapping[str, str], server: SMTPServer) -> dict[str, str]:
    form = f"/connections/{ids['connection']}"
    passed = admin.fill(form, {"display_name": "Contoso"}, button="check")
    assert "The connection works" in finished(admin, passed)
    server.on("AUTH", f"535 5.7.8 the password {TYPED} is wrong", times=1)
    failed = admin.fill(form, {"password": TYPED, "password_action": "replace"}, button="check")
    assert "Not working yet" in finished(admin, failed)
    return {
        "check": _last_part(passed.headers["Location"]),
        "failed_check": _last_part(failed.headers["Location"]),
        "import": _last_part(admin.post("/settings-import", {"source_text": _IMPORTED}).headers["Location"]),
        "waiting_check": _waiting_check(app, admin, UUID(_last_part(passed.headers["Location"]))),
    }


def _waiting_check(app: Flask, admin: Browser, like: UUID) -> str:
    """A check whose turn has not come, and will not: its heartbeat is good for a day."""
    with app.app_context(), unit_of_work() as session:
        row = session.get_one(ConnectionCheck, like)
        values = replace(ConnectionValues.from_json(row.candidate or {}), name="Another")
        candidate = Candidate(connection_id=None, started_from=0, values=values, secrets={"password": replaced(TYPED)})
        asker = Asker(row.session_id, admin.user_id, "Ada", "127.0.0.1")
        box = installation_of(app).box
        check_id = keep(session, candidate, then="save", state="waiting", asker=asker, box=box, now=_now())
        alive = update(ConnectionCheck).where(ConnectionCheck.id == check_id)
        session.execute(alive.values(heartbeat_at=_now() + _A_DAY))
    return str(check_id)


def _messages(app: Flask, people: Mapping[str, Browser], ids: Mapping[str, str]) -> dict[str, str]:
    token = _reset_link(app, people["user"].email)
    tests = {
        "message": _test_message(people["admin"], ids["default"]),
        "failed_message": _test_message(people["admin"], ids["draft"]),
    }
    send_what_is_due(app)
    waiting = {"waiting_message": _test_message(people["helpdesk"], ids["connection"])}
    with app.app_context():
        secret = next(one for one in history.captured(db.session()) if one.is_secret)
    return {"token": token, **tests, **waiting, "secret_message": str(secret.id)}


def _test_message(sender: Browser, connection_id: str) -> str:
    sent = sender.post("/test-messages/new", {"to": "grace@contoso.test", "connection": connection_id})
    assert sent.status_code == 303, sent.text
    return _last_part(sent.headers["Location"])


def _reset_link(app: Flask, email: str) -> str:
    """The token of a link that works; its mail waits in the outbox."""
    tokens: list[str] = []

    def reset_url_for(token: str) -> str:
        tokens.append(token)
        return f"{app.config['PORTAL'].public_url}/reset-password/{token}"

    with app.app_context():
        with unit_of_work() as session:
            request_password_reset(session, email, "127.0.0.1", _now())
        answer_reset_requests(_now(), mail=app.extensions["account_mail"], reset_url_for=reset_url_for)
    return tokens[0]


def _show_a_worker(engine: Engine) -> None:
    with writing(engine).begin() as connection:
        heartbeat.beat(connection, "furnished", _now() + _A_DAY)


def _last_part(address: str) -> str:
    return re.sub(r".*/", "", address)
