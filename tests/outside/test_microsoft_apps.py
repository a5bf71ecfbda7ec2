"""The stand-in for Microsoft, asked by msal for an app's own tokens and for a device's: who proves what, and how."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft import MicrosoftServer
from tests.outside.microsoft_application import (
    CLIENT_ID,
    MAIL_SEND,
    PORTAL,
    SECRET,
    TENANT,
    Application,
    at_contoso,
    registered,
)

GRAPH_DEFAULT = "https://graph.microsoft.com/.default"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with at_contoso(certificate) as microsoft:
        yield microsoft


@pytest.fixture
def application(microsoft: MicrosoftServer, ca_file: Path) -> Iterator[Application]:
    with closing(Application(microsoft, ca_file)) as application:
        yield application


@dataclass(frozen=True)
class KeyPair:
    private_key: str
    public_certificate: str
    thumbprint: str  # SHA-1


def key_pair(*, ends: datetime | None = None) -> KeyPair:
    """What an administrator would upload to the app's registration, and what the portal keeps."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mail Portal")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(ends or now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(
        private_key.decode(),
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        certificate.fingerprint(hashes.SHA1()).hex(),
    )


@pytest.fixture(scope="module")
def uploaded() -> KeyPair:
    return key_pair()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_an_app_gets_a_token_with_its_roles(application: Application) -> None:
    tokens = application.client().acquire_token_for_client([GRAPH_DEFAULT])

    claims = claims_of(tokens["access_token"])
    assert claims["aud"] == "https://graph.microsoft.com"
    assert claims["roles"] == ["Mail.Send"]
    assert claims["appid"] == CLIENT_ID
    assert claims["tid"] == TENANT
    assert claims["idtyp"] == "app"
    assert "scp" not in claims
    assert "refresh_token" not in tokens


def test_roles_are_those_of_the_resource(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, application=["Mail.Send", "SMTP.SendAsApp"])

    tokens = application.client().acquire_token_for_client(["https://outlook.office365.com/.default"])

    assert claims_of(tokens["access_token"])["aud"] == "https://outlook.office365.com"
    assert claims_of(tokens["access_token"])["roles"] == ["SMTP.SendAsApp"]


def test_an_app_without_permissions_gets_a_token_without_roles(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, application=[], scoped_mailboxes=[PORTAL])

    tokens = application.client().acquire_token_for_client([GRAPH_DEFAULT])

    assert "roles" not in claims_of(tokens["access_token"])


@pytest.mark.parametrize("scope", [MAIL_SEND, f"{GRAPH_DEFAULT} https://outlook.office365.com/.default"])
def test_an_app_asks_by_the_default_scope_of_one_resource(application: Application, scope: str) -> None:
    answer = application.token_request(grant_type="client_credentials", scope=scope)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"
    assert answer.json()["error_codes"] == [1002012]


