"""Two forms of new connections that are open at once: each follows its own consent, and neither ends the other's."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask

from portal.connections.values import Method
from tests.admin_browser import HTMX, Browser
from tests.connections.consenting import Outside, come_back, flows, form_fields


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def addresses(admin: Browser, path: str = "/connections/new") -> tuple[str, str]:
    """Where a form's Connect leads to, and what it follows."""
    found = re.search(
        r'formaction="(/connections/new/authorizations[^"]*)" data-connect="([^"]*)"', admin.get(path).text
    )
    assert found
    return html.unescape(found[1]), html.unescape(found[2])


def press(admin: Browser, authorize: str, method: Method, name: str) -> str:
    answer = admin.post(f"{authorize}&popup=1", form_fields(method, name=name), page="/connections/new")
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def followed(admin: Browser, status: str) -> str:
    answer = admin.get(status, headers=HTMX)
    return answer.headers.get("HX-Redirect", answer.text)


def test_each_form_follows_its_own_consent(portal: Flask, admin: Browser, outside: Outside) -> None:
    one, two = addresses(admin), addresses(admin)
    first = press(admin, one[0], Method.GOOGLE, "One")
    second = press(admin, two[0], Method.MICROSOFT, "Two")

    come_back(admin, outside.decline(second))
    waiting, refused = followed(admin, one[1]), followed(admin, two[1])
    back = come_back(admin, outside.consent(first))

    assert back.status_code == 303
    assert "Go on in the window" in waiting
    assert "Nothing was connected" in refused
    assert followed(admin, one[1]).startswith("/connection-checks/")
    assert "Nothing was connected" in followed(admin, two[1])


def test_a_second_start_in_one_form_ends_the_first(portal: Flask, admin: Browser, outside: Outside) -> None:
    authorize, _ = addresses(admin)
    press(admin, authorize, Method.GOOGLE, "One")

    press(admin, authorize, Method.GOOGLE, "Another name")

    assert [flow.state for flow in flows(portal)] == ["cancelled", "started"]


def test_the_form_that_comes_back_is_the_one_that_was_left(portal: Flask, admin: Browser, outside: Outside) -> None:
    authorize, status = addresses(admin)
    back = come_back(admin, outside.decline(press(admin, authorize, Method.GOOGLE, "One")))
    [form] = re.findall(r'href="(/connections/new\?[^"]*)"', admin.get(back.headers["Location"]).text)

    again, _ = addresses(admin, html.unescape(form))

    assert again == authorize
    assert authorize.partition("form=")[2] in status
