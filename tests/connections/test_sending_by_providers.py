"""Mail leaves by Google and Microsoft: each method, each credential, by API and by SMTP, from the queue on.

The token requests, consents and hand-overs are real; the providers are servers on loopback.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from portal.cli import cli
from portal.connections.announcing import banners
from portal.connections.grant_renewal import read_secret_expiries, store_secret_expiry
from portal.connections.oauth.microsoft_certificates import make_key_pair
from portal.connections.probing import probe_named
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.values import (
    CLIENT_SECRET,
    NEXT_CLIENT_SECRET,
    PRIVATE_KEY,
    SERVICE_ACCOUNT_KEY,
    Method,
    Role,
    SecretAction,
    SecretChange,
)
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports import StepResult
from portal.worker_process import run_worker
from tests.admin_browser import Browser
from tests.connections.making import finished, stored
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    certificate,
    provider_world,
)
from tests.outside.google import FULL_MAIL, SEND
from tests.outside.microsoft_application import CLIENT_ID, PORTAL, SECRET, TENANT, registered
from tests.outside.smtp_server import SMTPServer

SHARED = "desk@contoso.test"
ROBOT = "robot@contoso-mail.iam.gserviceaccount.com"
APP_AT_SMTP = "https://outlook.office365.com/.default"


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@contextmanager
def submission_server(dialect: str, token: str, account: str = PORTAL) -> Iterator[SMTPServer]:
    """Takes this token alone, over STARTTLS."""
    with SMTPServer(tokens={token: account}, dialect=dialect, tls="starttls", certificate=certificate()) as server:
        yield server


def check(world: ProviderWorld, name: str = "Main") -> dict[str, StepResult]:
    steps = probe_named(world.engine, name, installation=world.installation, on_step=lambda _: None)
    return {str(step.step): step for step in steps}


def statuses(world: ProviderWorld) -> dict[str, str]:
    return {name: str(step.status) for name, step in check(world).items()}


def code(step: StepResult) -> str:
    return step.diagnosis.code if step.diagnosis else ""


def app_with(world: ProviderWorld, own: ProviderValues = APP, secrets: dict[str, str] | None = None) -> UUID:
    return world.connect(Method.MICROSOFT_APP, own, secrets=secrets)


def the_message(world: ProviderWorld) -> Any:
    [message] = world.microsoft.wait_for_messages(1)
    return message


def test_an_application_sends_by_its_secret(world: ProviderWorld) -> None:
    app_with(world)
    world.queue()

    world.send()

    message = the_message(world)
    assert (message.mailbox, message.signed_in_as, message.client_id) == (PORTAL, None, CLIENT_ID)
    assert message.recipients == ("ada@contoso.test",)
    assert world.states() == ["sent"]
    assert world.microsoft.token_requests == ["client_credentials"]


def test_an_application_sends_by_its_certificate(world: ProviderWorld) -> None:
    pair = make_key_pair("Mail Portal", now=datetime.now(UTC))
    registered(world.microsoft, secrets={}, certificates=[pair.public_certificate])
    own = replace(APP, credential=Credential.CERTIFICATE, client_certificate=pair.public_certificate)
    app_with(world, own, {PRIVATE_KEY: pair.private_key})
    world.queue()

    world.send()

    assert the_message(world).mailbox == PORTAL
    assert world.states() == ["sent"]


def test_an_application_sends_by_the_token_that_the_platform_keeps_in_a_file(
    world: ProviderWorld, tmp_path: Path
) -> None:
    token_file = tmp_path / "federated"
    token_file.write_text("eyJ.federated.token\n")
    registered(world.microsoft, secrets={}, federated_tokens=["eyJ.federated.token"])
    app_with(world, replace(APP, credential=Credential.FEDERATED, federated_token_file=str(token_file)), {})
    world.queue()

    world.send()

    assert the_message(world).mailbox == PORTAL
    assert world.states() == ["sent"]


def test_an_application_sends_through_smtp(world: ProviderWorld) -> None:
    registered(world.microsoft, application=["SMTP.SendAsApp"])
    world.microsoft.on("token", changes={"access_token": "eyJ.of.smtp"})
    with submission_server("exchange", "eyJ.of.smtp") as server:
        app_with(world, by_smtp(APP, server))
        world.queue()

        world.send()

        [message] = server.wait_for_messages(1)
    [asked] = [one for one in world.microsoft.requests if one.path.endswith("/token")]
    assert message.signed_in_as == PORTAL
    assert message.is_encrypted
    assert asked.form["scope"] == APP_AT_SMTP
    assert world.states() == ["sent"]


def test_an_application_of_the_settings_file_is_checked_and_sends_a_test_message(
    world: ProviderWorld, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = f"""
      connections:
        - {{name: main, method: microsoft_app, role: default, client_id: {CLIENT_ID}, tenant_id: {TENANT},
           client_secret: {SECRET}, mailbox: {PORTAL}, from_address: {PORTAL}}}
    """

    with kept_logging(), a_worker(world):
        applied = portal("settings", "apply", "-", stdin=settings)
        checked = portal("check", "main", "--json")
        sent = portal("send-test", "ada@contoso.test", "--connection", "main", "--wait")
        exported = portal("settings", "export")

    steps = [json.loads(line) for line in checked.stdout.splitlines()]
    assert (applied.exit_code, checked.exit_code, sent.exit_code) == (0, 0, 0), sent.output
    assert [step["step"] for step in steps] == ["settings", "token", "permissions", "mailbox"]
    assert {step["status"] for step in steps} == {"pass", "warn"}
    assert " sent: " in sent.stdout
    assert the_message(world).mailbox == PORTAL
    assert SECRET not in applied.output + checked.output + sent.output + exported.output


def test_an_application_of_the_form_is_checked_saved_and_sends(world: ProviderWorld) -> None:
    browser = Browser(world.app)
    typed = {
        "name": "Main",
        "method": "microsoft_app",
        "role": "default",
        "client_id": CLIENT_ID,
        "tenant_id": TENANT,
        "client_secret": SECRET,
        "mailbox": PORTAL,
        "from_address": PORTAL,
        "action": "save",
    }

    said = finished(browser, browser.post("/connections/new", typed))
    world.queue()
    world.send()

    assert stored(world.app).values.method is Method.MICROSOFT_APP, said
    assert the_message(world).mailbox == PORTAL
    assert SECRET not in said + browser.get(f"/connections/{stored(world.app).id}").text


def test_administrators_are_told_by_the_fallback_that_the_application_is_refused(world: ProviderWorld) -> None:
    """What is wrong is told in the words of its diagnosis, and the mail that waited has left."""
    Browser(world.app)  # an administrator
    registered(world.microsoft, secrets={})
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, name="Second", role=Role.FALLBACK, fallback_order=1)
    app_with(world)

    with a_worker(world):
        world.queue()
        messages = world.google.wait_for_messages(2, timeout=30)

    [alert] = [one.content.decode() for one in messages if b"Subject: Main" in one.content or b"Main" in one.content]
    assert {one.from_address for one in messages} == {PORTAL}
    assert "secret" in alert
    assert world.states() == ["sent", "sent"]


def portal(*arguments: str, stdin: str = "") -> Result:
    """The command line in this process."""
    return CliRunner().invoke(cli, arguments, input=stdin, prog_name="portal")


@contextmanager
def kept_logging() -> Iterator[None]:
    """Commands set up the log of their process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@contextmanager
