"""Two consents to one connection at once, and one that cannot be stored: the code is spent, and the page says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import text

from portal.connections import grant_rows
from portal.connections.oauth.provider import Grant
from portal.connections.values import Method
from portal.database import writing
from tests.admin_browser import Browser
from tests.connections.consenting import (
    CONSENT_METHODS,
    PORTAL,
    Outside,
    come_back,
    connect,
    create,
    flows,
    grants,
    provider_values,
    start,
)
from tests.connections.making import engine_of, installation_of, stored, while_another_saves
from tests.connections.test_consent_invitations import consent as consent_by_link
from tests.connections.test_consent_invitations import invite
from tests.connections.test_device_codes import begin, poll, user_code
from tests.page_reader import faults

EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)
NOT_STORED = "could not store the consent, so nothing is kept of it"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def a_grant() -> Grant:
    return Grant(
        stored="{}",
        account=PORTAL,
        tenant="",
        scopes=frozenset(),
        access_token="former",
        expires_at=datetime.now(UTC),
        secret_slot=0,
    )


@contextmanager
def no_grant_can_be_stored(portal: Flask) -> Iterator[None]:
    """The database refuses every new row of the table."""
    engine = engine_of(portal)
    if engine.dialect.name == "sqlite":
        made = ["create trigger refuse before insert on connection_grant begin select raise(abort, 'no'); end"]
        dropped = ["drop trigger refuse"]
    else:
        made = [
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$",
            "create trigger refuse before insert on connection_grant execute function refuse()",
        ]
        dropped = ["drop trigger refuse on connection_grant", "drop function refuse()"]
    for statements, is_over in ((made, False), (dropped, True)):
        with writing(engine).begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        if not is_over:
            yield


def test_of_two_consents_at_once_the_later_one_stays(portal: Flask, admin: Browser, outside: Outside) -> None:
    values = provider_values(Method.GOOGLE)
    connection_id, box = create(portal, values), installation_of(portal).box
    back = outside.consent(start(admin, connection_id))

    waiting = while_another_saves(
        portal,
        lambda session: grant_rows.store(session, connection_id, values, a_grant(), box=box, now=datetime.now(UTC)),
        lambda: come_back(admin, back),
    )

    page = admin.get(waiting.result().headers["Location"])
    assert "Connected as portal@contoso.test" in page.text
    assert [flow.state for flow in flows(portal)] == ["stored"]
    assert len(grants(portal)) == 1
    assert stored(portal).grant is not None
    assert not stored(portal).lacks_consent


def test_two_administrators_who_come_back_at_once_are_both_connected(portal: Flask, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    backs = [
        (browser, outside.consent(start(browser, connection_id))) for browser in (Browser(portal), Browser(portal))
    ]
    outside.google.on("token", delay=0.5)
    statuses: list[int] = []

    threads = [
        threading.Thread(target=lambda browser=browser, url=url: statuses.append(come_back(browser, url).status_code))
        for browser, url in backs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [303, 303]
    assert [flow.state for flow in flows(portal)] == ["stored", "stored"]
    assert len(grants(portal)) == 1


@EACH_METHOD
def test_a_consent_that_cannot_be_stored_ends_with_an_explanation(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))

    with no_grant_can_be_stored(portal):
        page = connect(admin, outside, connection_id)
    followed = admin.get(f"/connections/consents/latest?connection={connection_id}").text
    again = admin.post(f"{page.request.path}/repetition", {}, page=page.request.path)
    come_back(admin, outside.consent(again.headers["Location"]))

    assert NOT_STORED in page.text
    assert "run portal doctor" in page.text
    assert NOT_STORED in followed
    assert faults(page.text) == []
    assert [flow.state for flow in flows(portal)] == ["failed", "stored"]
    assert not stored(portal).lacks_consent


def test_so_does_one_by_a_device_code(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)

    with no_grant_can_be_stored(portal):
        page = admin.get(poll(portal, admin, outside, here))

    assert NOT_STORED in page.text
    assert [flow.state for flow in flows(portal)] == ["failed"]


def test_so_does_one_of_an_invited_owner_whose_link_goes_on_working(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    link, owner = invite(admin, create(portal, provider_values(Method.GOOGLE))), portal.test_client()

    with no_grant_can_be_stored(portal):
        page = consent_by_link(owner, outside, link)
    second = consent_by_link(owner, outside, link)

    assert NOT_STORED in page.text
    assert "You can open the link again" in page.text
    assert "is connected" in second.text
    assert not stored(portal).lacks_consent
