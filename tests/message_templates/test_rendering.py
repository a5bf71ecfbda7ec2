"""Shipped wording, filled with values that may be anything."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, meta, nodes

from portal.mail.header_text import one_line
from portal.message_templates.kinds import KINDS, UnknownKind
from portal.message_templates.rendering import (
    MissingPlaceholder,
    UnknownPlaceholder,
    UnsafeLink,
    render_message,
)
from portal.paths import TEMPLATES

PORTAL = {"portal_name": "Contoso Portal", "portal_url": "https://mail.contoso.test"}
CHOOSING = {"change", "means"}  # placeholders that choose the wording and are not told themselves
VALUES = {
    "test": {
        "connection_name": "main relay",
        "sent_by": "Grace Hopper",
        "sent_at": "21 November 2026, 09:05 UTC",
        **PORTAL,
    },
    "password_reset": {
        "name": "Ada Lovelace",
        "link": "https://mail.contoso.test/reset-password/abc?x=1&y=2",
        "code": "",
        "means": "link",
        "expires_in": "60 minutes",
        "requested_at": "21 November 2026, 09:05 UTC",
        **PORTAL,
    },
    "sign_in_hint": {
        "name": "Ada Lovelace",
        "provider": "Contoso",
        "link": "https://mail.contoso.test/sign-in",
        "requested_at": "21 November 2026, 09:05 UTC",
        **PORTAL,
    },
    "password_changed": {
        "name": "Ada Lovelace",
        "changed_at": "21 November 2026, 09:05 UTC",
        "contact": "it-help@contoso.test",
        **PORTAL,
    },
    "invitation": {
        "name": "Ada Lovelace",
        "email": "ada@contoso.test",
        "link": "https://mail.contoso.test/invitations/abc?x=1&y=2",
        "invited_by": "Grace Hopper",
        "expires_at": "28 November 2026, 09:05 UTC",
        **PORTAL,
    },
    "account_validation": {
        "name": "Ada Lovelace",
        "address": "countess@contoso.test",
        "link": "https://mail.contoso.test/account-validations/abc?x=1&y=2",
        "expires_at": "22 November 2026, 09:05 UTC",
        **PORTAL,
    },
    "address_changed": {
        "name": "Ada Lovelace",
        "change": "replaced",
        "address": "ada@contoso.test",
        "changed_by": "Grace Hopper",
        "changed_at": "21 November 2026, 09:05 UTC",
        "contact": "it-help@contoso.test",
        **PORTAL,
    },
    "second_factor_changed": {
        "name": "Ada Lovelace",
        "change": "passkey_added",
        "passkey": "Ada's phone",
        "changed_at": "21 November 2026, 09:05 UTC",
        "contact": "it-help@contoso.test",
        **PORTAL,
    },
    "second_factor_removed": {
        "name": "Ada Lovelace",
        "removed_by": "Grace Hopper",
        "removed_at": "21 November 2026, 09:05 UTC",
        "contact": "it-help@contoso.test",
        **PORTAL,
    },
    "connection_alert": {
        "connection_name": "main relay",
        "cause": "The server refused the password.",
        "remedy": "Type the password again.",
        "server_said": "535 5.7.8 Bad credentials\n535 5.7.8 Ask the postmaster",
        "since": "21 November 2026, 09:05 UTC",
        "link": "https://mail.contoso.test/connections/7",
        **PORTAL,
    },
    "expiry_warning": {
        "connection_name": "main relay",
        "credential": "client secret",
        "secret_name": "Secret ID 0a1b2c3d",
        "left": "expires in 7 days",
        "expires_on": "28 November 2026",
        "consequence": "From then on mail waits here.",
        "remedy": "Make a new one.",
        "link": "https://mail.contoso.test/connections/7",
        **PORTAL,
    },
}
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """What a reader sees, which links there are, and whether every element is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.lang = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(values["href"] or "")
        if tag == "html":
            self.lang = values["lang"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def html_of(kind: str, **changes: str) -> str:
    html = render_message(kind, {**VALUES[kind], **changes}).html
    assert html is not None
    return html


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ("code", ["Type this code in the browser in which you asked:", "12345678", "The code works once"]),
        ("both", ["Open this address", "Or type this code", "12345678", "One of the two works, once"]),
    ],
)
def test_a_reset_code_is_told_with_or_without_a_link(means: str, said: list[str]) -> None:
    rendered = render_message("password_reset", {**VALUES["password_reset"], "means": means, "code": "12345678"})

    text = " ".join(rendered.text.split())
    assert [words for words in said if words not in text] == []
    assert "12345678" in (rendered.html or "")
    assert "12345678" not in rendered.subject


