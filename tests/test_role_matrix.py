"""Who may do what: every address, every method, everybody."""

from __future__ import annotations

import time
from fnmatch import fnmatch
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Row, select, update
from werkzeug.test import TestResponse

from portal.accounts.models import User
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import HTMX, Browser
from tests.every_route import (
    BY_KEY,
    CHANGING,
    OUTCOMES,
    READING,
    SIGN_IN,
    address,
    form,
    method_of,
    missing_address,
    outcome,
    outcome_of,
    token_of,
)
from tests.furnished import IDENTITIES, FurnishedPortal

OF_FACTORS = ("app/removal", "passkeys/<uuid:passkey_id>/removal", "recovery-codes")
ENDING = "<uuid:session_id>/ending"
OF_ADDRESSES = tuple(f"<uuid:address_id>/{act}" for act in ("validation", "primary", "removal"))
CHANGES_NOTHING = {
    "POST /theme",
    "POST /setup",
    "POST /installation/release",  # nothing is held
    "POST /installation/redirection",
    "POST /connections/<uuid:connection_id>/device-codes",  # of a connection to another provider
    "POST /connections/new/device-codes",  # nothing is typed
    "POST /device-codes/<uuid:flow_id>/polls",  # before it is time to ask
    "POST /profile/second-factor/app",  # a wrong code, or nothing to confirm
    "POST /profile/second-factor/passkeys",  # no challenge was asked for
    "POST /sign-in/oidc",  # no provider is set up
    "POST /profile/provider",
    "POST /profile/provider/removal",
    "POST /confirm-password/provider",
    "POST /confirm-password/app-code",  # everybody has a password
    "POST /users/<uuid:user_id>/provider-link-removal",  # nobody is linked
    "POST /sign-in/second-factor",  # no password was given
    "POST /sign-in/second-factor/passkey",
    "POST /sign-in/second-factor/passkey/options",
}
# Who has nothing that the form could change.
CHANGES_NOTHING_OF = {
    ("POST /sign-out", "stranger"),
    ("POST /profile/second-factor/app/secret", "admin"),
    *((f"POST /profile/sessions/{which}", who) for which in ("endings", ENDING) for who in ("user", "helpdesk")),
    *((f"POST /profile/addresses/{act}", who) for act in OF_ADDRESSES for who in ("user", "helpdesk")),
    *((f"POST /profile/second-factor/{thing}", who) for thing in OF_FACTORS for who in ("user", "helpdesk")),
}


def _is_refused(route: str, identity: str) -> bool:
    return outcome(route, identity) == 403 or (
        outcome(route, identity) == SIGN_IN and outcome(route, "user") != SIGN_IN
    )


REFUSED = [(route, identity) for route in CHANGING for identity in IDENTITIES if _is_refused(route, identity)]
TAKEN = [(route, identity) for route in CHANGING for identity in IDENTITIES if not _is_refused(route, identity)]


