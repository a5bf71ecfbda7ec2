"""What a provider's sign-in says, named by the diagnosis' codes.

Microsoft numbers its errors (AADSTS) and warns that sentences change; Google names them. What neither table
knows gets no code, and the caller's general one stands.
Sources: learn.microsoft.com, "Microsoft Entra authentication and authorization error codes"; developers.google.com,
"OAuth 2.0 for web server applications"; RFC 6749 4.1.2.1 and 5.2; RFC 8628 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "microsoft.redirect_uri_mismatch": (50011,),
    "microsoft.redirect_uri_missing": (500113, 900971),
    "microsoft.registered_as_spa": (700084, 9002326, 9002327),
    "microsoft.registered_as_public": (700025,),
    "microsoft.app_not_found": (700016,),
    "microsoft.app_disabled": (7000112, 70001),
    "microsoft.tenant_not_found": (90002, 900023),
    "microsoft.tenant_needed": (50194, 9001023, 90124, 90130),
    "microsoft.wrong_cloud": (90038, 900382, 900432),
    "microsoft.secret_wrong": (7000215,),
    "microsoft.secret_expired": (7000222,),
    "microsoft.secret_missing": (7000218, 7000216),
    "microsoft.certificate_refused": (700027, 700030),
    "microsoft.federation_mismatch": (70021, 700211, 700212, 700213),
    "microsoft.clock_wrong": (700024,),
    "microsoft.consent_needed": (65001,),
    "microsoft.admin_consent_needed": (90094, 90095),
    "microsoft.consent_declined": (65004,),
    "microsoft.permission_not_registered": (650052, 650056, 650057, 65005),
    "microsoft.service_not_found": (500011,),
    "microsoft.scope_invalid": (70011, 28002, 28003, 700022),
    "microsoft.sign_in_loop": (50196,),
    "microsoft.sign_in_unavailable": (90033, 90006, 50033, 90024),
    "microsoft.grant_dead": (50173, 50132, 50133, 50089, 70000),
    "microsoft.grant_unused": (700082, 70008),
    "microsoft.sign_in_expired": (50078, 70043),
    "microsoft.mfa_needed": (50076, 50074, 50079, 50072),
    "microsoft.conditional_access": (53003, 530032, 50158),
    "microsoft.device_needed": (53000, 53001, 53002),
    "microsoft.security_defaults_refuse": (530035,),
    "microsoft.tenant_restricted": (500212, 500213, 500021),
    "microsoft.assignment_required": (50105,),
    "microsoft.foreign_account": (50020, 90072),
    "microsoft.wrong_kind_of_account": (500208,),
    "microsoft.account_not_found": (50034, 51004),
    "microsoft.account_locked": (50053,),
    "microsoft.account_disabled": (50057,),
    "microsoft.password_expired": (50055,),
    "microsoft.wrong_password": (50126,),
    "microsoft.code_refused": (54005, 70002),
    "microsoft.flow_mixed_up": (501481, 50147),
    "microsoft.tenant_mismatch": (700005,),
    "microsoft.device_code_expired": (70019, 70020),
}
_CODE_OF_NUMBER = {number: code for code, numbers in _NUMBERS.items() for number in numbers}
_AADSTS = re.compile(r"AADSTS(\d{4,8})")
# A personal account has 70000 for a dead grant and for a permission that nobody consented to; the words tell.
_SCOPES_REFUSED = re.compile(r"AADSTS70000\b.{0,80}\bscopes requested are unauthorized", re.IGNORECASE | re.DOTALL)

# Where no number is known: names that RFC 6749, RFC 8628 and Microsoft give (`error`, `suberror`). Not
# invalid_client: it comes with a number, and what stands for an unknown one is not always the secret.
_MICROSOFT_NAMES: tuple[tuple[str, str], ...] = (
    ("temporarily_unavailable", "microsoft.sign_in_unavailable"),
    ("server_error", "microsoft.sign_in_unavailable"),
    ("consent_required", "microsoft.consent_needed"),
    ("access_denied", "microsoft.consent_declined"),
    ("authorization_declined", "microsoft.consent_declined"),
    ("expired_token", "microsoft.device_code_expired"),
    ("invalid_scope", "microsoft.scope_invalid"),
    ("interaction_required", "microsoft.sign_in_expired"),
    ("login_required", "microsoft.sign_in_expired"),
    ("invalid_grant", "microsoft.grant_dead"),
)

# The first that fits; `error` is looked at first, and an empty one stands for a text that a person pasted.
_GOOGLE: tuple[tuple[str, str, str], ...] = (  # error, words of the description, code
    ("invalid_grant", r"rapt", "google.reauthentication_needed"),
    ("invalid_grant", r"invalid email or user id", "google.mailbox_unknown"),
    ("invalid_grant", r"account.{0,40}(deleted|disabled|suspended)", "google.account_gone"),
    ("invalid_grant", r"jwt signature|service account.{0,20}not found|account not found", "google.key_refused"),
    ("invalid_grant", r"short-lived token|reasonable timeframe|\biat\b|\bexp\b", "google.clock_wrong"),
    ("invalid_grant", r"auth(orization)? code|code.verifier|redirect.uri|bad request", "google.code_refused"),
    ("invalid_grant", r"", "google.grant_dead"),
    ("access_denied", r"verification process|test(ing|er| user)", "google.not_a_test_user"),
    ("access_denied", r"", "google.consent_declined"),
    ("redirect_uri_mismatch", r"", "google.redirect_uri_mismatch"),
    ("admin_policy_enforced", r"", "google.admin_policy"),
    ("org_internal", r"", "google.other_organisation"),
    ("disallowed_useragent", r"", "google.embedded_browser"),
    ("deleted_client", r"", "google.client_deleted"),
    ("invalid_client", r"", "google.client_refused"),
    ("unauthorized_client", r"", "google.delegation_missing"),
    ("invalid_scope", r"", "google.scope_invalid"),
    ("invalid_request", r"", "google.request_refused"),
    ("temporarily_unavailable", r"", "google.sign_in_unavailable"),
    ("server_error", r"", "google.sign_in_unavailable"),
    ("internal_failure", r"", "google.sign_in_unavailable"),
    ("rate_limit_exceeded", r"", "google.sign_in_unavailable"),
)
_GOOGLE_PAGES: tuple[tuple[str, str], ...] = (  # what its pages say without naming an error
    (r"has(n.t| not) completed the google verification process", "google.not_a_test_user"),
    (r"google has(n.t| not) verified this app", "google.app_unverified"),
    (r"oauth 2\.0 policy", "google.request_refused"),
)

NEEDS_CONSENT: frozenset[str] = frozenset(
    {
        *("google.grant_dead", "google.code_refused", "google.reauthentication_needed", "google.account_gone"),
        *("google.consent_declined", "google.refresh_token_missing", "google.scope_missing", "google.wrong_account"),
        *("microsoft.grant_dead", "microsoft.grant_unused", "microsoft.sign_in_expired", "microsoft.mfa_needed"),
        *("microsoft.consent_needed", "microsoft.admin_consent_needed", "microsoft.consent_declined"),
        *("microsoft.code_refused", "microsoft.flow_mixed_up", "microsoft.device_code_expired"),
        *("microsoft.registered_as_spa", "microsoft.foreign_account", "microsoft.tenant_mismatch"),
        *("microsoft.wrong_account", "microsoft.wrong_kind_of_account"),
        *("gmail.token_refused", "graph.token_refused", "graph.claims_challenge", "graph.mail_send_missing"),
    }
)
"""A person authorises again: what is stored of a consent, if anything, does not do."""

LESS_WAS_GRANTED: frozenset[str] = frozenset(
    {"google.scope_missing", "microsoft.consent_needed", "microsoft.admin_consent_needed"}
)
"""Nobody has consented to all that was asked for. Asked for less, a stored consent may do."""

BAD_SECRET: frozenset[str] = frozenset(
    {"google.client_refused", "microsoft.secret_wrong", "microsoft.secret_expired", "microsoft.certificate_refused"}
)
"""The application's own secret or certificate is refused: another one that is stored may do."""

