"""The shell, the form parts and the few scripts in a real Chromium, with script on and off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, Response, abort, flash, g
from flask_wtf import FlaskForm
from playwright.sync_api import Browser, BrowserContext, Page, expect
from wtforms import BooleanField, PasswordField, RadioField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from portal.paths import CHECKOUT
from portal.web import render
from portal.web.access import public, signed_in
from portal.web.announcements import Banner, MailStatus
from portal.wording import N_
from tests.browser.running import free_port
from tests.web.conftest import person, site_in
from tests.wsgi_server import serving

pytestmark = pytest.mark.browser
AXE = (CHECKOUT / "tests/browser/axe-4.14.1.min.js").read_text()
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"

FORM = """
{% import "web/_macros.html" as ui with context %}
<form id="thing-form" method="post" action="/thing" novalidate data-guard
 hx-post="/thing" hx-target="this" hx-swap="outerHTML">
{{ ui.csrf() }}{{ ui.error_summary(form) }}
<div class="card"><div class="card-body">
{{ ui.radio_cards(form.method, descriptions={"smtp": "Any submission server"}, icons={"smtp": "plug"}) }}
<div class="row">{{ ui.text_field(form.name, hint="As people call it.", width="col-md-6") }}
{{ ui.secret_field(form.password, form.password_action, is_stored=true, stored_at=now, width="col-md-6") }}
{{ ui.password_field(form.again, width="col-md-6") }}</div>
{{ ui.switch_field(form.verify, hint="Leave it on.") }}
{{ ui.copy_field("Redirect URL", "https://mail.contoso.test/oauth/google/callback") }}
</div><div class="card-footer">{% call ui.form_actions() %}{{ ui.submit("Save") }}{% endcall %}</div></div>
</form>
"""
THING = """
{% extends "base.html" %}{% block title %}Thing{% endblock %}
{% block content %}
{% call ui.page_header("Thing", intro="What it is.", back="/", back_label="Overview") %}
{{ ui.status("ok", "Ready") }} {{ ui.status("warn", "Paused") }} {{ ui.status("bad", "Failing") }}
{{ ui.status("off", "Draft") }} {{ ui.status("busy", "Checking") }}{% endcall %}
<div class="with-aside"><div>{% include "_thing_form.html" %}</div><div>
{% call ui.card("Facts", id="facts") %}{{ ui.definition_list([("Host", "smtp.contoso.test"), ("Used", ui.time(now))]) }}
<a href="/broken" hx-get="/broken" hx-target="#facts">Break</a>{% endcall %}
<div class="card">{{ ui.empty_state("inbox", "Nothing yet", "It appears here.") }}</div>
{% for kind in ("info", "ok", "warn", "bad") %}{% call ui.callout(kind, "What happened") %}Why, and <a href="/">how</a>.
{% endcall %}{% endfor %}{{ ui.submit("Delete", kind="danger", icon="trash") }}{{ ui.submit("Cancel", kind="link") }}
</div></div>{% endblock %}
"""
SIGN_IN = """
{% extends "signed_out.html" %}{% block title %}Sign in{% endblock %}
{% block content %}<form method="post" action="/thing" novalidate>{{ ui.csrf() }}{{ ui.error_summary(form) }}
{{ ui.text_field(form.name) }}{{ ui.password_field(form.again) }}
{% call ui.form_actions() %}{{ ui.submit("Sign in") }}{% endcall %}</form>{% endblock %}
{% block below %}<p><a href="/">Forgot your password?</a></p>{% endblock %}
"""


class ThingForm(FlaskForm):
    method = RadioField("Method", choices=[SelectChoice("smtp", "SMTP"), SelectChoice("capture", "Keep here")])
    name = StringField("Name", validators=[DataRequired("Give it a name.")])
    password = PasswordField("Password")
    password_action = RadioField(
        "Password", choices=[SelectChoice(action, action) for action in ("keep", "replace", "clear")], default="keep"
    )
    again = PasswordField("Once more")
    verify = BooleanField("Check the certificate")


def add_pages(app: Flask) -> Flask:
    def thing() -> Response:
        form = ThingForm()
        if form.validate_on_submit():
            flash("Saved.", "ok")
        status = 422 if form.errors else 200
        return render("thing.html", fragment="_thing_form.html", status=status, form=form, now=datetime.now(UTC))

    app.add_url_rule("/thing", "thing", signed_in(thing), methods=["GET", "POST"])
    app.add_url_rule("/broken", "broken", public(lambda: abort(503)))
    app.add_url_rule("/sign-in", "sign_in", public(lambda: render("sign_in.html", form=ThingForm())))
    app.before_request(lambda: setattr(g, "user", person("admin")))
    app.extensions["banners"] = lambda: [Banner("warn", N_("Mail waits."), "/thing", N_("See why"))]
    app.extensions["mail_status"] = lambda: MailStatus("ok", N_("Connected · last mail 2 min ago"))
    return app


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages above, served on a loopback socket."""
    port = free_port()
    templates = {"thing.html": THING, "_thing_form.html": FORM, "sign_in.html": SIGN_IN}
    folder = tmp_path_factory.mktemp("look")
    app = add_pages(site_in(folder, templates, PORTAL_PUBLIC_URL=f"http://127.0.0.1:{port}"))
    with serving(app, port) as url:
        yield url


