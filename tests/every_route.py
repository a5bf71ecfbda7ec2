"""Every address of the portal, and what comes of it for a stranger, a user, the helpdesk and an administrator.

An address that is not written here fails the build. A number is the status of the answer; a text is where a 303
leads, without its query.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.connections.values import Method
from tests.admin_browser import csrf_token
from tests.connections.consenting import form_fields
from tests.furnished import BUILT_IN, IDENTITIES, PASSWORD, Furnishing

SIGN_IN = "/sign-in"
CHECK, CONNECTION, TEST = "/connection-checks/*", "/connections/*", "/test-messages/*"
CONSENT, GOOGLE = "/consents-under-way/*", "/o/oauth2/v2/auth"
ADMIN_CONSENT = "/contoso.test/v2.0/adminconsent"
Outcome = int | str

# fmt: off
OUTCOMES: dict[str, tuple[Outcome, Outcome, Outcome, Outcome]] = {
    # method, address                                      stranger    user        helpdesk    administrator
    "GET /":                                              (SIGN_IN,    200,        200,        200),
    "GET /captured-mail":                                 (SIGN_IN,    403,        403,        200),
    "GET /captured-mail/<uuid:message_id>":               (SIGN_IN,    403,        403,        200),
    "GET /captured-mail/<uuid:message_id>/html":          (SIGN_IN,    403,        403,        200),
    "GET /confirm-password":                              (SIGN_IN,    200,        200,        200),
    "POST /confirm-password":                             (SIGN_IN,    "/",        "/",        "/"),
    "GET /connection-checks/<uuid:check_id>":             (SIGN_IN,    403,        403,        200),
    "POST /connection-checks/<uuid:check_id>/cancellation": (SIGN_IN,  403,        403,        CHECK),
    "POST /connection-checks/<uuid:check_id>/repetition": (SIGN_IN,    403,        403,        CHECK),
    "POST /connection-checks/<uuid:check_id>/saving":     (SIGN_IN,    403,        403,        CONNECTION),
    "GET /connections":                                   (SIGN_IN,    403,        403,        200),
    "GET /connections/<uuid:connection_id>":              (SIGN_IN,    403,        403,        200),
    "POST /connections/<uuid:connection_id>":             (SIGN_IN,    403,        403,        CHECK),
    "POST /connections/<uuid:connection_id>/checks":      (SIGN_IN,    403,        403,        CHECK),
    "GET /connections/<uuid:connection_id>/deletion":     (SIGN_IN,    403,        403,        200),
    "POST /connections/<uuid:connection_id>/deletion":    (SIGN_IN,    403,        403,        "/connections"),
    "POST /connections/<uuid:connection_id>/authorizations": (SIGN_IN, 403,     403,        GOOGLE),
    "POST /connections/<uuid:connection_id>/disconnection": (SIGN_IN,  403,     403,        CONNECTION),
    "POST /connections/<uuid:connection_id>/device-codes": (SIGN_IN,   403,        403,        CONNECTION),
    "GET /device-codes/<uuid:flow_id>":                   (SIGN_IN,    403,        403,        200),
    "POST /device-codes/<uuid:flow_id>/polls":            (SIGN_IN,    403,        403,        "/device-codes/*"),
    "GET /connections/<uuid:connection_id>/admin-consent": (SIGN_IN,   403,        403,        200),
    "POST /connections/<uuid:connection_id>/admin-consent": (SIGN_IN,  403,        403,        ADMIN_CONSENT),
    "GET /admin-consents/<uuid:flow_id>":                 (SIGN_IN,    403,        403,        200),
    "GET /connections/<uuid:connection_id>/consent-invitations": (SIGN_IN, 403,    403,        200),
    "POST /connections/<uuid:connection_id>/consent-invitations": (SIGN_IN, 403,   403,        200),
    "POST /connections/<uuid:connection_id>/consent-invitations/revocation": (SIGN_IN, 403, 403, CONNECTION),
    "GET /consents/<token>":                              (200,        200,        200,        200),
    "POST /consents/<token>":                             (GOOGLE,     GOOGLE,     GOOGLE,     GOOGLE),
    "GET /consents/outcomes/<uuid:flow_id>":              (404,        404,        404,        404),
    "GET /connections/consents/latest":                   (SIGN_IN,    403,        403,        200),
    "POST /connections/new/authorizations":               (SIGN_IN,    403,        403,        GOOGLE),
    "GET /consents-under-way/<uuid:flow_id>":             (SIGN_IN,    403,        403,        200),
    "POST /consents-under-way/<uuid:flow_id>/acceptance": (SIGN_IN,    403,        403,        CONSENT),
    "POST /consents-under-way/<uuid:flow_id>/error":      (SIGN_IN,    403,        403,        CONSENT),
    "POST /consents-under-way/<uuid:flow_id>/repetition": (SIGN_IN,    403,        403,        GOOGLE),
    "GET /oauth/google/callback":                         (SIGN_IN,    403,        403,        400),
    "GET /oauth/microsoft/callback":                      (SIGN_IN,    403,        403,        400),
    "GET /connections/new":                               (SIGN_IN,    403,        403,        200),
    "POST /connections/new":                              (SIGN_IN,    403,        403,        CHECK),
    "GET /connections/suggestion":                        (SIGN_IN,    403,        403,        200),
    "GET /email-settings":                                (SIGN_IN,    403,        403,        200),
    "POST /email-settings":                               (SIGN_IN,    403,        403,        "/email-settings"),
    "GET /forgot-password":                               (200,        200,        200,        200),
    "POST /forgot-password":                              ("/forgot-password",) * 4,
    "GET /healthz":                                       (200,        200,        200,        200),
    "GET /profile":                                       (SIGN_IN,    200,        200,        200),
    "POST /profile":                                      (SIGN_IN,    "/profile", "/profile", "/profile"),
    "POST /profile/password":                             (SIGN_IN,    "/profile", "/profile", "/profile"),
    "GET /readyz":                                        (200,        200,        200,        200),
    "GET /reset-password/<token>":                        (200,        200,        200,        200),
    "POST /reset-password/<token>":                       (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /setup":                                         (404,        404,        404,        404),
    "POST /setup":                                        (404,        404,        404,        404),
    "GET /sign-in":                                       (200,        200,        200,        200),
    "POST /sign-in":                                      ("/",        "/",        "/",        "/"),
    "POST /sign-out":                                     (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /static/<path:filename>":                        (200,        200,        200,        200),
    "GET /test-messages/<uuid:message_id>":               (SIGN_IN,    403,        200,        200),
    "GET /test-messages/new":                             (SIGN_IN,    403,        200,        200),
    "POST /test-messages/new":                            (SIGN_IN,    403,        TEST,       TEST),
    "POST /theme":                                        ("/",        "/",        "/",        "/"),
}
# fmt: on
READING = [route for route in OUTCOMES if route.startswith("GET ")]
CHANGING = [route for route in OUTCOMES if not route.startswith("GET ")]
NO_PAGES = {"/healthz", "/readyz", "/static/<path:filename>", "/captured-mail/<uuid:message_id>/html"}


# Of which connection an address that ends so is asked for, where it is not the usual one.
_CONNECTION_OF = {
    "authorizations": "google",
    "disconnection": "consented",
    "admin-consent": "application",
    "consent-invitations": "google",
    "revocation": "google",
}
# Of which flow, and by which token, an address that begins so is asked for.
_FLOW_OF = {"/admin-consents": "admin_flow", "/device-codes": "device_flow"}
_TOKEN_OF = {"/consents": "consent_token"}


def method_of(route: str) -> str:
    return route.split(" ", maxsplit=1)[0]


def path_of(route: str) -> str:
    return route.split(" ")[1]


def outcome(route: str, identity: str) -> Outcome:
    """What the matrix says."""
    return OUTCOMES[route][IDENTITIES.index(identity)]


def outcome_of(answer: TestResponse) -> Outcome:
    """What came of a request, in the words of the matrix."""
    if answer.status_code != 303:
        return answer.status_code
    return urlsplit(answer.headers["Location"]).path


def token_of(client: FlaskClient) -> str:
    """The token that this browser's forms carry."""
    return csrf_token(client.get("/forgot-password").text)


