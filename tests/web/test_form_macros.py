from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length

from portal.wording import N_
from tests.page_reader import Element, Page, faults, read

STORED_AT = datetime(2026, 10, 3, 9, 0, tzinfo=UTC)
ACTIONS = [SelectChoice("keep", "Keep"), SelectChoice("replace", "Replace"), SelectChoice("clear", "Clear")]


class ConnectionForm(FlaskForm):
    name = StringField("Name", validators=[DataRequired("Give it a name."), Length(max=80)])
    port = IntegerField("Port")
    method = RadioField("Method", choices=[SelectChoice("smtp", "SMTP"), SelectChoice("capture", "Keep here")])
    security = SelectField(
        "Encryption",
        choices=[SelectChoice("starttls", "STARTTLS"), SelectChoice("none", "None")],
        default="starttls",
    )
    verify = BooleanField("Check the certificate", default=True)
    certificate = TextAreaField("Certificate")
    password = PasswordField("Password")
    password_action = RadioField("Password", choices=ACTIONS, default="keep")


Draw = Callable[..., Page]


@pytest.fixture
def draw(site: Flask) -> Draw:
    """Draw a template with a form, unsent, or refused with the values that were sent."""

    def drawing(source: str, *, sent: dict[str, str] | None = None, **context: Any) -> Page:
        with site.test_request_context(method="POST" if sent is not None else "GET"):
            form = ConnectionForm(MultiDict(sent) if sent is not None else None, meta={"csrf": False})
            if sent is not None:
                form.validate()
            html = render_template_string(
                '{% import "web/_macros.html" as ui with context %}' + source, form=form, **context
            )
        assert faults(html, is_fragment=True) == []
        page = read(html)
        page.html = html  # type: ignore[attr-defined]
        return page

    return drawing


def named(page: Page, name: str) -> Element:
    return next(element for element in page.elements if element.attributes.get("name") == name)


def with_id(page: Page, id: str) -> Element:
    return next(element for element in page.elements if element.attributes.get("id") == id)


def test_a_field_is_tied_to_its_label_and_hint(draw: Draw) -> None:
    page = draw('{{ ui.text_field(form.name, hint="As people call it.") }}')

    field = named(page, "name")
    assert page.all("label")[0].attributes["for"] == field.attributes["id"] == "name"
    assert field.attributes["aria-describedby"] == "name-hint"
    assert with_id(page, "name-hint").text == "As people call it."
    assert field.attributes["maxlength"] == "80"
    assert "aria-invalid" not in field.attributes


def test_a_required_field_says_so_to_eyes_and_ears(draw: Draw) -> None:
    page = draw("{{ ui.text_field(form.name) }}{{ ui.number_field(form.port) }}")

    assert "required" in named(page, "name").attributes
    assert "is-required" in page.all("label")[0].attributes["class"]
    assert "required" not in named(page, "port").attributes
    assert "is-required" not in page.all("label")[1].attributes["class"]


def test_an_error_stands_at_its_field_before_the_hint(draw: Draw) -> None:
    page = draw('{{ ui.text_field(form.name, hint="Hint.") }}', sent={"name": ""})

    field = named(page, "name")
    assert field.attributes["aria-invalid"] == "true"
    assert field.attributes["aria-describedby"] == "name-error name-hint"
    assert with_id(page, "name-error").text == "Error: Give it a name."


def test_the_summary_links_each_error_to_a_field_that_exists(draw: Draw) -> None:
    page = draw(
        "{{ ui.error_summary(form) }}{{ ui.text_field(form.name) }}{{ ui.number_field(form.port) }}"
        "{{ ui.radio_cards(form.method) }}",
        sent={"name": "", "port": "x", "method": "pigeon"},
    )

    ids = {element.attributes.get("id") for element in page.elements}
    links = [(link.attributes["href"], link.text) for link in page.all("a")]
    assert links == [
        ("#name", "Name: Give it a name."),
        ("#port", "Port: Not a valid integer value."),
        ("#method", "Method: Not a valid choice."),
    ]
    assert {href[1:] for href, _ in links} <= ids
    summary = next(element for element in page.elements if element.attributes.get("role") == "alert")
    assert summary.attributes["tabindex"] == "-1"


def test_a_form_without_errors_has_no_summary(draw: Draw) -> None:
    assert draw("{{ ui.error_summary(form) }}").elements == []


def test_what_was_typed_comes_back_escaped(draw: Draw) -> None:
    page = draw(
        "{{ ui.text_field(form.name) }}{{ ui.number_field(form.port) }}{{ ui.textarea_field(form.certificate) }}",
        sent={"name": '"><script>alert(1)</script>', "port": "5 8 7", "certificate": "\n</textarea><b>x"},
    )

    assert named(page, "name").attributes["value"] == '"><script>alert(1)</script>'
    assert named(page, "port").attributes["value"] == "5 8 7"
    assert named(page, "certificate").text == "\n\n</textarea><b>x"
    assert page.all("script", "b") == []


