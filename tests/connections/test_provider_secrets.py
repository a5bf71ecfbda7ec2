"""What the portal keeps secret of Google and Microsoft stands in no page, log, export, error or stored byte."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from portal import audit
from portal.cli import cli
from portal.connections.oauth.microsoft_certificates import make_key_pair
from portal.connections.probing import probe_named
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.values import CLIENT_SECRET, NEXT_CLIENT_SECRET, PRIVATE_KEY, SERVICE_ACCOUNT_KEY, Method, Role
from portal.database import metadata, sqlite_path
from portal.mail.addresses import Mailbox
from portal.test_messages.sending import TestMessage, send_test_message
from portal.transaction import unit_of_work
from portal.transports import TransportError
from portal.web.request_log import configure_logging
from tests.admin_browser import Browser
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    certificate,
    provider_world,
)
from tests.outside.google import SEND
from tests.outside.microsoft_application import PORTAL, SECRET, registered
from tests.outside.smtp_server import SMTPServer

NEXT = "next8Q~canary+next/secret"
IN_FORMS = ("client_secret", "refresh_token", "client_assertion", "assertion", "code", "code_verifier")


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The portal's own log at its most talkative, and that of every library."""
    root, written = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("debug", "json", stream=written)
    raw = logging.StreamHandler(written)  # what the portal's own handler would blot out counts as well
    root.addHandler(raw)
    yield written
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path, log: StringIO) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        configure_logging("debug", "json", stream=log)
        registered(world.microsoft, secrets={SECRET: date(2020, 1, 1), NEXT: date(2100, 1, 1)})
        yield world


class Planted:
    """Every secret of a world: those that were typed, and those that went over the wire."""

    def __init__(self, world: ProviderWorld) -> None:
        self._world = world
        self._typed: set[str] = {SECRET, NEXT, world.usual_secret(Method.GOOGLE)}

    def add(self, *secrets: str) -> None:
        """Of a key in PEM each line that holds something of it."""
        for secret in secrets:
            self._typed.update(line for line in secret.splitlines() if line and not line.startswith("-----"))

    def all(self) -> set[str]:
        requests = [*self._world.google.requests, *self._world.microsoft.requests]
        sent = {one.form[field] for one in requests for field in IN_FORMS if one.form.get(field)}
        tokens = {one.bearer for one in requests if one.bearer}
        return {secret for secret in self._typed | sent | tokens if len(secret) > 5}


def spellings(secret: str) -> set[str]:
    """As it is, as it stands in addresses and JSON, and in base64 wherever it begins."""
    data = secret.encode()
    encoded = {b64encode(b"x" * shift + data)[4 if shift else 0 : -4].decode() for shift in range(3)}
    return {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], *encoded}


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    return [spelling for secret in secrets for spelling in spellings(secret) if len(spelling) > 5 and spelling in text]


def stored_bytes(world: ProviderWorld) -> str:
    """All that the database holds, as it lies on the disk or as every table reads."""
    path = sqlite_path(world.engine)
    if path is not None:
        files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
        return "".join(file.read_bytes().decode("latin-1") for file in files if file.exists())
    with world.engine.connect() as connection:
        rows = [list(connection.execute(select(table))) for table in metadata.sorted_tables]
    return repr(rows)


