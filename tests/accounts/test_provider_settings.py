"""The card about the organisation's provider at `/sign-in-settings`."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from portal.accounts import provider_settings
from portal.accounts.models import User
from portal.accounts.oidc import Client
from portal.accounts.provider_models import SignInSettingsRow
from portal.accounts.provider_settings import ProviderSettings
from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.accounts.browsing import add_person, sign_in
from tests.accounts.people_at_work import user_with
from tests.accounts.providing import link, set_up
from tests.admin_browser import form_with
from tests.outside.oidc_provider import CLIENT_ID, CLIENT_SECRET, OIDCProvider
from tests.outside.stand_in_http import json_answer

PAGE = "/sign-in-settings"
ROOT = "root@contoso.test"


@pytest.fixture
def root(app: Flask) -> FlaskClient:
    """An administrator's browser."""
    add_person(app, ROOT, role="admin", name="Root")
    client = app.test_client()
    sign_in(client, ROOT)
    return client


def save(client: FlaskClient, provider: OIDCProvider, **changes: str) -> TestResponse:
    """Fill in the card as it stands in the page, and save it."""
    stood = form_with(client.get(PAGE).text, "issuer", "client_secret").values
    typed = {"issuer": provider.issuer, "client_id": CLIENT_ID, **changes}
    return client.post(PAGE, data={**stood, **typed})


def stored(app: Flask) -> tuple[ProviderSettings, Client | None]:
    with app.app_context():
        session = db.session()
        return provider_settings.load(session), provider_settings.client_of(session, box=app.extensions["secret_box"])


def entries(app: Flask) -> list[dict[str, Any]]:
    with app.app_context():
        found = (
            select(AuditEntry.changes).where(AuditEntry.action == "sign_in_settings.changed").order_by(AuditEntry.id)
        )
        return list(db.session.scalars(found))


def test_a_provider_is_asked_what_it_is_and_saved(app: Flask, provider: OIDCProvider, root: FlaskClient) -> None:
    mapping = "CN=Mail,OU=Groups = admin\r\n\r\ndesk=helpdesk"

    answer = save(
        root,
        provider,
        client_secret=CLIENT_SECRET,
        scopes="groups",
        role_claim="groups",
        roles=mapping,
        adds_people="y",
        button_label="Contoso",
    )

    settings, client = stored(app)
    assert (answer.status_code, answer.location) == (303, PAGE)
    assert settings == ProviderSettings(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        scopes=("groups",),
        role_claim="groups",
        roles={"CN=Mail,OU=Groups": "admin", "desk": "helpdesk"},
        adds_people=True,
        button_label="Contoso",
    )
    assert client is not None
    assert client.client_secret == CLIENT_SECRET
    assert provider.count("/.well-known/openid-configuration") == 1
    assert "Sign in with Contoso" in app.test_client().get("/sign-in").text


def test_the_secret_is_never_shown_and_the_audit_log_only_knows_that_it_changed(
    app: Flask, provider: OIDCProvider, root: FlaskClient
) -> None:
    save(root, provider, client_secret=CLIENT_SECRET)

    with app.app_context():
        sealed = db.session.scalars(select(SignInSettingsRow.sealed_client_secret)).one()
    assert CLIENT_SECRET not in root.get(PAGE).text
    assert CLIENT_SECRET not in str(sealed)
    assert entries(app) == [{"issuer": ["", provider.issuer], "client_id": ["", CLIENT_ID], "client_secret": "changed"}]


def test_a_stored_secret_is_kept_replaced_and_removed(app: Flask, provider: OIDCProvider, root: FlaskClient) -> None:
    found = []
    for changes in (
        {"client_secret": CLIENT_SECRET},
        {"client_secret_action": "keep", "button_label": "Contoso"},
        {"client_secret_action": "replace", "client_secret": "another"},
        {"client_secret_action": "clear"},
    ):
        assert save(root, provider, **changes).status_code == 303
        client = stored(app)[1]
        found.append(client.client_secret if client else None)

    assert found == [CLIENT_SECRET, CLIENT_SECRET, "another", ""]


