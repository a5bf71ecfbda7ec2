"""Callbacks that nobody asked for, that come twice, late, changed, from elsewhere or to the wrong place."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from flask import Flask

from portal.connections.values import Method, Role
from portal.connections.ways_out import ways_out
from tests.admin_browser import HTMX, PASSWORD, Browser, csrf_token
from tests.connections.consenting import (
    ADA_ADDRESS,
    BOB,
    CONSENT_METHODS,
    ELSEWHERE,
    PORTAL,
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
from tests.connections.making import engine_of, finished, installation_of, queue_mail, send_what_is_due, stored
from tests.outside.google import EMAIL, MISSING, SEND
from tests.page_reader import faults

EACH_METHOD = pytest.mark.parametrize("method", CONSENT_METHODS)
CALLBACKS = {Method.GOOGLE: "/oauth/google/callback", Method.MICROSOFT: "/oauth/microsoft/callback"}


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def changed(url: str, **parameters: str | None) -> str:
    """The same address with other parameters; None takes one out."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | parameters
    return f"{parts.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


@EACH_METHOD
@pytest.mark.parametrize("state", [None, "", "another", "x" * 10_000], ids=["missing", "empty", "altered", "long"])
def test_a_callback_without_its_state_is_refused_and_redeems_nothing(
    portal: Flask, admin: Browser, outside: Outside, method: Method, state: str | None
) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(method))))

    answer = come_back(admin, changed(back, state=state))

    assert answer.status_code == 400
    assert "belongs to no consent that this portal knows" in answer.text
    assert faults(answer.text) == []
    assert outside.code_requests(method) == 0
    assert [flow.state for flow in flows(portal)] == ["started"]


def test_a_state_that_comes_twice_in_one_address_is_refused(portal: Flask, admin: Browser, outside: Outside) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))

    answer = come_back(admin, f"{back}&state=another")

    assert answer.status_code == 400
    assert outside.code_requests(Method.GOOGLE) == 0


@EACH_METHOD
def test_a_callback_counts_once(portal: Flask, admin: Browser, outside: Outside, method: Method) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(method))))

    first, second = come_back(admin, back), come_back(admin, back)

    assert (first.status_code, second.status_code) == (303, 400)
    assert "This answer was used already" in second.text
    assert faults(second.text) == []
    assert outside.code_requests(method) == 1
    assert [flow.state for flow in flows(portal)] == ["stored"]


def test_of_callbacks_that_come_at_the_same_time_one_counts(portal: Flask, admin: Browser, outside: Outside) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))
    parts, cookie = urlsplit(back), admin.client.get_cookie("portal-session")
    assert cookie is not None
    together = threading.Barrier(6)

    def arrive(_: int) -> int:
        client = portal.test_client()
        client.set_cookie("portal-session", cookie.value)
        together.wait()
        return client.get(f"{parts.path}?{parts.query}").status_code

    with ThreadPoolExecutor(6) as threads:
        answers = sorted(threads.map(arrive, range(6)))

    assert answers == [303, 400, 400, 400, 400, 400]
    assert outside.code_requests(Method.GOOGLE) == 1


@EACH_METHOD
def test_another_persons_callback_is_refused_and_theirs_still_counts(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    victim = Browser(portal)
    back = outside.consent(start(admin, create(portal, provider_values(method))))

    refused = come_back(victim, back)
    counted = come_back(admin, back)

    assert refused.status_code == 400
    assert "belongs to another browser or to another sign-in" in refused.text
    assert faults(refused.text) == []
    assert counted.status_code == 303
    assert outside.code_requests(method) == 1


def test_another_persons_flow_cannot_be_looked_at_or_decided(portal: Flask, admin: Browser, outside: Outside) -> None:
    page = connect(admin, outside, create(portal, provider_values(Method.GOOGLE)), account=ADA_ADDRESS)
    other, here = Browser(portal), page.request.path

    answers = [other.get(here).status_code] + [
        other.post(f"{here}/{action}", {"action": "account", "seen_error": "x"}, page="/forgot-password").status_code
        for action in ("acceptance", "repetition", "error")
    ]

    assert answers == [404, 404, 404, 404]
    assert [flow.state for flow in flows(portal)] == ["mismatch"]


@EACH_METHOD
def test_a_consent_that_took_too_long_is_to_be_started_again(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(method))))
    let_time_pass(portal, TOO_OLD)

    answer = come_back(admin, back)

    assert answer.status_code == 400
    assert "has to be given within 10 minutes" in answer.text
    assert faults(answer.text) == []
    assert outside.code_requests(method) == 0


