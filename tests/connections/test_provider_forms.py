"""The form of connections to Google and Microsoft: what it keeps, tells, and never shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask

from portal.connections import saving
from portal.connections.provider_values import Credential, ProviderValues, SendThrough
from portal.connections.secrets import readable_secrets
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method, Role, SecretChanges
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.admin_browser import HTMX, Browser, form_with
from tests.connections.making import (
    ADA,
    NOW,
    create,
    find,
    finished,
    installation_of,
    replaced,
    smtp_values,
    stored,
    typed,
    wait_for_checks,
)
from tests.connections.provider_world import APP, provider_world
from tests.outside.microsoft_application import SECRET
from tests.outside.smtp_server import SMTPServer

NEW = "/connections/new"
CLIENT_ID = "6f1c6a1e-0000-4000-8000-123456789abc"
SECRET_ID = "11111111-2222-4333-8444-555555555555"
MICROSOFT = {"client_id": CLIENT_ID, "tenant_id": "contoso.test", "mailbox": "portal@contoso.test"}


def page_of(app: Flask, name: str = "Main") -> str:
    return f"/connections/{stored(app, name).id}"


def new_of(method: str) -> str:
    return f"{NEW}?method={method}"


def make(app: Flask, values: ConnectionValues, secrets: SecretChanges) -> UUID:
    with app.app_context(), unit_of_work() as session:
        box = installation_of(app).box
        return saving.create(session, values, secrets, box=box, actor=ADA, now=NOW)


def application(own: ProviderValues | None = None, **changes: object) -> ConnectionValues:
    values = ConnectionValues(name="Main", method=Method.MICROSOFT_APP, from_address="portal@contoso.test")
    own = own or ProviderValues(client_id=CLIENT_ID, tenant_id="contoso.test", mailbox="portal@contoso.test")
    return replace(values.with_provider(own), **changes)  # type: ignore[arg-type]


def secrets_in(app: Flask, name: str = "Main") -> dict[str, str]:
    found = stored(app, name)
    with app.app_context():
        return readable_secrets(db.session(), found.id, found.values, box=installation_of(app).box)


def service_account_key() -> str:
    """The JSON file of a new key, as Google hands it out."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    named = {"client_email": "robot@contoso.iam.gserviceaccount.com", "client_id": "1", "private_key_id": "canary"}
    token_uri = "https://oauth2.googleapis.com/token"
    return json.dumps({"type": "service_account", "private_key": private_key, "token_uri": token_uri, **named})


def error_of(page: str, field: str) -> str:
    found = re.search(rf'id="{field}-error">(.*?)</div>', page, re.DOTALL)
    assert found, f"nothing is said beside {field}"
    return unescape(re.sub(r"<[^>]+>", "", found[1]))


@pytest.mark.parametrize(
    ("method", "fields", "secrets"),
    [
        (
            "google",
            {"client_id": "7-a.apps.googleusercontent.com", "mailbox": "portal@contoso.test", "scope": "openid email"},
            {"client_secret": "GOCSPX-canary"},
        ),
        (
            "microsoft",
            {**MICROSOFT, "cloud": "us_gov", "secret_id": SECRET_ID, "secret_expires_on": "2027-11-30"},
            {"client_secret": "canary~one", "next_client_secret": "canary~two"},
        ),
        (
            "microsoft_app",
            {**MICROSOFT, "credential": "federated", "federated_token_file": "/var/run/secrets/token"},
            {"client_secret": "canary~one"},
        ),
        ("google_service_account", {"mailbox": "portal@contoso.test"}, {"service_account_key": "JSON"}),
    ],
)
def test_every_method_is_stored_as_a_draft_and_shown_again_without_its_secrets(
    portal: Flask, admin: Browser, method: str, fields: dict[str, str | None], secrets: dict[str, str | None]
) -> None:
    secrets = {name: service_account_key() if value == "JSON" else value for name, value in secrets.items()}

    answer = admin.fill(new_of(method), {"name": "Main", **fields, **secrets}, button="draft")

    assert answer.status_code == 303, answer.text
    page = admin.get(page_of(portal)).text
    form = form_with(page, "name")
    assert stored(portal).values.method == method
    assert {name: form.values[name] for name in fields} == fields
    assert form.values["method"] == method
    assert secrets_in(portal).keys() == secrets.keys()
    assert "canary" not in page
    assert "PRIVATE KEY" not in page.replace("-----BEGIN PRIVATE KEY-----.", "")
    assert page.count("Stored encrypted on") == len(secrets)