def test_the_forgotten_password_reads_like_this() -> None:
    rendered = render_message("password_reset", VALUES["password_reset"])

    assert rendered.subject == "Reset your password for Contoso Portal"
    assert rendered.text == (
        "Choose a new password\n"
        "=====================\n"
        "\n"
        "Hello Ada Lovelace,\n"
        "\n"
        "Someone, hopefully you, asked on 21 November 2026, 09:05 UTC to reset\n"
        "the password of your account at Contoso Portal.\n"
        "\n"
        "Open this address in your browser to choose one:\n"
        "\n"
        "https://mail.contoso.test/reset-password/abc?x=1&y=2\n"
        "\n"
        "The link works once, within 60 minutes. Asking for another makes this\n"
        "one void.\n"
        "\n"
        "You did not ask for it? Then there is nothing to do: your password stays\n"
        "as it is. Never pass the link on: whoever has it can take over your\n"
        "account.\n"
        "\n"
        "----------------------------------------------------------------\n"
        "You received this message because your address was entered on the\n"
        "“Forgotten password” page.\n"
        "\n"
        "Contoso Portal: https://mail.contoso.test\n"
    )


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("test", "Test message from Contoso Portal"),
        ("password_changed", "Your password for Contoso Portal was changed"),
        ("connection_alert", "Mail through “main relay” is waiting"),
        ("expiry_warning", "The client secret of “main relay” expires in 7 days"),
    ],
)
def test_each_kind_has_its_subject(kind: str, subject: str) -> None:
    assert render_message(kind, VALUES[kind]).subject == subject


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_told_in_text_and_html_alike(kind: str) -> None:
    rendered = render_message(kind, VALUES[kind])

    assert rendered.html is not None
    text, page = " ".join(rendered.text.split()), " ".join(Page(rendered.html).text.split())
    for placeholder, value in VALUES[kind].items():
        if placeholder in CHOOSING:
            continue
        for line in value.splitlines():
            assert line in text
            assert line in page


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_whole_and_loads_nothing(kind: str) -> None:
    page = Page(html_of(kind))

    assert page.open == []
    assert page.lang == "en"
    assert page.tags.count("h1") == 1
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert not re.search(r"url\(|@import|@font-face", html_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_is_one_of_ours(kind: str) -> None:
    pages = ("", "/forgot-password", "/profile", "/profile/second-factor")
    allowed = {f"https://mail.contoso.test{page}" for page in pages} | {VALUES[kind].get("link")}

    assert set(Page(html_of(kind)).links) <= allowed


@pytest.mark.parametrize("kind", KINDS)
def test_text_lines_are_short_and_paragraphs_apart(kind: str) -> None:
    text = render_message(kind, VALUES[kind]).text

    assert max(len(line) for line in text.splitlines() if "https://" not in line) <= 72
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]\n", text)
    assert not re.search(r"<[a-z]|&[a-z]+;", text)


def test_text_alone_has_no_html() -> None:
    assert render_message("test", VALUES["test"], format="text").html is None


def test_a_server_s_own_lines_are_kept_and_set_apart() -> None:
    text = render_message("connection_alert", VALUES["connection_alert"]).text

    assert "\n    535 5.7.8 Bad credentials\n    535 5.7.8 Ask the postmaster\n" in text
    assert "535 5.7.8 Bad credentials<br>535 5.7.8 Ask the postmaster" in html_of("connection_alert")


def test_what_is_not_known_is_left_out() -> None:
    alert = render_message("connection_alert", {**VALUES["connection_alert"], "server_said": ""})
    changed = render_message("password_changed", {**VALUES["password_changed"], "contact": "", "name": ""})

    warning = render_message("expiry_warning", {**VALUES["expiry_warning"], "secret_name": ""})
    assert "The server said" not in alert.text
    assert "Which one" not in warning.text
    assert "administrator" not in changed.text
    assert "\nHello,\n" in changed.text
    assert changed.html is not None
    assert "Hello,</p>" in changed.html


# Values are data


