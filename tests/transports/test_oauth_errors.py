"""What providers say at sign-in becomes one of the diagnosis' codes, or none."""

from __future__ import annotations

import pytest

from portal.transports import Step, oauth_errors
from portal.transports.diagnosis import all_codes, api_target, diagnose
from portal.transports.oauth_errors import (
    BAD_SECRET,
    NEEDS_CONSENT,
    NEEDS_SECRET,
    PASSES_BY_ITSELF,
    code_of_aadsts,
    code_of_google,
)
from tests.outside.microsoft_errors import SignInRefused

SETS = {"NEEDS_CONSENT": NEEDS_CONSENT, "NEEDS_SECRET": NEEDS_SECRET, "PASSES_BY_ITSELF": PASSES_BY_ITSELF}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (50011, "microsoft.redirect_uri_mismatch"),
        (500113, "microsoft.redirect_uri_missing"),
        (700016, "microsoft.app_not_found"),
        (7000112, "microsoft.app_disabled"),
        (90002, "microsoft.tenant_not_found"),
        (900023, "microsoft.tenant_not_found"),
        (50194, "microsoft.tenant_needed"),
        (7000215, "microsoft.secret_wrong"),
        (7000222, "microsoft.secret_expired"),
        (7000218, "microsoft.secret_missing"),
        (700025, "microsoft.registered_as_public"),
        (700027, "microsoft.certificate_refused"),
        (700024, "microsoft.clock_wrong"),
        (50020, "microsoft.foreign_account"),
        (50034, "microsoft.account_not_found"),
        (50105, "microsoft.assignment_required"),
        (50076, "microsoft.mfa_needed"),
        (70043, "microsoft.sign_in_expired"),
        (53003, "microsoft.conditional_access"),
        (50158, "microsoft.conditional_access"),
        (53000, "microsoft.device_needed"),
        (530035, "microsoft.security_defaults_refuse"),
        (50053, "microsoft.account_locked"),
        (65001, "microsoft.consent_needed"),
        (65004, "microsoft.consent_declined"),
        (90094, "microsoft.admin_consent_needed"),
        (650057, "microsoft.permission_not_registered"),
        (500011, "microsoft.service_not_found"),
        (700022, "microsoft.scope_invalid"),
        (700082, "microsoft.grant_unused"),
        (700084, "microsoft.registered_as_spa"),
        (9002327, "microsoft.registered_as_spa"),
        (50173, "microsoft.grant_dead"),
        (54005, "microsoft.code_refused"),
        (501481, "microsoft.flow_mixed_up"),
        (700005, "microsoft.tenant_mismatch"),
        (90038, "microsoft.wrong_cloud"),
        (50196, "microsoft.sign_in_loop"),
        (90033, "microsoft.sign_in_unavailable"),
        (500208, "microsoft.wrong_kind_of_account"),
        (500212, "microsoft.tenant_restricted"),
    ],
)
def test_a_number_is_known_alone_and_in_the_text(number: int, code: str) -> None:
    text = f"AADSTS{number}: Something went wrong.\r\nTrace ID: 12345678-0000\r\nTimestamp: 2026-11-21 10:00:00Z"

    assert code_of_aadsts([number], "") == code
    assert code_of_aadsts([], text) == code
    assert code_of_aadsts([123456], f"invalid_grant {text}") == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("temporarily_unavailable", "microsoft.sign_in_unavailable"),
        ("access_denied The user denied the request", "microsoft.consent_declined"),
        ("invalid_grant AADSTS7999999: Something new", "microsoft.grant_dead"),
        ("interaction_required AADSTS7999999: Something new", "microsoft.sign_in_expired"),
        ("invalid_client AADSTS7999999: Something new", None),
        ("the_access_denied_thing", None),
        ("AADSTS: nothing", None),
        ("", None),
    ],
)
def test_where_no_number_is_known_the_error_is(text: str, code: str | None) -> None:
    assert code_of_aadsts([], text) == code


def test_a_personal_account_that_was_asked_for_more_is_told_from_a_dead_grant_by_the_words() -> None:
    text = (
        "invalid_grant AADSTS70000: The request was denied because one or more scopes requested are unauthorized or "
        "expired. The user must first sign in and grant the client application access to the requested scope."
    )

    assert code_of_aadsts([70000], text) == "microsoft.consent_needed"
    assert code_of_aadsts([70000], "invalid_grant AADSTS70000: Provided grant is malformed.") == "microsoft.grant_dead"


