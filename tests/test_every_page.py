"""Every page as everybody: well formed, with every header, and no secret anywhere in any answer."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.admin_browser import HTMX
from tests.answers import CONSENT_POLICY, FRAMING_POLICY, MAILS_OWN_POLICY, POLICY, assert_guarded, assert_keeps_secrets
from tests.every_route import address, outcome, token_of
from tests.furnished import IDENTITIES, PASSWORD, FurnishedPortal
from tests.page_reader import faults

# Pages of the portal; what is no page is below.
PAGES = [
    "/",
    "/account-validations/<token>",
    "/admin-consents/<uuid:flow_id>",
    "/api/docs",
    "/audit-log",
    "/captured-mail",
    "/captured-mail/<uuid:message_id>",
    "/confirm-password",
    "/connection-checks/<uuid:check_id>",
    "/connections",
    "/connections/<uuid:connection_id>",
    "/connections/<uuid:connection_id>/admin-consent",
    "/connections/<uuid:connection_id>/consent-invitations",
    "/connections/<uuid:connection_id>/deletion",
    "/connections/consents/latest",
    "/connections/new",
    "/connections/suggestion",
    "/consents-under-way/<uuid:flow_id>",
    "/consents/<token>",
    "/consents/outcomes/<uuid:flow_id>",
    "/device-codes/<uuid:flow_id>",
    "/email-settings",
    "/forgot-password",
    "/installation",
    "/invitations/<token>",
    "/oauth/google/callback",
    "/oauth/microsoft/callback",
    "/profile",
    "/profile/addresses/new",
    "/profile/second-factor",
    "/profile/second-factor/app",
    "/profile/second-factor/app/removal",
    "/profile/second-factor/passkeys/<uuid:passkey_id>/removal",
    "/profile/security-questions",
    "/recovery-settings",
    "/reset-password",
    "/reset-password/<token>",
    "/servers",
    "/servers/<uuid:server_id>",
    "/servers/<uuid:server_id>/deletion",
    "/servers/<uuid:server_id>/keys/new",
    "/servers/<uuid:server_id>/settings",
    "/servers/<uuid:server_id>/sheet",
    "/servers/<uuid:server_id>/webhooks/new",
    "/servers/new",
    "/servers/routing",
    "/servers/senders",
    "/settings-import",
    "/settings-import/<uuid:import_id>",
    "/setup",
    "/sign-in",
    "/sign-in-settings",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
    "/sign-in/second-factor",
    "/test-messages/<uuid:message_id>",
    "/test-messages/new",
    "/users",
    "/users/<uuid:user_id>",
    "/users/<uuid:user_id>/address",
    "/users/<uuid:user_id>/deletion",
    "/users/import",
    "/users/import/<uuid:run_id>",
    "/users/new",
]
NO_PAGES = {
    "/api/openapi.json": "application/json",
    "/api/v1/messages": "application/problem+json",
    "/api/v1/messages/<uuid:message_id>": "application/problem+json",
    "/api/v1/settings": "application/problem+json",
    "/captured-mail/<uuid:message_id>/html": "text/html; charset=utf-8",
    "/healthz": "application/json",
    "/readyz": "application/json",
    "/static/<path:filename>": "text/css; charset=utf-8",
    "/users/import/<uuid:run_id>/report": "text/csv; charset=utf-8",
}
HAVE_A_FRAGMENT = {
    "/connection-checks/<uuid:check_id>",
    "/connections/consents/latest",
    "/connections/suggestion",
    "/device-codes/<uuid:flow_id>",
    "/email-settings",
    "/recovery-settings",
    "/test-messages/<uuid:message_id>",
    "/users/import/<uuid:run_id>",
}
FRAMING = {"/captured-mail/<uuid:message_id>"}
LEADING_TO_CONSENT = re.compile(
    r"/connections/(?:new|<uuid:connection_id>|\{\w+\})(?:\?.*)?|/consents-under-way/(?:<uuid:flow_id>|\{consent\}.*)"
    r"|/connections/<uuid:connection_id>/admin-consent|/admin-consents/<uuid:flow_id>|/consents/<token>"
)

# The same addresses in other states; `{name}` is the id of a thing, see tests/furnished.py.
OTHER_STATES = {
    "/account-validations/nonsense": 404,
    "/account-validations/{late_validation_token}": 410,
    "/audit-log?action=connection.created&address=127.0&before=99999": 200,
    "/audit-log?action=nonsense&before=nonsense": 200,
    "/audit-log?before=99999999999999999999": 200,
    "/audit-log?since=0001-01-01&until=9999-12-31": 422,
    "/audit-log?since=2026-11-21&until=2026-11-20": 422,
    "/audit-log?since=nonsense&who=%00": 422,
    "/audit-log?who=ada&subject=%25%00&since=2020-01-01&until=2999-12-31": 200,
    "/captured-mail/{failed_message}": 404,
    "/captured-mail/{secret_message}": 303,
    "/captured-mail/{secret_message}/html": 403,
    "/captured-mail?before={message}": 200,
    "/confirm-password?next=/connections": 200,
    "/connection-checks/{check}": 200,
    "/connection-checks/{failed_check}": 200,
    "/connection-checks/{waiting_check}": 200,
    "/connection-checks/nonsense": 404,
    "/connections/{default}": 200,
    "/connections/{default}/deletion": 200,
    "/connections/{draft}": 200,
    "/connections/{application}": 200,
    "/connections/{service_account}": 200,
    "/connections/{connection}?candidate={failed_check}": 200,
    "/connections/{connection}/checks": 405,
    "/connections/{consented}": 200,
    "/connections/{google}": 200,
    "/connections/consents/latest?connection={google}": 200,
    "/connections/consents/latest?connection={default}&after={flow}": 200,
    "/connections/consents/latest?connection=nonsense": 200,
    "/connections/new?candidate={waiting_check}": 200,
    "/connections/new?method=google&mailbox=portal@contoso.test": 200,
    "/connections/new?method=nonsense": 200,
    "/connections/new?preset=gmail_relay": 200,
    "/connections/new?preset=nonsense&name=Main": 200,
    "/connections/suggestion?address=ada@gmail.com": 200,
    "/connections/suggestion?address=ada@contoso.test": 200,
    "/consents-under-way/{consent}?popup=1": 200,
    "/consents-under-way/{flow}": 200,
    "/consents/nonsense": 404,
    "/connections/{default}/consent-invitations": 200,
    "/forgot-password?sent=1": 200,
    "/no-such-page": 404,
    "/oauth/google/callback?state=nonsense&code=evil&error=evil": 400,
    "/reset-password/nonsense": 404,
    "/setup?token={token}": 404,
    "/sign-in?next=//evil.test": 200,
    "/test-messages/{failed_message}": 200,
    "/test-messages/{secret_message}": 404,
    "/test-messages/{waiting_message}": 200,
    "/test-messages/new?connection={draft}": 200,
    "/invitations/nonsense": 404,
    "/invitations/{late_invitation_token}": 410,
    "/users?text=zzzz": 200,
    "/users?text=%00%25&role=king&state=nonsense&after=%00": 200,
    "/users?state=invited&role=user&after=a": 200,
    "/users/{invited}": 200,
    "/users/{disabled}": 200,
    "/users/{disabled}/deletion": 200,
    "/users/nonsense": 404,
    "/users/import/{confirmed_list}": 200,
    "/users/import/{done_list}": 200,
    "/users/import/{done_list}?after=-1": 200,
    "/users/import/{done_list}?after=nonsense": 200,
}


def policy_of(rule: str, status: int) -> str:
    """The policy that an answer must have: a page's own only where there is the page."""
    if status != 200:
        return POLICY
    if rule in FRAMING:
        return FRAMING_POLICY
    return CONSENT_POLICY if LEADING_TO_CONSENT.fullmatch(rule) else POLICY