def test_a_secret_does_not_go_along_to_another_issuer(app: Flask, provider: OIDCProvider, root: FlaskClient) -> None:
    with OIDCProvider() as plain:
        save(root, provider, client_secret=CLIENT_SECRET)

        refused = save(root, plain, client_secret_action="keep", button_label="Fabrikam")
        taken = save(root, plain, client_secret="another")

    assert refused.status_code == 422
    assert "The stored secret is another issuer" in refused.text
    assert 'value="Fabrikam"' in refused.text
    assert taken.status_code == 303


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "nonsense"}, "Type the issuer as the provider names it"),
        ({"issuer": "http://contoso.test"}, "Type the issuer as the provider names it"),
        ({"issuer": "https://ada:geheim@contoso.test"}, "Type the issuer as the provider names it"),
        ({"issuer": "https://contoso.test/?a=b"}, "nothing after ? or #"),
        ({"issuer": "https://login.microsoftonline.com/TENANT-ID/v2.0"}, "in the place of TENANT-ID"),
        ({"issuer": "https://login.microsoftonline.com/common/v2.0"}, "of your own tenant"),
        ({"issuer": "https://login.microsoftonline.com/organizations/v2.0"}, "of your own tenant"),
        ({"client_id": ""}, "Type the client ID"),
        ({"client_secret": "gehéim"}, "holds a character that none has"),
        ({"scopes": 'groups "'}, "cannot be a scope"),
        ({"role_claim": "groups"}, "go together"),
        ({"role_claim": "groups", "roles": "ops = admin\r\nstaff: user"}, "Line 2 is not of the form"),
        ({"role_claim": "groups", "roles": "ops = king"}, "Line 1 is not of the form"),
        ({"role_claim": "groups", "roles": "\r\n".join(f"{n} = user" for n in range(101))}, "more than 100 lines"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason_and_nothing_is_typed_twice(
    app: Flask, provider: OIDCProvider, root: FlaskClient, changes: dict[str, str], words: str
) -> None:
    refused = save(root, provider, **{"button_label": "Contoso & Co", **changes})

    assert refused.status_code == 422
    assert words in refused.text
    assert 'value="Contoso &amp; Co"' in refused.text
    assert not stored(app)[0].is_set_up
    assert provider.count("/.well-known/openid-configuration") == 0


def test_a_provider_that_calls_itself_otherwise_is_not_saved(
    app: Flask, provider: OIDCProvider, root: FlaskClient
) -> None:
    provider.metadata = {"issuer": "https://<b>evil</b>.test"}

    refused = save(root, provider)

    assert refused.status_code == 422
    assert "calls itself https://&lt;b&gt;evil&lt;/b&gt;.test" in refused.text
    assert not stored(app)[0].is_set_up


def test_what_somebody_else_saved_meanwhile_is_shown_first(
    app: Flask, provider: OIDCProvider, root: FlaskClient
) -> None:
    stood = form_with(root.get(PAGE).text, "issuer", "client_secret").values
    save(root, provider, button_label="Theirs")

    typed = {**stood, "issuer": provider.issuer, "client_id": CLIENT_ID, "button_label": "Mine"}
    conflict = root.post(PAGE, data=typed)
    again = root.post(PAGE, data={**form_with(conflict.text, "issuer", "client_secret").values})

    assert conflict.status_code == 409
    assert "Theirs" in conflict.text
    assert again.status_code == 303
    assert stored(app)[0].button_label == "Mine"


def test_the_other_card_leaves_the_provider_alone(app: Flask, provider: OIDCProvider, root: FlaskClient) -> None:
    set_up(app, provider)

    token = form_with(root.get(PAGE).text, "issuer", "client_secret").values["csrf_token"]
    root.post(PAGE, data={"csrf_token": token})

    assert stored(app)[0].is_set_up


def test_an_empty_issuer_switches_it_off(app: Flask, provider: OIDCProvider, root: FlaskClient) -> None:
    save(root, provider, client_secret=CLIENT_SECRET)

    assert save(root, provider, issuer="").status_code == 303

    assert stored(app) == (ProviderSettings(), None)
    assert "oidc" not in app.test_client().get("/sign-in").text


def test_it_stays_on_while_no_administrator_could_come_in_without_it(
    app: Flask, provider: OIDCProvider, root: FlaskClient
) -> None:
    set_up(app, provider)
    link(app, provider, user_with(app, ROOT).id)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(password_hash=None))

    refused = save(root, provider, issuer="")

    assert refused.status_code == 422
    assert "No administrator could sign in without this provider" in refused.text
    assert stored(app)[0].is_set_up


@pytest.fixture
def only_there(app: Flask, provider: OIDCProvider, root: FlaskClient) -> FlaskClient:
    """The browser of the only administrator, who comes in by the provider alone."""
    set_up(app, provider)
    link(app, provider, user_with(app, ROOT).id)
    with app.app_context(), unit_of_work() as session:
        session.execute(update(User).values(password_hash=None))
    return root


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_secret": "mistyped"}, "does not accept this client ID or client secret"),
        ({"client_secret_action": "clear"}, "does not accept this client ID or client secret"),
        ({"client_id": "mistyped"}, "does not accept this client ID or client secret"),
        ({"scopes": "nonsense"}, "without this provider as it is set up now"),
    ],
)
def test_what_may_keep_the_last_administrator_out_is_not_saved(
    app: Flask, provider: OIDCProvider, only_there: FlaskClient, changes: dict[str, str], words: str
) -> None:
    before = stored(app)

    refused = save(only_there, provider, **changes)

    assert refused.status_code == 422
    assert words in refused.text
    assert stored(app) == before


def test_a_secret_that_the_provider_takes_is_saved_whoever_needs_it(
    app: Flask, provider: OIDCProvider, only_there: FlaskClient
) -> None:
    provider.client_secret = "renewed there"

    saved = save(only_there, provider, client_secret="renewed there")

    assert saved.status_code == 303
    assert "does not accept" not in only_there.get(PAGE).text


def test_a_provider_that_does_not_say_whether_a_secret_is_right_proves_nothing(
    app: Flask, provider: OIDCProvider, only_there: FlaskClient
) -> None:
    provider.token_answer = json_answer({"error": "invalid_request"}, status=400)

    refused = save(only_there, provider, client_secret="another")

    assert refused.status_code == 422
    assert "without this provider as it is set up now" in refused.text


def test_whoever_has_another_way_in_may_save_what_does_not_work_and_is_told(
    app: Flask, provider: OIDCProvider, root: FlaskClient
) -> None:
    set_up(app, provider)

    saved = save(root, provider, client_secret="mistyped")

    assert saved.status_code == 303
    assert "does not accept this client ID or client secret" in root.get(PAGE).text


@pytest.mark.parametrize(
    ("preset", "issuer"),
    [
        ("google", "https://accounts.google.com"),
        ("microsoft", "https://login.microsoftonline.com/TENANT-ID/v2.0"),
        ("other", ""),
        ("nonsense", ""),
    ],
)
def test_a_preset_fills_the_form_in(root: FlaskClient, preset: str, issuer: str) -> None:
    page = root.get(f"{PAGE}?preset={preset}").text

    assert form_with(page, "issuer", "client_secret").values["issuer"] == issuer
    assert 'value="http://localhost/sign-in/oidc/callback"' in page