NEEDS_SECRET: frozenset[str] = BAD_SECRET | {
    *("google.client_deleted", "google.key_refused", "microsoft.secret_missing", "microsoft.federation_mismatch"),
}
"""An administrator gives the application a new secret, key or certificate."""

PASSES_BY_ITSELF: frozenset[str] = frozenset(
    {"google.sign_in_unavailable", "microsoft.sign_in_unavailable", "microsoft.sign_in_loop"}
)
"""No grant is dead and nobody need act: try again later."""


def code_of_aadsts(numbers: Iterable[int], text: str) -> str | None:
    """The code for Microsoft's error numbers, else for the numbers or names in the text; None for unknown ones.

    `text` is what came with them, such as "invalid_grant AADSTS700082: The refresh token has expired …".
    """
    if _SCOPES_REFUSED.search(text):
        return "microsoft.consent_needed"
    in_text = (int(number) for number in _AADSTS.findall(text))
    for number in (*numbers, *in_text):
        if number in _CODE_OF_NUMBER:
            return _CODE_OF_NUMBER[number]
    return next((code for name, code in _MICROSOFT_NAMES if re.search(rf"\b{name}\b", text)), None)


def code_of_google(error: str, description: str, subtype: str, *, is_renewal: bool = False) -> str | None:
    """The code for Google's `error`, `error_description` and `error_subtype`; None for unknown ones.

    With an empty `error` the description is what a person saw on one of Google's pages. `is_renewal`: a refresh token
    was handed in, so that what was refused is the grant, in whatever words ("Bad Request").
    """
    said = f"{description} {subtype}".lower()
    if not error:
        of_page = next((code for words, code in _GOOGLE_PAGES if re.search(words, said)), None)
        if of_page:
            return of_page
    for name, words, code in _GOOGLE:
        is_named = error == name if error else re.search(rf"\b{name}\b", said) is not None
        if is_named and re.search(words, said) and not (is_renewal and code == "google.code_refused"):
            return code
    return None
