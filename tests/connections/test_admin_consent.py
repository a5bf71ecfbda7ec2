"""Agreement of a Microsoft 365 administrator: asked for on a button of its own, and nobody becomes the sender by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from flask import Flask

from portal.connections.provider_values import ProviderValues
from portal.connections.values import Method
from tests.admin_browser import Browser
from tests.connections.consenting import (
    ADA_ADDRESS,
    MICROSOFT_SECRET,
    PORTAL,
    TENANT,
    TOO_OLD,
    Outside,
    come_back,
    connect,
    create,
    flows,
    form_fields,
    grants,
    let_time_pass,
    provider_values,
    start,
)
from tests.connections.making import audit_entries, finished, stored
from tests.page_reader import faults

APP_ID = "44444444-4444-4444-8444-444444444444"
CALLBACK = "http://localhost/oauth/microsoft/callback"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def ask(admin: Browser, connection_id: UUID) -> str:
    """Press the button; Microsoft's address."""
    path = f"/connections/{connection_id}/admin-consent"
    answer = admin.post(path, {})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def needs_an_administrator(portal: Flask) -> UUID:
    """A connection with a permission that people may not give by themselves."""
    values = provider_values(Method.MICROSOFT)
    scope = "https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/Mail.ReadWrite"
    return create(portal, values.with_provider(replace(values.microsoft, scope=scope)))


def application(portal: Flask, outside: Outside) -> UUID:
    """A connection of an application that acts as itself, and that nobody has agreed to yet."""
    outside.microsoft.add_app(
        TENANT,
        APP_ID,
        secrets={MICROSOFT_SECRET: date(2100, 1, 1)},
        redirect_uris=[CALLBACK],
        application=["Mail.Send"],
        has_admin_consent=False,
    )
    own = ProviderValues(client_id=APP_ID, tenant_id=TENANT, mailbox=PORTAL)
    return create(portal, provider_values(Method.MICROSOFT_APP).with_provider(own))


def check(admin: Browser, connection_id: UUID) -> str:
    return finished(admin, admin.post(f"/connections/{connection_id}/checks", {}, page="/connections"))


def test_a_person_can_consent_once_an_administrator_agreed(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = needs_an_administrator(portal)
    with pytest.raises(AssertionError, match="admin"):
        outside.consent(start(admin, connection_id))

    back = come_back(admin, outside.consent(ask(admin, connection_id), ADA_ADDRESS))
    page = admin.get(back.headers["Location"])
    connect(admin, outside, connection_id)

    assert "An administrator agreed" in page.text
    assert TENANT in page.text
    assert "Mail.ReadWrite" in page.text
    assert faults(page.text) == []
    assert [grant.account for grant in grants(portal)] == [PORTAL]


def test_an_application_sends_as_itself_once_an_administrator_agreed(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = application(portal, outside)
    before = check(admin, connection_id)

    back = come_back(admin, outside.consent(ask(admin, connection_id), ADA_ADDRESS))
    page = admin.get(back.headers["Location"])
    after = check(admin, connection_id)

    assert "the access token names no permission" in before
    assert "A check shows whether the application can send now" in page.text
    assert faults(page.text) == []
    assert "the access token names no permission" not in after


def test_who_agrees_for_everybody_never_becomes_the_sender(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT, mailbox=""))

    come_back(admin, outside.consent(ask(admin, connection_id), ADA_ADDRESS))

    assert grants(portal) == []
    assert stored(portal).values == provider_values(Method.MICROSOFT, mailbox="")
    assert [(flow.state, flow.sealed, flow.sealed_grant) for flow in flows(portal)] == [("granted", None, None)]
    assert outside.code_requests(Method.MICROSOFT) == 0
    [entry] = audit_entries(portal, "connection.admin_consented")
    assert (entry.subject, entry.changes) == ("connection Main", {"organisation": [None, TENANT]})


def test_the_page_says_what_is_asked_for_and_the_form_leads_there(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))

    form = admin.get(f"/connections/{connection_id}")
    page = admin.get(f"/connections/{connection_id}/admin-consent")

    assert f'href="/connections/{connection_id}/admin-consent"' in form.text
    assert faults(form.text) == faults(page.text) == []
    assert "https://graph.microsoft.com/Mail.Send" in page.text
    assert "form-action 'self' https:;" in page.headers["Content-Security-Policy"]


