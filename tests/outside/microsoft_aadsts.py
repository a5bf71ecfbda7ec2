"""The AADSTS numbers as Microsoft's sign-in words them; what stands in braces is filled in when one is raised.

The numbers, errors and texts are those of Microsoft's list of authentication and authorization error codes and of
answers that others published.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    error: str
    text: str
    status: int = 400
    suberror: str = ""


_SECRET = (
    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
    "not the client secret ID, for a secret added to app '{app}'."
)
_EXPIRED_SECRET = (
    "The provided client secret keys for app '{app}' are expired. Visit the Azure portal to create new keys for your "
    "app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
    "https://aka.ms/certCreds."
)
_MFA = (
    "Due to a configuration change made by your administrator, or because you moved to a new location, you must {what} "
    "multi-factor authentication to access '00000003-0000-0000-c000-000000000000'."
)
_CREDENTIAL = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."

# Each as the token endpoint or a page words it; what stands in braces is filled in.
KINDS: dict[int, Kind] = {
    50011: Kind(
        "invalid_request",
        "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for "
        "the application '{app}'. Make sure the redirect URI sent in the request matches one added to your application "
        "in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to "
        "troubleshoot this.",
    ),
    500011: Kind(
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    ),
    500112: Kind(
        "invalid_grant",
        "The reply address '{redirect_uri}' does not match the reply address '{registered}' provided when requesting "
        "Authorization code.",
    ),
    500113: Kind("invalid_request", "No reply address is registered for the application."),
    50020: Kind(
        "invalid_grant",
        "User account '{account}' from identity provider '{login}' does not exist in tenant '{tenant}' and cannot "
        "access the application '{app}' in that tenant. The account needs to be added as an external user in the "
        "tenant first. Sign out and sign in again with a different Azure Active Directory user account.",
    ),
    50034: Kind("invalid_grant", "The user account {account} does not exist in the {tenant} directory."),
    50053: Kind("invalid_grant", "The account is locked, you've tried to sign in too many times."),
    50055: Kind("invalid_grant", "The password is expired.", suberror="user_password_expired"),
    50057: Kind("invalid_grant", "The user account is disabled."),
    50058: Kind("login_required", "A silent sign-in request was sent but no user is signed in."),
    50074: Kind("invalid_grant", "Strong Authentication is required.", suberror="basic_action"),
    50076: Kind("invalid_grant", _MFA.format(what="use"), suberror="basic_action"),
    50078: Kind(
        "invalid_grant",
        "Presented multi-factor authentication has expired due to policies configured by "
        "your administrator, you must refresh your multi-factor authentication.",
        suberror="basic_action",
    ),
    50079: Kind("invalid_grant", _MFA.format(what="enroll in"), suberror="basic_action"),
    50089: Kind("invalid_grant", "Authentication failed due to flow token expired."),
    50105: Kind(
        "invalid_grant",
        "Your administrator has configured the application '{app}' to block users unless they are specifically granted "
        "('assigned') access to the application. The signed in user '{account}' is blocked.",
    ),
    50126: Kind("invalid_grant", "Error validating credentials due to invalid username or password."),
    50132: Kind("invalid_grant", "The credentials have been revoked.", suberror="bad_token"),
    50133: Kind("invalid_grant", "The session is not valid due to password expiration or recent password change."),
    50147: Kind("invalid_grant", "Missing code_verifier parameter."),
    501481: Kind(
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    50158: Kind("interaction_required", "External security challenge not satisfied.", suberror="basic_action"),
    50173: Kind(
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
        "changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before "
        "which tokens are not valid) for this user is '{now}'.",
        suberror="bad_token",
    ),
    50194: Kind(
        "invalid_request",
        "Application '{app}' is not configured as a multi-tenant application. Usage of the /common endpoint is not "
        "supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the "
        "application to be multi-tenant.",
    ),
    50196: Kind(
        "temporarily_unavailable",
        "The server terminated an operation because it encountered a client "
        "request loop. Please contact your app vendor.",
    ),
    53000: Kind("invalid_grant", "Device is not in required device state: compliant.", suberror="message_only"),
    53003: Kind(
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        suberror="message_only",
    ),
    530035: Kind("invalid_grant", "Access has been blocked by security defaults."),
    54005: Kind(
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
        "refresh token.",
    ),
    65001: Kind(
        "invalid_grant",
        "The user or administrator has not consented to use the application with ID '{app}' named '{name}'. Send an "
        "interactive authorization request for this user and resource.",
        suberror="consent_required",
    ),
    65004: Kind("access_denied", "User declined to consent to access the app."),
    650052: Kind(
        "invalid_grant",
        "The app is trying to access a service that your organization lacks a service "
        "principal for. Contact your IT Admin to review the configuration of your service subscriptions.",
    ),
    650053: Kind(
        "invalid_client",
        "The application '{name}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'. Contact "
        "the app vendor.",
    ),
    650057: Kind(
        "invalid_resource",
        "Invalid resource. The client has requested access to a resource which is not "
        "listed in the requested permissions in the client's application registration.",
    ),
    70000: Kind("invalid_grant", "Provided grant is invalid or malformed.", suberror="bad_token"),
    70001: Kind("unauthorized_client", "Application '{app}' is disabled."),
    70003: Kind("unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    70008: Kind(
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity. "
        "Send a new interactive authorization request for this user and resource.",
    ),
    70011: Kind(
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for "
        "the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    ),
    70016: Kind("authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. Continue polling."),
    70018: Kind(
        "bad_verification_code", "Invalid verification code due to User typing in wrong user code for device code flow."
    ),
    70019: Kind("expired_token", "Verification code expired."),
    70021: Kind(
        "invalid_request",
        "No matching federated identity record found for presented assertion. Please check "
        "your federated identity credential Subject, Audience and Issuer against the presented assertion.",
    ),
    70043: Kind(
        "invalid_grant",
        "The refresh token has expired or is invalid due to sign-in frequency checks by "
        "conditional access. The token was issued on {issued} and the maximum allowed lifetime for this "
        "request is 3600.",
        suberror="bad_token",
    ),
    700005: Kind(
        "invalid_grant",
        "The provided authorization code is intended to use against other tenant, thus "
        "rejected. OAuth2 Authorization Code must be redeemed against same tenant it was acquired for "
        "(/common or /{{tenant-ID}} as appropriate).",
    ),
    700016: Kind(
        "unauthorized_client",
        "Application with identifier '{app}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700021: Kind("invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter.", 401),
    700022: Kind(
        "invalid_scope",
        "The provided value for the input parameter scope isn't valid because it contains "
        "more than one resource. Scope {scope} isn't valid.",
    ),
    700023: Kind("invalid_client", "Client assertion audience claim does not match Realm issuer.", 401),
    700024: Kind(
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, "
        "assertion valid from {valid_from}, expiry time of assertion {valid_until}.",
        401,
    ),
    700025: Kind(
        "invalid_client", "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.", 401
    ),
    700027: Kind(
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not "
        "registered on application. [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}', "
        "Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for "
        "app Id '{app}'.",
        401,
    ),
    700030: Kind("invalid_client", "Invalid certificate - subject name in certificate is not authorized.", 401),
    700082: Kind(
        "invalid_grant",
        "The refresh token has expired due to inactivity. The token was issued on {issued} "
        "and was inactive for 90.00:00:00.",
    ),
    700084: Kind(
        "invalid_grant",
        "The refresh token was issued to a single page app (SPA), and therefore has a "
        "fixed, limited lifetime of 1.00:00:00, which cannot be extended. It is now expired and a new sign "
        "in request must be sent by the SPA to the sign in page. The token was issued on {issued}.",
    ),
    7000112: Kind("unauthorized_client", "Application '{app}'({name}) is disabled."),
    7000215: Kind("invalid_client", _SECRET, 401),
    7000216: Kind(
        "invalid_client",
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        401,
    ),
    7000218: Kind("invalid_client", _CREDENTIAL, 401),
    7000222: Kind("invalid_client", _EXPIRED_SECRET, 401),
    90002: Kind(
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    90014: Kind(
        "invalid_request",
        "The required field '{field}' is missing from the credential. Ensure that you have "
        "all the necessary parameters for the login request.",
    ),
    90019: Kind(
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    900023: Kind(
        "invalid_request",
        "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
    ),
    90033: Kind("temporarily_unavailable", "A transient error has occurred. Please try again.", 503),
    90038: Kind("invalid_request", "Tenant '{tenant}' request is being redirected to the National Cloud."),
    900144: Kind("invalid_request", "The request body must contain the following parameter: '{field}'."),
    90072: Kind(
        "invalid_grant",
        "User account '{account}' from identity provider 'live.com' does not exist in tenant "
        "'{tenant}' and cannot access the application '{app}' in that tenant.",
    ),
    90094: Kind(
        "access_denied",
        "{name} needs permission to access resources in your organization that only an admin "
        "can grant. Please ask an admin to grant permission to this app before you can use it.",
    ),
    90095: Kind(
        "access_denied",
        "Admin consent is required for the permissions requested by this application. Please "
        "submit an admin consent request.",
    ),
    9001023: Kind(
        "invalid_request",
        "The grant type is not supported over the /common or /consumers endpoints. "
        "Please use the /organizations or tenant-specific endpoint.",
    ),
    9002313: Kind("invalid_grant", "Invalid request. Request is malformed or invalid."),
    9002327: Kind(
        "invalid_request",
        "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.",
    ),
    900432: Kind("invalid_request", "Confidential Client is not supported in Cross Cloud request."),
    1002012: Kind(
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must "
        "have a scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
}
# A number that a test scripts and that is not worded here.
UNWORDED = Kind("invalid_grant", "The request was refused.")