def address(route: str, things: Furnishing) -> str:
    """The address of a thing that is there, without the method."""
    rule = path_of(route)
    first_part = rule[: rule.find("/", 1)]
    ids = {
        "connection_id": things.ids[_CONNECTION_OF.get(rule.rpartition("/")[2], "connection")],
        "flow_id": things.ids[_FLOW_OF.get(first_part, "flow" if rule.endswith("/error") else "consent")],
        "check_id": things.ids["waiting_check" if rule.endswith("/cancellation") else "check"],
        "message_id": things.ids["message"],
        "token": things.ids[_TOKEN_OF.get(first_part, "token")],
        "filename": "portal.css",
    }
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda part: ids[part[1]], rule)


def missing_address(route: str) -> str:
    """The address of a thing that never was."""
    return re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path_of(route))


def form(route: str, things: Furnishing) -> dict[str, str]:
    """What a browser would send, without the token: a form that is filled in well."""
    connection = {
        "method": "smtp",
        "role": "available",
        "host": "127.0.0.2",
        "port": "25",
        "security": "none",
        "verify_certificate": "y",
        "auth": "password",
        "username": "relay",
        "password": BUILT_IN,
        "password_action": "replace",
        "timeout_seconds": "5",
        "from_address": "portal@contoso.test",
        "version": "1",
        "action": "check",
    }
    new_password = {"password": "a lighthouse sings to nobody"}
    return {
        "POST /confirm-password": {"password": PASSWORD},
        "POST /connection-checks/<uuid:check_id>/saving": {"action": "save"},
        "POST /connections/<uuid:connection_id>": {"name": "Main", **connection},
        "POST /connections/new": {"name": "New", **connection},
        "POST /connections/new/authorizations": form_fields(Method.GOOGLE, name="Other"),
        "POST /consents-under-way/<uuid:flow_id>/acceptance": {"action": "account"},
        "POST /consents-under-way/<uuid:flow_id>/error": {"seen_error": "Error 400: redirect_uri_mismatch"},
        "POST /email-settings": {"enabled": "y", "from_address": "it@contoso.test", "format": "text", "version": "0"},
        "POST /forgot-password": {"identifier": things.emails["admin"]},
        "POST /profile": {"name": "Countess"},
        "POST /profile/password": {"current_password": PASSWORD, **new_password},
        "POST /reset-password/<token>": new_password,
        "POST /setup": {"email": "eve@contoso.test", "token": things.ids["token"], **new_password},
        "POST /sign-in": {"email": things.emails["helpdesk"], "password": PASSWORD},
        "POST /test-messages/new": {"to": "grace@contoso.test", "connection": things.ids["default"]},
        "POST /theme": {"theme": "dark"},
    }.get(route, {})
