"""What the stand-in answers when it refuses, in the words of the Gmail API and of the token endpoint."""

from __future__ import annotations

from tests.outside.google_scopes import FULL_MAIL, SEND
from tests.outside.stand_in_http import Answer, json_answer

_PROJECT = "861228239640"
_ENABLE = f"https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project={_PROJECT}"

# reason -> HTTP status, gRPC status, domain, message
_REFUSALS = {
    "authError": (
        *(401, "UNAUTHENTICATED", "global"),
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
        " authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    ),
    "insufficientPermissions": (
        *(403, "PERMISSION_DENIED", "global"),
        "Request had insufficient authentication scopes.",
    ),
    "accessNotConfigured": (
        *(403, "PERMISSION_DENIED", "usageLimits"),
        f"Gmail API has not been used in project {_PROJECT} before or it is disabled. Enable it by visiting {_ENABLE}"
        " then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems"
        " and retry.",
    ),
    "domainPolicy": (
        *(403, "PERMISSION_DENIED", "global"),
        "The domain administrators have disabled Gmail apps.",
    ),
    "forbidden": (403, "PERMISSION_DENIED", "global", "Delegation denied"),
    "dailyLimitExceeded": (403, "PERMISSION_DENIED", "usageLimits", "Daily Limit Exceeded"),
    "userRateLimitExceeded": (403, "PERMISSION_DENIED", "usageLimits", "User Rate Limit Exceeded"),
    "rateLimitExceeded": (429, "RESOURCE_EXHAUSTED", "usageLimits", "Rate Limit Exceeded"),
    "invalidArgument": (400, "INVALID_ARGUMENT", "global", "Invalid To header"),
    "failedPrecondition": (400, "FAILED_PRECONDITION", "global", "Mail service not enabled"),
    "uploadTooLarge": (413, "INVALID_ARGUMENT", "global", "Request Too Large"),
    "backendError": (503, "UNAVAILABLE", "global", "The service is currently unavailable."),
}
# What the item in `errors` says instead of the long message, and the reason that stands in `details` besides.
_SHORT_MESSAGES = {"authError": "Invalid Credentials", "insufficientPermissions": "Insufficient Permission"}
_DETAILS = {"insufficientPermissions": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "accessNotConfigured": "SERVICE_DISABLED"}
_CHALLENGES = {
    "authError": 'Bearer realm="https://accounts.google.com/", error="invalid_token"',
    "insufficientPermissions": (
        f'Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="{FULL_MAIL} {SEND}"'
    ),
}


def refusal(reason: str, message: str = "", *, status: int | None = None) -> Answer:
    """What Gmail answers for one of its reasons, optionally with another message or HTTP status."""
    usual_status, name, domain, usual_message = _REFUSALS[reason]
    said = message or usual_message
    item: dict[str, str] = {"message": _SHORT_MESSAGES.get(reason, said), "domain": domain, "reason": reason}
    if reason == "authError":
        item |= {"location": "Authorization", "locationType": "header"}
    if reason == "accessNotConfigured":
        item["extendedHelp"] = "https://console.developers.google.com"
    error: dict[str, object] = {"code": status or usual_status, "message": said, "errors": [item], "status": name}
    if reason in _DETAILS:
        error["details"] = [_error_info(_DETAILS[reason])]
    headers = {"WWW-Authenticate": _CHALLENGES[reason]} if reason in _CHALLENGES else {}
    return json_answer({"error": error}, status=status or usual_status, headers=headers)


def _error_info(reason: str) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "gmail.googleapis.com"},
    }


class GmailRefused(Exception):
    """An error answer of the Gmail API."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason)
        self.answer = refusal(reason, message)


class TokenRefused(Exception):
    """An error answer of the token endpoint, as RFC 6749 section 5.2 has it."""

    def __init__(self, status: int, error: str, description: str, **more: str) -> None:
        super().__init__(error)
        headers = {"WWW-Authenticate": 'Basic realm="https://accounts.google.com/"'} if status == 401 else {}
        body = {"error": error, "error_description": description, **more}
        self.answer = json_answer(body, status=status, headers=headers)
