"""The next client secret is proved before it is saved, and not found wrong on the day on which the first one ends."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest

from portal.connections.probing import probe_named
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.values import CLIENT_SECRET, NEXT_CLIENT_SECRET, Method, SecretAction, SecretChange
from portal.transports import StepResult, StepStatus
from tests.admin_browser import Browser
from tests.connections.making import finished, stored
from tests.connections.provider_world import (
    APP,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    certificate,
    provider_world,
)
from tests.outside.microsoft import App
from tests.outside.microsoft_application import CALLBACK, CLIENT_ID, PORTAL, SECRET, TENANT, registered
from tests.outside.smtp_server import SMTPServer

NEXT, WRONG = "next8Q~canary-the-next-one", "typo8Q~canary-of-nobody"
LONG, PAST = date(2100, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)
EACH = pytest.mark.parametrize(
    ("method", "own"), [(Method.MICROSOFT_APP, APP), (Method.MICROSOFT, PERSON_AT_MICROSOFT)]
)


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@pytest.fixture(autouse=True)
def app(world: ProviderWorld) -> App:
    """The application at Microsoft, with both secrets."""
    secrets, mail_send = {SECRET: LONG, NEXT: LONG}, ["Mail.Send"]
    return world.microsoft.add_app(
        TENANT, CLIENT_ID, secrets=secrets, redirect_uris=[CALLBACK], application=mail_send, is_multitenant=True
    )


def connected(world: ProviderWorld, method: Method, own: ProviderValues, next_secret: str) -> UUID:
    """With a next client secret that nobody looked at."""
    connection_id = world.connect(method, own, secrets={CLIENT_SECRET: SECRET})
    later = {NEXT_CLIENT_SECRET: SecretChange(SecretAction.REPLACE, next_secret)}
    world.change(connection_id, world.values(method, own), later)
    return connection_id


def token_step(world: ProviderWorld) -> StepResult:
    steps = probe_named(world.engine, "Main", installation=world.installation, on_step=lambda _: None)
    return next(step for step in steps if step.step == "token")


def type_next(world: ProviderWorld, connection_id: UUID, secret: str) -> str:
    """Type it, save, and what the check's page says in the end."""
    browser = Browser(world.app)
    changes = {"next_client_secret": secret, "next_client_secret_action": None}
    said = finished(browser, browser.fill(f"/connections/{connection_id}", changes, button="save"))
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", said)))


@EACH
def test_a_mistyped_next_secret_is_not_saved_and_its_field_is_named(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)

    said = type_next(world, connection_id, WRONG)

    assert "Get an access token: failed" in said
    assert "Microsoft does not accept what stands in the field Next client secret." in said
    assert "next_client_secret: AADSTS7000215: Invalid client secret provided." in said
    assert WRONG not in said
    assert NEXT_CLIENT_SECRET not in stored(world.app).secrets
    assert not stored(world.app).lacks_consent


@EACH
def test_a_right_next_secret_is_proved_and_saved(world: ProviderWorld, method: Method, own: ProviderValues) -> None:
    connection_id = world.connect(method, own)

    said = type_next(world, connection_id, NEXT)

    assert "Checked and saved" in said
    assert "; the next client secret works too" in said
    assert NEXT_CLIENT_SECRET in stored(world.app).secrets
    world.queue()
    world.send()
    assert world.states() == ["sent"]


@EACH
def test_a_next_secret_that_has_ended_since_fails_the_check(
    world: ProviderWorld, app: App, method: Method, own: ProviderValues
) -> None:
    connected(world, method, own, NEXT)
    app.secrets[NEXT] = PAST

    step = token_step(world)

    assert step.status is StepStatus.FAIL
    assert step.diagnosis is not None
    assert step.diagnosis.code == "microsoft.next_secret_expired"
    assert str(step.seen).startswith("next_client_secret: AADSTS7000222: ")