@pytest.mark.parametrize(
    ("form", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000216),
        ({"client_id": "55555555-5555-4555-8555-555555555555"}, 400, "unauthorized_client", 700016),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"tenant": "nowhere.test"}, 400, "invalid_request", 90002),
        ({"tenant": "fabrikam.test"}, 400, "unauthorized_client", 700016),
        ({"tenant": "common"}, 400, "invalid_request", 9001023),
        ({"tenant": "organizations"}, 400, "invalid_request", 90019),
        ({"scope": "https://graph.microsoft.us/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_refusals_are_those_of_microsoft(
    application: Application, form: dict[str, str], status: int, error: str, number: int
) -> None:
    answer = application.token_request(**({"grant_type": "client_credentials", "scope": GRAPH_DEFAULT} | form))

    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["error_codes"] == [number]


def test_the_secrets_id_in_place_of_its_value_is_a_wrong_secret(
    microsoft: MicrosoftServer, application: Application
) -> None:
    secret_id = microsoft.add_app(TENANT, CLIENT_ID, secrets={SECRET: None}).secret_id(SECRET)

    answer = application.client(secret_id).acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error_codes"] == [7000215]
    assert "not the client secret ID" in answer["error_description"]


def test_a_secret_ends_on_its_date(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, secrets={"old": date(2026, 1, 31), SECRET: date(2100, 1, 1)})

    expired = application.client("old").acquire_token_for_client([GRAPH_DEFAULT])
    other = application.client(SECRET).acquire_token_for_client([GRAPH_DEFAULT])

    assert expired["error"] == "invalid_client"
    assert expired["error_codes"] == [7000222]
    assert f"for app '{CLIENT_ID}' are expired" in expired["error_description"]
    assert other["token_type"] == "Bearer"


def test_a_secret_may_come_by_http_basic(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, secrets={"a:b+c d": None})
    credentials = b64encode(f"{CLIENT_ID}:{quote('a:b+c d', safe='')}".encode()).decode()

    answer = application.post(
        f"{microsoft.login_url}/{TENANT}/oauth2/v2.0/token",
        data={"grant_type": "client_credentials", "scope": GRAPH_DEFAULT},
        headers={"Authorization": f"Basic {credentials}"},
    )

    assert answer.status_code == 200


def test_an_app_that_is_switched_off_gets_nothing(microsoft: MicrosoftServer, application: Application) -> None:
    app = microsoft.add_app(TENANT, CLIENT_ID, secrets={SECRET: None})
    app.is_disabled = True

    answer = application.client().acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error_codes"] == [7000112]


def test_a_native_app_must_not_send_a_secret(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, platform="native")

    tokens = application.connect()

    assert tokens["error"] == "invalid_client"
    assert tokens["error_codes"] == [700025]


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_an_app_proves_itself_by_certificate(
    microsoft: MicrosoftServer, application: Application, uploaded: KeyPair, algorithm: str
) -> None:
    registered(microsoft, secrets={}, certificates=[uploaded.public_certificate])
    named_by = {
        "PS256": {"public_certificate": uploaded.public_certificate},
        "RS256": {"thumbprint": uploaded.thumbprint},
    }[algorithm]

    tokens = application.client({"private_key": uploaded.private_key, **named_by}).acquire_token_for_client(
        [GRAPH_DEFAULT]
    )

    [asked] = [one for one in microsoft.requests if one.path.endswith("/token")]
    header = jwt.get_unverified_header(asked.form["client_assertion"])
    assert header["alg"] == algorithm
    assert ("x5t#S256" in header) == (algorithm == "PS256")
    assert claims_of(tokens["access_token"])["roles"] == ["Mail.Send"]


def test_a_certificate_that_was_not_uploaded_is_refused(application: Application, uploaded: KeyPair) -> None:
    client = application.client(
        {"private_key": uploaded.private_key, "public_certificate": uploaded.public_certificate}
    )

    answer = client.acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [700027]
    assert "[Reason - The key was not found., Thumbprint of key used by client: '" in answer["error_description"]


def test_the_key_of_another_certificate_is_refused(
    microsoft: MicrosoftServer, application: Application, uploaded: KeyPair
) -> None:
    registered(microsoft, certificates=[uploaded.public_certificate])
    stolen = {"private_key": key_pair().private_key, "public_certificate": uploaded.public_certificate}

    answer = application.client(stolen).acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error_codes"] == [700027]
    assert "verify the signature failed" in answer["error_description"]


def test_a_certificate_that_has_ended_is_refused(microsoft: MicrosoftServer, application: Application) -> None:
    ended = key_pair(ends=datetime.now(UTC) - timedelta(days=1))
    registered(microsoft, certificates=[ended.public_certificate])
    credential = {"private_key": ended.private_key, "public_certificate": ended.public_certificate}

    answer = application.client(credential).acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error_codes"] == [700027]
    assert "The key used is expired." in answer["error_description"]


def test_an_assertion_from_a_clock_that_is_slow_is_refused(
    microsoft: MicrosoftServer, application: Application, uploaded: KeyPair
) -> None:
    registered(microsoft, certificates=[uploaded.public_certificate])
    credential = {"private_key": uploaded.private_key, "public_certificate": uploaded.public_certificate}
    microsoft.pass_time(timedelta(minutes=11))

    answer = application.client(credential).acquire_token_for_client([GRAPH_DEFAULT])

    assert answer["error_codes"] == [700024]


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        ({"aud": "https://login.elsewhere.test/token"}, 700023),
        ({"sub": "somebody else"}, 700021),
        ({"nbf": time.time() + 3600}, 700024),
    ],
)
def test_an_assertion_is_for_this_endpoint_and_about_this_app(
    microsoft: MicrosoftServer, application: Application, uploaded: KeyPair, claims: dict[str, Any], number: int
) -> None:
    registered(microsoft, certificates=[uploaded.public_certificate])
    usual = {
        "aud": f"{microsoft.login_url}/{TENANT}/oauth2/v2.0/token",
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "exp": time.time() + 600,
    }
    fingerprint = x509.load_pem_x509_certificate(uploaded.public_certificate.encode()).fingerprint(hashes.SHA256())
    named = {"x5t#S256": jwt.utils.base64url_encode(fingerprint).decode()}
    assertion = jwt.encode(usual | claims, uploaded.private_key, algorithm="PS256", headers=named)

    answer = application.token_request(
        grant_type="client_credentials",
        scope=GRAPH_DEFAULT,
        client_secret="",
        client_assertion_type=JWT_BEARER,
        client_assertion=assertion,
    )

    assert answer.status_code == 401
    assert answer.json()["error_codes"] == [number]