@EACH_METHOD
def test_the_code_of_another_flow_is_refused_by_the_verifier(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    theirs = outside.consent(start(Browser(portal), create(portal, provider_values(method))))
    mine = outside.consent(start(admin, create(portal, provider_values(method, name="Mine"))))
    code = parse_qs(urlsplit(theirs).query)["code"][0]

    answer = come_back(admin, changed(mine, code=code))

    assert "Nothing was connected" in admin.get(answer.headers["Location"]).text
    assert sorted(flow.state for flow in flows(portal)) == ["failed", "started"]
    assert grants(portal) == []


@EACH_METHOD
def test_the_challenge_is_the_verifiers_hash_and_every_flow_has_its_own(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))

    first, second = start(admin, connection_id), start(admin, connection_id)
    come_back(admin, outside.consent(second))

    asked = [parse_qs(urlsplit(url).query) for url in (first, second)]
    server: Any = outside.google if method is Method.GOOGLE else outside.microsoft
    [verifier] = [one.form["code_verifier"] for one in server.requests if "code_verifier" in one.form]
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert [one["code_challenge_method"] for one in asked] == [["S256"], ["S256"]]
    assert asked[1]["code_challenge"] == [hashed]
    assert asked[0]["code_challenge"] != asked[1]["code_challenge"]
    assert asked[0]["state"] != asked[1]["state"]
    assert len(base64.urlsafe_b64decode(asked[0]["state"][0] + "=")) == 32


def test_one_providers_code_is_refused_at_the_others_address(portal: Flask, admin: Browser, outside: Outside) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))

    answer = come_back(admin, back.replace("/oauth/google/", "/oauth/microsoft/"))

    assert answer.status_code == 400
    assert outside.code_requests(Method.GOOGLE) == outside.code_requests(Method.MICROSOFT) == 0
    assert [flow.state for flow in flows(portal)] == ["started"]


@EACH_METHOD
def test_an_answer_of_another_issuer_is_refused(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(method))))

    answer = come_back(admin, changed(back, iss="https://evil.test"))

    assert "Nothing was connected" in admin.get(answer.headers["Location"]).text
    assert outside.code_requests(method) == 0


