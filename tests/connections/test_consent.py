"""Consent, from the button to a connection that sends, with both providers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask

from portal.connections.provider_values import SendThrough
from portal.connections.values import Method, Role
from portal.transaction import unit_of_work
from portal.worker_process import jobs
from tests.admin_browser import HTMX, PASSWORD, Browser, form_with
from tests.connections.consenting import (
    ADA_ADDRESS,
    CONSENT_METHODS,
    GOOGLE_ID,
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
    started,
    today,
)
from tests.connections.making import audit_entries, engine_of, find, finished, queue_mail, send_what_is_due, stored
from tests.page_reader import faults

EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def messages_of(outside: Outside, method: Method) -> list[str]:
    """The subjects of what the provider was given to send."""
    server = outside.google if method is Method.GOOGLE else outside.microsoft
    return [message.content.decode().partition("Subject: ")[2].partition("\r\n")[0] for message in server.messages]


@EACH_METHOD
def test_a_stored_connection_is_connected_and_sends(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method, role=Role.DEFAULT))
    assert stored(portal).lacks_consent

    page = connect(admin, outside, connection_id)
    queue_mail(portal)
    send_what_is_due(portal)

    assert (page.status_code, faults(page.text)) == (200, [])
    assert "Connected as portal@contoso.test" in page.text
    assert stored(portal).grant is not None
    assert not stored(portal).lacks_consent
    assert messages_of(outside, method) == ["Your password for Mail Portal was changed"]


@EACH_METHOD
def test_a_test_message_leaves_by_the_new_consent(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))
    connect(admin, outside, connection_id)

    sent = admin.post("/test-messages/new", {"to": "grace@contoso.test", "connection": str(connection_id)})
    send_what_is_due(portal)

    assert "The next server took it" in admin.get(sent.headers["Location"]).text
    assert len(messages_of(outside, method)) == 1


@EACH_METHOD
def test_what_is_typed_is_connected_checked_and_saved(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    answer = admin.post("/connections/new/authorizations", form_fields(method), page="/connections/new")
    assert find(portal, "New") is None

    back = come_back(admin, outside.consent(answer.headers["Location"]))
    to_check = admin.get(back.headers["Location"])
    outcome = finished(admin, to_check)

    assert "New is saved" in outcome
    assert stored(portal, "New").grant is not None
    assert not stored(portal, "New").lacks_consent
    assert [flow.state for flow in flows(portal)] == ["granted"]
    assert [flow.sealed_grant for flow in flows(portal)] == [None]


@EACH_METHOD
def test_what_was_changed_in_the_form_is_checked_before_it_is_stored(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))
    path = f"/connections/{connection_id}"

    form = form_with(admin.get(path).text, "display_name").values | {"display_name": "Contoso"}
    answer = admin.post(f"{path}/authorizations", form, page=path)
    back = come_back(admin, outside.consent(answer.headers["Location"]))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    assert "Main is saved" in outcome
    assert stored(portal).values.display_name == "Contoso"
    assert not stored(portal).lacks_consent


@pytest.mark.parametrize(("method", "sender"), [(Method.GOOGLE, PORTAL), (Method.MICROSOFT, ADA_ADDRESS)])
def test_a_mailbox_that_was_left_empty_becomes_the_account(
    portal: Flask, admin: Browser, outside: Outside, method: Method, sender: str
) -> None:
    create(portal, provider_values(method, mailbox="", from_address=sender))

    back = come_back(admin, outside.consent(start(admin, stored(portal).id), ADA_ADDRESS))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    own = stored(portal).values.provider
    assert "Main is saved" in outcome
    assert own is not None
    assert (own.mailbox, stored(portal).values.from_address) == (ADA_ADDRESS, sender)


def test_who_may_not_send_as_the_sender_is_not_taken_for_an_empty_mailbox_at_microsoft(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT, mailbox=""))

    page = connect(admin, outside, connection_id, account=ADA_ADDRESS)

    assert "is to send as portal@contoso.test, but ada@contoso.test signed in" in page.text
    assert grants(portal) == []


@EACH_METHOD
def test_consent_is_in_the_audit_log_with_the_account(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))

    connect(admin, outside, connection_id)

    [entry] = audit_entries(portal, "connection.consented")
    assert (entry.subject, entry.actor_name) == ("connection Main", "Admin Ada")
    assert entry.changes == {"consent": [None, PORTAL]}


@EACH_METHOD
def test_the_form_says_who_consented(portal: Flask, admin: Browser, outside: Outside, method: Method) -> None:
    connection_id = create(portal, provider_values(method))
    before = admin.get(f"/connections/{connection_id}").text

    connect(admin, outside, connection_id)
    page = admin.get(f"/connections/{connection_id}").text

    assert "Nobody has consented yet" in before
    assert "Connected as portal@contoso.test" in page
    assert "Connect again" in page
    assert "Disconnect" in page
    assert faults(page) == []


def test_the_password_is_asked_for_again_before_anything_leaves(portal: Flask, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    admin = Browser(portal, signed_in_at=today() - timedelta(minutes=16))

    answer = started(admin, connection_id)

    assert answer.headers["Location"].startswith("/confirm-password?next=")
    assert flows(portal) == []
    assert outside.microsoft.requests == []


def test_what_was_typed_is_there_after_the_password(portal: Flask) -> None:
    admin = Browser(portal, signed_in_at=today() - timedelta(minutes=16))
    fields = form_fields(Method.GOOGLE)

    asked = admin.post("/connections/new/authorizations", fields, page="/connections/new")
    form = admin.get(
        asked.headers["Location"].partition("next=")[2].replace("%2F", "/").replace("%3F", "?").replace("%3D", "=")
    )

    assert form.status_code == 200
    assert GOOGLE_ID in form.text
    assert fields["client_secret"] not in form.text
    assert PASSWORD not in form.text


def test_a_form_that_lacks_something_comes_back_with_what_is_missing(admin: Browser, outside: Outside) -> None:
    fields = form_fields(Method.GOOGLE, client_id="", client_secret="")

    answer = admin.post("/connections/new/authorizations", fields, page="/connections/new")

    assert answer.status_code == 422
    assert "Enter the client ID" in answer.text
    assert outside.google.requests == []


def test_a_method_that_nobody_consents_to_is_refused(portal: Flask, admin: Browser) -> None:
    fields = {"name": "New", "method": "capture", "role": "available", "from_address": PORTAL}

    answer = admin.post("/connections/new/authorizations", fields, page="/connections/new")

    assert answer.status_code == 422
    assert "Only Google and Microsoft 365 ask a person for consent" in answer.text
    assert flows(portal) == []


def test_a_tenant_that_is_not_there_is_told_before_the_provider_is_shown(portal: Flask, admin: Browser) -> None:
    values = provider_values(Method.MICROSOFT)
    connection_id = create(portal, values.with_provider(replace(values.microsoft, tenant_id="nowhere.test")))

    answer = started(admin, connection_id)
    page = admin.get(answer.headers["Location"])

    assert answer.headers["Location"].startswith("/consents-under-way/")
    assert [(flow.state, flow.code) for flow in flows(portal)] == [("failed", "microsoft.tenant_not_found")]
    assert "Who can mend it" in page.text
    assert faults(page.text) == []


@EACH_METHOD
def test_who_declines_is_told_and_can_try_again(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))

    back = come_back(admin, outside.decline(start(admin, connection_id)))
    page = admin.get(back.headers["Location"])
    again = admin.post(f"{back.headers['Location']}/repetition", {}, page=back.headers["Location"])
    come_back(admin, outside.consent(again.headers["Location"]))

    assert "Nothing was connected" in page.text
    assert faults(page.text) == []
    assert [flow.state for flow in flows(portal)] == ["failed", "stored"]
    assert not stored(portal).lacks_consent


@EACH_METHOD
def test_another_account_is_not_taken_by_itself(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))

    page = connect(admin, outside, connection_id, account=ADA_ADDRESS)

    assert "Another account consented" in page.text
    assert "Use ada@contoso.test" in page.text
    assert ("signed in as ada@contoso.test" in page.text) is (method is Method.MICROSOFT)
    assert faults(page.text) == []
    assert grants(portal) == []
    assert stored(portal).values == provider_values(method)


@EACH_METHOD
def test_another_account_is_taken_when_a_person_says_so(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))
    page = connect(admin, outside, connection_id, account=ADA_ADDRESS)
    here = page.request.path

    accepted = admin.post(f"{here}/acceptance", {"action": "account"}, page=here)
    finished(admin, admin.get(accepted.headers["Location"]))

    own = stored(portal).values.provider
    assert own is not None
    assert (own.mailbox, stored(portal).values.from_address) == (ADA_ADDRESS, ADA_ADDRESS)
    assert [grant.account for grant in grants(portal)] == [ADA_ADDRESS]


def test_a_shared_mailbox_is_sent_for_by_who_signed_in(portal: Flask, admin: Browser, outside: Outside) -> None:
    outside.microsoft.add_mailbox(TENANT, "desk@contoso.test", send_as=["support@contoso.test"])
    create(
        portal, provider_values(Method.MICROSOFT, mailbox="support@contoso.test", from_address="support@contoso.test")
    )
    page = connect(admin, outside, stored(portal).id, account="desk@contoso.test")
    here = page.request.path

    again = admin.post(f"{here}/acceptance", {"action": "shared"}, page=here)
    back = come_back(admin, outside.consent(again.headers["Location"], "desk@contoso.test"))
    outcome = finished(admin, admin.get(back.headers["Location"]))

    own = stored(portal).values.provider
    assert "Mail.Send.Shared" in again.headers["Location"]
    assert own is not None
    assert (own.mailbox, stored(portal).values.from_address) == ("desk@contoso.test", "support@contoso.test")
    assert "Main is saved" in outcome


def test_a_shared_mailbox_by_smtp_needs_no_second_consent(portal: Flask, admin: Browser, outside: Outside) -> None:
    values = provider_values(Method.MICROSOFT, send_through=SendThrough.SMTP)
    page = connect(admin, outside, create(portal, values), account=ADA_ADDRESS)
    here = page.request.path

    accepted = admin.post(f"{here}/acceptance", {"action": "shared"}, page=here)

    assert accepted.headers["Location"] == here
    assert admin.get(here).headers["Location"].startswith("/connection-checks/")


def test_a_consent_that_no_check_had_time_for_is_kept(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE, mailbox=""))
    for _ in range(10):  # as many as one person has in a minute
        admin.post(f"/connections/{connection_id}/checks", {}, page="/connections")

    page = connect(admin, outside, connection_id)
    busy = admin.post(f"{page.request.path}/acceptance", {}, page=page.request.path)

    assert "busy with other checks" in page.text
    assert faults(page.text) == []
    assert busy.status_code == 429
    assert [flow.state for flow in flows(portal)] == ["granted"]
    assert flows(portal)[0].sealed_grant is not None


def test_google_is_told_when_a_connection_is_disconnected(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    connect(admin, outside, connection_id)

    answer = admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

    assert "Google has withdrawn it" in admin.get(answer.headers["Location"]).text
    assert [request.path for request in outside.google.requests].count("/revoke") == 1
    assert grants(portal) == []
    [entry] = audit_entries(portal, "connection.disconnected")
    assert entry.changes == {"consent": [PORTAL, None]}


def test_the_consent_is_forgotten_where_google_is_out_of_reach(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    connect(admin, outside, connection_id)
    outside.google.on("revoke", status=503)

    answer = admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

    assert "Google did not confirm" in admin.get(answer.headers["Location"]).text
    assert grants(portal) == []


def test_microsoft_cannot_be_told_and_the_page_says_so(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    connect(admin, outside, connection_id)

    answer = admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

    assert "myapps.microsoft.com" in admin.get(answer.headers["Location"]).text
    assert grants(portal) == []


def test_nothing_is_disconnected_without_the_password(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    connect(admin, outside, connection_id)
    another = Browser(portal, signed_in_at=today() - timedelta(minutes=16))

    answer = another.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

    assert answer.headers["Location"].startswith("/confirm-password?next=")
    assert len(grants(portal)) == 1


def status_of(admin: Browser, connection_id: UUID | None, after: UUID | None = None) -> str:
    chosen = {"connection": connection_id, "after": after}
    query = "&".join(f"{name}={value}" for name, value in chosen.items() if value)
    answer = admin.get(f"/connections/consents/latest?{query}", headers=HTMX)
    assert answer.status_code == 200
    assert faults(answer.text, is_fragment=True) == []
    return answer.headers.get("HX-Redirect", answer.text)


def test_the_window_that_opened_the_pop_up_learns_by_itself(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    before = status_of(admin, connection_id)
    url = start(admin, connection_id, popup=True)
    meanwhile = status_of(admin, connection_id)

    back = come_back(admin, outside.consent(url))
    popup = admin.get(back.headers["Location"])

    assert "Go on in the window that has opened" in before
    assert "hx-get" in before
    assert "hx-get" in meanwhile
    assert back.headers["Location"].endswith("?popup=1")
    assert "You may close this window" in popup.text
    assert status_of(admin, connection_id) == f"/connections/{connection_id}"


def test_the_window_that_opened_the_pop_up_goes_to_the_check(portal: Flask, admin: Browser, outside: Outside) -> None:
    path = "/connections/new/authorizations?popup=1"
    answer = admin.post(path, form_fields(Method.GOOGLE), page="/connections/new")

    back = come_back(admin, outside.consent(answer.headers["Location"]))

    assert "You may close this window" in admin.get(back.headers["Location"]).text
    assert status_of(admin, None).startswith("/connection-checks/")


def test_a_flow_of_before_is_not_taken_for_the_one_that_begins(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    come_back(admin, outside.decline(start(admin, connection_id)))
    [declined] = flows(portal)

    assert "Nothing was connected" in status_of(admin, connection_id)
    assert "hx-get" in status_of(admin, connection_id, after=declined.id)


@pytest.mark.parametrize(
    ("state", "words"),
    [("expired", "The time is over"), ("cancelled", "This consent was ended"), ("mismatch", "another account")],
)
def test_the_window_that_opened_the_pop_up_hears_of_every_end(
    portal: Flask, admin: Browser, outside: Outside, state: str, words: str
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    url = start(admin, connection_id)
    if state == "expired":
        let_time_pass(portal, TOO_OLD)
    elif state == "mismatch":
        come_back(admin, outside.consent(url, ADA_ADDRESS))
    else:
        admin.post(f"/connections/{connection_id}/authorizations", {}, page="/connections")
        [_, newer] = flows(portal)
        with portal.app_context(), unit_of_work() as session:
            session.delete(session.merge(newer))

    fragment = status_of(admin, connection_id)

    assert words in fragment
    assert "hx-get" not in fragment


@pytest.mark.parametrize(
    ("method", "seen", "words"),
    [
        (Method.MICROSOFT, "Sorry … AADSTS50011: The redirect URI does not match", "redirect"),
        (Method.GOOGLE, "Error 400: redirect_uri_mismatch", "redirect"),
        (Method.GOOGLE, "Access blocked: Error 400: admin_policy_enforced", "administrator"),
    ],
)
def test_an_error_that_never_comes_back_is_explained_within_the_flow(
    portal: Flask, admin: Browser, outside: Outside, method: Method, seen: str, words: str
) -> None:
    connection_id = create(portal, provider_values(method))
    url = start(admin, connection_id)
    here = f"/consents-under-way/{flows(portal)[0].id}"
    waiting = admin.get(here)

    told = admin.post(f"{here}/error", {"seen_error": seen}, page=here)
    page = admin.get(told.headers["Location"])
    come_back(admin, outside.consent(url))

    assert "Did the provider show an error?" in waiting.text
    assert faults(waiting.text) == faults(page.text) == []
    assert words in page.text
    assert "Who can mend it" in page.text
    assert not stored(portal).lacks_consent


def test_flows_go_after_a_day_and_what_they_hold_with_the_candidate(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    connect(admin, outside, connection_id, account=ADA_ADDRESS)
    start(admin, create(portal, provider_values(Method.GOOGLE, name="Other")))
    held = [(flow.sealed is not None, flow.sealed_grant is not None) for flow in flows(portal)]

    [purge] = [job.run for job in jobs(portal, engine_of(portal)) if job.name == "purge_consents"]
    let_time_pass(portal, timedelta(minutes=16))
    purge(today())
    kept = [(flow.sealed, flow.sealed_grant) for flow in flows(portal)]
    let_time_pass(portal, timedelta(days=1))
    purge(today())

    assert held == [(False, True), (True, False)]
    assert kept == [(None, None), (None, None)]
    assert flows(portal) == []
