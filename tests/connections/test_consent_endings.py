"""What the pages say at the end of a consent holds for this very connection, and none of them is a dead end."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from portal.connections.candidate_views import CHECKS
from portal.connections.models import ConnectionCheck
from portal.connections.values import Method, Role
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import limits
from tests.admin_browser import Browser
from tests.connections.consenting import Outside, connect, create, flows, provider_values, today
from tests.connections.making import engine_of, finished, stored
from tests.page_reader import faults

LEAVES_NOW = "Mail that waited for this connection leaves now."


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def words(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def granted_while_busy(portal: Flask, admin: Browser, outside: Outside) -> str:
    """The page of a consent that no check had time for."""
    connection_id = create(portal, provider_values(Method.GOOGLE, mailbox=""))
    for _ in range(10):  # as many as one person has in a minute
        admin.post(f"/connections/{connection_id}/checks", {}, page="/connections")
    page = connect(admin, outside, connection_id)
    assert [flow.state for flow in flows(portal)] == ["granted"]
    return page.request.path


def let_what_was_typed_go(portal: Flask) -> None:
    with portal.app_context(), unit_of_work():
        db.session.execute(update(ConnectionCheck).values(created_at=today() - timedelta(minutes=16)))


@pytest.mark.parametrize("query", ["", "?popup=1"])
def test_a_consent_whose_connection_is_typed_no_more_says_so_and_leads_to_the_form(
    portal: Flask, admin: Browser, outside: Outside, query: str
) -> None:
    here = granted_while_busy(portal, admin, outside)
    let_what_was_typed_go(portal)

    page = admin.get(f"{here}{query}")

    assert "Check and save now" not in page.text
    assert "what was typed for the connection is gone: it is kept for 15 minutes" in words(page.text)
    assert f'href="/connections/{stored(portal).id}"' in page.text
    assert faults(page.text) == []


def test_the_button_of_a_page_that_stayed_open_leads_there_too(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = granted_while_busy(portal, admin, outside)
    assert "Check and save now" in admin.get(here).text
    stale = admin.get(here).text
    let_what_was_typed_go(portal)

    found = re.search(r'name="csrf_token" value="([^"]+)"', stale)
    assert found
    answer = admin.client.post(f"{here}/acceptance", data={"csrf_token": found[1]}, base_url="http://localhost")

    assert "it is kept for 15 minutes" in words(admin.get(answer.headers["Location"]).text)


def test_a_draft_is_not_told_that_its_mail_leaves(portal: Flask, admin: Browser, outside: Outside) -> None:
    page = connect(admin, outside, create(portal, provider_values(Method.GOOGLE, role=Role.DRAFT)))

    assert LEAVES_NOW not in words(page.text)
    assert "The connection is still a draft: it sends nothing but test messages until you save it." in words(page.text)
    assert not stored(portal).lacks_consent


@pytest.mark.parametrize("role", [Role.DEFAULT, Role.AVAILABLE])
def test_what_is_in_use_is_told_that_its_mail_leaves(
    portal: Flask, admin: Browser, outside: Outside, role: Role
) -> None:
    page = connect(admin, outside, create(portal, provider_values(Method.GOOGLE, role=role)))

    assert LEAVES_NOW in words(page.text)
    assert "draft" not in words(page.text)


def test_while_what_was_typed_is_there_the_button_checks_and_saves(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    here = granted_while_busy(portal, admin, outside)
    limits.forget(engine_of(portal), CHECKS, "connection-check", str(admin.user_id))  # a minute has passed

    accepted = admin.post(f"{here}/acceptance", {}, page=here)
    said = finished(admin, admin.get(accepted.headers["Location"]))

    assert "is saved" in words(said)