@EACH_METHOD
def test_an_account_of_another_organisation_is_not_taken(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    connection_id = create(portal, provider_values(method))
    url = start(admin, connection_id)
    if method is Method.MICROSOFT:
        outside.microsoft.on("token", id_token={"tid": ELSEWHERE})
        page = admin.get(come_back(admin, outside.consent(url)).headers["Location"])
    else:
        page = admin.get(come_back(admin, outside.consent(url, BOB)).headers["Location"])

    assert ("Another account consented" in page.text) is (method is Method.GOOGLE)
    assert ("Nothing was connected" in page.text) is (method is Method.MICROSOFT)
    assert grants(portal) == []


def test_a_box_that_was_unticked_is_named_and_nothing_is_stored(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    url = start(admin, create(portal, provider_values(Method.GOOGLE)))

    back = come_back(admin, outside.google.person().allow(url, account=PORTAL, untick=[SEND]))
    page = admin.get(back.headers["Location"])

    assert "gmail.send" in page.text
    assert stored(portal).lacks_consent


def test_fewer_scopes_of_microsoft_are_noticed(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = start(admin, create(portal, provider_values(Method.MICROSOFT)))
    outside.microsoft.on("token", changes={"scope": "openid profile"})

    back = come_back(admin, outside.consent(url))

    assert "Mail.Send" in admin.get(back.headers["Location"]).text
    assert grants(portal) == []


def test_no_more_is_asked_for_than_sending_needs(portal: Flask, admin: Browser) -> None:
    google = start(admin, create(portal, provider_values(Method.GOOGLE)))
    microsoft = start(admin, create(portal, provider_values(Method.MICROSOFT, name="Other")))

    asked = [set(parse_qs(urlsplit(url).query)["scope"][0].split()) for url in (google, microsoft)]

    assert asked[0] == {"openid", "email", SEND}
    assert EMAIL not in asked[0]
    assert asked[1] == {
        *("openid", "profile", "offline_access"),
        *("https://graph.microsoft.com/Mail.Send", "https://graph.microsoft.com/User.Read"),
    }


def test_a_consent_without_a_refresh_token_is_not_stored(portal: Flask, admin: Browser, outside: Outside) -> None:
    url = start(admin, create(portal, provider_values(Method.GOOGLE)))
    outside.google.on("token", changes={"refresh_token": MISSING})

    page = admin.get(come_back(admin, outside.consent(url)).headers["Location"])

    assert "Nothing was connected" in page.text
    assert "Try again" in page.text
    assert "prompt=consent" in url
    assert grants(portal) == []


@EACH_METHOD
@pytest.mark.parametrize(
    "description",
    ["<script>alert(1)</script>", "line\r\nSet-Cookie: evil=1", "\u202egnp.exe", "A" * 100_000],
    ids=["markup", "line breaks", "direction", "length"],
)
def test_what_an_error_says_is_escaped_and_short(
    portal: Flask, admin: Browser, outside: Outside, method: Method, description: str
) -> None:
    state = parse_qs(urlsplit(start(admin, create(portal, provider_values(method)))).query)["state"][0]
    query = urlencode({"state": state, "error": "<b>access_denied</b>", "error_description": description})

    back = come_back(admin, f"{CALLBACKS[method]}?{query}")
    page = admin.get(back.headers["Location"])

    assert back.status_code == 303
    assert back.headers.getlist("Set-Cookie") == [
        one for one in back.headers.getlist("Set-Cookie") if "evil" not in one
    ]
    assert "<script>alert" not in page.text
    assert "<b>access_denied" not in page.text
    assert "\u202e" not in page.text
    assert "A" * 301 not in page.text
    assert faults(page.text) == []
    assert len(flows(portal)[0].said) <= 300


@EACH_METHOD
def test_neither_code_nor_state_nor_token_is_seen_again(
    portal: Flask,
    admin: Browser,
    outside: Outside,
    method: Method,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    back = outside.consent(start(admin, create(portal, provider_values(method))))
    query = parse_qs(urlsplit(back).query)

    returned = come_back(admin, back)
    page = admin.get(returned.headers["Location"])

    server: Any = outside.google if method is Method.GOOGLE else outside.microsoft
    [verifier] = [one.form["code_verifier"] for one in server.requests if "code_verifier" in one.form]
    told = capfd.readouterr()
    seen = [returned.text, str(returned.headers), page.text, str(page.headers), told.out, told.err]
    ours = [record for record in caplog.records if record.name.startswith(("portal", "requests_oauthlib", "msal"))]
    seen += [record.getMessage() for record in ours]
    canaries = [query["code"][0], query["state"][0], verifier]
    assert [one for one in canaries if any(one in text for text in seen)] == []
    for answer in (returned, page):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@EACH_METHOD
def test_nothing_of_a_flow_is_stored_in_the_clear(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    url = start(admin, create(portal, provider_values(method)))
    back = outside.consent(url, ADA_ADDRESS)
    [before] = flows(portal)
    come_back(admin, back)
    [after] = flows(portal)

    query = parse_qs(urlsplit(back).query)
    server: Any = outside.google if method is Method.GOOGLE else outside.microsoft
    [verifier] = [one.form["code_verifier"] for one in server.requests if "code_verifier" in one.form]
    rows = [str(vars(row)) for row in (before, after)]
    assert before.sealed is not None
    assert after.sealed is None
    assert after.sealed_grant is not None
    assert not any(one in row for one in (query["code"][0], query["state"][0], verifier) for row in rows)
    assert before.state_hash == hashlib.sha256(query["state"][0].encode()).hexdigest()


def test_the_message_between_windows_holds_nothing(portal: Flask, admin: Browser) -> None:
    page = admin.get("/connections/new").text
    script = admin.get("/static/consent.js")
    text = script.get_data(as_text=True)
    script.close()

    assert "/static/consent.js" in page
    assert re.findall(r"postMessage\(([^)]*)\)", text) == ['"look again"']
    assert "opener" not in re.sub(r"//.*", "", text)
    assert ".closed" not in text


def test_an_earlier_start_ends_with_the_next_one(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    first, second = (outside.consent(start(admin, connection_id)) for _ in range(2))

    refused, counted = come_back(admin, first), come_back(admin, second)

    assert (refused.status_code, counted.status_code) == (400, 303)
    assert [flow.state for flow in flows(portal)] == ["cancelled", "stored"]
    assert outside.code_requests(Method.GOOGLE) == 1


def test_a_start_for_one_connection_leaves_that_of_another_alone(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    one = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))
    start(admin, create(portal, provider_values(Method.GOOGLE, name="Other")))

    come_back(admin, one)

    assert sorted(flow.state for flow in flows(portal)) == ["started", "stored"]
    assert not stored(portal).lacks_consent
    assert stored(portal, "Other").lacks_consent


@pytest.mark.parametrize("name", ["next", "return_to", "redirect_uri", "popup"])
def test_no_parameter_leads_anywhere_else(portal: Flask, admin: Browser, outside: Outside, name: str) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))

    answer = come_back(admin, f"{back}&{name}={quote('https://evil.test/')}")

    assert re.fullmatch(r"/consents-under-way/[0-9a-f-]{36}", answer.headers["Location"])


@EACH_METHOD
def test_who_was_signed_out_meanwhile_signs_in_and_starts_again(
    portal: Flask, admin: Browser, outside: Outside, method: Method
) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(method))))
    stranger, parts = portal.test_client(), urlsplit(back)

    answer = stranger.get(f"{parts.path}?{parts.query}")
    page = come_back(Browser(portal), CALLBACKS[method])

    assert answer.headers["Location"] == f"/sign-in?next={quote(CALLBACKS[method], safe='')}"
    assert page.status_code == 400
    assert "you were signed out before it came" in page.text
    assert outside.code_requests(method) == 0
    assert [flow.state for flow in flows(portal)] == ["started"]


