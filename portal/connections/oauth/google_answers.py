"""What Google's token endpoint and redirects say, judged: a token, a fault that somebody mends, or one that passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import requests
from oauthlib.oauth2 import OAuth2Token, WebApplicationClient

from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.token_answers import (
    json_object,
    lifetime,
    plain_words,
    refuse_failures,
    refuse_no_token,
    secrets_in,
)
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.oauth_errors import PASSES_BY_ITSELF, code_of_google

REFUSED = "provider.refused"
_UNAVAILABLE = "google.sign_in_unavailable"
# Google writes these two in full, whatever was asked for.
_IN_FULL = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}


class TolerantClient(WebApplicationClient):
    """Takes token answers as they are.

    oauthlib's own reading raises for odd lifetimes, and for scopes that differ from those asked for unless a
    variable of the whole process forbids it.
    """

    def parse_request_body_response(self, body: str, scope: Any = None, **_: Any) -> OAuth2Token:  # noqa: ARG002
        """The answer, which `judged` has seen already."""
        answer = json_object(body)
        answer.pop("expires_at", None)  # oauthlib's own invention; none of Google's
        answer["expires_in"] = int(lifetime(answer.get("expires_in")).total_seconds())
        answer["scope"] = text_of(answer, "scope")
        self.token = OAuth2Token(answer)
        return self.token


def judged(response: requests.Response) -> requests.Response:
    """A compliance hook of requests-oauthlib: nothing but a token gets past it. Raises TransportError."""
    body = response.request.body
    form = parse_qs(body if isinstance(body, str) else "")
    is_renewal = form.get("grant_type") == ["refresh_token"]
    sent = secrets_in(form)
    token_in(response.status_code, response.text, sent=sent, headers=response.headers, is_renewal=is_renewal)
    return response


def token_in(
    status: int, text: str, *, sent: Iterable[str], headers: Mapping[str, str], is_renewal: bool = False
) -> dict[str, Any]:
    """The answer, which holds an access token. `sent` are the secrets of the request. Raises TransportError."""
    refuse_failures(status, headers, code=_UNAVAILABLE)
    answer = json_object(text)
    if status >= 400 or "error" in answer:
        raise refusal(answer, sent=sent, is_renewal=is_renewal)
    refuse_no_token(answer)
    return answer


def refusal(answer: Mapping[str, Any], *, sent: Iterable[str] = (), is_renewal: bool = False) -> TransportError:
    """The error that an answer's or a redirect's `error` stands for."""
    error, description = text_of(answer, "error"), text_of(answer, "error_description")
    subtype = text_of(answer, "error_subtype")
    code = code_of_google(error, description, subtype, is_renewal=is_renewal) or REFUSED
    kind = TransientError if code in PASSES_BY_ITSELF else ConnectionFault
    return kind(Step.TOKEN, code=code, seen=plain_words(description or error, without=sent))


def granted_in(answer: Mapping[str, Any], *, otherwise: Iterable[str]) -> frozenset[str]:
    """The scopes that were granted; without `scope` it is what was asked for (RFC 6749 5.1)."""
    return frozenset(text_of(answer, "scope").split() or otherwise)


def refuse_less(granted: frozenset[str], *, asked: Iterable[str]) -> None:
    """Raise ConnectionFault where a box was unticked on the page of consent."""
    missing = sorted(scope for scope in asked if not granted & {scope, _IN_FULL.get(scope, scope)})
    if missing:
        raise ConnectionFault(Step.TOKEN, code="google.scope_missing", seen=f"not granted: {' '.join(missing)}")