def a_worker(world: ProviderWorld) -> Iterator[None]:
    """The worker as its process runs it, meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(world.app, stop))
    thread.start()
    yield
    stop.set()
    thread.join()


def test_the_check_of_an_application_says_what_each_step_saw(world: ProviderWorld) -> None:
    app_with(world)

    steps = check(world)

    assert list(steps) == ["settings", "token", "permissions", "mailbox"]
    assert str(steps["settings"].status) == str(steps["token"].status) == "pass"
    assert code(steps["permissions"]) == "graph.sends_as_everybody"
    assert code(steps["mailbox"]) == "graph.mailbox_not_readable"


def test_the_check_of_a_scoped_application_knows_that_rights_may_be_elsewhere(world: ProviderWorld) -> None:
    registered(world.microsoft, application=[], scoped_mailboxes=[PORTAL])
    app_with(world)
    world.queue()

    steps = check(world)
    world.send()

    assert code(steps["permissions"]) == "graph.rights_not_visible"
    assert str(steps["permissions"].status) == "warn"
    assert the_message(world).mailbox == PORTAL


def test_a_mailbox_outside_the_scope_is_said_when_sending(world: ProviderWorld) -> None:
    registered(world.microsoft, application=[], scoped_mailboxes=["elsewhere@contoso.test"])
    connection_id = app_with(world)
    world.queue()

    world.send()

    assert world.pause_code(connection_id) in {"graph.access_denied", "graph.policy_blocks"}
    assert world.states() == ["deferred"]


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({"another": date(2100, 1, 1)}, "microsoft.secret_wrong"),
        ({SECRET: date(2020, 1, 1)}, "microsoft.secret_expired"),
    ],
)
def test_an_application_whose_secret_is_refused_pauses_and_goes_on_once_it_is_mended(
    world: ProviderWorld, secrets: dict[str, date], expected: str
) -> None:
    registered(world.microsoft, secrets=secrets)
    connection_id = app_with(world)
    world.queue()
    world.send()
    assert world.pause_code(connection_id) == expected
    assert world.states() == ["deferred"]
    assert code(check(world)["token"]) == expected

    registered(world.microsoft, secrets={"fresh~secret": date(2100, 1, 1)})
    change = {CLIENT_SECRET: SecretChange(SecretAction.REPLACE, "fresh~secret")}
    world.change(connection_id, world.values(Method.MICROSOFT_APP, APP), change)
    world.send()

    assert world.pause_code(connection_id) == ""
    assert world.states() == ["sent"]
    assert the_message(world).mailbox == PORTAL


def test_the_id_of_a_secret_in_place_of_the_secret_is_refused_as_such(world: ProviderWorld) -> None:
    secret_id = "55555555-5555-4555-8555-555555555555"
    connection_id = app_with(world, APP, {CLIENT_SECRET: secret_id})
    world.queue()

    world.send()

    assert world.pause_code(connection_id) == "microsoft.secret_wrong"
    assert code(check(world)["token"]) == "microsoft.secret_wrong"


def test_a_disabled_application_pauses_with_its_own_code(world: ProviderWorld) -> None:
    connection_id = app_with(world)
    registered(world.microsoft)
    world.microsoft.on("token", aadsts=7000112)
    world.queue()

    world.send()

    assert world.pause_code(connection_id) == "microsoft.app_disabled"
    world.microsoft.forget_scripts()
    world.change(connection_id, world.values(Method.MICROSOFT_APP, APP, display_name="Contoso"))
    world.send()
    assert world.states() == ["sent"]


def test_the_next_secret_serves_when_the_first_has_expired_and_people_are_told(world: ProviderWorld) -> None:
    registered(world.microsoft, secrets={SECRET: date(2020, 1, 1), "next~secret": date(2100, 1, 1)})
    app_with(world, APP, {CLIENT_SECRET: SECRET, NEXT_CLIENT_SECRET: "next~secret"})
    world.queue()
    world.queue()

    world.send()

    with world.app.app_context():
        shown = [str(banner.text) for banner in banners(db.session(), installation=world.installation)]
    assert world.states() == ["sent", "sent"]
    assert len(world.microsoft.token_requests) == 2, "once with each secret, and the token served both messages"
    assert stored(world.app).uses_next_secret
    assert any("sends by its next client secret" in text for text in shown)


def test_a_promoted_secret_ends_the_notice(world: ProviderWorld) -> None:
    registered(world.microsoft, secrets={SECRET: date(2020, 1, 1), "next~secret": date(2100, 1, 1)})
    connection_id = app_with(world, APP, {CLIENT_SECRET: SECRET, NEXT_CLIENT_SECRET: "next~secret"})
    world.queue()
    world.send()
    assert stored(world.app).uses_next_secret

    promotion = {
        CLIENT_SECRET: SecretChange(SecretAction.REPLACE, "next~secret"),
        NEXT_CLIENT_SECRET: SecretChange(SecretAction.CLEAR),
    }
    world.change(connection_id, world.values(Method.MICROSOFT_APP, APP), promotion)
    world.queue()
    world.send()

    assert world.states() == ["sent", "sent"]
    assert not stored(world.app).uses_next_secret


def test_a_changed_mailbox_of_a_service_account_is_never_served_by_the_former_ones_token(world: ProviderWorld) -> None:
    key = world.google.make_service_account(ROBOT, client_id="42", delegated_scopes=[SEND])
    own = ProviderValues(mailbox=PORTAL)
    connection_id = world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})
    world.queue()
    world.send()

    moved = world.values(
        Method.GOOGLE_SERVICE_ACCOUNT, replace(own, mailbox="ada@contoso.test"), from_address="ada@contoso.test"
    )
    world.change(connection_id, moved)
    world.queue()
    world.send()

    assert [message.account for message in world.google.wait_for_messages(2)] == [PORTAL, "ada@contoso.test"]


def test_a_service_account_sends_by_the_gmail_api(world: ProviderWorld) -> None:
    key = world.google.make_service_account(ROBOT, client_id="42", delegated_scopes=[SEND])
    own = ProviderValues(mailbox=PORTAL)
    world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})
    world.queue()

    seen = statuses(world)
    world.send()

    [message] = world.google.wait_for_messages(1)
    assert message.account == PORTAL
    assert seen["token"] == seen["permissions"] == "pass"
    assert world.states() == ["sent"]


def test_a_service_account_sends_through_smtp(world: ProviderWorld) -> None:
    key = world.google.make_service_account(ROBOT, client_id="42", delegated_scopes=[FULL_MAIL])
    world.google.on("token", changes={"access_token": "ya29.of-smtp"})
    with submission_server("google", "ya29.of-smtp") as server:
        own = by_smtp(ProviderValues(mailbox=PORTAL), server)
        world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})
        world.queue()

        world.send()

        [message] = server.wait_for_messages(1)
    assert message.signed_in_as == PORTAL


def test_a_person_at_google_lets_the_portal_send_by_the_gmail_api(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.queue()

    seen = statuses(world)
    world.send()

    [message] = world.google.wait_for_messages(1)
    assert message.account == PORTAL
    assert message.rcpt_to == ("ada@contoso.test",)
    assert set(seen.values()) == {"pass"}
    assert world.states() == ["sent"]


def test_a_person_at_google_lets_the_portal_send_through_smtp(world: ProviderWorld) -> None:
    world.google.on("token", changes={"access_token": "ya29.of-smtp"})
    with submission_server("google", "ya29.of-smtp") as server:
        world.connect(Method.GOOGLE, by_smtp(PERSON_AT_GOOGLE, server))
        world.queue()

        world.send()

        [message] = server.wait_for_messages(1)
    assert message.signed_in_as == PORTAL
    assert message.is_encrypted


def test_a_person_at_microsoft_lets_the_portal_send_by_graph(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.queue()

    seen = statuses(world)
    world.send()

    message = the_message(world)
    assert (message.mailbox, message.signed_in_as) == (PORTAL, PORTAL)
    assert set(seen.values()) == {"pass"}


def test_somebody_signs_in_as_one_and_sends_as_a_shared_mailbox(world: ProviderWorld) -> None:
    world.microsoft.add_mailbox(TENANT, "ada@contoso.test", send_as=[SHARED])
    world.microsoft.add_mailbox(TENANT, SHARED)
    world.connect(Method.MICROSOFT, replace(PERSON_AT_MICROSOFT, mailbox="ada@contoso.test"), from_address=SHARED)
    world.queue()

    world.send()

    message = the_message(world)
    assert message.signed_in_as == "ada@contoso.test"
    assert message.from_address == SHARED
    assert world.states() == ["sent"]


def test_a_mailbox_written_in_other_letters_asks_for_no_right_to_shared_ones(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address="Portal@Contoso.test")
    world.queue()

    world.send()

    assert "Mail.Send.Shared" not in world.microsoft.requests[-2].form.get("scope", "")
    assert world.states() == ["sent"]


def test_a_person_at_microsoft_lets_the_portal_send_through_smtp(world: ProviderWorld) -> None:
    world.microsoft.on("token", changes={"access_token": "eyJ.of.smtp"})
    with submission_server("exchange", "eyJ.of.smtp") as server:
        world.connect(Method.MICROSOFT, by_smtp(PERSON_AT_MICROSOFT, server))
        world.queue()

        world.send()

        [message] = server.wait_for_messages(1)
    assert message.signed_in_as == PORTAL


def test_a_refused_smtp_token_is_replaced_once(world: ProviderWorld) -> None:
    world.microsoft.on("token", about="client_credentials", changes={"access_token": "eyJ.second"})
    world.microsoft.on("token", about="client_credentials", changes={"access_token": "eyJ.first"}, times=1)
    with submission_server("exchange", "eyJ.second") as server:
        app_with(world, by_smtp(APP, server))
        world.queue()

        world.send()

        [message] = server.wait_for_messages(1)
    assert message.signed_in_as == PORTAL
    assert len(world.microsoft.token_requests) == 2
    assert world.states() == ["sent"]


@pytest.mark.parametrize("is_google", [True, False])
def test_a_401_of_the_api_renews_the_token_once(world: ProviderWorld, is_google: bool) -> None:
    method, own = (Method.GOOGLE, PERSON_AT_GOOGLE) if is_google else (Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.connect(method, own)
    provider = world.google if is_google else world.microsoft
    provider.on("send" if is_google else "sendMail", status=401, times=1)
    world.queue()

    world.send()

    assert world.states() == ["sent"]
    assert provider.token_requests == ["authorization_code", "refresh_token"]


def test_a_service_that_refuses_the_new_token_too_pauses_the_connection(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.google.on("send", status=401)
    world.queue()

    world.send()

    assert world.pause_code(connection_id) == "gmail.token_refused"
    assert world.google.token_requests == ["authorization_code", "refresh_token"]
    assert world.states() == ["deferred"]


def test_the_day_on_which_a_secret_ends_is_read_where_the_application_may(world: ProviderWorld) -> None:
    registered(world.microsoft, application=["Mail.Send", "Application.Read.All"])
    app_with(world)

    found = read_secret_expiries(world.engine, installation=world.installation)
    for expiry in found:
        with world.app.app_context(), unit_of_work() as session:
            store_secret_expiry(session, expiry, installation=world.installation, now=datetime.now(UTC))

    own = stored(world.app).values.provider
    assert own is not None
    assert own.secret_expires_on == "2100-01-01"
    assert read_secret_expiries(world.engine, installation=world.installation) == []


def test_an_application_that_may_not_read_itself_keeps_the_day_that_was_typed(world: ProviderWorld) -> None:
    app_with(world, replace(APP, secret_expires_on="2027-01-01"))

    assert read_secret_expiries(world.engine, installation=world.installation) == []


def test_what_a_service_account_s_key_says_is_in_no_line_of_the_check(world: ProviderWorld) -> None:
    key = world.google.make_service_account(ROBOT, client_id="42", delegated_scopes=[])
    own = ProviderValues(mailbox=PORTAL)
    world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})

    steps = check(world)

    assert code(steps["token"]) == "google.delegation_missing"
    assert not any(line in str(steps) for line in json.loads(key)["private_key"].splitlines()[1:-1])