def test_every_address_that_can_be_read_is_here(shown: FurnishedPortal) -> None:
    readable = {rule.rule for rule in shown.app.url_map.iter_rules() if "GET" in (rule.methods or set())}

    assert sorted(readable) == sorted([*PAGES, *NO_PAGES])


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("rule", PAGES)
def test_a_page_is_well_formed_and_shows_no_secret(shown: FurnishedPortal, rule: str, identity: str) -> None:
    answer = shown.client(identity).get(address(f"GET {rule}", shown.things))

    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.status_code == 303 or faults(answer.text) == []
    assert answer.vary.to_header() == "" if answer.status_code == 303 else "HX-Request" in answer.vary
    assert_guarded(answer, policy_of(rule, answer.status_code))
    assert_keeps_secrets(shown, answer)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("rule", PAGES)
def test_htmx_gets_a_part_of_the_page_or_is_sent_there(shown: FurnishedPortal, rule: str, identity: str) -> None:
    path, expected = address(f"GET {rule}", shown.things), outcome(f"GET {rule}", identity)

    answer = shown.client(identity).get(path, headers=HTMX)

    if isinstance(expected, str):
        assert answer.headers.get("HX-Redirect", answer.headers.get("Location", "")).startswith(expected)
    elif expected == 200 and rule not in HAVE_A_FRAGMENT:
        assert (answer.status_code, answer.text, answer.headers["HX-Redirect"]) == (200, "", path)
    else:
        assert answer.status_code == expected
        assert faults(answer.text, is_fragment=answer.headers.get("HX-Retarget") != "body") == []
        assert answer.text.strip()
    assert_guarded(answer, policy_of(rule, answer.status_code if expected == 200 else 403))
    assert_keeps_secrets(shown, answer)


