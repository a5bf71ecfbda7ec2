"""Every form that is shown again with what is wrong: well formed, for htmx too, and without what was secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from portal.accounts.setup import ensure_setup_token
from portal.transaction import unit_of_work
from tests.admin_browser import HTMX, csrf_token
from tests.answers import CONSENT_POLICY, POLICY, assert_guarded, assert_keeps_secrets
from tests.every_route import CHANGING, address, form, token_of
from tests.furnished import PASSWORD, TYPED, FurnishedPortal
from tests.page_reader import faults

WEAK = {"password": "qwertyuiopas"}
REFUSED_FORMS = [
    ("stranger", "POST /sign-in", {"email": "eve@contoso.test", "password": PASSWORD}, 422),
    ("stranger", "POST /sign-in", {"email": "", "password": PASSWORD}, 422),
    ("stranger", "POST /forgot-password", {"identifier": ""}, 422),
    ("stranger", "POST /reset-password/<token>", {"password": PASSWORD, "password_again": TYPED}, 422),
    ("stranger", "POST /reset-password/<token>", WEAK, 422),
    ("user", "POST /profile/security-questions", {"current_password": TYPED}, 422),
    ("admin", "POST /recovery-settings", {"attempts": "0"}, 422),
    ("admin", "POST /recovery-settings", {"version": "7"}, 409),
    ("admin", "POST /sign-in-settings", {"issuer": "nonsense", "client_secret": TYPED}, 422),
    ("admin", "POST /sign-in-settings", {"issuer": "", "version": "7", "client_secret": TYPED}, 409),
    ("stranger", "POST /invitations/<token>", WEAK, 422),
    ("stranger", "POST /invitations/<token>", {"password": PASSWORD, "password_again": TYPED}, 422),
    ("admin", "POST /users/new", {"email": "nobody"}, 422),
    ("admin", "POST /users/new", {"email": "person@people.test"}, 422),
    ("admin", "POST /users/<uuid:user_id>", {"user_name": "a@b", "phone": "1" * 41}, 422),
    ("admin", "POST /users/<uuid:user_id>", {"role": "king"}, 422),
    ("admin", "POST /users/import", {"list_text": ""}, 422),
    ("user", "POST /confirm-password", {"password": TYPED}, 422),
    ("user", "POST /profile", {"name": "Ada\r\nBcc: eve@contoso.test"}, 422),
    ("user", "POST /profile", {"phone": "030 901820", "language": "tlh", "time_zone": "Mars/Base"}, 422),
    ("user", "POST /profile/addresses/new", {"address": "nobody"}, 422),
    ("admin", "POST /profile/addresses/new", {"address": "first.other@people.test"}, 422),
    ("admin", "POST /users/<uuid:user_id>/address", {"email": "nobody"}, 422),
    ("admin", "POST /users/<uuid:user_id>/address", {"email": "invited@people.test"}, 422),
    ("user", "POST /profile/password", {"current_password": TYPED, "password": PASSWORD}, 422),
    ("user", "POST /profile/password", {"password_again": TYPED}, 422),
    ("user", "POST /profile/password", WEAK, 422),
    ("stranger", "POST /sign-in/passkey", {"credential": TYPED}, 422),
    ("user", "POST /confirm-password/passkey", {"credential": TYPED}, 422),
    ("user", "POST /confirm-password/app-code", {"code": TYPED}, 422),
    ("user", "POST /profile/second-factor/app", {"code": TYPED}, 422),
    ("user", "POST /profile/second-factor/passkeys", {"name": "", "credential": TYPED}, 422),
    ("helpdesk", "POST /test-messages/new", {"to": "nobody"}, 422),
    ("helpdesk", "POST /test-messages/new", {"connection": "nonsense"}, 422),
    ("admin", "POST /audit-log.csv", {"since": "nonsense"}, 422),
    ("admin", "POST /audit-log.json", {"until": "2026-02-30"}, 422),
    ("admin", "POST /connections/new", {"host": "", "password": TYPED}, 422),
    ("admin", "POST /connections/new", {"name": "main", "password": TYPED}, 422),
    ("admin", "POST /connections/new", {"port": "0", "security": "nonsense", "password": TYPED}, 422),
    ("admin", "POST /connections/new", {"action": "nonsense", "password": TYPED}, 422),
    ("admin", "POST /connections/<uuid:connection_id>", {"port": "2525", "password_action": "keep"}, 422),
    ("admin", "POST /connections/<uuid:connection_id>", {"action": "draft", "version": "7", "password": TYPED}, 409),
    ("admin", "POST /connections/new/authorizations", {"client_id": "", "client_secret": TYPED}, 422),
    ("admin", "POST /connections/<uuid:connection_id>/authorizations", {"client_id": "", "client_secret": TYPED}, 422),
    ("admin", "POST /connections/<uuid:connection_id>/device-codes", {"client_secret": TYPED}, 422),
    ("admin", "POST /connections/new/device-codes", {"client_secret": TYPED}, 422),
    ("admin", "POST /servers/new", {"name": "wiki"}, 422),
    ("admin", "POST /servers/new", {"from_address": "nobody", "format": "nonsense", "networks": "nowhere"}, 422),
    ("admin", "POST /servers/<uuid:server_id>", {"messages_per_day": "-1", "variables": "nonsense"}, 422),
    ("admin", "POST /servers/<uuid:server_id>", {"version": "7", "name": "Another"}, 409),
    ("admin", "POST /servers/<uuid:server_id>/keys", {"allowed_senders": "nobody", "expires_on": "nonsense"}, 422),
    ("admin", "POST /servers/<uuid:server_id>/log-ins", {"login_senders": "nobody"}, 422),
    ("admin", "POST /servers/routing", {"sender": "nobody", "kind": "nonsense"}, 422),
    ("admin", "POST /servers/senders", {"sender": "nobody", "verdict": "nonsense"}, 422),
    ("admin", "POST /installation/redirection", {"redirect_to": "nobody"}, 422),
    ("admin", "POST /servers/<uuid:server_id>/webhooks", {"url": "ftp://wiki.contoso.test"}, 422),
    ("admin", "POST /settings-import", {"source_text": f"MAIL_HOST=a\nMAIL_PASSWORD={TYPED}\nMAIL_PORT=0"}, 422),
    ("admin", "POST /email-settings", {"from_address": "nobody"}, 422),
    ("admin", "POST /email-settings", {"people_identifier": "user_name"}, 422),
    ("admin", "POST /email-settings", {"version": "7"}, 409),
]


def test_every_form_with_fields_is_here() -> None:
    without = {"repetition", "cancellation", "saving", "checks", "deletion", "sign-out", "theme", "setup"}
    without |= {"disabling", "enabling", "invitations", "password-reset", "forced-reset", "unlocking", "sign-outs"}
    without |= {"second-factor-removal", "security-questions-removal", "provider-link-removal", "confirmation"}
    without |= {"acceptance", "disconnection", "error"}  # the last takes any text
    without |= {"admin-consent", "consent-invitations", "revocation", "polls"}
    without |= {"validation", "primary", "ending", "endings"}
    without |= {"release", "inheritance", "switch", "moves", "replacement"}
    without |= {"options", "secret", "removal", "recovery-codes", "second-factor", "oidc", "provider"}

    with_fields = {route for route in CHANGING if route.rpartition("/")[2] not in without} - {
        "POST /account-validations/<token>",
        "POST /consents/<token>",
        "POST /servers/<uuid:server_id>/log-ins/<uuid:login_id>/password",
        "POST /reset-password",  # shown only in a browser that asked
        "POST /settings-import/<uuid:import_id>",
        "POST /sign-in/second-factor/passkey",
    }

    assert {route for _identity, route, _fields, _status in REFUSED_FORMS} == with_fields


@pytest.mark.parametrize(("identity", "route", "fields", "status"), REFUSED_FORMS)
def test_a_form_that_is_shown_again_is_well_formed_and_shows_no_password(
    shown: FurnishedPortal, identity: str, route: str, fields: dict[str, str], status: int
) -> None:
    client, path = shown.client(identity), address(route, shown.things)
    data = {**form(route, shown.things), **fields, "csrf_token": token_of(client)}

    page, fragment = client.post(path, data=data), client.post(path, data=data, headers=HTMX)

    assert (page.status_code, faults(page.text)) == (status, [])
    is_fragment = fragment.headers.get("HX-Retarget") != "body"
    assert (fragment.status_code, faults(fragment.text, is_fragment=is_fragment)) == (status, [])
    of_connections = ("/connections/new", "/connections/<uuid:connection_id>", "/authorizations", "/device-codes")
    leads_to_consent = route.endswith(of_connections) and status == 422
    for answer in (page, fragment):
        assert_guarded(answer, CONSENT_POLICY if leads_to_consent else POLICY)
        assert_keeps_secrets(shown, answer)


def test_the_set_up_page_is_well_formed_while_it_is_open(app: Flask) -> None:
    client = app.test_client()
    with app.app_context(), unit_of_work() as session:
        token = ensure_setup_token(session, datetime.now(UTC))

    page = client.get(f"/setup?token={token}")
    refused = client.post("/setup", data={"csrf_token": csrf_token(page.text), "token": token, "password": "short"})

    assert (page.status_code, faults(page.text)) == (200, [])
    assert (refused.status_code, faults(refused.text)) == (422, [])
    assert_guarded(page, POLICY)
