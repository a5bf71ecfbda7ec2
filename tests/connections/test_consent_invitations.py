"""Consent by the owner of a mailbox, who came by a link and has no account: all the way, and what must not work."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal.accounts.models import User
from portal.connections import purge_consents, saving
from portal.connections.models import ConsentInvitation
from portal.connections.provider_values import SendThrough
from portal.connections.values import CLIENT_SECRET, Method, Role, SecretAction, SecretChange
from portal.transaction import unit_of_work
from tests.admin_browser import Browser, csrf_token
from tests.connections.consenting import (
    ADA_ADDRESS,
    CONSENT_METHODS,
    PORTAL,
    TOO_OLD,
    Outside,
    create,
    flows,
    grants,
    let_time_pass,
    provider_values,
    today,
)
from tests.connections.making import (
    ADA,
    audit_entries,
    engine_of,
    installation_of,
    queue_mail,
    send_what_is_due,
    stored,
)
from tests.outbox.conftest import until
from tests.page_reader import faults

EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)
ENDS_OF_AN_INVITER = ("disabled", "removed", "no administrator")


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


@pytest.fixture
def owner(portal: Flask) -> FlaskClient:
    """The browser of somebody without an account."""
    return portal.test_client()


def invite(admin: Browser, connection_id: UUID) -> str:
    """Press the button; the path of the link that is shown."""
    answer = admin.post(f"/connections/{connection_id}/consent-invitations", {})
    assert answer.status_code == 200, answer.text
    found = re.search(r'value="http://localhost(/consents/[^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def press(owner: FlaskClient, link: str) -> TestResponse:
    """Open the link and press its button."""
    token = csrf_token(owner.get(link).text)
    return owner.post(link, data={"csrf_token": token})


def come_back(owner: FlaskClient, url: str) -> TestResponse:
    return owner.get(url.removeprefix("http://localhost"))


def consent(owner: FlaskClient, outside: Outside, link: str, account: str = PORTAL) -> TestResponse:
    """All the way to the page that says what it came to."""
    back = come_back(owner, outside.consent(press(owner, link).headers["Location"], account))
    assert back.headers["Location"].startswith("/consents/outcomes/"), back.text
    return owner.get(back.headers["Location"])


def invitations(portal: Flask) -> list[ConsentInvitation]:
    with Session(engine_of(portal)) as session:
        return list(session.scalars(select(ConsentInvitation)))


def let_the_link_grow_old(portal: Flask, by: timedelta) -> None:
    with portal.app_context(), unit_of_work() as session:
        [row] = session.scalars(select(ConsentInvitation))
        row.expires_at -= by


def change(portal: Flask, connection_id: UUID, **changes: Any) -> None:
    with portal.app_context(), unit_of_work() as session:
        values = replace(stored(portal).values, **changes)
        box = installation_of(portal).box
        saving.change(session, connection_id, values, {}, box=box, actor=ADA, now=today())


def end_the_inviter(portal: Flask, admin: Browser, how: str) -> None:
    ended = {
        "disabled": update(User).values(is_disabled=True),
        "no administrator": update(User).values(role="helpdesk"),
        "removed": delete(User),
    }
    with portal.app_context(), unit_of_work() as session:
        session.execute(ended[how].where(User.id == admin.user_id))


@EACH_METHOD
def test_the_owner_connects_the_mailbox_without_an_account(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method, role=Role.DEFAULT))
    link = invite(admin, connection_id)
    page = owner.get(link)

    outcome = consent(owner, outside, link)
    queue_mail(portal)
    send_what_is_due(portal)

    assert "Admin Ada asks that this portal may send mail as portal@contoso.test" in page.text
    assert "Send mail as this mailbox" in page.text
    assert faults(page.text) == faults(outcome.text) == []
    assert "Thank you" in outcome.text
    assert not stored(portal).lacks_consent
    server = outside.google if method is Method.GOOGLE else outside.microsoft
    assert len(server.messages) == 1


def test_the_audit_log_says_who_invited_and_that_the_owner_consented(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))

    consent(owner, outside, link)

    [invited] = audit_entries(portal, "connection.consent_invited")
    [consented] = audit_entries(portal, "connection.consented")
    assert (invited.actor_name, invited.changes) == ("Admin Ada", {"invited": [None, PORTAL]})
    assert (consented.actor_name, consented.subject) == ("owner of portal@contoso.test", "connection Main")
    assert consented.changes == {"consent": [None, PORTAL]}


def test_mail_that_waited_for_consent_leaves(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT, role=Role.DEFAULT))
    queue_mail(portal)
    send_what_is_due(portal)
    before = list(outside.microsoft.messages)

    consent(owner, outside, invite(admin, connection_id))
    send_what_is_due(portal)

    assert before == []
    assert len(outside.microsoft.messages) == 1


def test_the_link_is_shown_once_and_stored_only_as_a_hash(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    path = f"/connections/{connection_id}/consent-invitations"
    before = admin.get(path)

    made = admin.post(path, {})
    after = admin.get(path)

    [row] = invitations(portal)
    token = re.findall(r"/consents/([\w-]{43})", made.text)[0]
    assert made.headers["Cache-Control"] == "no-store"
    assert token not in before.text + after.text
    assert "A link that Admin Ada made is out" in after.text
    assert token not in {str(value) for value in vars(row).values()}
    assert len(row.token_hash) == 64
    assert faults(before.text) == faults(made.text) == faults(after.text) == []


def test_the_token_is_in_no_log_and_in_no_referer(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))

    page, away = owner.get(link), press(owner, link)
    come_back(owner, outside.consent(away.headers["Location"]))
    owner.get(link)

    assert link.removeprefix("/consents/") not in caplog.text
    assert link.removeprefix("/consents/") not in away.headers["Location"]
    assert page.headers["Referrer-Policy"] == away.headers["Referrer-Policy"] == "no-referrer"


def test_a_link_needs_the_password(portal: Flask) -> None:
    admin = Browser(portal, signed_in_at=today() - timedelta(minutes=16))
    connection_id = create(portal, provider_values(Method.GOOGLE))

    answer = admin.post(f"/connections/{connection_id}/consent-invitations", {})

    assert answer.headers["Location"].startswith("/confirm-password?next=")
    assert invitations(portal) == []


@pytest.mark.parametrize("lack", ["mailbox", "client ID", "method"])
def test_nobody_is_invited_to_what_is_not_complete(portal: Flask, admin: Browser, lack: str) -> None:
    values = provider_values(Method.GOOGLE)
    incomplete = {
        "method": replace(values, method=Method.CAPTURE),
        "mailbox": values.with_provider(replace(values.google, mailbox="")),
        "client ID": values.with_provider(replace(values.google, client_id="")),
    }
    connection_id = create(portal, incomplete[lack])

    answer = admin.post(f"/connections/{connection_id}/consent-invitations", {}, page="/connections")

    assert answer.status_code == 409
    assert "Nobody can be invited yet" in answer.text
    assert faults(answer.text) == []
    assert invitations(portal) == []


def test_nobody_is_invited_while_the_secret_is_missing(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    with portal.app_context(), unit_of_work() as session:
        secrets = {CLIENT_SECRET: SecretChange(SecretAction.CLEAR)}
        box = installation_of(portal).box
        saving.change(session, connection_id, stored(portal).values, secrets, box=box, actor=ADA, now=today())

    answer = admin.post(f"/connections/{connection_id}/consent-invitations", {}, page="/connections")

    assert (answer.status_code, invitations(portal)) == (409, [])


@EACH_METHOD
def test_another_account_than_the_invited_one_is_never_taken(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, method: Method
) -> None:
    link = invite(admin, create(portal, provider_values(method)))

    outcome = consent(owner, outside, link, ADA_ADDRESS)
    right = consent(owner, outside, link)

    assert "Another account signed in" in outcome.text
    assert "ask the administrator" in outcome.text
    assert "acceptance" not in outcome.text
    assert faults(outcome.text) == []
    assert [(flow.state, flow.sealed_grant) for flow in flows(portal)] == [("cancelled", None), ("stored", None)]
    assert "Thank you" in right.text
    assert [grant.account for grant in grants(portal)] == [PORTAL]


def test_nobody_can_take_a_mismatch_at_the_administrators_page(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    consent(owner, outside, link, ADA_ADDRESS)
    [flow] = flows(portal)

    answers = [
        admin.get(f"/consents-under-way/{flow.id}"),
        admin.post(f"/consents-under-way/{flow.id}/acceptance", {"action": "account"}, page="/connections"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert grants(portal) == []


def test_who_declines_is_told_and_may_open_the_link_again(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.MICROSOFT)))

    back = come_back(owner, outside.decline(press(owner, link).headers["Location"]))
    page = owner.get(back.headers["Location"])
    again = consent(owner, outside, link)

    assert "Nothing was connected" in page.text
    assert "You can open the link again" in page.text
    assert faults(page.text) == []
    assert "Thank you" in again.text


def test_a_link_works_once(portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    token = csrf_token(owner.get(link).text)
    consent(owner, outside, link)

    opened, pressed = owner.get(link), owner.post(link, data={"csrf_token": token})

    assert (opened.status_code, pressed.status_code) == (404, 404)
    assert "This link does not work" in opened.text
    assert faults(opened.text) == []
    assert invitations(portal) == []


def test_of_two_who_were_at_the_provider_the_second_stores_nothing_and_redeems_no_code(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    another = portal.test_client()
    first, second = (outside.consent(press(one, link).headers["Location"]) for one in (owner, another))
    come_back(owner, first)

    back = come_back(another, second)

    assert "Nothing was connected" in another.get(back.headers["Location"]).text
    assert sorted(flow.state for flow in flows(portal)) == ["cancelled", "stored"]
    assert outside.code_requests(Method.GOOGLE) == 1
    assert len(audit_entries(portal, "connection.consented")) == 1


def test_an_answer_counts_once(portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    url = outside.consent(press(owner, link).headers["Location"])
    come_back(owner, url)

    replayed = come_back(owner, url)

    assert (replayed.status_code, "This answer was used already" in replayed.text) == (400, True)
    assert faults(replayed.text) == []
    assert outside.code_requests(Method.GOOGLE) == 1


@EACH_METHOD
def test_an_answer_in_another_browser_counts_for_nothing(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, method: Method
) -> None:
    link = invite(admin, create(portal, provider_values(method)))
    url = outside.consent(press(owner, link).headers["Location"])
    with_its_own = portal.test_client()
    press(with_its_own, link)

    answers = [come_back(one, url) for one in (portal.test_client(), with_its_own, admin.client)]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert "This consent was started elsewhere" in answers[0].text
    assert faults(answers[0].text) == []
    assert outside.code_requests(method) == 0
    assert "Thank you" in owner.get(come_back(owner, url).headers["Location"]).text


def test_an_outcome_is_for_the_browser_that_was_there(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    outcome = consent(owner, outside, invite(admin, create(portal, provider_values(Method.GOOGLE))))

    assert portal.test_client().get(outcome.request.path).status_code == 404
    assert admin.get(outcome.request.path).status_code == 404


def test_an_answer_that_comes_too_late_counts_for_nothing(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    url = outside.consent(press(owner, link).headers["Location"])
    let_time_pass(portal, TOO_OLD)

    late = come_back(owner, url)

    assert (late.status_code, "The time is over" in late.text) == (400, True)
    assert grants(portal) == []


def test_a_link_works_for_seven_days(portal: Flask, admin: Browser, owner: FlaskClient) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))

    let_the_link_grow_old(portal, timedelta(days=6, hours=23))
    young = owner.get(link)
    let_the_link_grow_old(portal, timedelta(hours=1))
    old = owner.get(link)
    with portal.app_context(), unit_of_work() as session:
        purge_consents(session, now=today())

    assert (young.status_code, old.status_code) == (200, 404)
    assert invitations(portal) == []


@pytest.mark.parametrize(
    "how", ["taken back", "replaced", "too old", "another mailbox", "other settings", *ENDS_OF_AN_INVITER]
)
def test_a_link_that_ends_while_the_owner_is_at_the_provider_stores_nothing(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside, how: str
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    link = invite(admin, connection_id)
    url = outside.consent(press(owner, link).headers["Location"])
    path = f"/connections/{connection_id}/consent-invitations"
    match how:
        case "taken back":
            admin.post(f"{path}/revocation", {}, page=path)
        case "replaced":
            invite(admin, connection_id)
        case "too old":
            let_the_link_grow_old(portal, timedelta(days=7))
        case "another mailbox":
            own = replace(stored(portal).values.google, mailbox=ADA_ADDRESS)
            change(portal, connection_id, google=own)
        case "other settings":
            own = replace(stored(portal).values.google, send_through=SendThrough.SMTP)
            change(portal, connection_id, google=own)
        case _:
            end_the_inviter(portal, admin, how)

    back = come_back(owner, url)

    assert "Nothing was connected" in owner.get(back.headers["Location"]).text
    assert outside.code_requests(Method.GOOGLE) == 0
    assert grants(portal) == []


def without_token(page: str) -> str:
    """The page but for the token, which is another one with each second."""
    return re.sub(r'"X-CSRFToken": "[^"]+"', "", page)


@pytest.mark.parametrize("how", ENDS_OF_AN_INVITER)
def test_a_link_works_no_longer_than_whoever_made_it_is_an_administrator(
    portal: Flask, admin: Browser, owner: FlaskClient, how: str
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    link = invite(admin, connection_id)
    token = csrf_token(owner.get(link).text)
    another = Browser(portal)

    end_the_inviter(portal, admin, how)
    opened, pressed = owner.get(link), owner.post(link, data={"csrf_token": token})

    never_was = owner.get("/consents/" + "x" * 43)
    assert (opened.status_code, pressed.status_code) == (404, 404)
    assert without_token(opened.text) == without_token(never_was.text)
    assert flows(portal) == []
    assert "is out" not in another.get(f"/connections/{connection_id}/consent-invitations").text
    assert owner.get(invite(another, connection_id)).status_code == 200


def test_an_inviter_who_is_disabled_while_the_code_is_redeemed_stores_nothing(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))
    url = outside.consent(press(owner, link).headers["Location"])
    outside.google.on("token", delay=1.0)

    with ThreadPoolExecutor(1) as pool:
        coming_back = pool.submit(come_back, owner, url)
        until(lambda: outside.code_requests(Method.GOOGLE) == 1)
        end_the_inviter(portal, admin, "disabled")
        back = coming_back.result()

    assert "Nothing was connected" in owner.get(back.headers["Location"]).text
    assert [flow.state for flow in flows(portal)] == ["cancelled"]
    assert grants(portal) == []


@pytest.mark.parametrize("how", ["taken back", "replaced"])
def test_one_link_at_a_time_works(portal: Flask, admin: Browser, owner: FlaskClient, how: str) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    path, link = f"/connections/{connection_id}/consent-invitations", invite(admin, connection_id)

    newer = invite(admin, connection_id) if how == "replaced" else ""
    if how == "taken back":
        admin.post(f"{path}/revocation", {}, page=path)

    assert owner.get(link).status_code == 404
    assert len(invitations(portal)) == (1 if newer else 0)
    assert not newer or owner.get(newer).status_code == 200
    assert len(audit_entries(portal, "connection.consent_invitation_revoked")) == (0 if newer else 1)


def test_opening_a_link_changes_nothing(portal: Flask, admin: Browser, owner: FlaskClient) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))

    owner.get(link)
    owner.head(link)

    assert len(invitations(portal)) == 1
    assert flows(portal) == []


def test_a_link_without_its_forms_token_starts_nothing(portal: Flask, admin: Browser, owner: FlaskClient) -> None:
    link = invite(admin, create(portal, provider_values(Method.GOOGLE)))

    forged = owner.post(link, data={})

    assert forged.status_code == 400
    assert flows(portal) == []


def test_a_provider_that_cannot_be_asked_is_told_of(
    portal: Flask, admin: Browser, owner: FlaskClient, outside: Outside
) -> None:
    link = invite(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.on("discovery", status=503)

    page = owner.get(press(owner, link).headers["Location"])

    assert "Nothing was connected" in page.text
    assert "What happened" in page.text
    assert faults(page.text) == []


def test_full_access_by_smtp_is_not_passed_over_in_silence(portal: Flask, admin: Browser, owner: FlaskClient) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE, send_through=SendThrough.SMTP))

    page = owner.get(invite(admin, connection_id))

    assert "Read, send and delete all mail of this mailbox" in page.text
