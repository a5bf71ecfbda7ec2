"""What a consent was given for: mail never leaves as a former mailbox, and a setting that is put back mends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from portal.connections import saving
from portal.connections.announcing import banners
from portal.connections.candidates import Candidate
from portal.connections.grant_renewal import renew_idle_grants
from portal.connections.oauth.google_endpoints import SMTP_SCOPE
from portal.connections.probing import probe_named
from portal.connections.provider_values import ProviderValues
from portal.connections.states import State, states_of
from portal.connections.stored import all_connections
from portal.connections.tokens import CandidateToken
from portal.connections.values import CLIENT_SECRET, ConnectionValues, Method
from portal.connections.ways_out import ways_out
from portal.doctor import examine
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports import ConnectionFault
from tests.admin_browser import Browser
from tests.connections.making import ADA, finished, stored
from tests.connections.provider_world import PERSON_AT_GOOGLE, PERSON_AT_MICROSOFT, ProviderWorld, provider_world
from tests.connections.test_grants import run_check
from tests.outside.microsoft_application import PORTAL, TENANT

OTHER = "ada@contoso.test"
SHARED = "desk@contoso.test"
BY_CONSENT = pytest.mark.parametrize(
    ("method", "own"),
    [(Method.GOOGLE, PERSON_AT_GOOGLE), (Method.MICROSOFT, PERSON_AT_MICROSOFT)],
    ids=["google", "microsoft"],
)
NAMES_BOTH = f"{PORTAL} consented, but the mailbox is {OTHER}."


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        world.microsoft.add_mailbox(TENANT, OTHER)
        yield world


def sent(world: ProviderWorld) -> list[Any]:
    return [*world.google.messages, *world.microsoft.messages]


def mailbox_changed(world: ProviderWorld, method: Method, own: ProviderValues) -> ConnectionValues:
    return world.values(method, replace(own, mailbox=OTHER), from_address=OTHER)


def shown(world: ProviderWorld, connection_id: UUID) -> tuple[State, str]:
    with world.app.app_context():
        found = all_connections(db.session(), box=world.installation.box)
        state = states_of(db.session(), found, installation=world.installation)[connection_id]
    return state.state, str(state.reason or "")


@BY_CONSENT
def test_mail_never_leaves_as_the_mailbox_that_was_there_before(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)

    world.change(connection_id, mailbox_changed(world, method, own))
    world.queue()
    world.send()

    assert sent(world) == []
    assert world.states() == ["queued"]
    assert shown(world, connection_id)[0] is State.NEEDS_CONSENT


@BY_CONSENT
def test_whoever_looks_is_told_both_the_account_and_the_mailbox(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)

    world.change(connection_id, mailbox_changed(world, method, own))

    with world.app.app_context():
        told = [str(one.text) for one in banners(db.session(), installation=world.installation)]
        doctor = [one.text for one in examine(world.app, datetime.now(UTC))]
    page = Browser(world.app).get(f"/connections/{connection_id}").text
    waiting = ways_out(world.engine, "default", installation=world.installation)
    assert NAMES_BOTH in shown(world, connection_id)[1]
    assert any(f"Main cannot send. {NAMES_BOTH}" in one for one in told)
    assert any(NAMES_BOTH in one for one in doctor)
    assert (waiting.code, NAMES_BOTH in str(waiting.reason)) == ("connections.needs_consent", True)
    assert NAMES_BOTH in page
    assert f"The consent of {PORTAL} is not for these settings" in page


@BY_CONSENT
def test_a_mailbox_that_is_put_back_has_its_consent_again(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)
    world.change(connection_id, mailbox_changed(world, method, own))
    world.queue()
    world.send()

    world.change(connection_id, world.values(method, own))
    world.send()

    assert shown(world, connection_id)[0] is State.READY
    assert world.states() == ["sent"]


@BY_CONSENT
def test_the_new_mailbox_consents_and_what_waited_leaves_as_it(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)
    world.change(connection_id, mailbox_changed(world, method, own))
    world.queue()
    world.send()

    world.consent_anew(connection_id, stored(world.app).values, OTHER)
    world.send()

    [message] = sent(world)
    assert (message.account if method is Method.GOOGLE else message.mailbox) == OTHER
    assert stored(world.app).grant is not None


@BY_CONSENT
def test_a_mailbox_that_is_changed_in_the_form_is_not_saved_with_the_former_consent(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    connection_id = world.connect(method, own)
    browser = Browser(world.app)
    changes: dict[str, str | None] = {"mailbox": OTHER, "from_address": OTHER}

    said = finished(browser, browser.fill(f"/connections/{connection_id}", changes, button="save"))

    assert f"{PORTAL} consented, the mailbox is {OTHER}" in said
    assert "Press Connect" in said
    assert (stored(world.app).version, stored(world.app).lacks_consent) == (1, False)


@BY_CONSENT
def test_what_somebody_consented_to_and_nobody_saved_serves_no_other_mailbox(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    secrets = {CLIENT_SECRET: world.usual_secret(method)}
    grant = world.consent(world.values(method, own), secrets, PORTAL)
    values = mailbox_changed(world, method, own)

    with pytest.raises(ConnectionFault) as fault:
        CandidateToken(values, secrets, grant, installation=world.installation)(False)

    assert fault.value.code == f"{method}.wrong_account"


@BY_CONSENT
def test_a_draft_that_keeps_another_accounts_consent_cannot_be_used_by_it(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    grant = world.consent(world.values(method, own), {CLIENT_SECRET: world.usual_secret(method)}, PORTAL)
    with world.app.app_context(), unit_of_work() as session:
        values, now = mailbox_changed(world, method, own), datetime.now(UTC)
        saving.create(session, values, {}, grant=grant, box=world.installation.box, actor=ADA, now=now)

    assert stored(world.app).lacks_consent


@BY_CONSENT
@pytest.mark.parametrize("mailbox", ["", PORTAL.upper().replace("CONTOSO.TEST", "contoso.test")])
def test_no_mailbox_and_one_in_other_letters_are_whoever_consented(
    world: ProviderWorld, method: Method, own: ProviderValues, mailbox: str
) -> None:
    connection_id = world.connect(method, own)

    world.change(connection_id, world.values(method, replace(own, mailbox=mailbox)))
    world.queue()
    world.send()

    assert world.states() == ["sent"]


def test_a_scope_that_was_wrong_for_a_moment_ends_no_consent_at_google(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    asked = list(world.google.token_requests)
    world.change(connection_id, world.values(Method.GOOGLE, replace(PERSON_AT_GOOGLE, scope=SMTP_SCOPE)))
    world.queue()
    world.send()
    state, reason = shown(world, connection_id)

    world.change(connection_id, world.values(Method.GOOGLE, PERSON_AT_GOOGLE))
    world.send()

    assert state is State.NEEDS_CONSENT
    assert f"not granted: {SMTP_SCOPE}" in reason
    assert world.google.token_requests == asked
    assert world.states() == ["sent"]


def test_a_sender_that_was_wrong_for_a_moment_ends_no_consent_at_microsoft(world: ProviderWorld) -> None:
    """Microsoft refuses the right to send as somebody else, which nobody has consented to."""
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED))
    world.queue()
    world.send()
    state = shown(world, connection_id)[0]
    assert (state, world.grant_row().dead_code) == (State.NEEDS_CONSENT, "microsoft.consent_needed")

    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT))
    world.send()

    assert world.states() == ["sent"]
    assert (world.grant_row().dead_code, world.grant_row().dead_for) == ("", None)


def test_a_sender_that_was_wrong_for_a_moment_ends_no_consent_of_a_personal_account(world: ProviderWorld) -> None:
    """There the same number stands for a dead grant, too."""
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    said = (
        "AADSTS70000: The request was denied because one or more scopes requested are unauthorized or expired. The "
        "user must first sign in and grant the client application access to the requested scope."
    )
    refusal = {"error": "invalid_grant", "error_description": said, "error_codes": [70000]}
    world.microsoft.on("token", status=400, body=refusal, times=1)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED))
    world.queue()
    world.send()
    state, reason = shown(world, connection_id)

    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT))
    world.send()

    assert state is State.NEEDS_CONSENT
    assert reason == (
        "What portal@contoso.test consented to is less than the From address and the scope ask for now. "
        "An administrator opens it and chooses Connect."
    )
    assert world.states() == ["sent"]


def test_permissions_that_were_refused_are_not_asked_for_again_by_themselves(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    values = world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED)
    world.change(connection_id, values)
    world.queue()
    world.send()
    asked = list(world.microsoft.token_requests)

    world.change(connection_id, replace(values, display_name="Contoso"))
    world.send()

    assert world.microsoft.token_requests == asked
    assert shown(world, connection_id)[0] is State.NEEDS_CONSENT


def test_a_withdrawn_consent_stays_dead_whatever_is_asked_for(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.microsoft.revoke_grants(PORTAL)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)

    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED))

    assert world.grant_row().dead_for is None
    assert shown(world, connection_id)[0] is State.NEEDS_CONSENT


def test_a_check_of_other_values_that_passes_lifts_no_refusal_of_the_stored_ones(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED))
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(False)
    good = world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT)

    run_check(world, Candidate(connection_id=connection_id, started_from=2, values=good), then="show")

    assert world.grant_row().dead_code == "microsoft.consent_needed"
    assert shown(world, connection_id)[0] is State.NEEDS_CONSENT


def test_a_check_of_the_stored_connection_says_that_somebody_else_consented(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.change(connection_id, mailbox_changed(world, Method.GOOGLE, PERSON_AT_GOOGLE))

    steps = probe_named(world.engine, "Main", installation=world.installation, on_step=lambda _: None)

    [failed] = [step for step in steps if str(step.status) == "fail"]
    assert (str(failed.step), failed.diagnosis.code if failed.diagnosis else "") == ("token", "google.wrong_account")
    assert world.google.token_requests == ["authorization_code"]


def test_a_consent_of_another_account_is_not_asked_about_day_by_day(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.change(connection_id, mailbox_changed(world, Method.GOOGLE, PERSON_AT_GOOGLE))

    renew_idle_grants(world.engine, datetime.now(UTC) + timedelta(hours=25), installation=world.installation)

    assert world.google.token_requests == ["authorization_code"]
    assert world.grant_row().dead_code == ""


def test_a_consent_that_fits_again_is_renewed_day_by_day(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=SHARED))
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(False)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT))

    renew_idle_grants(world.engine, datetime.now(UTC) + timedelta(hours=25), installation=world.installation)

    assert world.grant_row().dead_code == ""