def connect_all(world: ProviderWorld, planted: Planted, server: SMTPServer) -> dict[str, UUID]:
    """One connection for each method, by names."""
    pair = make_key_pair("Mail Portal", now=datetime.now(UTC))
    key = world.google.make_service_account(
        "robot@contoso-mail.iam.gserviceaccount.com", client_id="42", delegated_scopes=[SEND]
    )
    planted.add(pair.private_key, json.loads(key)["private_key"])
    by_certificate = replace(
        APP, credential=Credential.CERTIFICATE, client_certificate=pair.public_certificate, secret_id="shown"
    )
    both = {CLIENT_SECRET: SECRET, NEXT_CLIENT_SECRET: NEXT}
    wanted: list[tuple[str, Method, ProviderValues, dict[str, str] | None]] = [
        ("App", Method.MICROSOFT_APP, APP, both),
        ("Certificate", Method.MICROSOFT_APP, by_certificate, {PRIVATE_KEY: pair.private_key}),
        ("Through SMTP", Method.MICROSOFT_APP, by_smtp(APP, server), both),
        ("Person", Method.MICROSOFT, PERSON_AT_MICROSOFT, both),
        ("Google", Method.GOOGLE, PERSON_AT_GOOGLE, None),
        ("Robot", Method.GOOGLE_SERVICE_ACCOUNT, ProviderValues(mailbox=PORTAL), {SERVICE_ACCOUNT_KEY: key}),
    ]
    return {
        name: world.connect(method, own, secrets=secrets, name=name, role=Role.AVAILABLE)
        for name, method, own, secrets in wanted
    }


def use_all(world: ProviderWorld, connections: dict[str, UUID]) -> list[str]:
    """Check each, send by each, ask for another token of each; returns what was said."""
    said: list[str] = []
    for name, connection_id in connections.items():
        said.append(repr(probe_named(world.engine, name, installation=world.installation, on_step=lambda _: None)))
        with world.app.app_context(), unit_of_work() as session:
            send_test_message(
                session,
                TestMessage(to=Mailbox("ada@contoso.test"), connection_id=connection_id),
                actor=audit.COMMAND_LINE,
                installation=world.installation,
                portal_url="http://localhost",
                now=datetime.now(UTC),
            )
        try:
            world.token(connection_id)(True)
        except TransportError as error:
            said.append(f"{error!r} {error} {error.__cause__!r} {error.__context__!r} {vars(error)}")
    world.send()
    return said


def fail_everywhere(world: ProviderWorld) -> None:
    """Nothing works any more, and what was sent to Microsoft stands in what it says."""
    world.google.revoke_grants(PORTAL)
    for secret in (SECRET, NEXT):
        said = {
            "error": "invalid_client",
            "error_description": f"AADSTS7000215: {secret} is no secret of {quote(secret)}",
        }
        world.microsoft.on("token", about=secret[:6], status=401, body=said)
    world.google.on("send", status=401)
    world.microsoft.on("sendMail", status=401)


def pages(world: ProviderWorld, connections: dict[str, UUID]) -> str:
    browser = Browser(world.app)
    paths = [
        "/",
        "/connections",
        "/email-settings",
        "/test-messages/new",
        *map("/connections/{}".format, connections.values()),
    ]
    answers = [browser.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    return "".join(answer.text for answer in answers)


def exported(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    runs = [
        CliRunner().invoke(cli, arguments) for arguments in (["settings", "export"], ["doctor"], ["outbox", "list"])
    ]
    return "".join(run.output for run in runs)


def test_no_secret_and_no_token_leaves_its_seal(
    world: ProviderWorld, log: StringIO, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Planted(world)
    with SMTPServer(
        tokens={"not this": PORTAL}, dialect="exchange", tls="starttls", certificate=certificate()
    ) as server:
        connections = connect_all(world, planted, server)
        said = use_all(world, connections)
        fail_everywhere(world)
        said += use_all(world, connections)
    shown = pages(world, connections)

    places = {
        "errors": "".join(said),
        "pages": shown,
        "log": log.getvalue(),
        "exports": exported(environ, monkeypatch),
        "database": stored_bytes(world),
    }

    secrets = planted.all()
    assert len(secrets) > 30
    assert {place: found_in(text, secrets) for place, text in places.items()} == {place: [] for place in places}
    assert all(code in places["errors"] for code in ("google.grant_dead", "microsoft.secret_wrong"))


def test_the_search_finds_what_it_looks_for(world: ProviderWorld) -> None:
    for text in (
        NEXT,
        quote(NEXT, safe=""),
        b64encode(f"user={NEXT}".encode()).decode(),
        b64encode(b"x" + NEXT.encode()).decode(),
    ):
        assert found_in(f"before {text} after", [NEXT]) != []
