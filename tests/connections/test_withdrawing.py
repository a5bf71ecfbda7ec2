"""Disconnecting and deleting: the provider is told, unless other connections live by the same consent."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal.connections import grant_rows
from portal.connections.values import Method, Role
from portal.connections.withdrawing import HeldConsent, as_it_stands, consents_to_end
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.consenting import (
    ADA_ADDRESS,
    GOOGLE_ID,
    PORTAL,
    Outside,
    come_back,
    connect,
    create,
    grants,
    provider_values,
    start,
    today,
)
from tests.connections.making import (
    audit_entries,
    change,
    find,
    finished,
    installation_of,
    queue_mail,
    replaced,
    send_what_is_due,
    stored,
    while_another_saves,
)
from tests.page_reader import faults


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&#39;", "'").split())


def connected(portal: Flask, admin: Browser, outside: Outside, method: Method = Method.GOOGLE, **values: str) -> UUID:
    connection_id = create(portal, provider_values(method, **values))
    connect(admin, outside, connection_id, account=values.get("mailbox", PORTAL))
    return connection_id


def disconnect(admin: Browser, connection_id: UUID) -> str:
    return said(
        admin, admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")
    )


def delete(admin: Browser, connection_id: UUID) -> str:
    return said(admin, admin.post(f"/connections/{connection_id}/deletion", {}))


def said(admin: Browser, answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.text
    return words(admin.get(answer.headers["Location"]).text)


def revocations(outside: Outside) -> int:
    return [request.path for request in outside.google.requests].count("/revoke")


def test_a_connection_of_the_same_account_goes_on_sending(portal: Flask, admin: Browser, outside: Outside) -> None:
    first = connected(portal, admin, outside, name="One")
    connected(portal, admin, outside, name="Two", role=Role.DEFAULT)

    told = disconnect(admin, first)
    queue_mail(portal)
    send_what_is_due(portal)

    assert "The consent of portal@contoso.test is deleted here alone." in told
    assert "it would end for Two as well" in told
    assert revocations(outside) == 0
    assert stored(portal, "One").lacks_consent
    assert not stored(portal, "Two").lacks_consent
    assert len(outside.google.messages) == 1


def test_the_last_of_them_withdraws_it_at_google(portal: Flask, admin: Browser, outside: Outside) -> None:
    both = [connected(portal, admin, outside, name=name) for name in ("One", "Two")]

    disconnect(admin, both[0])
    told = disconnect(admin, both[1])

    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1


def test_the_form_names_the_others_beforehand(portal: Flask, admin: Browser, outside: Outside) -> None:
    first = connected(portal, admin, outside, name="One")
    alone = admin.get(f"/connections/{first}").text
    connected(portal, admin, outside, name="Two")

    page = admin.get(f"/connections/{first}").text

    assert "portal@contoso.test consented for Two as well" in words(page)
    assert "as well, with the same client ID" not in words(alone)
    assert faults(page) == []


def test_a_connection_that_uses_another_method_for_now_keeps_its_consent(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    first, second = (connected(portal, admin, outside, name=name) for name in ("One", "Two"))
    change(portal, second, replace(stored(portal, "Two").values, method=Method.CAPTURE), replaced())

    told = disconnect(admin, first)

    assert "it would end for Two as well" in told
    assert revocations(outside) == 0


@pytest.mark.parametrize("other", ["account", "client", "provider"])
def test_what_lives_by_another_consent_keeps_nobody_from_withdrawing(
    portal: Flask, admin: Browser, outside: Outside, other: str
) -> None:
    first = connected(portal, admin, outside, name="One")
    if other == "account":
        connected(portal, admin, outside, name="Two", mailbox=ADA_ADDRESS, from_address=ADA_ADDRESS)
    elif other == "client":
        at = "http://localhost/oauth/google/callback"
        outside.google.add_client("456-other.apps.googleusercontent.com", "GOCSPX-other", redirect_uris=[at])
        values = provider_values(Method.GOOGLE, name="Two")
        own = replace(values.google, client_id="456-other.apps.googleusercontent.com")
        connect(admin, outside, create(portal, values.with_provider(own), secret="GOCSPX-other"))
    else:
        connected(portal, admin, outside, Method.MICROSOFT, name="Two")
    assert len(grants(portal)) == 2

    told = disconnect(admin, first)

    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1
    assert GOOGLE_ID not in told


def test_a_deleted_connections_consent_is_withdrawn_as_the_page_says(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = connected(portal, admin, outside)
    page = admin.get(f"/connections/{connection_id}/deletion").text

    told = delete(admin, connection_id)

    assert "The consent of portal@contoso.test at Google is deleted, too, and Google is asked to withdraw it." in words(
        page
    )
    assert faults(page) == []
    assert "Main is deleted." in told
    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1
    assert find(portal, "Main") is None
    [entry] = audit_entries(portal, "connection.deleted")
    assert entry.changes["consent"] == [PORTAL, None]


def test_a_connection_is_deleted_where_google_is_out_of_reach(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = connected(portal, admin, outside)
    outside.google.on("revoke", status=503)

    told = delete(admin, connection_id)

    assert find(portal, "Main") is None
    assert "Google did not confirm that it was withdrawn there" in told


def test_a_deleted_connection_takes_no_consent_from_another(portal: Flask, admin: Browser, outside: Outside) -> None:
    first = connected(portal, admin, outside, name="One")
    connected(portal, admin, outside, name="Two")
    page = words(admin.get(f"/connections/{first}/deletion").text)

    told = delete(admin, first)

    assert "is deleted here alone: it is that of Two as well" in page
    assert "it would end for Two as well" in told
    assert revocations(outside) == 0


def test_of_a_deleted_connection_at_microsoft_the_page_says_who_can_withdraw(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = connected(portal, admin, outside, Method.MICROSOFT)
    page = words(admin.get(f"/connections/{connection_id}/deletion").text)

    told = delete(admin, connection_id)

    assert "whoever consented can do that at myapps.microsoft.com" in page
    assert "whoever consented can do that at myapps.microsoft.com" in told


def test_a_consent_that_waits_for_the_way_back_is_withdrawn_with_its_connection(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = connected(portal, admin, outside)
    change(portal, connection_id, replace(stored(portal).values, method=Method.CAPTURE), replaced())

    told = delete(admin, connection_id)

    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1


def test_nothing_is_withdrawn_of_a_default_connection_that_stays(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = connected(portal, admin, outside, role=Role.DEFAULT)

    answer = admin.post(f"/connections/{connection_id}/deletion", {}, page=f"/connections/{connection_id}")

    assert answer.status_code == 409
    assert revocations(outside) == 0
    assert not stored(portal).lacks_consent


def test_deleting_what_nobody_consented_to_says_nothing_of_consent(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    page = admin.get(f"/connections/{connection_id}/deletion").text

    told = delete(admin, connection_id)

    assert "consent" not in words(page).partition("Delete Main")[2]
    assert "consent" not in told.partition("Main is deleted.")[2][:200]


def test_of_two_connections_that_are_disconnected_at_once_the_later_one_withdraws(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    first, second = (connected(portal, admin, outside, name=name) for name in ("One", "Two"))
    box, found = installation_of(portal).box, []

    def end(session: Session, connection_id: UUID, name: str) -> tuple[HeldConsent, ...]:
        held = consents_to_end(session, connection_id, provider_values(Method.GOOGLE, name=name), box=box)
        grant_rows.forget(session, connection_id, Method.GOOGLE)
        return held

    def end_second() -> tuple[HeldConsent, ...]:
        with portal.app_context(), unit_of_work() as session:
            return end(session, second, "Two")

    later = while_another_saves(portal, lambda session: found.extend(end(session, first, "One")), end_second)

    assert [(one.account, one.others) for one in found] == [(PORTAL, ("Two",))]
    assert [(one.account, one.others) for one in later.result()] == [(PORTAL, ())]


def test_who_consents_after_it_was_forgotten_here_and_before_google_is_asked_keeps_the_consent(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    first = connected(portal, admin, outside, name="One")
    with portal.app_context(), unit_of_work() as session:
        values, box = stored(portal, "One").values, installation_of(portal).box
        [held] = consents_to_end(session, first, values, box=box)
        grant_rows.forget(session, first, Method.GOOGLE)
    connect(admin, outside, first)

    with portal.app_context(), unit_of_work() as session:
        now = as_it_stands(session, held, now=today())

    assert (held.others, now.others) == ((), ("One",))


def test_a_consent_that_waits_to_be_decided_on_is_spared_and_serves(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    """Somebody else than expected consented to Two: the account of One."""
    first = connected(portal, admin, outside, name="One")
    second = create(portal, provider_values(Method.GOOGLE, name="Two", mailbox=ADA_ADDRESS, role=Role.DEFAULT))
    back = come_back(admin, outside.consent(start(admin, second), PORTAL)).headers["Location"]

    told = disconnect(admin, first)
    answer = admin.post(f"{back}/acceptance", {"action": "account"}, page=back)
    finished(admin, admin.get(answer.headers["Location"]))
    queue_mail(portal)
    send_what_is_due(portal)

    assert "it would end for Two as well" in told
    assert revocations(outside) == 0
    assert len(outside.google.messages) == 1


def test_a_consent_that_came_to_nothing_keeps_nobody_from_withdrawing(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    first = connected(portal, admin, outside, name="One")
    second = create(portal, provider_values(Method.GOOGLE, name="Two", mailbox=ADA_ADDRESS))
    come_back(admin, outside.consent(start(admin, second), PORTAL))
    come_back(admin, outside.decline(start(admin, second)))  # takes the place of the one before

    told = disconnect(admin, first)

    assert "Google has withdrawn it" in told
    assert revocations(outside) == 1