def test_the_server_of_a_provider_is_kept_for_sending_by_smtp(portal: Flask, admin: Browser) -> None:
    changes = {"name": "Main", "send_through": "smtp", "host": "smtp.office365.com", "port": "2525"}

    admin.fill(new_of("microsoft"), {**MICROSOFT, **changes}, button="draft")

    own = stored(portal).values.microsoft
    assert own.send_through is SendThrough.SMTP
    assert (own.server.host, own.server.port) == ("smtp.office365.com", 2525)
    assert stored(portal).values.smtp == SMTPValues()


@pytest.mark.parametrize("method", ["microsoft", "microsoft_app"])
@pytest.mark.parametrize("field", ["client_secret", "next_client_secret"])
def test_the_secret_id_in_place_of_the_secret_is_refused_and_explained(
    portal: Flask, admin: Browser, method: str, field: str
) -> None:
    answer = admin.fill(new_of(method), {"name": "Main", **MICROSOFT, field: SECRET_ID}, button="draft")

    assert answer.status_code == 422
    assert "This is the Secret ID, which only names the secret." in error_of(answer.text, field)
    assert find(portal, "Main") is None


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        ("google", {"client_id": "client ID", "client_secret": "client secret"}),
        ("microsoft", {"client_id": "client ID", "tenant_id": "tenant", "client_secret": "client secret"}),
        ("microsoft_app", {"client_id": "client ID", "tenant_id": "tenant", "mailbox": "mailbox"}),
        ("google_service_account", {"mailbox": "mailbox", "service_account_key": "JSON file"}),
    ],
)
def test_what_a_method_needs_is_said_beside_its_field(admin: Browser, method: str, missing: dict[str, str]) -> None:
    answer = admin.fill(new_of(method), {"name": "Main", "from_address": "portal@contoso.test"}, button="save")

    assert answer.status_code == 422
    for field, said in missing.items():
        assert said in error_of(answer.text, field)
    assert 'id="host-error"' not in answer.text


def test_the_exact_redirect_url_stands_in_the_form(admin: Browser) -> None:
    page = admin.get(new_of("google")).text

    assert 'value="http://localhost/oauth/google/callback"' in page
    assert 'value="http://localhost/oauth/microsoft/callback"' in page
    assert 'data-copy="redirect-url-google"' in page


