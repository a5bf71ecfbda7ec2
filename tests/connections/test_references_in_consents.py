"""Consents of connections with placeholders: whose they are to be, who lives by them, while a variable is another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.connections.values import ConnectionValues, Method
from tests.admin_browser import Browser
from tests.connections.consenting import (
    ADA_ADDRESS,
    CONSENT_METHODS,
    GOOGLE_ID,
    PORTAL,
    TENANT,
    Outside,
    come_back,
    connect,
    create,
    flows,
    grants,
    provider_values,
    start,
    started,
)
from tests.connections.making import finished, stored
from tests.connections.test_consent_invitations import come_back as owner_comes_back
from tests.connections.test_consent_invitations import invite, press
from tests.connections.test_device_codes import DEVICE_CODE, begin, poll, user_code
from tests.connections.test_withdrawing import connected, disconnect, revocations
from tests.page_reader import faults

EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)
GONE = "%env:MAIL_BOX% stands for nothing: the portal's environment has no variable of this name"
OTHER_ID = "456-other.apps.googleusercontent.com"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_BOX", PORTAL)
    monkeypatch.setenv("MAIL_CLIENT", GOOGLE_ID)


def referring(method: Method, *, own: dict[str, str], **common: Any) -> ConnectionValues:
    values = provider_values(method, **common)
    assert values.typed_provider is not None
    return values.with_provider(replace(values.typed_provider, **own))


def accounts(portal: Flask) -> list[str]:
    return [grant.account for grant in grants(portal)]


@pytest.fixture
def owner(portal: Flask) -> FlaskClient:
    """The browser of somebody without an account."""
    return portal.test_client()


# Who lives by a consent


@pytest.mark.parametrize("value", [None, "another"], ids=["gone", "another"])
def test_a_connection_whose_client_ids_variable_is_another_now_keeps_its_consent(
    portal: Flask, admin: Browser, outside: Outside, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = connected(portal, admin, outside, name="One")
    second = create(portal, referring(Method.GOOGLE, name="Two", own={"client_id": "%env:MAIL_CLIENT%"}))
    connect(admin, outside, second)
    set_or_unset(monkeypatch, "MAIL_CLIENT", value)

    told = disconnect(admin, first)

    assert "it would end for Two as well" in told
    assert revocations(outside) == 0
    monkeypatch.setenv("MAIL_CLIENT", GOOGLE_ID)
    assert not stored(portal, "Two").lacks_consent


def test_a_consent_to_another_application_by_a_variable_keeps_nobody_from_withdrawing(
    portal: Flask, admin: Browser, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = connected(portal, admin, outside, name="One")
    outside.google.add_client(OTHER_ID, "GOCSPX-other", redirect_uris=["http://localhost/oauth/google/callback"])
    monkeypatch.setenv("MAIL_CLIENT", OTHER_ID)
    values = referring(Method.GOOGLE, name="Two", own={"client_id": "%env:MAIL_CLIENT%"})
    connect(admin, outside, create(portal, values, secret="GOCSPX-other"))
    monkeypatch.setenv("MAIL_CLIENT", "a-third")

    told = disconnect(admin, first)

    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1


def test_a_consent_that_waits_is_spared_while_nobody_can_tell_for_which_application_it_is(
    portal: Flask, admin: Browser, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else than expected consented to Two: the account of One."""
    first = connected(portal, admin, outside, name="One")
    waiting = referring(Method.GOOGLE, name="Two", mailbox=ADA_ADDRESS, own={"client_id": "%env:MAIL_CLIENT%"})
    come_back(admin, outside.consent(start(admin, create(portal, waiting)), PORTAL))
    monkeypatch.delenv("MAIL_CLIENT")

    told = disconnect(admin, first)

    assert "it would end for Two as well" in told
    assert revocations(outside) == 0


def set_or_unset(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)


# Whose consent is taken