@pytest.fixture(scope="module")
def windows(browser: Browser) -> Iterator[dict[bool, BrowserContext]]:
    """One browser profile with script and one without; each keeps the static files that it has fetched."""
    contexts = {script: browser.new_context(java_script_enabled=script) for script in (True, False)}
    for context in contexts.values():
        context.set_default_timeout(5000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield contexts
    for context in contexts.values():
        context.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(windows: dict[bool, BrowserContext], address: str) -> Iterator[Open]:
    """`open_page("/thing", width=360, script=False)`; console errors and requests to other hosts fail the test."""
    faults: list[str] = []
    pages: list[Page] = []

    def opening(path: str, *, width: int = 1280, script: bool = True) -> Page:
        windows[script].clear_cookies()
        page = windows[script].new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 800})
        page.on("console", lambda message: _is_fault(message) and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((address, "data:")) or faults.append(asked.url))
        page.goto(address + path)
        return page

    yield opening
    for page in pages:
        page.close()
    assert faults == []


def _is_fault(message: Any) -> bool:
    """An answer of 422 or 503 is noted by the browser; everything else that it complains of is our mistake."""
    return message.type in {"error", "warning"} and "the server responded with a status of" not in message.text


@pytest.mark.parametrize("path", ["/thing", "/sign-in", "/nowhere"])
def test_axe_finds_nothing_and_nothing_overflows(open_page: Open, path: str) -> None:
    page = open_page(path)
    page.evaluate(AXE)

    for scheme, width in itertools.product(("light", "dark"), (1280, 360)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        found = page.evaluate(f"axe.run({RULES})")

        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]] == [], (scheme, width)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_refused_form_has_the_focus_on_its_summary_and_stays_unsaved(open_page: Open) -> None:
    page = open_page("/thing")
    page.get_by_label("SMTP").check(force=True)

    page.get_by_role("button", name="Save").click()

    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    assert page.evaluate(f"{AXE}\naxe.run({RULES})")["violations"] == []
    summary.get_by_role("link", name="Name: Give it a name.").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()


def test_without_script_a_refused_form_comes_back_as_a_page(open_page: Open) -> None:
    page = open_page("/thing", script=False)

    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("alert")).to_contain_text("Name: Give it a name.")
    expect(page.get_by_role("heading", level=1)).to_have_text("Thing")


