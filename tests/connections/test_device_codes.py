"""Consent by a code that is typed at Microsoft: the code is shown, asked about in time, and ends as every consent."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from portal.connections.models import ConsentFlow
from portal.connections.values import Method, Role
from portal.transaction import unit_of_work
from tests.admin_browser import HTMX, Browser, form_with
from tests.connections.consenting import (
    ADA_ADDRESS,
    PORTAL,
    TOO_OLD,
    Outside,
    create,
    flows,
    form_fields,
    grants,
    let_time_pass,
    provider_values,
    today,
)
from tests.connections.making import audit_entries, finished, queue_mail, send_what_is_due, stored
from tests.page_reader import faults

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def begin(admin: Browser, connection_id: UUID) -> str:
    """Choose "Use a device code"; the path of its page."""
    answer = admin.post(f"/connections/{connection_id}/device-codes", {}, page="/forgot-password")
    assert answer.headers["Location"].startswith("/device-codes/"), answer.text
    return answer.headers["Location"]


def user_code(admin: Browser, here: str) -> str:
    found = re.search(r'id="user-code" value="([^"]+)"', admin.get(here).text)
    assert found
    return html.unescape(found[1])


def after_the_interval(portal: Flask, outside: Outside) -> None:
    """It is time to ask again, here and at Microsoft."""
    outside.microsoft.pass_time(timedelta(seconds=6))
    with portal.app_context(), unit_of_work() as session:
        session.execute(update(ConsentFlow).values(next_poll_at=today() - timedelta(seconds=1)))


def poll(portal: Flask, admin: Browser, outside: Outside, here: str) -> str:
    """The page asks; where that leads to."""
    after_the_interval(portal, outside)
    answer = admin.post(f"{here}/polls", {}, page=here)
    assert answer.headers["Location"] == here
    return admin.get(here).headers.get("Location", here)


def polls(outside: Outside) -> int:
    return outside.microsoft.token_requests.count(DEVICE_CODE)


def test_a_connection_is_connected_by_a_code_and_sends(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT, role=Role.DEFAULT)))
    page = admin.get(here)
    before = poll(portal, admin, outside, here)
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)

    after = poll(portal, admin, outside, here)
    result = admin.get(after)
    queue_mail(portal)
    send_what_is_due(portal)

    assert faults(page.text) == []
    assert "https://" in page.text
    assert "sign in as portal@contoso.test" in page.text
    assert before == here
    assert after.startswith("/consents-under-way/")
    assert "Connected as portal@contoso.test" in result.text
    assert [grant.account for grant in grants(portal)] == [PORTAL]
    assert len(outside.microsoft.messages) == 1
    [entry] = audit_entries(portal, "connection.consented")
    assert entry.changes == {"consent": [None, PORTAL]}


def test_what_was_changed_in_the_form_is_checked_and_saved(portal: Flask, admin: Browser, outside: Outside) -> None:
    path = f"/connections/{create(portal, provider_values(Method.MICROSOFT))}"
    form = form_with(admin.get(path).text, "display_name").values | {"display_name": "Contoso"}

    here = admin.post(f"{path}/device-codes", form, page=path).headers["Location"]
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    result = admin.get(poll(portal, admin, outside, here))
    outcome = finished(admin, result)

    assert "Main is saved" in outcome
    assert stored(portal).values.display_name == "Contoso"
    assert not stored(portal).lacks_consent


def test_the_page_follows_by_itself(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))

    waiting = admin.get(here, headers=HTMX)
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    poll(portal, admin, outside, here)
    over = admin.get(here, headers=HTMX)

    assert faults(waiting.text, is_fragment=True) == []
    assert f'hx-post="{here}/polls"' in waiting.text
    assert 'hx-trigger="load delay:5250ms, submit"' in waiting.text
    assert over.headers["HX-Redirect"].startswith("/consents-under-way/")


def test_looking_at_the_page_asks_nobody_and_changes_nothing(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    before = [(flow.state, flow.sealed, flow.next_poll_at) for flow in flows(portal)]

    admin.get(here)
    admin.get(here, headers=HTMX)

    assert polls(outside) == 0
    assert [(flow.state, flow.sealed, flow.next_poll_at) for flow in flows(portal)] == before


def test_microsoft_is_not_asked_more_often_than_it_allows(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))

    admin.post(f"{here}/polls", {}, page=here)
    too_early = polls(outside)
    poll(portal, admin, outside, here)
    for _ in range(3):
        admin.post(f"{here}/polls", {}, page=here)

    assert too_early == 0
    assert polls(outside) == 1


def test_a_code_that_is_told_to_slow_down_waits_longer(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.on("token", status=400, body={"error": "slow_down"}, times=1)

    poll(portal, admin, outside, here)

    assert "load delay:10250ms" in admin.get(here).text


def test_a_microsoft_that_says_how_long_to_wait_is_not_polled_before(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.on("token", status=429, headers={"Retry-After": "120"})

    where = poll(portal, admin, outside, here)
    admin.post(f"{here}/polls", {}, page=here)

    next_poll_at = flows(portal)[0].next_poll_at
    assert next_poll_at is not None
    assert timedelta(seconds=110) < next_poll_at - today() <= timedelta(seconds=120)
    assert (where, polls(outside)) == (here, 1)


def test_another_account_is_asked_about(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.approve_device(user_code(admin, here), ADA_ADDRESS)

    page = admin.get(poll(portal, admin, outside, here))
    again = admin.post(f"{page.request.path}/repetition", {}, page=page.request.path)

    assert "Another account consented" in page.text
    assert grants(portal) == []
    assert again.headers["Location"].startswith("/device-codes/")


def test_a_code_that_is_declined_is_told_of(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.decline_device(user_code(admin, here))

    page = admin.get(poll(portal, admin, outside, here))

    assert "Nothing was connected" in page.text
    assert "Who can mend it" in page.text
    assert grants(portal) == []


def test_a_code_goes_on_waiting_while_microsoft_is_out_of_reach(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    outside.microsoft.on("token", status=503, times=1)

    meanwhile = poll(portal, admin, outside, here)
    after = admin.get(poll(portal, admin, outside, here))

    assert meanwhile == here
    assert "Connected as portal@contoso.test" in after.text


def test_a_code_of_which_the_time_is_over_is_asked_about_no_more(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    let_time_pass(portal, TOO_OLD)
    token_page = "/connections"

    after_the_interval(portal, outside)
    admin.post(f"{here}/polls", {}, page=token_page)
    page = admin.get(admin.get(here).headers["Location"])

    assert "The time is over" in page.text
    assert polls(outside) == 0
    assert grants(portal) == []


def test_a_code_is_used_once(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    poll(portal, admin, outside, here)

    after_the_interval(portal, outside)
    admin.post(f"{here}/polls", {}, page="/connections")

    assert polls(outside) == 1
    assert len(audit_entries(portal, "connection.consented")) == 1


def test_a_code_is_its_askers_alone(portal: Flask, admin: Browser, outside: Outside) -> None:
    here = begin(admin, create(portal, provider_values(Method.MICROSOFT)))
    another = Browser(portal)
    after_the_interval(portal, outside)

    answers = [another.get(here), another.post(f"{here}/polls", {}, page="/connections")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert polls(outside) == 0


def test_a_newer_code_takes_the_place_of_the_one_before(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    first = begin(admin, connection_id)
    outside.microsoft.approve_device(user_code(admin, first), PORTAL)
    second = begin(admin, connection_id)

    after_the_interval(portal, outside)
    admin.post(f"{first}/polls", {}, page=second)

    assert grants(portal) == []
    assert sorted(flow.state for flow in flows(portal)) == ["cancelled", "started"]


def test_nothing_leaves_before_the_password_is_given(portal: Flask, outside: Outside) -> None:
    admin = Browser(portal, signed_in_at=today() - timedelta(minutes=16))
    connection_id = create(portal, provider_values(Method.MICROSOFT))

    answer = admin.post(f"/connections/{connection_id}/device-codes", {}, page="/forgot-password")

    assert answer.headers["Location"].startswith("/confirm-password?next=")
    assert outside.microsoft.requests == []


def test_a_refusal_to_give_a_code_is_explained(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.MICROSOFT))
    outside.microsoft.on("devicecode", aadsts=700016)

    answer = admin.post(f"/connections/{connection_id}/device-codes", {}, page="/forgot-password")
    page = admin.get(answer.headers["Location"])

    assert "Nothing was connected" in page.text
    assert "Who can mend it" in page.text


def test_google_has_no_such_codes(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    path = f"/connections/{connection_id}"

    as_stored = admin.post(f"{path}/device-codes", {}, page="/connections")
    form = form_with(admin.get(path).text, "display_name").values
    as_typed = admin.post(f"{path}/device-codes", form, page=path)

    assert as_stored.headers["Location"] == path
    assert (as_typed.status_code, "Only Microsoft 365 has device codes" in as_typed.text) == (422, True)
    assert flows(portal) == []


def test_a_connection_that_is_typed_and_not_stored_is_connected_by_a_code(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    page = admin.get("/connections/new?method=microsoft").text
    [path] = re.findall(r'formaction="(/connections/new/device-codes[^"]*)"', page)

    here = admin.post(path, form_fields(Method.MICROSOFT), page="/connections/new").headers["Location"]
    shown = admin.get(here)
    outside.microsoft.approve_device(user_code(admin, here), PORTAL)
    outcome = finished(admin, admin.get(poll(portal, admin, outside, here)))

    assert faults(shown.text) == []
    assert "Keep this page open" in shown.text
    assert "New is saved" in outcome
    assert not stored(portal, "New").lacks_consent
