"""Connect with a form that lacks something, from the window that the script opened: both windows come to an end."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from flask import Flask

from portal.connections.values import Method
from tests.admin_browser import HTMX, Browser, form_with
from tests.answers import POLICY, assert_guarded
from tests.connections.consenting import (
    GOOGLE_SECRET,
    Outside,
    come_back,
    create,
    flows,
    form_fields,
    provider_values,
    start,
    today,
)
from tests.page_reader import faults

NEW = "/connections/new/authorizations?popup=1"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def status(admin: Browser, connection_id: UUID | None = None, **query: object) -> str:
    """What the form's window is told when it asks how far the consent is."""
    asked = {"connection": connection_id or "", **query}
    return admin.get(
        "/connections/consents/latest", query_string={k: v for k, v in asked.items() if v}, headers=HTMX
    ).text


def refuse(admin: Browser, connection_id: UUID, **changes: str) -> None:
    """Choose Connect in a pop-up, for what is stored but for what was changed to something that cannot be."""
    path = f"/connections/{connection_id}"
    fields = form_with(admin.get(path).text, "display_name").values | changes
    assert admin.post(f"{path}/authorizations?popup=1", fields, page=path).status_code == 422


def test_the_window_that_opened_says_what_the_form_lacks_and_holds_no_form(admin: Browser, outside: Outside) -> None:
    fields = form_fields(Method.GOOGLE, client_id="<b> c", from_address="nobody")

    answer = admin.post(NEW, fields, page="/connections/new")

    assert (answer.status_code, faults(answer.text)) == (422, [])
    assert "Nothing was started" in answer.text
    assert "Client ID: Copy the client ID as the provider shows it" in answer.text
    assert "<b>" not in answer.text
    assert "From address: " in answer.text
    assert "Back to the form" in answer.text
    assert "<form" not in answer.text
    assert GOOGLE_SECRET not in answer.text
    assert_guarded(answer, POLICY)
    assert outside.google.requests == []


def test_a_method_that_nobody_consents_to_is_named_in_the_window_that_opened(admin: Browser) -> None:
    fields = {"name": "New", "method": "capture", "role": "available", "from_address": "portal@contoso.test"}

    answer = admin.post(NEW, fields, page="/connections/new")

    assert answer.status_code == 422
    assert "Only Google and Microsoft 365 ask a person for consent" in answer.text


def test_the_window_of_the_form_waits_no_more(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    before = status(admin, connection_id)

    refuse(admin, connection_id, client_id="")
    after = status(admin, connection_id)

    assert "Go on in the window that has opened" in before
    assert "hx-get" in before
    assert "Nothing was started" in after
    assert "data-outcome" in after
    assert "hx-get" not in after
    assert faults(after, is_fragment=True) == []
    assert "Go on in the window" in status(admin)  # a new connection's is another


def test_the_window_of_a_new_connections_form_waits_no_more(portal: Flask, admin: Browser) -> None:
    admin.post(NEW, form_fields(Method.GOOGLE, client_id=""), page="/connections/new")

    assert "Nothing was started" in status(admin)
    assert "Go on in the window" in status(Browser(portal))


def test_the_next_start_is_waited_for_and_followed(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    refuse(admin, connection_id, client_id="")
    shown = re.findall(r'data-consent-flow="([^"]+)"', status(admin, connection_id))

    waiting = status(admin, connection_id, after=shown[0])
    url = start(admin, connection_id, popup=True)
    under_way = status(admin, connection_id, after=shown[0])
    come_back(admin, outside.consent(url))

    assert "Go on in the window" in waiting
    assert "Go on in the window" in under_way
    assert [flow.state for flow in flows(portal)] == ["failed", "stored"]


def test_a_form_that_is_refused_ends_what_the_window_was_sent_to_before(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    url = start(admin, connection_id, popup=True)

    refuse(admin, connection_id, client_id="")

    assert come_back(admin, outside.consent(url)).status_code == 400
    assert [flow.state for flow in flows(portal)] == ["cancelled", "failed"]


def test_a_refused_form_in_the_same_window_is_no_flow(portal: Flask, admin: Browser) -> None:
    answer = admin.post(
        "/connections/new/authorizations", form_fields(Method.GOOGLE, client_id=""), page="/connections/new"
    )

    assert answer.status_code == 422
    assert "<form" in answer.text
    assert flows(portal) == []


def test_the_page_of_a_flow_that_ended_with_its_form_says_so(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    refuse(admin, connection_id, client_id="")

    page = admin.get(f"/consents-under-way/{flows(portal)[0].id}")

    assert (page.status_code, faults(page.text)) == (200, [])
    assert "Something in the form needed another look" in page.text
    assert f'href="/connections/{connection_id}"' in page.text


@pytest.mark.parametrize(
    ("seconds", "words", "is_asked_again"),
    [
        (0, "Go on in the window that has opened", True),
        (31, "Nothing was started yet. The window that has opened may ask for your password", True),
        (601, "never went to the provider", False),
        (-10_000, "Go on in the window that has opened", True),
        (10**30, "never went to the provider", False),
    ],
)
def test_a_window_that_never_went_to_the_provider_is_not_waited_for_for_ever(
    admin: Browser, seconds: int, words: str, is_asked_again: bool
) -> None:
    asked_first = int(today().timestamp()) - seconds

    answer = status(admin, since=asked_first)

    assert words in answer
    assert ("hx-get" in answer) is is_asked_again
    assert f"since={asked_first}" in answer
    assert faults(answer, is_fragment=True) == []


def test_the_first_look_says_since_when_the_window_waits(admin: Browser) -> None:
    before = int(today().timestamp())

    [since] = {int(found) for found in re.findall(r"since=(\d+)", status(admin))}

    assert before <= since <= int(today().timestamp())


def test_a_moment_that_is_no_number_is_now(admin: Browser) -> None:
    assert "Go on in the window that has opened" in status(admin, since="<script>")