def test_an_app_proves_itself_by_a_federated_token(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, secrets={}, federated_tokens=["eyJ.from-kubernetes.x"])

    known = application.client({"client_assertion": lambda: "eyJ.from-kubernetes.x"})
    unknown = application.client({"client_assertion": lambda: "eyJ.from-elsewhere.x"})

    assert known.acquire_token_for_client([GRAPH_DEFAULT])["token_type"] == "Bearer"
    assert unknown.acquire_token_for_client([GRAPH_DEFAULT])["error_codes"] == [70021]


def once(_: dict[str, Any]) -> bool:
    """msal polls until this is true."""
    return True


def test_a_device_gets_tokens_once_a_person_typed_its_code(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, allows_public_flows=True)
    device, person = application.device(), microsoft.person()
    flow = device.initiate_device_flow([MAIL_SEND])
    pending = device.acquire_token_by_device_flow(dict(flow), exit_condition=once)

    seen = person.open(f"{flow['verification_uri']}?otc={flow['user_code']}")
    microsoft.approve_device(flow["user_code"], PORTAL)
    tokens = device.acquire_token_by_device_flow(dict(flow), exit_condition=once)

    assert pending["error"] == "authorization_pending"
    assert pending["error_codes"] == [70016]
    assert seen.heading == "Enter code"
    assert tokens["id_token_claims"]["preferred_username"] == PORTAL
    assert claims_of(tokens["access_token"])["scp"] == "Mail.Send"
    assert application.refresh(tokens["refresh_token"], client_secret="").status_code == 200


def test_the_page_for_codes_lets_a_person_continue_or_cancel(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, allows_public_flows=True)
    device = application.device()
    flow = device.initiate_device_flow([MAIL_SEND])
    page = f"{microsoft.login_url}/devicelogin"

    unknown = application.post(page, data={"otc": "NOSUCHONE", "account": PORTAL, "answer": "accept"})
    declined = application.post(page, data={"otc": flow["user_code"], "account": PORTAL, "answer": "cancel"})

    assert unknown.status_code == 400
    assert "That code didn’t work." in unknown.text
    assert "You declined" in declined.text
    assert device.acquire_token_by_device_flow(flow, exit_condition=once)["error"] == "authorization_declined"


def test_a_device_that_asks_too_often_is_told_to_slow_down(certificate: ServerCertificate, ca_file: Path) -> None:
    with (
        at_contoso(certificate, device_interval=timedelta(seconds=30)) as microsoft,
        closing(Application(microsoft, ca_file)) as application,
    ):
        registered(microsoft, allows_public_flows=True)
        device = application.device()
        flow = device.initiate_device_flow([MAIL_SEND])
        errors = []
        for wait in (0, 29, 34, 40):
            microsoft.pass_time(timedelta(seconds=wait))
            errors.append(device.acquire_token_by_device_flow(dict(flow), exit_condition=once)["error"])

    assert flow["interval"] == 30
    assert errors == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]


def test_a_devices_code_ends_after_a_quarter_of_an_hour(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, allows_public_flows=True)
    device = application.device()
    flow = device.initiate_device_flow([MAIL_SEND])
    microsoft.pass_time(timedelta(minutes=15))

    answer = device.acquire_token_by_device_flow(flow, exit_condition=once)

    assert answer["error"] == "expired_token"
    with pytest.raises(ValueError, match="no device waits"):
        microsoft.approve_device(flow["user_code"], PORTAL)


def test_a_device_can_be_declined_without_a_browser(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, allows_public_flows=True)
    device = application.device()
    flow = device.initiate_device_flow([MAIL_SEND])
    microsoft.decline_device(flow["user_code"])

    answer = device.acquire_token_by_device_flow(flow, exit_condition=once)

    assert answer["error"] == "authorization_declined"


def test_a_devices_code_is_good_once(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, allows_public_flows=True)
    device = application.device()
    flow = device.initiate_device_flow([MAIL_SEND])
    microsoft.approve_device(flow["user_code"], PORTAL)
    device.acquire_token_by_device_flow(dict(flow), exit_condition=once)

    answer = application.token_request(
        grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=flow["device_code"], client_secret=""
    )

    assert answer.json()["error_codes"] == [54005]


def test_an_app_that_allows_no_public_flows_needs_a_secret_for_devices(application: Application) -> None:
    device = application.device()
    flow = device.initiate_device_flow([MAIL_SEND])

    answer = device.acquire_token_by_device_flow(flow, exit_condition=once)

    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [7000218]
