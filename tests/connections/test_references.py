"""Placeholders in what Google and Microsoft need: used filled in, kept and shown as they were typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portal.connections.grant_renewal import read_secret_expiries, store_secret_expiry
from portal.connections.oauth.microsoft_certificates import make_key_pair
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.registrations import what_registration_lacks
from portal.connections.smtp_values import SMTPValues
from portal.connections.states import State, states_of
from portal.connections.values import PRIVATE_KEY, SERVICE_ACCOUNT_KEY, Method, Role
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth
from tests.connections.making import create, smtp_values, stored
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    provider_world,
)
from tests.connections.test_sending_by_providers import ROBOT, check, code, submission_server
from tests.outside.google import SEND
from tests.outside.microsoft_application import CLIENT_ID, PORTAL, TENANT, registered

ADA = "ada@contoso.test"
REFERENCES = {
    "client_id": "%env:MAIL_CLIENT%",
    "tenant_id": "%env:MAIL_TENANT%",
    "mailbox": "portal@%env:MAIL_DOMAIN%",
}
APP_BY_REFERENCE = replace(APP, **REFERENCES)
GONE = "stands for nothing: the portal's environment has no variable of this name"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CLIENT": CLIENT_ID, "TENANT": TENANT, "DOMAIN": "contoso.test"}.items():
        monkeypatch.setenv(f"MAIL_{name}", value)


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


def shown(world: ProviderWorld) -> tuple[State, str]:
    with world.app.app_context():
        main = stored(world.app)
        state = states_of(db.session(), (main,), installation=world.installation)[main.id]
        return state.state, str(state.reason or "")


def test_an_application_sends_by_what_its_placeholders_stand_for(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT_APP, APP_BY_REFERENCE)
    world.queue()

    seen = {name: str(step.status) for name, step in check(world).items()}
    world.send()

    [message] = world.microsoft.wait_for_messages(1)
    assert (message.mailbox, message.client_id) == (PORTAL, CLIENT_ID)
    assert seen["settings"] == seen["token"] == "pass"
    assert world.states() == ["sent"]
    assert {name: getattr(stored(world.app).values.microsoft_app, name) for name in REFERENCES} == REFERENCES


@pytest.mark.parametrize("credential", [Credential.CERTIFICATE, Credential.FEDERATED])
def test_a_certificate_and_the_path_of_a_token_may_come_from_the_environment(
    world: ProviderWorld, credential: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_key_pair("Mail Portal", now=datetime.now(UTC))
    token_file = tmp_path / "token"
    token_file.write_text("eyJ.federated.token")
    registered(
        world.microsoft,
        secrets={},
        certificates=[pair.public_certificate],
        federated_tokens=["eyJ.federated.token"],
    )
    monkeypatch.setenv("MAIL_CERTIFICATE", pair.public_certificate)
    monkeypatch.setenv("MAIL_TOKENS", str(tmp_path))
    own = replace(
        APP_BY_REFERENCE,
        credential=credential,
        client_certificate="%env:MAIL_CERTIFICATE%",
        federated_token_file="%env:MAIL_TOKENS%/token",
    )
    world.connect(Method.MICROSOFT_APP, own, secrets={PRIVATE_KEY: pair.private_key})
    world.queue()

    world.send()

    assert world.states() == ["sent"]


@pytest.mark.parametrize(
    ("method", "own"),
    [(Method.GOOGLE, PERSON_AT_GOOGLE), (Method.MICROSOFT, PERSON_AT_MICROSOFT)],
    ids=["google", "microsoft"],
)
def test_a_consent_serves_what_the_placeholders_stand_for_and_nothing_else(
    world: ProviderWorld, method: Method, own: ProviderValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_CLIENT", own.client_id)
    referring = {name: text for name, text in REFERENCES.items() if getattr(own, name)}
    world.connect(method, replace(own, **referring), account=PORTAL)
    world.queue()
    world.send()
    sent = world.states()

    monkeypatch.setenv("MAIL_CLIENT", "another")
    other = shown(world)
    monkeypatch.setenv("MAIL_CLIENT", own.client_id)
    monkeypatch.setenv("MAIL_DOMAIN", "elsewhere.test")
    elsewhere = shown(world)
    monkeypatch.delenv("MAIL_DOMAIN")
    gone = shown(world)

    assert sent == ["sent"]
    assert other[0] is State.NEEDS_CONSENT
    assert elsewhere[0] is State.NEEDS_CONSENT
    assert "portal@elsewhere.test" in elsewhere[1]
    assert gone[0] is State.PAUSED
    assert f"%env:MAIL_DOMAIN% {GONE}" in gone[1]


def test_a_service_accounts_token_is_never_used_for_another_value_of_its_mailbox(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_BOX", PORTAL)
    key = world.google.make_service_account(ROBOT, client_id="42", delegated_scopes=[SEND])
    own = ProviderValues(mailbox="%env:MAIL_BOX%")
    world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key}, from_address="")
    world.queue()
    world.send()

    monkeypatch.setenv("MAIL_BOX", ADA)
    world.queue()
    world.send()

    assert [message.account for message in world.google.wait_for_messages(2)] == [PORTAL, ADA]
    assert stored(world.app).as_sent.from_address == ADA


@pytest.mark.parametrize("field", ["client_id", "mailbox"])
def test_without_its_variable_nothing_is_asked_or_sent_and_everybody_is_told_why(
    world: ProviderWorld, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP_BY_REFERENCE)
    variable = "MAIL_CLIENT" if field == "client_id" else "MAIL_DOMAIN"
    world.queue()
    monkeypatch.delenv(variable)

    world.send()
    found = check(world)["settings"]

    assert world.pause_code(connection_id) == "settings.incomplete"
    assert world.states() == ["deferred"]
    assert f"%env:{variable}% {GONE}" in shown(world)[1]
    assert (str(found.status), code(found)) == ("fail", "settings.incomplete")
    assert f"%env:{variable}% {GONE}" in str(found.seen)
    assert world.microsoft.token_requests == []


def test_a_mailbox_whose_variable_went_is_not_whoever_consented(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = world.connect(
        Method.GOOGLE, replace(PERSON_AT_GOOGLE, mailbox=REFERENCES["mailbox"]), account=PORTAL
    )
    world.queue()
    monkeypatch.delenv("MAIL_DOMAIN")

    world.send()

    assert world.pause_code(connection_id) == "settings.incomplete"
    assert world.google.messages == []


@pytest.mark.parametrize("value", [None, "../common", "elsewhere.test"], ids=["gone", "no tenant", "another"])
def test_another_tenant_gets_no_secret_of_the_former(
    world: ProviderWorld, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(Method.MICROSOFT_APP, APP_BY_REFERENCE)
    before = stored(world.app).lacks_secret
    if value is None:
        monkeypatch.delenv("MAIL_TENANT")
    else:
        monkeypatch.setenv("MAIL_TENANT", value)

    state, reason = shown(world)

    expected = {None: f"%env:MAIL_TENANT% {GONE}", "../common": "Enter the tenant's ID", "elsewhere.test": "types it"}
    assert (before, state) == (False, State.NEEDS_SECRET)
    assert expected[value] in reason


def test_a_provider_by_smtp_is_not_reached_without_its_hosts_variable(
    world: ProviderWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with submission_server("google", "unused") as server:
        monkeypatch.setenv("MAIL_RELAY", server.host)
        own = by_smtp(PERSON_AT_GOOGLE, server)
        own = replace(own, server=replace(own.server, host="%env:MAIL_RELAY%"))
        world.connect(Method.GOOGLE, own)
        ready = shown(world)[0]
        monkeypatch.delenv("MAIL_RELAY")

        state, reason = shown(world)

    assert (ready, state) == (State.READY, State.NEEDS_SECRET)
    assert f"%env:MAIL_RELAY% {GONE}" in reason


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOST", ""),
        ("HOST", "smtp.contoso.test:587"),
        ("HOST", "a b"),
        ("USER", ""),
        ("USER", "relay\r\nAUTH"),
        ("REALM", ""),
        ("REALM", "a\nb"),
    ],
)
def test_a_server_is_not_ready_where_a_variable_holds_what_does_not_fit(
    world: ProviderWorld, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, good in {"HOST": "smtp.contoso.test", "USER": "relay", "REALM": "CONTOSO"}.items():
        monkeypatch.setenv(f"MAIL_{name}", good)
    smtp = SMTPValues(host="%env:MAIL_HOST%", username="%env:MAIL_USER%", domain="%env:MAIL_REALM%", auth=Auth.PASSWORD)
    create(world.app, smtp_values(smtp=smtp, role=Role.DEFAULT))
    values = stored(world.app).values
    before, lacked = shown(world)[0], what_registration_lacks(values)
    monkeypatch.setenv(f"MAIL_{variable}", value)

    state, reason = shown(world)
    lacks = what_registration_lacks(values)

    assert (before, lacked) == (State.READY, {})
    assert state is (State.NEEDS_SECRET if variable == "HOST" else State.PAUSED)
    assert list(lacks) == [{"HOST": "host", "USER": "username", "REALM": "domain"}[variable]]
    assert str(next(iter(lacks.values()))) == reason
    assert not value or value not in reason


def test_what_the_portal_writes_itself_leaves_the_placeholders(world: ProviderWorld) -> None:
    registered(world.microsoft, application=["Mail.Send", "Application.Read.All"])
    world.connect(Method.MICROSOFT_APP, APP_BY_REFERENCE)

    [expiry] = read_secret_expiries(world.engine, installation=world.installation)
    with world.app.app_context(), unit_of_work() as session:
        store_secret_expiry(session, expiry, installation=world.installation, now=datetime.now(UTC))

    own: Any = stored(world.app).values.microsoft_app
    assert own.secret_expires_on == "2100-01-01"
    assert {name: getattr(own, name) for name in REFERENCES} == REFERENCES