@EACH
def test_a_next_secret_that_is_in_use_already_is_not_tried_again(
    world: ProviderWorld, app: App, method: Method, own: ProviderValues
) -> None:
    connected(world, method, own, NEXT)
    app.secrets[SECRET] = PAST
    before = len(world.microsoft.token_requests)

    step = token_step(world)

    assert step.status is StepStatus.PASS
    assert str(step.seen).endswith("; given for the next client secret: the first was refused")
    assert len(world.microsoft.token_requests) - before == 2


def test_where_both_secrets_are_refused_it_is_the_first_that_is_told(world: ProviderWorld, app: App) -> None:
    connected(world, Method.MICROSOFT_APP, APP, WRONG)
    del app.secrets[SECRET]

    step = token_step(world)

    assert step.diagnosis is not None
    assert step.diagnosis.code == "microsoft.secret_wrong"


def test_the_proof_leaves_the_consent_of_a_person_alone(world: ProviderWorld) -> None:
    connected(world, Method.MICROSOFT, PERSON_AT_MICROSOFT, NEXT)
    asked = list(world.microsoft.token_requests)

    token_step(world)

    assert world.microsoft.token_requests[len(asked) :] == ["refresh_token", "client_credentials"]


def test_an_open_tenant_is_that_of_whoever_consented(world: ProviderWorld) -> None:
    connected(world, Method.MICROSOFT, replace(PERSON_AT_MICROSOFT, tenant_id="organizations"), NEXT)

    step = token_step(world)

    assert str(step.seen).endswith("; the next client secret works too")


def test_what_cannot_be_tried_is_a_warning_and_no_proof(world: ProviderWorld) -> None:
    connected(world, Method.MICROSOFT, PERSON_AT_MICROSOFT, NEXT)
    world.microsoft.on("token", about="client_credentials", aadsts=53003)

    step = token_step(world)

    assert step.status is StepStatus.WARN
    assert "; the next client secret could not be tried: AADSTS53003: " in str(step.seen)
    assert step.diagnosis is not None
    assert step.diagnosis.code == "microsoft.conditional_access"


def test_while_microsoft_is_out_of_reach_nothing_is_proved(world: ProviderWorld) -> None:
    connected(world, Method.MICROSOFT, PERSON_AT_MICROSOFT, NEXT)
    world.microsoft.on("token", about="client_credentials", status=503, body="later")

    step = token_step(world)

    assert step.status is StepStatus.FAIL
    assert step.diagnosis is not None
    assert step.diagnosis.code == "microsoft.sign_in_unavailable"


def test_it_is_proved_for_sending_through_smtp_as_well(world: ProviderWorld) -> None:
    registered(world.microsoft, secrets={SECRET: LONG, NEXT: LONG}, application=["SMTP.SendAsApp"])
    tokens = {"eyJ.of.smtp": PORTAL}
    world.microsoft.on("token", changes={"access_token": "eyJ.of.smtp"})
    with SMTPServer(tokens=tokens, dialect="exchange", tls="starttls", certificate=certificate()) as server:
        connected(world, Method.MICROSOFT_APP, by_smtp(APP, server), NEXT)
        right = token_step(world)
        world.change(
            stored(world.app).id,
            world.values(Method.MICROSOFT_APP, by_smtp(APP, server)),
            {NEXT_CLIENT_SECRET: SecretChange(SecretAction.REPLACE, WRONG)},
        )
        wrong = token_step(world)

    assert (right.status, wrong.status) == (StepStatus.PASS, StepStatus.FAIL)
    assert str(right.seen).endswith("; the next client secret works too")
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.code == "microsoft.next_secret_wrong"


def test_where_no_secret_is_used_none_is_proved(world: ProviderWorld, tmp_path: Path) -> None:
    token_file = tmp_path / "federated"
    token_file.write_text("eyJ.federated.token\n")
    registered(world.microsoft, secrets={}, federated_tokens=["eyJ.federated.token"])
    own = replace(APP, credential=Credential.FEDERATED, federated_token_file=str(token_file))
    connected(world, Method.MICROSOFT_APP, own, WRONG)

    step = token_step(world)

    assert step.status is StepStatus.PASS
    assert "next client secret" not in str(step.seen)