@EACH_METHOD
def test_nobody_is_asked_for_consent_while_the_mailboxs_variable_is_gone(
    portal: Flask, admin: Browser, outside: Outside, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = create(portal, referring(method, from_address="", own={"mailbox": "%env:MAIL_BOX%"}))
    connect(admin, outside, connection_id)
    monkeypatch.delenv("MAIL_BOX")

    answer = started(admin, connection_id)

    assert answer.headers["Location"].startswith("/consents-under-way/"), answer.headers["Location"]
    page = admin.get(answer.headers["Location"]).text
    assert GONE in page.replace("&#39;", "'")
    assert faults(page) == []
    assert accounts(portal) == [PORTAL]


@EACH_METHOD
def test_no_code_is_redeemed_when_the_mailboxs_variable_went_meanwhile(
    portal: Flask, admin: Browser, outside: Outside, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = create(portal, referring(method, from_address="", own={"mailbox": "%env:MAIL_BOX%"}))
    back = outside.consent(start(admin, connection_id), ADA_ADDRESS)
    monkeypatch.delenv("MAIL_BOX")

    page = admin.get(come_back(admin, back).headers["Location"]).text

    assert GONE in page.replace("&#39;", "'")
    assert [(flow.state, flow.code) for flow in flows(portal)] == [("failed", "settings.incomplete")]
    assert outside.code_requests(method) == 0
    assert accounts(portal) == []


def test_there_is_no_device_code_while_the_mailboxs_variable_is_gone(
    portal: Flask, admin: Browser, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = referring(Method.MICROSOFT, from_address="", own={"mailbox": "%env:MAIL_BOX%"})
    connection_id = create(portal, values)
    monkeypatch.delenv("MAIL_BOX")

    answer = admin.post(f"/connections/{connection_id}/device-codes", {}, page="/forgot-password")

    assert answer.headers["Location"].startswith("/consents-under-way/"), answer.headers["Location"]
    assert GONE in admin.get(answer.headers["Location"]).text.replace("&#39;", "'")


def test_a_device_code_is_not_redeemed_when_the_mailboxs_variable_went_meanwhile(
    portal: Flask, admin: Browser, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = referring(Method.MICROSOFT, from_address="", own={"mailbox": "%env:MAIL_BOX%"})
    here = begin(admin, create(portal, values))
    outside.microsoft.approve_device(user_code(admin, here), ADA_ADDRESS)
    monkeypatch.delenv("MAIL_BOX")

    outcome = poll(portal, admin, outside, here)

    assert GONE in admin.get(outcome).text.replace("&#39;", "'")
    assert outside.microsoft.token_requests.count(DEVICE_CODE) == 0
    assert accounts(portal) == []


def test_the_owner_of_a_mailbox_is_not_led_to_an_application_whose_variable_is_gone(
    portal: Flask, admin: Browser, owner: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = referring(Method.GOOGLE, own={"client_id": "%env:MAIL_CLIENT%"})
    link = invite(admin, create(portal, values))
    monkeypatch.delenv("MAIL_CLIENT")

    answer = press(owner, link)

    assert answer.headers["Location"].startswith("/consents/outcomes/"), answer.headers["Location"]
    assert "client_id: %env:MAIL_CLIENT% stands for nothing" in owner.get(answer.headers["Location"]).text


def test_the_code_of_an_owner_is_not_redeemed_when_a_variable_went_meanwhile(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = referring(Method.GOOGLE, own={"client_id": "%env:MAIL_CLIENT%"})
    link = invite(admin, create(portal, values))
    back = outside.consent(press(owner, link).headers["Location"])
    monkeypatch.delenv("MAIL_CLIENT")

    owner_comes_back(owner, back)

    assert [(flow.state, flow.code) for flow in flows(portal)] == [("failed", "settings.incomplete")]
    assert outside.code_requests(Method.GOOGLE) == 0


# What is kept of a sender as it was typed


@pytest.mark.parametrize("mailbox", ["", PORTAL, "%env:MAIL_BOX%"], ids=["none", "typed", "referring"])
def test_a_shared_mailbox_is_sent_for_by_the_sender_as_it_was_typed(
    portal: Flask, admin: Browser, outside: Outside, mailbox: str
) -> None:
    outside.microsoft.add_mailbox(TENANT, "desk@contoso.test", send_as=[PORTAL])
    values = provider_values(Method.MICROSOFT, mailbox=mailbox, from_address="%env:MAIL_BOX%")
    here = connect(admin, outside, create(portal, values), account="desk@contoso.test").request.path

    again = admin.post(f"{here}/acceptance", {"action": "shared"}, page=here)
    back = come_back(admin, outside.consent(again.headers["Location"], "desk@contoso.test"))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    now = stored(portal).values
    assert "Main is saved" in outcome
    assert (now.microsoft.mailbox, now.from_address) == ("desk@contoso.test", "%env:MAIL_BOX%")