def test_every_route_of_the_portal_is_in_the_matrix(furnished_portal: FurnishedPortal) -> None:
    offered = {
        f"{method} {rule.rule}"
        for rule in furnished_portal.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert offered == set(OUTCOMES)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("route", READING)
def test_a_page_is_for_whom_the_matrix_says_and_reading_it_changes_nothing(
    shown: FurnishedPortal, route: str, identity: str
) -> None:
    before, path = shown.contents(), address(route, shown.things)

    answer = shown.client(identity).get(path)
    head = shown.client(identity).head(path)
    options = shown.client(identity).options(path)

    assert outcome_of(answer) == outcome(route, identity)
    assert (head.status_code, head.data) == (answer.status_code, b"")
    assert (options.status_code, options.data) == (200, b"")
    assert shown.contents() == before


@pytest.mark.parametrize(("route", "identity"), TAKEN)
def test_a_form_does_what_it_is_for(furnished_portal: FurnishedPortal, route: str, identity: str) -> None:
    portal, client = furnished_portal, furnished_portal.client(identity)
    before = portal.contents()

    answer = _send(client, route, portal)

    assert fnmatch(str(outcome_of(answer)), str(outcome(route, identity)))
    is_idle = route in CHANGES_NOTHING or (route, identity) in CHANGES_NOTHING_OF
    assert (portal.contents() == before) is is_idle
    _let_checks_end(client, answer)


@pytest.mark.parametrize(("route", "identity"), REFUSED)
def test_a_form_is_refused_to_everybody_else_and_changes_nothing(
    shown: FurnishedPortal, route: str, identity: str
) -> None:
    client, before = shown.client(identity), shown.contents()

    page = _send(client, route, shown)
    fragment = _send(client, route, shown, headers=HTMX)

    assert outcome_of(page) == outcome(route, identity)
    assert fragment.status_code == (401 if identity == "stranger" else 403)
    assert shown.contents() == before


@pytest.mark.parametrize("route", [route for route in OUTCOMES if "<uuid:" in route and route not in BY_KEY])
def test_what_never_was_is_404(shown: FurnishedPortal, route: str) -> None:
    client, before = shown.client("admin"), shown.contents()
    method, token = method_of(route), token_of(client)

    answer = client.open(missing_address(route), method=method, headers={"X-CSRFToken": token})

    assert answer.status_code == 404
    assert shown.contents() == before


@pytest.mark.parametrize("route", [route for route in OUTCOMES if "<uuid:check_id>" in route])
def test_a_check_is_its_askers_alone(furnished_portal: FurnishedPortal, route: str) -> None:
    portal, other = furnished_portal, Browser(furnished_portal.app, "admin")
    before, token = portal.contents(), token_of(other.client)

    answer = other.client.open(address(route, portal.things), method=method_of(route), headers={"X-CSRFToken": token})

    assert answer.status_code == 404
    assert portal.contents() == before


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(furnished_portal: FurnishedPortal) -> None:
    portal = furnished_portal
    admin = portal.client("admin")
    assert admin.get("/connections").status_code == 200

    _change_admin(portal, role="user")

    assert admin.get("/connections").status_code == 403
    check = f"/connection-checks/{portal.things.ids['waiting_check']}"
    assert admin.get(check, headers=HTMX).status_code == 403
    assert admin.get("/profile").status_code == 200


def test_a_disabled_account_is_signed_out_with_the_next_request(furnished_portal: FurnishedPortal) -> None:
    admin = furnished_portal.client("admin")
    assert admin.get("/connections").status_code == 200

    _change_admin(furnished_portal, is_disabled=True)

    assert outcome_of(admin.get("/connections")) == SIGN_IN
    assert admin.get("/connections", headers=HTMX).status_code == 401


@pytest.mark.parametrize("field", ["role", "is_disabled", "email", "id", "password_hash", "created_at"])
def test_a_field_that_the_form_does_not_have_is_not_taken(furnished_portal: FurnishedPortal, field: str) -> None:
    portal, client = furnished_portal, furnished_portal.client("user")
    before = _user(portal)

    answer = client.post("/profile", data={"csrf_token": token_of(client), "name": before.name, field: "admin"})

    assert answer.status_code == 303
    assert _user(portal) == before


def _send(
    client: FlaskClient, route: str, portal: FurnishedPortal, headers: dict[str, str] | None = None
) -> TestResponse:
    data = {"csrf_token": token_of(client), **form(route, portal.things)}
    return client.post(address(route, portal.things), data=data, headers=headers)


def _let_checks_end(client: FlaskClient, answer: TestResponse) -> None:
    """A check that was begun goes on in a thread; it ends before its database goes."""
    path = answer.headers.get("Location", "")
    deadline = time.monotonic() + 30
    while path.startswith("/connection-checks/") and "hx-get" in client.get(path, headers=HTMX).text:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _change_admin(portal: FurnishedPortal, **values: object) -> None:
    with portal.app.app_context(), unit_of_work() as session:
        session.execute(update(User).where(User.email == portal.things.emails["admin"]).values(**values))


def _user(portal: FurnishedPortal) -> Row[Any]:
    with portal.app.app_context():
        return db.session.execute(select(User.__table__).where(User.email == portal.things.emails["user"])).one()
