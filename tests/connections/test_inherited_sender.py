"""A From address that a connection inherits counts like one of its own: for permissions, consent and check alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from portal import audit, email_settings
from portal.connections.probing import probe_named
from portal.connections.states import states_of
from portal.connections.stored import all_connections
from portal.connections.values import Method, Role
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.consenting import (
    ADA_ADDRESS,
    Outside,
    come_back,
    connect,
    create,
    flows,
    form_fields,
    provider_values,
    start,
)
from tests.connections.making import finished, stored
from tests.connections.provider_world import APP, PERSON_AT_MICROSOFT, ProviderWorld, provider_world
from tests.outside.microsoft_application import PORTAL, TENANT, registered

NOREPLY = "noreply@contoso.test"


def organisation_sends_as(app: Flask, address: str) -> None:
    with app.app_context(), unit_of_work() as session:
        wanted = replace(email_settings.load(session), from_address=address)
        email_settings.save(session, wanted, actor=audit.Actor(None, "Ada", ""), now=datetime.now(UTC))


# Stored connections


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


def checked(world: ProviderWorld) -> list[tuple[str, str, str]]:
    """Step, status and code of the check as it stands."""
    steps = probe_named(world.engine, "Main", installation=world.installation, on_step=lambda _: None)
    return [(str(one.step), str(one.status), one.diagnosis.code if one.diagnosis else "") for one in steps]


def shown(world: ProviderWorld) -> str:
    with world.app.app_context():
        found = all_connections(db.session(), box=world.installation.box)
        states = states_of(db.session(), found, installation=world.installation)
        return next(str(states[one.id].state) for one in found if one.values.name == "Main")


@pytest.mark.parametrize(("own", "inherited"), [(NOREPLY, ""), ("", NOREPLY)])
def test_a_consent_to_send_as_oneself_fails_the_check_where_mail_is_from_somebody_else(
    world: ProviderWorld, own: str, inherited: str
) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=own))
    organisation_sends_as(world.app, inherited)

    steps = checked(world)

    assert steps[:2] == [("settings", "pass", ""), ("token", "fail", "microsoft.consent_needed")]


def test_an_inherited_sender_that_is_the_mailbox_passes(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address="")
    organisation_sends_as(world.app, PORTAL)

    steps = checked(world)

    assert {status for _, status, _ in steps} == {"pass"}


def test_a_sender_of_the_organisation_that_is_taken_back_brings_the_consent_back(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address="")
    organisation_sends_as(world.app, NOREPLY)
    checked(world)
    assert shown(world) == "needs_consent"

    organisation_sends_as(world.app, "")

    assert shown(world) == "ready"
    world.queue()
    world.send()
    assert world.states() == ["sent"]


@pytest.mark.parametrize(("own", "inherited"), [(NOREPLY, ""), ("", NOREPLY)])
@pytest.mark.parametrize("application", [["Mail.Send"], ["Mail.Send", "User.Read.All"]])
def test_an_application_is_warned_that_its_mailbox_sends_as_another(
    world: ProviderWorld, own: str, inherited: str, application: list[str]
) -> None:
    registered(world.microsoft, application=application)
    world.connect(Method.MICROSOFT_APP, APP, from_address=own)
    organisation_sends_as(world.app, inherited)

    steps = checked(world)

    assert steps[-1] == ("mailbox", "warn", "graph.sends_as_another")


def test_an_application_that_sends_as_its_mailbox_is_not_warned_of_that(world: ProviderWorld) -> None:
    registered(world.microsoft, application=["Mail.Send", "User.Read.All"])
    world.connect(Method.MICROSOFT_APP, APP, from_address="")
    organisation_sends_as(world.app, PORTAL)

    steps = checked(world)

    assert steps[-1] == ("mailbox", "pass", "")


def test_a_person_who_may_send_as_another_is_told_that_the_right_shows_with_a_message_alone(
    world: ProviderWorld,
) -> None:
    world.microsoft.add_mailbox(TENANT, PORTAL, send_as=[NOREPLY])
    organisation_sends_as(world.app, NOREPLY)
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=NOREPLY)
    world.change(stored(world.app).id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, from_address=""))

    steps = checked(world)

    assert [status for _, status, _ in steps] == ["pass", "pass", "pass", "warn"]
    assert steps[-1][2] == "graph.sends_as_another"


# The form


@pytest.fixture
def environ(environ: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    if "outside" in request.fixturenames:
        outside: Outside = request.getfixturevalue("outside")
        return environ | outside.environment
    return environ


def scopes_of_request(url: str) -> list[str]:
    return [scope.rpartition("/")[2] for scope in parse_qs(urlsplit(url).query)["scope"][0].split()]


def test_the_consent_that_is_asked_for_allows_the_organisations_sender(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    organisation_sends_as(portal, NOREPLY)
    connection_id = create(portal, provider_values(Method.MICROSOFT, from_address=""))

    url = start(admin, connection_id)

    assert "Mail.Send.Shared" in scopes_of_request(url)
    assert "Mail.Send.Shared" in admin.get(f"/connections/{connection_id}").text


def test_without_a_mailbox_the_organisations_sender_is_who_is_to_consent(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    organisation_sends_as(portal, PORTAL)
    connection_id = create(portal, provider_values(Method.MICROSOFT, mailbox="", from_address=""))

    page = connect(admin, outside, connection_id, account=ADA_ADDRESS)

    assert [flow.state for flow in flows(portal)] == ["mismatch"]
    assert f"is to send as {PORTAL}, but {ADA_ADDRESS}" in page.text


def test_who_is_taken_instead_of_the_organisations_sender_becomes_the_sender(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    organisation_sends_as(portal, PORTAL)
    page = connect(
        admin, outside, create(portal, provider_values(Method.MICROSOFT, from_address="")), account=ADA_ADDRESS
    )
    here = page.request.path

    accepted = admin.post(f"{here}/acceptance", {"action": "account"}, page=here)
    said = finished(admin, admin.get(accepted.headers["Location"]))

    own = stored(portal).values.provider
    assert own is not None
    assert (own.mailbox, stored(portal).values.from_address) == (ADA_ADDRESS, ADA_ADDRESS), said


def test_the_organisations_sender_who_consents_goes_on_being_inherited(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    organisation_sends_as(portal, PORTAL)
    typed = form_fields(Method.MICROSOFT, mailbox="", from_address="")
    answer = admin.post("/connections/new/authorizations", typed, page="/connections/new")

    back = come_back(admin, outside.consent(answer.headers["Location"]))
    finished(admin, admin.get(back.headers["Location"]))

    own = stored(portal, "New").values.provider
    assert own is not None
    assert (own.mailbox, stored(portal, "New").values.from_address) == (PORTAL, "")


def test_a_check_from_the_form_takes_the_organisations_sender(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT, from_address="", role=Role.AVAILABLE))
    connect(admin, outside, connection_id)
    organisation_sends_as(portal, NOREPLY)

    said = finished(admin, admin.fill(f"/connections/{connection_id}", {"display_name": "Desk"}, button="save"))

    assert "Nobody has agreed yet" in said
    assert stored(portal).values.display_name == ""
