"""How the stand-in for Microsoft refuses: by AADSTS numbers at sign-in, by named codes at Graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from tests.outside.microsoft_aadsts import KINDS, UNWORDED


class _Values(dict[str, str]):
    """What is not known of a scripted refusal is shown by its name."""

    def __missing__(self, key: str) -> str:
        return key


class SignInRefused(Exception):
    """A refusal by its AADSTS number; `values` fill the braces of its text."""

    def __init__(self, number: int, *, error: str = "", suberror: str | None = None, **values: str) -> None:
        kind = KINDS.get(number, UNWORDED)
        self.number = number
        self.status = kind.status
        self.error = error or kind.error
        self.suberror = kind.suberror if suberror is None else suberror
        self.text = f"AADSTS{number}: {kind.text.format_map(_Values(values))}"
        super().__init__(self.text)

    def body(self, *, login_url: str, now: datetime, correlation_id: str = "") -> dict[str, object]:
        """The JSON of the token endpoint; an authorization response takes its first two members."""
        stamp, trace = f"{now:%Y-%m-%d %H:%M:%S}Z", str(uuid4())
        correlation = correlation_id or str(uuid4())
        lines = f"Trace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"
        body: dict[str, object] = {
            "error": self.error,
            "error_description": f"{self.text}\r\n{lines}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{login_url}/error?code={self.number}",
        }
        return body | ({"suberror": self.suberror} if self.suberror else {})


# What Graph names a status that a test scripts without a code of its own.
_GRAPH_CODES = {
    400: ("BadRequest", "Unable to read JSON request payload."),
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorItemNotFound", "The specified object was not found in the store."),
    413: ("RequestEntityTooLarge", "The maximum request length supported is 4MB."),
    429: ("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    500: ("InternalServerError", "An internal server error occurred. The operation failed."),
    502: ("BadGateway", "Bad gateway."),
    503: ("serviceNotAvailable", "The service is temporarily unavailable. Please retry."),
    504: ("GatewayTimeout", "The gateway did not receive a response from a backend service in time."),
}
_GRAPH_TEXTS = {
    "ErrorSendAsDenied": "The user account which was used to submit this request does not have the right to send mail "
    "on behalf of the specified sending account.",
    "ErrorMessageSubmissionBlocked": "Cannot send mail. Follow the instructions in your Inbox to verify your account.",
    "MailboxNotEnabledForRESTAPI": "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    "Authorization_RequestDenied": "Insufficient privileges to complete the operation.",
    "ErrorInvalidRecipients": "At least one recipient is not valid.",
    "ErrorMimeContentInvalidBase64String": "Invalid base64 string for MIME content.",
    "ErrorMimeContentInvalid": "The MIME content is not valid.",
}


class GraphRefused(Exception):
    """A refusal of Graph; without `code` the usual one of its status."""

    def __init__(
        self, status: int, code: str = "", message: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        usual, words = _GRAPH_CODES.get(status, ("UnknownError", "The request was refused."))
        self.status = status
        self.code = code or usual
        self.message = message or _GRAPH_TEXTS.get(self.code, words)
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.code}: {self.message}")

    def body(self, *, now: datetime, request_id: str, client_request_id: str) -> dict[str, object]:
        inner = {
            "date": f"{now:%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": client_request_id,
        }
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}
