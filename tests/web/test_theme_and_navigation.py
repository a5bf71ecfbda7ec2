from __future__ import annotations

import re

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from portal.web import render
from portal.web.access import signed_in
from portal.web.announcements import Banner, MailStatus
from portal.wording import N_
from tests.page_reader import faults
from tests.web.conftest import MakeSite


def page() -> Response:
    return render("page.html")


@pytest.fixture
def site(make_site: MakeSite) -> Flask:
    app = make_site()
    app.config["WTF_CSRF_ENABLED"] = False
    for number, path in enumerate(("/", "/connections/7", "/test-messages/9", "/profile")):
        app.add_url_rule(path, f"page{number}", signed_in(page))
    return app


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_chosen_theme_is_in_the_page_that_the_server_sends(client: FlaskClient, theme: str) -> None:
    chosen = client.post("/theme", data={"theme": theme, "next": "/profile"})
    shown = client.get("/profile", headers={"X-Test-Role": "user"})

    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/profile")
    assert f'data-theme="{theme}"' in shown.text
    assert f'data-bs-theme="{"dark" if theme == "dark" else "light"}"' in shown.text
    assert f'value="{theme}" aria-pressed="true"' in shown.text


def test_without_a_choice_the_theme_follows_the_device(client: FlaskClient) -> None:
    client.set_cookie("theme", '"><script>')

    shown = client.get("/profile", headers={"X-Test-Role": "user"})

    assert 'data-theme="auto"' in shown.text


def test_an_unknown_theme_is_refused(client: FlaskClient) -> None:
    assert client.post("/theme", data={"theme": "pink"}).status_code == 400


def test_choosing_a_theme_leads_nowhere_else(client: FlaskClient) -> None:
    answer = client.post("/theme", data={"theme": "dark", "next": "https://evil.test/"})

    assert answer.headers["Location"] == "/"


def test_the_theme_cookie_is_kept_from_scripts_and_from_plain_http(make_site: MakeSite) -> None:
    app = make_site(PORTAL_PUBLIC_URL="https://mail.contoso.test")
    app.config["WTF_CSRF_ENABLED"] = False

    answer = app.test_client().post("/theme", data={"theme": "dark"}, base_url="https://mail.contoso.test")

    assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in answer.headers["Set-Cookie"]


def entries(html: str) -> list[str]:
    sidebar = html.split('id="sidebar"')[1].split("</nav>", maxsplit=1)[0]
    return re.findall(r'class="sidebar-link" href="([^"]+)"', sidebar)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("user", ["/", "/profile"]),
        ("helpdesk", ["/", "/test-messages/new", "/users", "/profile"]),
        (
            "admin",
            [
                *("/", "/email-settings", "/connections", "/servers", "/test-messages/new", "/captured-mail"),
                *("/sign-in-settings", "/recovery-settings", "/users", "/audit-log", "/profile"),
            ],
        ),
    ],
)
def test_the_sidebar_shows_each_role_its_rooms(client: FlaskClient, role: str, expected: list[str]) -> None:
    answer = client.get("/", headers={"X-Test-Role": role})

    assert entries(answer.text) == expected


@pytest.mark.parametrize(
    ("path", "current"),
    [("/", "/"), ("/connections/7", "/connections"), ("/test-messages/9", "/test-messages/new")],
)
def test_the_room_that_one_is_in_is_marked(client: FlaskClient, path: str, current: str) -> None:
    answer = client.get(path, headers={"X-Test-Role": "admin"})

    assert re.findall(r'href="([^"]+)" aria-current="page"', answer.text) == [current]


def test_a_stranger_has_no_sidebar(client: FlaskClient) -> None:
    answer = client.get("/nowhere")

    assert 'id="sidebar"' not in answer.text
    assert 'href="/sign-in"' in answer.text


def test_the_shell_is_well_formed_with_banner_and_mail_status(site: Flask) -> None:
    site.config["WTF_CSRF_ENABLED"] = True
    site.extensions["banners"] = lambda: [
        Banner("warn", N_("“%(name)s” is paused", name="<main>"), "/connections/7", N_("See why"))
    ]
    site.extensions["mail_status"] = lambda: MailStatus("bad", N_("Failing since 09:12"))

    answer = site.test_client().get("/", headers={"X-Test-Role": "admin"})

    assert faults(answer.text) == []
    assert "“&lt;main&gt;” is paused" in answer.text
    assert '<a href="/connections/7">See why</a>' in answer.text
    assert '<span class="status status-red"><span class="status-dot"></span>Failing since 09:12</span>' in answer.text


def test_the_mail_status_is_no_link_for_those_who_may_not_go_there(site: Flask) -> None:
    site.extensions["mail_status"] = lambda: MailStatus("ok", N_("Connected"), path="")

    answer = site.test_client().get("/", headers={"X-Test-Role": "helpdesk"})

    assert '<span class="mail-status"><span class="visually-hidden">Outgoing mail: </span>' in answer.text