@pytest.mark.parametrize("path", OTHER_STATES)
def test_a_page_in_another_state_is_well_formed_too(shown: FurnishedPortal, path: str) -> None:
    filled, admin = path.format(**shown.things.ids), shown.client("admin")

    page, fragment = admin.get(filled), admin.get(filled, headers=HTMX)

    assert page.status_code == OTHER_STATES[path]
    assert page.status_code == 303 or faults(page.text) == []
    assert faults(fragment.text, is_fragment=fragment.headers.get("HX-Retarget") != "body") == []
    for answer in (page, fragment):
        assert_guarded(answer, policy_of(path, answer.status_code))
        assert_keeps_secrets(shown, answer)
    assert "evil" not in page.headers.get("Location", "")


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("rule", NO_PAGES)
def test_what_is_no_page_says_what_it_is_and_shows_no_secret(shown: FurnishedPortal, rule: str, identity: str) -> None:
    answer = shown.client(identity).get(address(f"GET {rule}", shown.things))

    is_mail = rule.startswith("/captured-mail") and answer.status_code == 200
    assert answer.status_code != 200 or answer.content_type == NO_PAGES[rule]
    assert_guarded(answer, MAILS_OWN_POLICY if is_mail else POLICY, may_be_kept=rule.startswith("/static"))
    assert_keeps_secrets(shown, answer)


@pytest.mark.parametrize("folder", ["", "/static", "/static/vendor", "/static/..", "/static/%2e%2e"])
def test_no_file_but_the_static_ones_is_served(shown: FurnishedPortal, folder: str) -> None:
    names = (".git/config", ".env", "pyproject.toml", "wsgi.py", "portal.sqlite3", "secret.key", "instance/secret.key")

    answers = [shown.client("admin").get(f"{folder}/{name}").status_code for name in names]

    assert set(answers) == {404}


def test_captured_mail_of_a_secret_kind_shows_its_link_once_and_only_after_the_password(
    furnished_portal: FurnishedPortal,
) -> None:
    portal, admin = furnished_portal, furnished_portal.client("admin")
    path = f"/captured-mail/{portal.things.ids['secret_message']}"
    confirmed = {"csrf_token": token_of(admin), "password": PASSWORD, "next": path}

    asked = admin.get(path)
    given = admin.post("/confirm-password", data=confirmed)
    page, again = admin.get(path), admin.get(path)
    frame = admin.get(unescape(re.findall(r'<iframe[^>]* src="([^"]+)"', page.text)[0]))

    assert [answer.status_code for answer in (asked, given, page, again, frame)] == [303, 303, 200, 303, 200]
    assert faults(page.text) == []
    assert portal.things.exposed(page.text) == portal.things.exposed(frame.text) == ["the token of a reset link"]
    assert_guarded(page, FRAMING_POLICY)
    assert_guarded(frame, MAILS_OWN_POLICY)
