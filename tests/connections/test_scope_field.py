"""Other permissions than the usual ones: what is typed as scope is asked for, granted and remembered."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.connections.permissions import may_upload
from portal.connections.values import Method
from tests.admin_browser import Browser
from tests.connections.consenting import MICROSOFT_ID, Outside, come_back, form_fields
from tests.connections.making import finished, stored


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


@pytest.mark.parametrize(("scope", "uploads"), [("", False), ("Mail.Send User.Read Mail.ReadWrite", True)])
def test_whether_messages_over_3_mb_can_be_uploaded_follows_from_the_scope_that_is_typed(
    portal: Flask, admin: Browser, outside: Outside, scope: str, uploads: bool
) -> None:
    outside.microsoft.consent_for_everybody(MICROSOFT_ID, "Mail.ReadWrite")
    fields = form_fields(Method.MICROSOFT, scope=scope)

    answer = admin.post("/connections/new/authorizations", fields, page="/connections/new")
    back = come_back(admin, outside.consent(answer.headers["Location"]))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    grant = stored(portal, "New").grant
    assert "New is saved" in outcome
    assert grant is not None
    assert may_upload(Method.MICROSOFT, grant.scopes) is uploads


def test_the_field_says_what_to_type_for_messages_over_3_mb(admin: Browser) -> None:
    page = admin.get("/connections/new").text

    assert "For messages over 3 MB: Mail.Send User.Read Mail.ReadWrite." in page