@pytest.mark.parametrize("description", ["Bad Request", "Malformed auth code.", "Token has been expired or revoked."])
def test_what_google_refuses_on_renewal_is_the_grant(description: str) -> None:
    assert code_of_google("invalid_grant", description, "", is_renewal=True) == "google.grant_dead"
    assert code_of_google("invalid_grant", "Account has been deleted", "", is_renewal=True) == "google.account_gone"


def test_what_the_stand_in_says_is_known() -> None:
    refused = SignInRefused(7000215)

    assert code_of_aadsts([refused.number], refused.text) == "microsoft.secret_wrong"


@pytest.mark.parametrize(
    ("error", "description", "subtype", "code"),
    [
        ("invalid_grant", "Token has been expired or revoked.", "", "google.grant_dead"),
        ("invalid_grant", "", "", "google.grant_dead"),
        ("invalid_grant", "reauth related error (invalid_rapt)", "invalid_rapt", "google.reauthentication_needed"),
        ("invalid_grant", "Bad Request", "", "google.code_refused"),
        ("invalid_grant", "Malformed auth code.", "", "google.code_refused"),
        ("invalid_grant", "Account has been deleted", "", "google.account_gone"),
        ("invalid_grant", "Invalid email or User ID", "", "google.mailbox_unknown"),
        ("invalid_grant", "Invalid JWT Signature.", "", "google.key_refused"),
        ("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)", "", "google.clock_wrong"),
        ("access_denied", "", "", "google.consent_declined"),
        ("redirect_uri_mismatch", "Bad Request", "", "google.redirect_uri_mismatch"),
        ("admin_policy_enforced", "", "", "google.admin_policy"),
        ("org_internal", "", "", "google.other_organisation"),
        ("disallowed_useragent", "", "", "google.embedded_browser"),
        ("deleted_client", "The OAuth client was deleted.", "", "google.client_deleted"),
        ("invalid_client", "The OAuth client was not found.", "", "google.client_refused"),
        ("invalid_client", "Unauthorized", "", "google.client_refused"),
        ("unauthorized_client", "Client is unauthorized to retrieve access tokens", "", "google.delegation_missing"),
        ("invalid_scope", "", "", "google.scope_invalid"),
        ("internal_failure", "", "", "google.sign_in_unavailable"),
        ("something_new", "", "", None),
        ("", "Error 400: redirect_uri_mismatch", "", "google.redirect_uri_mismatch"),
        (
            "",
            "Error 403: access_denied. It hasn't completed the Google verification process",
            "",
            "google.not_a_test_user",
        ),
        (
            "",
            "portal.test has not completed the Google verification process. Error 403: access_denied",
            "",
            "google.not_a_test_user",
        ),
        ("", "Google hasn’t verified this app", "", "google.app_unverified"),
        ("", "Error 403: org_internal", "", "google.other_organisation"),
        ("", "You can't sign in: it doesn't comply with Google's OAuth 2.0 policy", "", "google.request_refused"),
        ("", "I saw a blue page", "", None),
    ],
)
def test_googles_errors_are_known_by_name_and_from_its_pages(
    error: str, description: str, subtype: str, code: str | None
) -> None:
    assert code_of_google(error, description, subtype) == code


@pytest.mark.parametrize("name", SETS)
def test_every_code_of_a_set_has_its_advice(name: str) -> None:
    known = dict(all_codes())

    assert {code for code in SETS[name] if code not in known} == set()


def test_no_code_asks_for_two_things() -> None:
    assert NEEDS_CONSENT.isdisjoint(NEEDS_SECRET | PASSES_BY_ITSELF)
    assert NEEDS_SECRET.isdisjoint(PASSES_BY_ITSELF)
    assert BAD_SECRET < NEEDS_SECRET


def test_the_secret_that_is_no_secret_is_explained() -> None:
    target = api_target("https://login.microsoftonline.com", mailbox="portal@contoso.test", client_id="2222-app")

    diagnosis = diagnose(Step.TOKEN, code="microsoft.secret_wrong", target=target)

    assert str(diagnosis.cause).endswith("Very often what was typed is the Secret ID.")
    assert "the application 2222-app, Certificates & secrets" in str(diagnosis.remedy)
    assert oauth_errors.code_of_aadsts([7000215], "") == diagnosis.code
