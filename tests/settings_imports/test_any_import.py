"""Whatever is given is read or refused at a place; nothing else comes of it."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.extensions import db
from portal.settings_file import SettingsFileError
from portal.settings_imports import planned_servers, previewed, read_import
from tests.settings_imports import samples

TEXTS = (
    *(samples.LARAVEL, samples.DJANGO, samples.SYMFONY, samples.WP_MAIL_SMTP, samples.WP_MAIL_SMTP_GMAIL),
    *(samples.FLUENT_SMTP, json.dumps(samples.POST_SMTP), samples.KEYCLOAK, samples.SMTP2GRAPH),
)
PIECES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ['"', "'", "{", "}", "[", "]", ":", ",", "\n", "${A}", "null", "true", "-1", "\\", "*a", "&a", "%"]
    ),
)


@pytest.mark.parametrize("text", TEXTS)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_spoilt_text_is_read_or_refused_at_a_line_that_it_has(portal: Flask, text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    spoilt = text[:start] + data.draw(PIECES) + text[end:]

    line, roles = _what_comes_of(portal, spoilt)

    assert 1 <= line <= len(spoilt.splitlines()) + 2  # YAML counts what follows the end
    assert roles <= {"draft"}


def _what_comes_of(portal: Flask, text: str) -> tuple[int, set[str]]:
    """The line of the error, 1 where there is none; what the connections would be."""
    try:
        with portal.app_context():
            found = read_import(text.encode("utf-8", "replace"))
            drafts = previewed(db.session(), found)
            planned_servers(db.session(), found)
    except SettingsFileError as error:
        return error.line, set()
    return 1, {str(draft.values.role) for draft in drafts}
