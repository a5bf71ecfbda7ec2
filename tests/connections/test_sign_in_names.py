"""People sign in at Microsoft by a name that often is none of their mail addresses: it is the same mailbox."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.connections.values import Method, Role
from tests.admin_browser import Browser
from tests.connections.consenting import (
    TENANT,
    Outside,
    come_back,
    connect,
    create,
    flows,
    form_fields,
    grants,
    provider_values,
    start,
)
from tests.connections.making import finished, queue_mail, send_what_is_due, stored
from tests.connections.test_consent_invitations import consent, invite
from tests.page_reader import faults

DESK, ALIAS, SIGN_IN_NAME = "desk@contoso.test", "helpdesk@contoso.test", "d.esk@contoso.onmicrosoft.test"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    outside.microsoft.add_mailbox(TENANT, DESK, user_principal_name=SIGN_IN_NAME, aliases=[ALIAS])
    return environ | outside.environment


def desk(portal: Flask, *, mailbox: str = DESK, tenant_id: str = TENANT) -> UUID:
    values = provider_values(Method.MICROSOFT, mailbox=mailbox, from_address=mailbox, role=Role.DEFAULT)
    own = replace(values.microsoft, tenant_id=tenant_id)
    return create(portal, values.with_provider(own))


@pytest.mark.parametrize("mailbox", [DESK, ALIAS])
def test_whoever_signs_in_by_another_name_of_the_mailbox_connects_it_and_mail_leaves_as_typed(
    portal: Flask, admin: Browser, outside: Outside, mailbox: str
) -> None:
    result = connect(admin, outside, desk(portal, mailbox=mailbox), account=DESK)
    queue_mail(portal)
    send_what_is_due(portal)

    values = stored(portal).values
    assert f"Connected as {SIGN_IN_NAME}" in result.text
    assert (values.microsoft.mailbox, values.from_address) == (mailbox, mailbox)
    assert not stored(portal).lacks_consent
    assert [message.from_address for message in outside.microsoft.messages] == [mailbox]


def test_the_owner_of_a_mailbox_who_signs_in_by_another_name_uses_the_link(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    owner: FlaskClient = portal.test_client()

    outcome = consent(owner, outside, invite(admin, desk(portal)), DESK)

    assert "is connected" in outcome.text
    assert [grant.account for grant in grants(portal)] == [SIGN_IN_NAME]
    assert not stored(portal).lacks_consent


def test_without_a_mailbox_the_typed_sender_names_it(portal: Flask, admin: Browser, outside: Outside) -> None:
    fields = form_fields(Method.MICROSOFT, mailbox="", from_address=DESK)
    begun = admin.post("/connections/new/authorizations", fields, page="/connections/new")

    back = come_back(admin, outside.consent(begun.headers["Location"], DESK))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    assert "New is saved" in outcome
    assert (stored(portal, "New").values.microsoft.mailbox, stored(portal, "New").values.from_address) == (DESK, DESK)


@pytest.mark.parametrize("why", ["no organisation is named", "Graph is out of reach"])
def test_a_name_that_nobody_can_vouch_for_is_another_account_and_the_page_says_what_to_do(
    portal: Flask, admin: Browser, outside: Outside, why: str
) -> None:
    """In an open tenant any organisation's administrators could write this address into an account of theirs."""
    if why == "Graph is out of reach":
        outside.microsoft.on("me", status=503)
    outside.microsoft.add_app(
        TENANT,
        provider_values(Method.MICROSOFT).microsoft.client_id,
        secrets={"abc8Q~geheim-Kanarie": None},
        redirect_uris=["http://localhost/oauth/microsoft/callback"],
        is_multitenant=True,
    )
    connection_id = desk(portal, tenant_id=TENANT if why == "Graph is out of reach" else "organizations")

    result = connect(admin, outside, connection_id, account=DESK)

    assert [flow.state for flow in flows(portal)] == ["mismatch"]
    assert "another address of the very same mailbox" in result.text
    assert f"Send as {DESK}, signed in as {SIGN_IN_NAME}" in result.text
    assert faults(result.text) == []
    assert grants(portal) == []


def test_another_persons_account_stays_another_account(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = start(admin, desk(portal))

    come_back(admin, outside.consent(url, "ada@contoso.test"))

    assert [flow.state for flow in flows(portal)] == ["mismatch"]
