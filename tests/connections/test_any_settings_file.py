"""Whatever values a settings file gives: they are stored, and then nothing differs, or one error names their line."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal import audit, email_settings, settings_file
from portal.connections import make_section
from portal.connections.file_items import KEYS
from portal.connections.labels import CLOUDS
from portal.connections.values import SECRET_FIELDS, Method, Role
from portal.email_settings.settings_section import KEYS as EMAIL_KEYS
from portal.settings_file import Node, SettingsFileError, refuse_references
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth, Security
from tests.connections.making import NOW, installation_of
from tests.strangers import ANY_TEXT, outcome_of, texts_with

WORDS = ("main", "built-in", "smtp.contoso.test", "bücher.test", "127.0.0.1", "relay", "1", "587", "65536", "true", "")
ADDRESSES = ("portal@contoso.test", "Ada <ada@contoso.test>", "contoso.onmicrosoft.com", "2027-01-01", "organizations")
CHOICES = [
    *Method,
    *Role,
    *Auth,
    *Security,
    *CLOUDS,
    "api",
    "certificate",
    "html",
    "https://graph.microsoft.com/.default",
]
VALUES = st.one_of(
    st.sampled_from([*map(str, CHOICES), *WORDS, *ADDRESSES]),
    texts_with(
        "\0", "\n", "\x7f", "\u2028", "\u202e", "\ud800", "a", " ", "%env:MAIL_X%", "-----BEGIN CERTIFICATE-----\n"
    ),
    ANY_TEXT,
    st.booleans(),
    st.integers(-5, 100_000),
    st.none(),
    st.just({"env": "HOME"}),
    st.just([]),
)
USABLE = {
    "smtp": {
        "method": "smtp",
        "host": "smtp.contoso.test",
        "auth": "password",
        "username": "relay",
        "password": "geheim",
    },
    "google": {"method": "google", "role": "draft"},
    "microsoft": {"method": "microsoft", "role": "draft", "tenant_id": "organizations"},
    "app": {"method": "microsoft_app", "client_id": "1", "tenant_id": "contoso.test", "client_secret": "geheim"},
    "capture": {"method": "capture"},
}
LIKELY: dict[str, list[Any]] = {
    "name": ["main", "built-in", "Zweitens", "MAIN"],
    "role": [*map(str, Role)],
    "fallback_order": [1, 7, None],
    "from_address": [*ADDRESSES[:2], ""],
    "display_name": ["Contoso, Inc.", "0123", "no", "- x", "# y", "a: b", "'", " ", "~", "null", "é\u00a0"],
    "reply_to": ["ada@bücher.test", ""],
    "messages_per_minute": [30, None],
    "host": ["Smtp.Contoso.TEST.", "[::1]", "bücher.test", "192.0.2.7"],
    "port": [25, 465, 587, None],
    "security": [*map(str, Security)],
    "verify_certificate": [True, False],
    "timeout_seconds": [1, 600, None],
    "username": ["relay", "0x10", "1e3", "yes", "=", "a\tb"],
    "password": ["geheim", "007", "null", "", "ä #x: [y]"],
    "mailbox": ["portal@contoso.test", ""],
    "send_through": ["api", "smtp"],
    "cloud": [*map(str, CLOUDS)],
    "client_id": ["1", "0123"],
}
CONNECTIONS = st.builds(
    lambda usable, likely, odd: {"name": "main", **usable, **likely, **odd},
    st.sampled_from([{}, *USABLE.values()]),
    st.lists(st.sampled_from(sorted(LIKELY)), max_size=3, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: st.sampled_from(LIKELY[key]) for key in keys})
    ),
    st.just({}) | st.dictionaries(st.sampled_from([*KEYS, *SECRET_FIELDS]), VALUES, max_size=2),
)
EMAIL = st.just({}) | st.dictionaries(st.sampled_from(EMAIL_KEYS), VALUES, max_size=3)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "email": EMAIL,
        "connections": st.lists(CONNECTIONS, max_size=2),
    },
)


class Undone(Exception):
    """Ends a unit of work so that nothing of it stays."""


# What an example stores is undone, so that all of them share one portal.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES)
def test_any_file_is_stored_and_then_changes_nothing_or_is_refused_at_a_line(portal: Flask, file: Any) -> None:
    sections = [email_settings.section, make_section(installation_of(portal).box)]
    differences: list[list[str]] = []

    def store() -> None:
        with portal.app_context(), unit_of_work() as session:

            def planned(text: str) -> Node:
                node = settings_file.read(text.encode(), follow=refuse_references)
                differences.append([str(change) for change in settings_file.plan(session, node, sections)])
                return node

            node = planned(json.dumps(file))
            applied = settings_file.apply(session, node, sections, actor=audit.COMMAND_LINE, now=NOW)
            assert [str(change) for change in applied] == differences[0]
            session.flush()
            planned(json.dumps(file))
            planned(settings_file.export(session, sections))
            raise Undone

    refused = outcome_of(lambda: _undone(store), SettingsFileError)

    if isinstance(refused, SettingsFileError):
        assert refused.line == 1
        assert str(refused.reason)
        assert differences == []
    else:
        assert differences[1:] == [[], []]


def _undone(store: Callable[[], None]) -> None:
    with suppress(Undone):
        store()