def test_an_administrator_who_declines_is_told_of(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))

    back = come_back(admin, outside.decline(ask(admin, connection_id)))
    page = admin.get(back.headers["Location"])

    assert "No administrator agreed" in page.text
    assert "Who can mend it" in page.text
    assert faults(page.text) == []
    assert audit_entries(portal, "connection.admin_consented") == []


def test_an_answer_without_a_yes_is_no_agreement(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    url = outside.consent(ask(admin, connection_id))

    come_back(admin, url.replace("admin_consent=True", "admin_consent=False"))

    assert [flow.state for flow in flows(portal)] == ["failed"]
    assert audit_entries(portal, "connection.admin_consented") == []


def test_the_page_waits_for_an_answer_and_is_nobody_elses(portal: Flask, admin: Browser) -> None:
    ask(admin, create(portal, provider_values(Method.MICROSOFT)))
    here = f"/admin-consents/{flows(portal)[0].id}"

    page = admin.get(here)

    assert "Waiting for Microsoft" in page.text
    assert faults(page.text) == []
    assert Browser(portal).get(here).status_code == 404
    assert admin.get(here.replace("admin-consents", "consents-under-way")).status_code == 404


def test_an_answer_counts_once(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = outside.consent(ask(admin, create(portal, provider_values(Method.MICROSOFT))))
    come_back(admin, url)

    again = come_back(admin, url)

    assert again.status_code == 400
    assert "This answer was used already" in again.text
    assert f"/admin-consents/{flows(portal)[0].id}" in again.text
    assert len(audit_entries(portal, "connection.admin_consented")) == 1


def test_an_answer_that_comes_too_late_counts_for_nothing(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = outside.consent(ask(admin, create(portal, provider_values(Method.MICROSOFT))))
    let_time_pass(portal, TOO_OLD)

    late = come_back(admin, url)

    assert (late.status_code, "The time is over" in late.text) == (400, True)
    assert audit_entries(portal, "connection.admin_consented") == []


def test_an_answer_in_another_session_counts_for_nothing(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = outside.consent(ask(admin, create(portal, provider_values(Method.MICROSOFT))))

    foreign = come_back(Browser(portal), url)
    stranger = portal.test_client().get(url.removeprefix("http://localhost"))

    assert (foreign.status_code, "This consent was started elsewhere" in foreign.text) == (400, True)
    assert stranger.headers["Location"].startswith("/sign-in")
    assert [flow.state for flow in flows(portal)] == ["started"]


def test_the_state_of_an_agreement_redeems_no_code(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    url = outside.consent(ask(admin, connection_id))

    come_back(admin, url.replace("admin_consent=True", "code=stolen"))

    assert outside.code_requests(Method.MICROSOFT) == 0
    assert grants(portal) == []


def test_a_consent_under_way_goes_on_beside_it(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    url = start(admin, connection_id)

    come_back(admin, outside.consent(ask(admin, connection_id)))
    come_back(admin, outside.consent(url))

    assert sorted(flow.state for flow in flows(portal)) == ["granted", "stored"]
    assert [grant.account for grant in grants(portal)] == [PORTAL]


def test_what_is_no_tenant_is_told_before_microsoft_is_shown(portal: Flask, admin: Browser) -> None:
    values = provider_values(Method.MICROSOFT)
    connection_id = create(portal, values.with_provider(replace(values.microsoft, tenant_id="contoso/../evil")))

    page = admin.get(ask(admin, connection_id))

    assert "No administrator agreed" in page.text
    assert "Who can mend it" in page.text


@pytest.mark.parametrize("method", ["google", "capture"])
def test_only_microsoft_has_such_an_administrator(portal: Flask, admin: Browser, method: str) -> None:
    values = provider_values(Method.GOOGLE)
    connection_id = create(portal, values if method == "google" else replace(values, method=Method.CAPTURE))
    path = f"/connections/{connection_id}/admin-consent"

    asked, shown = admin.post(path, {}, page="/connections"), admin.get(path)

    assert [answer.headers["Location"] for answer in (asked, shown)] == [f"/connections/{connection_id}"] * 2
    assert flows(portal) == []


def test_a_new_form_says_to_save_first(admin: Browser) -> None:
    page = admin.get("/connections/new?method=microsoft_app").text

    assert "Save the connection first" in page
    assert form_fields(Method.MICROSOFT)["client_secret"] not in page