def test_a_hint_or_label_that_others_wrote_is_escaped(draw: Draw) -> None:
    page = draw("{{ ui.text_field(form.name, hint=hint) }}", hint=N_("It said %(reply)s", reply="<img src=x>"))

    assert page.all("img") == []
    assert with_id(page, "name-hint").text == "It said <img src=x>"


def test_choices_are_drawn_with_the_chosen_one_marked(draw: Draw) -> None:
    page = draw(
        '{{ ui.radio_cards(form.method, descriptions={"smtp": "Any server"}, icons={"smtp": "plug"}) }}'
        "{{ ui.select_field(form.security) }}{{ ui.switch_field(form.verify) }}",
        sent={"name": "x", "method": "smtp", "security": "none"},
    )

    radios = [element for element in page.all("input") if element.attributes["type"] == "radio"]
    assert [(r.attributes["id"], r.attributes["value"], "checked" in r.attributes) for r in radios] == [
        ("method", "smtp", True),
        ("method-1", "capture", False),
    ]
    assert [o.attributes["value"] for o in page.all("option") if "selected" in o.attributes] == ["none"]
    assert "checked" not in named(page, "verify").attributes
    assert named(page, "verify").attributes["role"] == "switch"
    assert page.all("legend")[0].text == "Method"


def test_a_secret_that_was_never_stored_is_simply_typed(draw: Draw) -> None:
    page = draw("{{ ui.secret_field(form.password, form.password_action) }}")

    assert named(page, "password_action").attributes["type"] == "hidden"
    assert named(page, "password_action").attributes["value"] == "replace"
    assert "value" not in named(page, "password").attributes


@pytest.mark.parametrize(
    ("sent", "expected"), [(None, "keep"), ("keep", "keep"), ("replace", "replace"), ("clear", "clear")]
)
def test_a_stored_secret_is_kept_unless_told_otherwise(draw: Draw, sent: str | None, expected: str) -> None:
    page = draw(
        "{{ ui.secret_field(form.password, form.password_action, is_stored=true, stored_at=stored_at) }}",
        sent={"name": "x", "password_action": sent} if sent else None,
        stored_at=STORED_AT,
    )

    actions = [element for element in page.all("input") if element.attributes["name"] == "password_action"]
    assert [action.attributes["value"] for action in actions] == ["keep", "replace", "clear"]
    assert [action.attributes["value"] for action in actions if "checked" in action.attributes] == [expected]
    assert "Stored encrypted on 3 Oct 2026." in " ".join(paragraph.text for paragraph in page.all("p"))


def test_a_secret_that_was_typed_is_never_sent_back(draw: Draw) -> None:
    page = draw(
        "{{ ui.error_summary(form) }}{{ ui.secret_field(form.password, form.password_action, is_stored=true) }}",
        sent={"name": "", "password": "canary-5", "password_action": "replace"},
    )

    assert "canary-5" not in page.html  # type: ignore[attr-defined]


def test_a_password_field_never_shows_its_value(draw: Draw) -> None:
    page = draw("{{ ui.password_field(form.password) }}", sent={"password": "canary-6"})

    assert "canary-6" not in page.html  # type: ignore[attr-defined]
    assert named(page, "password").attributes["autocomplete"] == "current-password"
    assert "hidden" in page.all("button")[0].attributes


def test_buttons_say_what_they_send(draw: Draw) -> None:
    page = draw(
        '{{ ui.submit("Check", name="action", value="check", kind="secondary", icon="plug") }}{{ ui.submit("Save") }}'
    )

    check, save = page.all("button")
    assert (check.attributes["name"], check.attributes["value"], check.attributes["type"]) == (
        "action",
        "check",
        "submit",
    )
    assert "name" not in save.attributes
    assert save.attributes["class"] == "btn btn-primary"


def test_parts_of_a_page_hold_what_they_are_given(draw: Draw) -> None:
    page = draw(
        '{% call ui.page_header("Connections", intro="Every way out.", back="/") %}<b>now</b>{% endcall %}'
        '{% call ui.card("Facts", id="facts") %}'
        '{{ ui.definition_list([("Host", "<mx>"), ("Port", 0), ("Used", ui.time(at)), ("Name", "")]) }}{% endcall %}'
        '{% call ui.callout("bad", "Refused") %}Why{% endcall %}{{ ui.empty_state("inbox", "Nothing yet") }}'
        '{{ ui.status("busy", "Checking") }}{{ ui.copy_field("Redirect URL", "https://a.test/?a=1&b=2") }}',
        at=STORED_AT,
    )

    assert [heading.text for heading in page.all("h1", "h2")] == ["Connections", "Facts", "Nothing yet"]
    assert [fact.text for fact in page.all("dd")] == ["<mx>", "0", "3 Oct 2026, 09:00 UTC", "–"]
    assert page.all("time")[0].attributes["datetime"] == "2026-10-03T09:00:00Z"
    assert with_id(page, "copy-redirect-url").attributes["value"] == "https://a.test/?a=1&b=2"
    assert page.all("section")[0].attributes["aria-labelledby"] == "facts-title"