@pytest.mark.parametrize("role", ["user", "helpdesk"])
def test_a_callback_is_for_administrators(portal: Flask, admin: Browser, outside: Outside, role: str) -> None:
    back = outside.consent(start(admin, create(portal, provider_values(Method.GOOGLE))))

    answer = come_back(Browser(portal, role), back)

    assert answer.status_code == 403
    assert outside.code_requests(Method.GOOGLE) == 0


def test_the_sessions_cookie_is_lax_so_that_it_comes_back(portal: Flask, admin: Browser) -> None:
    admin.confirm_for("/profile")
    client = portal.test_client()
    token = csrf_token(client.get("/sign-in").text)

    answer = client.post("/sign-in", data={"csrf_token": token, "email": admin.email, "password": PASSWORD})

    [cookie] = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith("portal-session=")]
    assert "SameSite=Lax" in cookie
    assert "HttpOnly" in cookie


@EACH_METHOD
def test_a_consent_is_not_started_without_the_forms_token(portal: Flask, admin: Browser, method: Method) -> None:
    connection_id = create(portal, provider_values(method))

    answers = [
        admin.client.post(f"/connections/{connection_id}/{action}", data={"csrf_token": token})
        for action in ("authorizations", "disconnection")
        for token in ("", "rubbish")
    ]

    assert [answer.status_code for answer in answers] == [400] * 4
    assert flows(portal) == []


def test_nothing_is_sent_any_more_after_the_disconnection(portal: Flask, admin: Browser, outside: Outside) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE, role=Role.DEFAULT))
    connect(admin, outside, connection_id)
    admin.post(f"/connections/{connection_id}/disconnection", {}, page=f"/connections/{connection_id}")

    queue_mail(portal)
    send_what_is_due(portal)

    found = ways_out(engine_of(portal), f"connection:{connection_id}", installation=installation_of(portal))
    assert outside.google.messages == []
    assert found.code == "connections.needs_consent"


def test_what_one_connection_was_granted_does_not_serve_another(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    first = create(portal, provider_values(Method.GOOGLE))
    create(portal, provider_values(Method.GOOGLE, name="Other", mailbox=ADA_ADDRESS, from_address=ADA_ADDRESS))

    connect(admin, outside, first)

    assert [grant.connection_id for grant in grants(portal)] == [first]
    assert stored(portal, "Other").lacks_consent


def test_a_flow_does_not_open_for_another_connection(portal: Flask, admin: Browser, outside: Outside) -> None:
    answer = admin.post("/connections/new/authorizations", form_fields(Method.GOOGLE), page="/connections/new")
    connection_id = create(portal, provider_values(Method.GOOGLE))
    come_back(admin, outside.consent(answer.headers["Location"]))
    check = admin.get("/connections/consents/latest", headers=HTMX).headers["HX-Redirect"]

    finished(admin, admin.get(f"/consents-under-way/{flows(portal)[0].id}"))

    assert check.startswith("/connection-checks/")
    assert connection_id not in [grant.connection_id for grant in grants(portal)]


def test_consents_are_limited(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    token = csrf_token(admin.get("/forgot-password").text)
    path = f"/connections/{connection_id}/authorizations"

    answers = [admin.client.post(path, data={"csrf_token": token}).status_code for _ in range(11)]

    assert answers == [303] * 10 + [429]


def test_a_provider_that_fails_at_the_token_leaves_what_was_there(
    portal: Flask, admin: Browser, outside: Outside
) -> None:
    connection_id = create(portal, provider_values(Method.GOOGLE))
    connect(admin, outside, connection_id)
    before = grants(portal)[0].sealed
    url = start(admin, connection_id)
    outside.google.on("token", status=503)

    page = admin.get(come_back(admin, outside.consent(url)).headers["Location"])

    assert "Nothing was connected" in page.text
    assert grants(portal)[0].sealed == before
    assert not stored(portal).lacks_consent
