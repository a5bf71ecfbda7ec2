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
FACTORS, NEW_APP = "/profile/second-factor", "/profile/second-factor/app"
USER = "/users/*"
SERVER = "/servers/*"
AGAIN = "/confirm-password"
Outcome = int | str

# fmt: off
OUTCOMES: dict[str, tuple[Outcome, Outcome, Outcome, Outcome]] = {
    # method, address                                      stranger    user        helpdesk    administrator
    "GET /":                                              (SIGN_IN,    200,        200,        200),
    "GET /api/docs":                                      (200,        200,        200,        200),
    "GET /api/openapi.json":                              (200,        200,        200,        200),
    "POST /api/v1/batches":                               (401,        401,        401,        401),
    "GET /api/v1/messages":                               (401,        401,        401,        401),
    "POST /api/v1/messages":                              (401,        401,        401,        401),
    "GET /api/v1/messages/<uuid:message_id>":             (401,        401,        401,        401),
    "POST /api/v1/messages/<uuid:message_id>/cancellation": (401,      401,        401,        401),
    "POST /api/v1/messages/<uuid:message_id>/retries":    (401,        401,        401,        401),
    "GET /api/v1/settings":                               (401,        401,        401,        401),
    "PUT /api/v1/settings":                               (401,        401,        401,        401),
    "GET /audit-log":                                     (SIGN_IN,    403,        403,        200),
    "POST /audit-log.csv":                                (SIGN_IN,    403,        403,        200),
    "POST /audit-log.json":                               (SIGN_IN,    403,        403,        200),
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
    "POST /connections/new/device-codes":                 (SIGN_IN,    403,        403,        422),
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
    "GET /profile/addresses/new":                         (SIGN_IN,    200,        200,        200),
    "POST /profile/addresses/new":                        (SIGN_IN,    "/profile", "/profile", "/profile"),
    "POST /profile/addresses/<uuid:address_id>/validation": (SIGN_IN,  404,        404,        "/profile"),
    "POST /profile/addresses/<uuid:address_id>/primary":  (SIGN_IN,    404,        404,        "/profile"),
    "POST /profile/addresses/<uuid:address_id>/removal":  (SIGN_IN,    404,        404,        "/profile"),
    "POST /profile/sessions/endings":                     (SIGN_IN,    "/profile", "/profile", "/profile"),
    "POST /profile/sessions/<uuid:session_id>/ending":    (SIGN_IN,    404,        404,        "/profile"),
    "GET /account-validations/<token>":                   (200,        403,        403,        200),
    "POST /account-validations/<token>":                  (SIGN_IN,    403,        403,        "/profile"),
    "GET /readyz":                                        (200,        200,        200,        200),
    "GET /profile/security-questions":                     (SIGN_IN,    200,        200,        200),
    "POST /profile/security-questions":                    (SIGN_IN,    "/profile", "/profile", "/profile"),
    "GET /recovery-settings":                              (SIGN_IN,    403,        403,        200),
    "POST /recovery-settings":                             (SIGN_IN,    403,        403,        "/recovery-settings"),
    "GET /reset-password":                                 (200,        200,        200,        200),
    "POST /reset-password":                                (422,        422,        422,        422),
    "GET /reset-password/<token>":                        (200,        200,        200,        200),
    "POST /reset-password/<token>":                       (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /servers":                                       (SIGN_IN,    403,        403,        200),
    "GET /servers/new":                                   (SIGN_IN,    403,        403,        200),
    "POST /servers/new":                                  (SIGN_IN,    403,        403,        SERVER),
    "GET /servers/<uuid:server_id>":                      (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>":                     (SIGN_IN,    403,        403,        SERVER),
    "GET /servers/<uuid:server_id>/settings":             (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/inheritance":         (SIGN_IN,    403,        403,        SERVER),
    "POST /servers/<uuid:server_id>/switch":              (SIGN_IN,    403,        403,        SERVER),
    "GET /servers/<uuid:server_id>/deletion":             (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/deletion":            (SIGN_IN,    403,        403,        "/servers"),
    "GET /servers/<uuid:server_id>/sheet":                (SIGN_IN,    403,        403,        200),
    "GET /servers/<uuid:server_id>/keys/new":             (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/keys":                (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/keys/<uuid:key_id>/replacement": (SIGN_IN, 403, 403,       200),
    "POST /servers/<uuid:server_id>/keys/<uuid:key_id>/revocation": (SIGN_IN, 403, 403,        SERVER),
    "POST /servers/<uuid:server_id>/log-ins":             (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/log-ins/<uuid:login_id>/password": (SIGN_IN, 403, 403,     200),
    "POST /servers/<uuid:server_id>/log-ins/<uuid:login_id>/removal": (SIGN_IN, 403, 403,      SERVER),
    "GET /servers/<uuid:server_id>/webhooks/new":         (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/webhooks":            (SIGN_IN,    403,        403,        200),
    "POST /servers/<uuid:server_id>/webhooks/<uuid:webhook_id>/enabling": (SIGN_IN, 403, 403,  SERVER),
    "POST /servers/<uuid:server_id>/webhooks/<uuid:webhook_id>/removal": (SIGN_IN, 403, 403,   SERVER),
    "GET /servers/routing":                               (SIGN_IN,    403,        403,        200),
    "POST /servers/routing":                              (SIGN_IN,    403,        403,        "/servers/routing"),
    "POST /servers/routing/<int:rule_id>/removal":        (SIGN_IN,    403,        403,        "/servers/routing"),
    "POST /servers/routing/<int:rule_id>/moves":          (SIGN_IN,    403,        403,        "/servers/routing"),
    "GET /servers/senders":                               (SIGN_IN,    403,        403,        200),
    "POST /servers/senders":                              (SIGN_IN,    403,        403,        "/servers/senders"),
    "POST /servers/senders/removal":                      (SIGN_IN,    403,        403,        "/servers/senders"),
    "GET /settings-import":                              (SIGN_IN,    403,        403,        200),
    "POST /settings-import":                             (SIGN_IN,    403,        403,        "/settings-import/*"),
    "GET /settings-import/<uuid:import_id>":             (SIGN_IN,    403,        403,        200),
    "POST /settings-import/<uuid:import_id>":            (SIGN_IN,    403,        403,        "/connections"),
    "GET /setup":                                         (404,        404,        404,        404),
    "POST /setup":                                        (404,        404,        404,        404),
    "GET /sign-in":                                       (200,        200,        200,        200),
    "POST /sign-in":                                      ("/",        "/",        "/",        "/"),
    "POST /sign-out":                                     (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /static/<path:filename>":                        (200,        200,        200,        200),
    "GET /test-messages/<uuid:message_id>":               (SIGN_IN,    403,        200,        200),
    "GET /test-messages/new":                             (SIGN_IN,    403,        200,        200),
    "POST /test-messages/new":                            (SIGN_IN,    403,        TEST,       TEST),
    "GET /profile/second-factor":                         (SIGN_IN,    200,        200,        200),
    "GET /profile/second-factor/app":                     (SIGN_IN,    200,        FACTORS,    FACTORS),
    "POST /profile/second-factor/app":                    (SIGN_IN,    422,        FACTORS,    FACTORS),
    "POST /profile/second-factor/app/secret":             (SIGN_IN,    NEW_APP,    NEW_APP,    FACTORS),
    "GET /profile/second-factor/app/removal":             (SIGN_IN,    404,        404,        200),
    "POST /profile/second-factor/app/removal":            (SIGN_IN,    404,        404,        FACTORS),
    "POST /profile/second-factor/passkeys":               (SIGN_IN,    422,        422,        422),
    "POST /profile/second-factor/passkeys/options":       (SIGN_IN,    200,        200,        200),
    "GET /profile/second-factor/passkeys/<uuid:passkey_id>/removal": (SIGN_IN, 404, 404,       200),
    "POST /profile/second-factor/passkeys/<uuid:passkey_id>/removal": (SIGN_IN, 404, 404,      FACTORS),
    "POST /profile/second-factor/recovery-codes":         (SIGN_IN,    FACTORS,    FACTORS,    200),
    "POST /confirm-password/app-code":                    (SIGN_IN,    422,        422,        422),
    "POST /confirm-password/passkey":                     (SIGN_IN,    422,        422,        422),
    "POST /confirm-password/passkey/options":             (SIGN_IN,    200,        200,        200),
    "POST /sign-in/passkey":                              (422,        422,        422,        422),
    "POST /sign-in/passkey/options":                      (200,        200,        200,        200),
    "GET /sign-in/oidc":                                  (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "POST /sign-in/oidc":                                 (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /sign-in/oidc/callback":                         (400,        400,        400,        400),
    "POST /profile/provider":                             (SIGN_IN,    "/profile", "/profile", "/profile"),
    "POST /profile/provider/removal":                     (SIGN_IN,    "/profile", "/profile", "/profile"),
    "POST /confirm-password/provider":                    (SIGN_IN,    AGAIN,      AGAIN,      AGAIN),
    "GET /sign-in/second-factor":                         (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "POST /sign-in/second-factor":                        (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "POST /sign-in/second-factor/passkey":                (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "POST /sign-in/second-factor/passkey/options":        (404,        404,        404,        404),
    "GET /sign-in-settings":                              (SIGN_IN,    403,        403,        200),
    "POST /sign-in-settings":                             (SIGN_IN,    403,        403,        "/sign-in-settings"),
    "POST /theme":                                        ("/",        "/",        "/",        "/"),
    "GET /installation":                                  (SIGN_IN,    403,        403,        200),
    "POST /installation/release":                         (SIGN_IN,    403,        403,        "/installation"),
    "POST /installation/redirection":                     (SIGN_IN,    403,        403,        "/installation"),
    "GET /invitations/<token>":                           (200,        200,        200,        200),
    "POST /invitations/<token>":                          (SIGN_IN,    SIGN_IN,    SIGN_IN,    SIGN_IN),
    "GET /users":                                         (SIGN_IN,    403,        200,        200),
    "GET /users/new":                                     (SIGN_IN,    403,        403,        200),
    "POST /users/new":                                    (SIGN_IN,    403,        403,        USER),
    "GET /users/<uuid:user_id>":                          (SIGN_IN,    403,        200,        200),
    "POST /users/<uuid:user_id>":                         (SIGN_IN,    403,        403,        USER),
    "GET /users/<uuid:user_id>/address":                  (SIGN_IN,    403,        403,        200),
    "POST /users/<uuid:user_id>/address":                 (SIGN_IN,    403,        403,        USER),
    "GET /users/<uuid:user_id>/deletion":                 (SIGN_IN,    403,        403,        200),
    "POST /users/<uuid:user_id>/deletion":                (SIGN_IN,    403,        403,        "/users"),
    "POST /users/<uuid:user_id>/disabling":               (SIGN_IN,    403,        403,        USER),
    "POST /users/<uuid:user_id>/enabling":                (SIGN_IN,    403,        403,        USER),
    "POST /users/<uuid:user_id>/invitations":             (SIGN_IN,    403,        403,        USER),
    "POST /users/<uuid:user_id>/password-reset":          (SIGN_IN,    403,        USER,       USER),
    "POST /users/<uuid:user_id>/forced-reset":            (SIGN_IN,    403,        403,        USER),
    "POST /users/<uuid:user_id>/unlocking":               (SIGN_IN,    403,        USER,       USER),
    "POST /users/<uuid:user_id>/sign-outs":               (SIGN_IN,    403,        USER,       USER),
    "POST /users/<uuid:user_id>/second-factor-removal":   (SIGN_IN,    403,        403,        USER),
    "POST /users/<uuid:user_id>/security-questions-removal": (SIGN_IN, 403,        403,        USER),
    "POST /users/<uuid:user_id>/provider-link-removal":      (SIGN_IN, 403,        403,        USER),
    "GET /users/import":                                  (SIGN_IN,    403,        403,        200),
    "POST /users/import":                                 (SIGN_IN,    403,        403,        "/users/import/*"),
    "GET /users/import/<uuid:run_id>":                    (SIGN_IN,    403,        403,        200),
    "POST /users/import/<uuid:run_id>/confirmation":      (SIGN_IN,    403,        403,        "/users/import/*"),
    "GET /users/import/<uuid:run_id>/report":             (SIGN_IN,    403,        403,        200),
}
# fmt: on
READING = [route for route in OUTCOMES if route.startswith("GET ")]
BY_KEY = [route for route in OUTCOMES if " /api/v1/" in route]  # of programs; who may what there: tests/api
CHANGING = [route for route in OUTCOMES if not route.startswith("GET ") and route not in BY_KEY]
NO_PAGES = {"/healthz", "/readyz", "/static/<path:filename>", "/captured-mail/<uuid:message_id>/html"}
NO_PAGES |= {"/api/openapi.json"}
NO_PAGES |= {"/users/import/<uuid:run_id>/report"}


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
_TOKEN_OF = {
    "/consents": "consent_token",
    "/invitations": "invitation_token",
    "/account-validations": "validation_token",
}
_PERSON_OF = {"invitations": "invited", "enabling": "disabled"}  # of whom, by the end of the address


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
        "address_id": things.ids["waiting_address" if rule.endswith("/validation") else "address"],
        "session_id": things.ids["session"],
        "passkey_id": things.ids["passkey"],
        "user_id": things.ids[_PERSON_OF.get(rule.rpartition("/")[2], "person")],
        "run_id": things.ids["draft_list"],
        "server_id": things.ids["server"],
        "key_id": things.ids["key"],
        "login_id": things.ids["login"],
        "rule_id": things.ids["rule"],
        "webhook_id": things.ids["webhook"],
        "import_id": things.ids["import"],
        "filename": "portal.css",
    }
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda part: ids[part[1]], rule)


def missing_address(route: str) -> str:
    """The address of a thing that never was."""
    path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path_of(route))
    return re.sub(r"<int:\w+>", "0", path)


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
        "POST /installation/redirection": {"redirect_to": "tests@contoso.test"},
        "POST /profile": {"name": "Countess"},
        "POST /profile/addresses/new": {"address": "countess@people.test"},
        "POST /users/<uuid:user_id>/address": {"email": "eve@people.test"},
        "POST /profile/password": {"current_password": PASSWORD, **new_password},
        "POST /profile/second-factor/app": {"code": "12345"},
        "POST /profile/second-factor/passkeys": {"name": "Phone", "credential": "{}"},
        "POST /profile/security-questions": {
            "question_1": "Which meal did you learn to cook first?",
            "answer_1": "pancakes",
            "current_password": PASSWORD,
        },
        "POST /recovery-settings": {
            "by_address": "y",
            "means": "both",
            "attempts": "7",
            "questions": "1",
            "shortest": "14",
            "kept_passwords": "3",
            "version": "1",
        },
        "POST /reset-password": {"identifier": things.emails["admin"], "code": "12345678", **new_password},
        "POST /reset-password/<token>": new_password,
        "POST /servers/new": {"name": "Printer", "enabled": "y"},
        "POST /servers/<uuid:server_id>": {"name": "Wiki", "enabled": "y", "version": "1"},
        "POST /servers/<uuid:server_id>/inheritance": {"field": "from_address"},
        "POST /servers/<uuid:server_id>/webhooks": {"url": "https://wiki.contoso.test/mail"},
        "POST /servers/routing": {"sender": "@contoso.test", "connection": things.ids["connection"]},
        "POST /servers/routing/<int:rule_id>/moves": {"direction": "down"},
        "POST /servers/senders": {"connection": things.ids["connection"], "sender": "eve@contoso.test"},
        "POST /servers/senders/removal": {"connection": things.ids["connection"], "sender": "@contoso.test"},
        "POST /settings-import": {"source_text": "MAIL_HOST=smtp.contoso.test"},
        "POST /setup": {"email": "eve@contoso.test", "token": things.ids["token"], **new_password},
        "POST /sign-in": {"email": things.emails["helpdesk"], "password": PASSWORD},
        "POST /sign-in-settings": {"requires_second_factor": "y"},
        "POST /test-messages/new": {"to": "grace@contoso.test", "connection": things.ids["default"]},
        "POST /theme": {"theme": "dark"},
        "POST /invitations/<token>": new_password,
        "POST /users/new": {"email": "eve@people.test", "role": "user", "language": "en"},
        "POST /users/<uuid:user_id>": {"name": "Somebody", "role": "user", "language": "en"},
        "POST /users/import": {"list_text": "eve@people.test", "role": "user", "language": "en"},
    }.get(route, {})
