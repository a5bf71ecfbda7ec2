"""What nobody types, but anybody can send: refused or passed over, never an error of the portal."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from sqlalchemy import update

from portal.database import writing
from portal.servers.models import Server
from tests.admin_browser import Browser
from tests.connections.making import create, engine_of, smtp_values
from tests.servers.serving import server
from tests.servers.test_pages import stored


@pytest.mark.parametrize(
    "typed",
    [
        {"display_name": "%server:name%" * 50},  # short once filled in, too long to keep
        {"reply_to": "%server:E%" * 50 + "a@b.test", "variables": "E="},
        {"from_address": "The wiki <%server:name%@contoso.test>"},  # would be kept as a text that is no address
    ],
)
def test_a_text_with_placeholders_that_cannot_be_kept_is_refused(
    portal: Flask, admin: Browser, typed: dict[str, str]
) -> None:
    answer = admin.fill("/servers/new", {"name": "W", **typed})

    assert answer.status_code == 422
    assert f'id="{next(iter(typed))}-error"' in answer.text


def test_a_name_of_letters_that_fold_into_many_is_kept(portal: Flask, admin: Browser) -> None:
    name = "\ufdfa" * 90

    assert admin.fill("/servers/new", {"name": name}).status_code == 303
    assert stored(portal, name).values.name == name


def test_a_key_cannot_end_after_the_last_day_of_all(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)

    answer = admin.fill(f"/servers/{wiki}/keys/new", {"expires_on": "9999-12-31"})

    assert answer.status_code == 422


def test_a_rule_whose_number_no_database_holds_is_gone_already(portal: Flask, admin: Browser) -> None:
    answer = admin.post(f"/servers/routing/{10**30}/removal", {}, page="/servers/routing")

    assert answer.status_code == 303


def test_a_decision_on_what_is_no_sender_cannot_be_taken_back(portal: Flask, admin: Browser) -> None:
    connection = {"connection": str(create(portal, smtp_values("Main")))}

    answer = admin.post("/servers/senders/removal", {**connection, "sender": "a\0b"}, page="/servers/senders")

    assert answer.status_code == 400


def test_the_switch_keeps_what_somebody_else_is_just_saving(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    path = f"/servers/{wiki}"
    switching = threading.Thread(target=admin.post, args=(f"{path}/switch", {}), kwargs={"page": path})

    with portal.app_context(), writing(engine_of(portal)).begin() as connection:
        connection.execute(update(Server).values(description="Room 7", version=2))
        switching.start()
        switching.join(timeout=1)  # it waits for this change, or has read what is about to be old
    switching.join(timeout=30)

    after = stored(portal).values
    assert (after.is_enabled, after.description) == (False, "Room 7")