def test_an_address_that_no_provider_registers_is_told_before_the_click(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["PORTAL_PUBLIC_URL"] = "http://mail.contoso.test"
    admin = Browser(request.getfixturevalue("app"))

    page = unescape(admin.get(new_of("google")).text)

    assert "Google will not accept this portal's address" in page
    assert "Microsoft will not accept this portal's address" in page
    assert "The redirect address begins with http://, which providers accept for localhost alone." in page


def test_the_form_says_which_permissions_it_will_ask_for(portal: Flask, admin: Browser) -> None:
    make(portal, application(role=Role.DRAFT), {})

    page = admin.get(page_of(portal)).text

    assert "openid email https://www.googleapis.com/auth/gmail.send" in page
    assert "openid email https://mail.google.com/" in page
    assert "https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/User.Read" in page
    assert "https://outlook.office.com/SMTP.Send" in page
    assert "New-ServicePrincipal -AppId &#39;6f1c6a1e-0000-4000-8000-123456789abc&#39;" in page


def test_a_key_pair_is_made_here_and_its_private_half_is_never_shown(portal: Flask, admin: Browser) -> None:
    made = admin.fill(new_of("microsoft_app"), {"name": "Main", **MICROSOFT}, button="make_key_pair")
    form = admin.get(made.headers["Location"])
    # The tenant is where tokens come from; a key that never travels does not care.
    answer = admin.fill(made.headers["Location"], {"tenant_id": "fabrikam.test"}, button="draft")

    assert made.status_code == 303
    assert find(portal, "Main") is not None
    assert "CN=Mail Portal localhost" in form.text
    assert 'download="mail-portal.cer"' in form.text
    assert "Stored encrypted. It is never shown again." in form.text
    assert answer.status_code == 303
    own, kept = stored(portal).values.microsoft_app, secrets_in(portal)
    assert own.credential is Credential.CERTIFICATE
    assert own.client_certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert kept["client_private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    middle = kept["client_private_key"].splitlines()[5]
    assert middle not in form.text + admin.get(page_of(portal)).text


def test_a_certificate_that_belongs_to_another_key_is_refused(portal: Flask, admin: Browser) -> None:
    first = admin.fill(new_of("microsoft_app"), {"name": "First", **MICROSOFT}, button="make_key_pair")
    admin.fill(first.headers["Location"], {"name": "First"}, button="draft")
    second = admin.fill(new_of("microsoft_app"), {"name": "Second", **MICROSOFT}, button="make_key_pair")
    other = stored(portal, "First").values.microsoft_app.client_certificate
    typed_in = {"client_certificate": other, "from_address": "portal@contoso.test"}

    answer = admin.fill(second.headers["Location"], typed_in, button="save")

    assert answer.status_code == 422
    assert "The certificate does not belong to the private key." in error_of(answer.text, "client_certificate")


def test_the_next_secret_takes_the_place_of_the_first_once_it_was_checked(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with provider_world(environ, tmp_path) as world:
        own = replace(APP, secret_id=SECRET_ID, secret_expires_on="2026-11-30")
        world.connect(Method.MICROSOFT_APP, own, secrets={"client_secret": "refused~", "next_client_secret": SECRET})
        admin = Browser(world.app)
        page = page_of(world.app)
        button = "Make the next one the client secret"
        had_button = button in admin.get(page).text

        ended = finished(admin, admin.fill(page, {"name": "Main"}, button="promote"), seconds=20)
        wait_for_checks()

        assert had_button
        assert "Main is saved" in ended
        assert secrets_in(world.app) == {"client_secret": SECRET}
        named = stored(world.app).values.microsoft_app
        assert (named.secret_id, named.secret_expires_on) == ("", "")
        assert button not in admin.get(page).text


def test_without_a_next_secret_there_is_nothing_to_put_in_its_place(portal: Flask, admin: Browser) -> None:
    make(portal, application(role=Role.DRAFT), {"client_secret": replaced("first~")})

    assert "Make the next one the client secret" not in admin.get(page_of(portal)).text


def test_switching_the_method_keeps_what_the_other_one_had(portal: Flask, admin: Browser) -> None:
    google = ProviderValues(client_id="7-a.apps.googleusercontent.com", mailbox="google@contoso.test")
    values = application(role=Role.DRAFT, google=google)
    make(portal, values, {"client_secret": replaced("app~secret")})

    answer = admin.fill(page_of(portal), {"method": "google"}, button="draft")

    assert answer.status_code == 303
    assert stored(portal).values.method is Method.GOOGLE
    assert stored(portal).values.google == google
    assert stored(portal).values.microsoft_app == values.microsoft_app
    assert stored(portal).secrets_of(Method.MICROSOFT_APP).keys() == {"client_secret"}
    assert stored(portal).secrets == {}


def test_what_is_typed_for_the_method_that_was_switched_to_is_taken(portal: Flask, admin: Browser) -> None:
    make(portal, application(role=Role.DRAFT), {})

    admin.fill(page_of(portal), {"method": "microsoft", "client_id": "typed", "secret_id": "named"}, button="draft")

    assert stored(portal).values.microsoft == ProviderValues(client_id="typed", secret_id="named")
    assert stored(portal).values.microsoft_app.client_id == CLIENT_ID


def test_sending_another_way_needs_no_secret_again(portal: Flask, admin: Browser) -> None:
    make(portal, application(), {"client_secret": replaced("app~secret")})

    admin.fill(page_of(portal), {"send_through": "smtp"}, button="draft")

    assert stored(portal).values.microsoft_app.uses_smtp
    assert secrets_in(portal) == {"client_secret": "app~secret"}


def test_a_security_that_is_not_sent_stays_where_the_host_is_the_providers_own(portal: Flask, admin: Browser) -> None:
    make(portal, application(role=Role.DRAFT), {})
    changes: dict[str, str | None] = {"send_through": "smtp", "port": "2525", "security": "implicit_tls"}
    admin.fill(page_of(portal), changes, button="draft")

    admin.fill(page_of(portal), {"security": None, "timeout_seconds": "30"}, button="draft")

    assert stored(portal).values.microsoft_app.server == SMTPValues(
        port=2525, security=Security.IMPLICIT_TLS, timeout_seconds=30
    )


def test_the_server_of_one_method_is_not_handed_to_another(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values(role=Role.DRAFT))

    changes = {"method": "microsoft", **MICROSOFT, "send_through": "smtp"}
    admin.fill(page_of(portal), changes, button="draft")

    assert stored(portal).values.microsoft.server.host == ""
    assert stored(portal).values.smtp.host == "smtp.contoso.test"


def test_a_password_still_serves_after_another_method_was_in_use(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    finished(admin, admin.fill(NEW, typed(server, role="available"), button="save"))
    admin.fill(page_of(portal), {"method": "microsoft", **MICROSOFT}, button="draft")

    answer = admin.fill(page_of(portal), {"method": "smtp", "role": "available"}, button="save")

    assert "Main is saved" in finished(admin, answer)
    assert stored(portal).values.smtp.host == server.host
    assert server.sessions[-1].commands[-1] == "DATA"


def test_the_script_is_told_what_each_method_holds_and_no_secret(portal: Flask, admin: Browser) -> None:
    make(portal, application(role=Role.DRAFT), {"client_secret": replaced("app~secret")})

    page = admin.get(page_of(portal)).text
    settings, held = (
        json.loads(unescape(re.findall(rf'data-{name}="([^"]*)"', page)[0])) for name in ("settings", "held")
    )

    assert settings["microsoft_app"]["client_id"] == CLIENT_ID
    assert settings["google"]["client_id"] == ""
    assert settings["smtp"]["verify_certificate"] is True
    assert held == {"microsoft_app": ["client_secret"]}
    assert "app~secret" not in page


def test_the_order_of_a_fallback_is_stored(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    fragment = finished(admin, admin.fill(NEW, typed(server, role="fallback", fallback_order="2"), button="save"))

    assert "Main is saved" in fragment
    assert (stored(portal).values.role, stored(portal).values.fallback_order) == (Role.FALLBACK, 2)


@pytest.mark.parametrize(
    ("days", "said", "colour"),
    [
        (41, "expires in 41 days", "status-green"),
        (30, "expires in 30 days", "status-yellow"),
        (7, "expires in 7 days", "status-red"),
        (1, "expires tomorrow", "status-red"),
        (0, "expires today", "status-red"),
        (-1, "expired", "status-red"),
    ],
)
def test_the_form_and_the_list_count_the_days_until_a_secret_ends(
    portal: Flask, admin: Browser, days: int, said: str, colour: str
) -> None:
    day = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
    own = replace(application().microsoft_app, secret_expires_on=day)
    make(portal, application(own, role=Role.DRAFT), {})

    form, listed = admin.get(page_of(portal)).text, admin.get("/connections").text

    shown = rf'{colour}"><span class="status-dot"></span>(Secret )?{said}</span>'
    assert re.search(shown, form)
    assert re.search(shown, listed)


@pytest.mark.parametrize(("host", "method"), [("smtp.office365.com", "microsoft"), ("smtp.gmail.com", "google")])
def test_passwords_at_google_and_microsoft_lead_to_what_serves_better(
    portal: Flask, admin: Browser, host: str, method: str
) -> None:
    create(portal, smtp_values(smtp=SMTPValues(host=host, username="relay@contoso.test")))

    page = admin.get(page_of(portal)).text
    [link] = re.findall(rf'href="({NEW}\?method={method}[^"]*)"', page)
    form = form_with(admin.get(unescape(link)).text, "name").values

    assert form["method"] == method
    assert (form["mailbox"], form["from_address"]) == ("relay@contoso.test", "portal@contoso.test")


def test_a_link_fills_in_no_secret_and_no_client(admin: Browser) -> None:
    page = admin.get(f"{new_of('microsoft')}&client_secret=canary&client_id=canary&tenant_id=canary&role=canary").text

    assert "canary" not in str(form_with(page, "name").values)


def test_a_refused_form_of_a_provider_comes_whole_under_htmx(admin: Browser) -> None:
    answer = admin.fill(new_of("google"), {"client_id": "with blanks"}, button="save", headers=HTMX)

    assert answer.status_code == 422
    assert "Copy the client ID as the provider shows it" in error_of(answer.text, "client_id")