def test_a_saved_form_says_so_in_the_status_region(open_page: Open) -> None:
    page = open_page("/thing")
    page.get_by_label("Name", exact=True).fill("main")
    page.get_by_label("SMTP").check(force=True)
    expect(page.get_by_text("Unsaved changes")).to_be_visible()

    page.get_by_role("button", name="Save").click()

    expect(page.locator("#notices")).to_have_text("Saved.")
    expect(page.get_by_text("Unsaved changes")).to_be_hidden()


def test_htmx_sends_the_token_as_a_header_too(open_page: Open) -> None:
    page = open_page("/thing")

    with page.expect_request(lambda asked: asked.method == "POST") as asked:
        page.get_by_role("button", name="Save").click()

    assert '"X-CSRFToken": "' + asked.value.headers["x-csrftoken"] in page.locator("body").get_attribute(
        "hx-headers:inherited"
    )
    assert asked.value.headers["hx-request"] == "true"


def test_an_error_under_htmx_reaches_the_eyes_and_leaves_the_page_alone(open_page: Open) -> None:
    page = open_page("/thing")

    page.get_by_role("link", name="Break").click()

    expect(page.locator("#notices")).to_contain_text("The portal cannot do this right now")
    expect(page.locator("#notices[role=status]")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text("smtp.contoso.test")


def test_a_typed_secret_can_be_looked_at_and_is_dots_again_when_sent(open_page: Open) -> None:
    page = open_page("/thing")
    field = page.get_by_label("Once more", exact=True)
    field.fill("geheim")

    page.get_by_role("button", name="Show what is typed in Once more").click()

    expect(field).to_have_attribute("type", "text")
    page.evaluate("document.querySelector('#thing-form').dispatchEvent(new Event('submit', {bubbles: true}))")
    expect(page.locator("#again")).to_have_attribute("type", "password")


@pytest.mark.parametrize("script", [True, False])
def test_a_stored_secret_shows_its_field_only_for_replacing(open_page: Open, script: bool) -> None:
    page = open_page("/thing", script=script)
    field = page.locator("#password")
    expect(field).to_be_hidden()

    page.get_by_text("Replace", exact=True).click()

    expect(field).to_be_visible()
    page.get_by_text("Remove", exact=True).click()
    expect(field).to_be_hidden()
    expect(page.get_by_text("The stored value is deleted when you save.")).to_be_visible()


def test_a_value_is_copied_and_said_to_be(open_page: Open) -> None:
    page = open_page("/thing")

    page.get_by_role("button", name="Copy").click()

    expect(page.locator("#announcement")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "https://mail.contoso.test/oauth/google/callback"


def test_buttons_that_need_script_are_not_shown_without_it(open_page: Open) -> None:
    page = open_page("/thing", script=False)

    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    expect(page.get_by_role("button", name="Show what is typed in Once more")).to_have_count(0)


@pytest.mark.parametrize("script", [True, False])
def test_on_a_phone_the_rooms_are_in_a_drawer(open_page: Open, script: bool) -> None:
    page = open_page("/thing", width=360, script=script)
    rooms = page.get_by_role("navigation", name="Rooms")
    expect(rooms).to_be_hidden()

    page.get_by_role("button", name="Menu", exact=True).click()

    expect(rooms).to_be_visible()
    page.keyboard.press("Escape")
    expect(rooms).to_be_hidden()


def test_on_a_wide_screen_the_rooms_are_always_there(open_page: Open) -> None:
    page = open_page("/thing", width=992)

    expect(page.get_by_role("navigation", name="Rooms")).to_be_visible()
    expect(page.get_by_role("button", name="Menu", exact=True)).to_be_hidden()


@pytest.mark.parametrize("script", [True, False])
def test_the_theme_is_chosen_in_the_persons_menu(open_page: Open, script: bool) -> None:
    page = open_page("/thing", script=script)

    page.get_by_role("button", name="Your menu").click()
    page.get_by_role("button", name="Dark").click()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(page.get_by_role("heading", level=1)).to_have_text("Thing")


def test_the_keyboard_can_skip_to_the_content(open_page: Open) -> None:
    page = open_page("/thing")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()