@pytest.mark.parametrize(
    "name",
    [
        "{{ 7*7 }}",
        "{% raw %}",
        "{{ ''.__class__.__mro__ }}",
        "{# comment #}",
        "%(portal_name)s %s %n 100 %",
        "{0.__class__}",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</td></table>&amp;&lt;b&gt;",
    ],
)
def test_a_value_is_never_read_as_template_format_or_markup(name: str) -> None:
    rendered = render_message("password_reset", {**VALUES["password_reset"], "name": name, "portal_name": name})

    assert rendered.html is not None
    page = Page(rendered.html)
    assert rendered.subject == f"Reset your password for {name}"
    assert f"Hello {name}," in rendered.text
    assert f"Hello {name}," in page.text
    assert not {"script", "img"} & set(page.tags)


@pytest.mark.parametrize(
    "separator", ["\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0"]
)
def test_a_value_cannot_add_a_line_to_the_subject_or_the_text(separator: str) -> None:
    values = {**VALUES["connection_alert"], "connection_name": f"main{separator}Bcc: v@x.test"}

    rendered = render_message("connection_alert", values)

    assert re.fullmatch(r"Mail through “main ?Bcc: v@x\.test” is waiting", rendered.subject)
    assert not re.search(r"^Bcc", rendered.text, re.MULTILINE)


def test_a_value_cannot_turn_the_line_around() -> None:
    rendered = render_message("password_reset", {**VALUES["password_reset"], "name": "Ada\u202e moc.live"})

    assert rendered.html is not None
    assert "\u202e" not in rendered.subject + rendered.text + rendered.html


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80))
def test_whatever_people_are_called_the_message_stays_whole(name: str) -> None:
    page, usual = Page(html_of("password_reset", name=name)), Page(html_of("password_reset", name="Ada"))

    greeting = [] if one_line(name) else ["bdi"]
    assert page.open == []
    assert sorted(page.tags + greeting) == sorted(usual.tags)


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.test",
        "/path",
        "",
        'https://x.test/"onclick="',
        "https://x.test/a b",
    ],
)
def test_a_link_is_a_web_address_or_nothing_is_rendered(link: str) -> None:
    with pytest.raises(UnsafeLink):
        render_message("password_reset", {**VALUES["password_reset"], "link": link})
    with pytest.raises(UnsafeLink):
        render_message("test", {**VALUES["test"], "portal_url": link})


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_is_an_error_that_names_it(kind: str) -> None:
    for name in VALUES[kind]:
        values = {key: value for key, value in VALUES[kind].items() if key != name}

        with pytest.raises(MissingPlaceholder, match=name):
            render_message(kind, values)


def test_a_value_too_many_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownPlaceholder, match="token"):
        render_message("test", {**VALUES["test"], "token": "x"})


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(UnknownKind):
        render_message("../test", VALUES["test"])


# Wording and languages


@pytest.mark.parametrize("language", ["en", "en-GB", "xx", "tlh", "", "../../etc", "fr"])
def test_a_language_without_a_catalogue_reads_and_sounds_as_english(language: str) -> None:
    html = render_message("test", VALUES["test"], language=language).html

    assert html is not None
    assert Page(html).lang.partition("-")[0] == "en"
    assert "Your test message arrived" in html


def sources() -> list[str]:
    return sorted(str(path.relative_to(TEMPLATES / "mail")) for path in (TEMPLATES / "mail").rglob("*.*"))


def read(name: str) -> nodes.Template:
    environment = Environment(extensions=["jinja2.ext.i18n"])
    environment.filters["underlined"] = str
    return environment.parse((TEMPLATES / "mail" / name).read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_the_wording_uses_every_placeholder_and_no_other(kind: str) -> None:
    files = [name for name in sources() if name.startswith((f"{kind}/", "_layout"))]

    used = set().union(*(meta.find_undeclared_variables(read(name)) for name in files))

    assert used - {"_", "gettext", "language", "direction", "subject", "part"} == set(KINDS[kind].placeholders)


@pytest.mark.parametrize("name", sources())
def test_every_text_is_marked_for_translation(name: str) -> None:
    written = "§".join(data.data for data in read(name).find_all(nodes.TemplateData))

    seen = re.sub(r"<style.*?</style>|<!--.*?-->|<[^>]*>", "", written, flags=re.DOTALL)

    prose = re.sub(r"/forgot-password|/profile/second-factor|/profile", "", unescape(seen))

    assert re.findall(r"[A-Za-z]{2,}", prose) == []
